"""Checkpoints that are whole or not there: tensors as safetensors, the rest as JSON, a checksum over both.

Covers: a process killed at any moment, a full disk, a file torn by a crash (found by checksum; the one before is used).
Does not cover: two writers on one folder; who runs a folder holds its lock.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from vslm.core.errors import RunError
from vslm.core.types import describe
from vslm.results.files import read_json, sha256, write_json, written_whole
from vslm.results.places import read_bytes, remove_file

_HEADER_LENGTH_BYTES = 8  # how a safetensors file begins: the length of the JSON that follows
_KEPT = 2  # the latest, and one to fall back on


@dataclass
class Checkpoint:
    """Everything a training needs to go on: the step it stands after, tensors by name, and plain values."""

    step: int
    tensors: dict[str, Tensor]
    plain: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and remove all but the latest two. The checksum file is written last.

    Raises: RunError when it cannot be written; the older checkpoints are then still there.
    """
    path = folder / f"step{checkpoint.step:09d}.safetensors"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    with written_whole(path) as file:
        file.write(save(tensors, metadata={"plain": json.dumps(checkpoint.plain)}))
    write_json(path.with_suffix(".json"), {"step": checkpoint.step, "sha256": sha256(path)})
    for old in sorted(folder.glob("step*.safetensors"))[:-_KEPT]:
        remove_file(old.with_suffix(".json"))
        remove_file(old)


def load_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The latest whole checkpoint, or None. Torn ones are named through `say` and passed over."""
    for path in sorted(folder.glob("step*.safetensors"), reverse=True):
        record = path.with_suffix(".json")
        try:
            noted, content = read_json(record), read_bytes(path)
            if noted["sha256"] != hashlib.sha256(content).hexdigest():
                raise ValueError("its checksum does not match")
            if noted["step"] != int(path.stem[4:]):
                raise ValueError(f"it is of step {noted['step']}")
            plain = json.loads(safetensors_header(content)[0]["__metadata__"]["plain"])
            return Checkpoint(int(path.stem[4:]), load(content), plain)
        except Exception as error:  # whatever is wrong with it, the one before may be whole
            say(f"{path}: torn checkpoint passed over ({error})")
    return None


def safetensors_header(content: bytes) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and at which byte their values begin."""
    begins = _HEADER_LENGTH_BYTES + int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    return json.loads(content[_HEADER_LENGTH_BYTES:begins]), begins


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by path; what is shared appears once, under its first path."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach()
    return found


def check_shapes(own: Mapping[str, tuple[int, ...]], stored: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuse stored tensors that are not exactly those of a model.

    Raises: RunError naming what is missing, unknown or of another shape.
    """
    for name in sorted({*own, *stored}):
        if own.get(name) != stored.get(name):
            found = f"{name} is {_shape(stored.get(name))} there and {_shape(own.get(name))} in the model"
            raise RunError(where, f"its weights do not fit the model: {found}", "all names and shapes must be equal")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else " x ".join(map(str, shape))


def load_model_tensors(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Copy stored tensors into a model, which must have exactly these paths and shapes.

    Raises: RunError naming what is missing, unknown or of another shape.
    """
    own = model_tensors(model)
    check_shapes(_shapes(own), _shapes(tensors), where)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of the optimizer's state, as `<parameter number>.<key>`.

    Raises: RunError for state that belongs to no parameter.
    """
    return {name: value for name, value in _state(optimizer) if isinstance(value, Tensor)}


def optimizer_numbers(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimizer keeps from step to step beside tensors: plain numbers of its state, as `<parameter
    number>.<key>`, and those of its groups, which some optimizers change as they go.

    Raises: RunError for state that is neither a tensor nor a plain number, or belongs to no parameter.
    """
    state = {name: value for name, value in _state(optimizer) if not isinstance(value, Tensor)}
    for name, value in state.items():
        if not _is_number(value):
            raise _not_kept(optimizer, value, name.partition(".")[2])
    groups = [{key: value for key, value in group.items() if _is_number(value)} for group in optimizer.param_groups]
    return {"state": state, "groups": groups}


def load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any] | None
) -> None:
    """Put back what `optimizer_tensors` and `optimizer_numbers` gave.

    Args:
        optimizer: of the same parameters in the same groups.
        tensors: its state.
        numbers: None in a checkpoint from before they were kept; the groups then stay as they are.
    """
    numbers = numbers or {"state": {}, "groups": []}
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *numbers["state"].items()]:
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    for group, kept in zip(groups, numbers["groups"], strict=False):
        group |= kept
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _state(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
    for owner, kept in optimizer.state_dict()["state"].items():
        if not (isinstance(owner, int) and isinstance(kept, Mapping)):
            raise _not_kept(optimizer, kept, "state of no parameter")
        yield from ((f"{owner}.{key}", value) for key, value in kept.items())


def _not_kept(optimizer: torch.optim.Optimizer, value: Any, name: str) -> RunError:
    allowed = "a checkpoint holds tensors and plain numbers of parameters"
    return RunError(type(optimizer).__name__, f"keeps {describe(value)} as {name}", allowed)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)
