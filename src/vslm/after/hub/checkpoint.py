"""A checkpoint folder of `transformers`, as it lies on disk: its configuration and its tensors. Nothing of it is run.

Not for: pickles (`pytorch_model.bin`), which may run code when they are opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vslm.core.errors import DataError, ResultError, nearest
from vslm.results.files import read_json

_ONE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """A folder with config.json and model.safetensors, whole or in parts."""

    path: Path

    @cached_property
    def config(self) -> "Config":
        """config.json. Raises: DataError where it is not there or is none."""
        file = self.path / "config.json"
        if not self.path.is_dir():
            found = "a file" if self.path.exists() else "no such folder"
            do = "download the checkpoint first: hf download ID --local-dir FOLDER"
            raise DataError(str(self.path), found, "the folder of a checkpoint is needed", do)
        try:
            values = read_json(file)
        except ResultError as error:
            raise DataError(error.where, error.found, "the folder of a checkpoint is needed", error.do) from None
        if not isinstance(values, dict):
            raise DataError(str(file), f"found {type(values).__name__}", "an object is needed")
        return Config(str(file), values)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All weights, in fp32. Raises: DataError where a file is not there or is torn."""
        found: dict[str, Tensor] = {}
        for file in self._files():
            try:
                found |= load_file(file)
            except (SafetensorError, OSError) as error:
                raise DataError(str(file), f"cannot be read ({error})", "", "is the file whole?") from None
        return {name: tensor.to(torch.float32) for name, tensor in found.items()}

    def _files(self) -> list[Path]:
        if (self.path / _ONE).is_file():
            return [self.path / _ONE]
        if (self.path / _INDEX).is_file():
            index = read_json(self.path / _INDEX)
            parts = index.get("weight_map") if isinstance(index, dict) else None
            if not isinstance(parts, dict):
                raise DataError(str(self.path / _INDEX), "names no files", "a weight_map is needed")
            return [self.path / name for name in sorted({Path(str(one)).name for one in parts.values()})]
        pickle = next((name for name in _PICKLES if (self.path / name).is_file()), None)
        found = f"no {_ONE}" if pickle is None else f"{pickle} alone, and no pickle is opened, since it may run code"
        do = "" if pickle is None else "convert it: save_pretrained(..., safe_serialization=True)"
        raise DataError(str(self.path), found, "weights as safetensors are needed", do)


@dataclass(frozen=True)
class Config:
    """The values of a config.json, of which those that are not looked at may say anything."""

    where: str
    values: Mapping[str, Any]

    def number(self, *names: str, default: float | None = None) -> float:
        """The first of some names that is there. Raises: DataError where none is, or it holds no number."""
        for name in names:
            value = self.values.get(name)
            if value is not None:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise DataError(self.where, f"{name} is {value!r}", "a number is needed")
                return value
        if default is None:
            raise DataError(self.where, f"no {names[0]}", nearest(names[0], self.values))
        return default

    def whole(self, *names: str, default: int | None = None) -> int:
        """The same, a whole number of 1 or more."""
        value = self.number(*names, default=default)
        if value != int(value) or value < 1:
            raise DataError(self.where, f"{names[0]} is {value!r}", "a whole number of 1 or more is needed")
        return int(value)

    def refuse_unlike(self, **needed: Any) -> None:
        """Raise DataError for a value that is there and other than what alone can be taken over."""
        for name, value in needed.items():
            if self.values.get(name, value) not in (value, None):
                found = f"{name} is {self.values[name]!r}"
                raise DataError(self.where, found, f"{value!r} can be taken over", "")


@dataclass
class Taken:
    """The tensors of a checkpoint, taken one by one, so that none is forgotten."""

    where: str
    tensors: dict[str, Tensor]
    missing: list[str] = field(default_factory=list)

    def take(self, name: str) -> Tensor:
        """A tensor by its name; an empty one, noted, where it is missing."""
        if name in self.tensors:
            return self.tensors.pop(name)
        self.missing.append(name)
        return torch.zeros(0)

    def check_all_taken(self, passed_over: tuple[str, ...]) -> None:
        """Raise DataError for weights that are missing, and for those that nothing took.

        Args:
            passed_over: endings of names that hold what is computed anew.
        """
        rest = [name for name in self.tensors if not name.endswith(passed_over)]
        for names, words, do in (
            (self.missing, "missing", "is the checkpoint whole, and does config.json belong to it?"),
            (rest, "more than its layout has", "does config.json belong to it?"),
        ):
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                raise DataError(self.where, f"weights {words}: {', '.join(names[:3])}{more}", "", do)
