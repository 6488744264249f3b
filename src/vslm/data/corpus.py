"""A corpus as it lies on disk, and the one that is open: flat token files under `VSLM_HOME`, named by their content.

    $VSLM_HOME/corpora/<fingerprint>/{train,select,val}.bin   ids, uint16 up to 65,536 of them, else uint32
                                     {train,select,val}.weights   fp32 of each id, where a source says what counts
                                     tokenizer.json
                                     meta.json                what it is, how it was made, sizes and checksums

Files that are open are never written to. Making one from a source: `preparing.py`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import DataError, ResultError, RunError
from vslm.data.splits import SPLITS, SplitName
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.results.files import read_json, sha256
from vslm.results.seals import was_changed

Say = Callable[[str], None]
NO_CORPUS = "none"  # of a model that was imported without a text


def home() -> Path:
    """Where vslm keeps what it can make again: `VSLM_HOME`, or `~/.cache/vslm`.

    Raises: RunError for a user without a home where `VSLM_HOME` is not set.
    """
    if named := os.environ.get("VSLM_HOME"):
        return Path(named)
    try:
        return Path.home() / ".cache" / "vslm"
    except RuntimeError:  # no HOME, and nobody of this number in the list of users
        do = "set VSLM_HOME to a folder that you may write in"
        raise RunError("VSLM_HOME", "this user has no home, so there is no place for corpora", "", do) from None


@dataclass(frozen=True)
class TokenFile:
    """The tokens of one split, documents in a row, a separator after each where the tokenizer has one."""

    path: Path
    dtype: str
    num_tokens: int
    num_bytes: int
    num_documents: int
    has_weights: bool = False

    @cached_property
    def weights(self) -> np.ndarray | None:
        """How much each token counts as a target, fp32, 1-D beside `tokens`; None: all the same."""
        if not self.has_weights:
            return None
        return np.memmap(self.path.with_suffix(".weights"), dtype="<f4", mode="r", shape=(self.num_tokens,))

    @cached_property
    def tokens(self) -> np.ndarray:
        """1-D, read from the file as needed."""
        return np.memmap(self.path, dtype=on_disk(self.dtype), mode="r", shape=(self.num_tokens,))

    def __reduce__(self) -> tuple[Any, ...]:
        sizes = (self.num_tokens, self.num_bytes, self.num_documents)
        return TokenFile, (self.path, self.dtype, *sizes, self.has_weights)


@dataclass(frozen=True)
class Corpus:
    """A corpus that is ready to train on. Cheap to open and to send to another process.

    Args:
        folder: where it lies.
        meta: its record.
        evaluated_split: "val", or "select" for a run that is made to choose.
        further: other corpora with the same ids that training reads beside it, by name.
    """

    folder: Path
    meta: dict[str, Any]
    evaluated_split: SplitName = "val"
    further: Mapping[str, "Corpus"] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the text, the tokenizer and the splits."""
        return self.meta["fingerprint"]

    @property
    def tokenizer_fingerprint(self) -> str:
        """12 hex digits of what every id means."""
        return self.meta["tokenizer_fingerprint"]

    @property
    def vocabulary(self) -> int:
        """Number of ids."""
        return self.meta["vocabulary"]

    @property
    def align_tokens(self) -> int:
        """Windows start at multiples of this."""
        return self.meta.get("align_tokens", 1)  # a corpus that was built before there was anything to align

    @cached_property
    def tokenizer(self) -> FittedTokenizer:
        """Text to ids and back."""
        return load_tokenizer(self.folder / "tokenizer.json")

    @cached_property
    def train(self) -> TokenFile:
        """For training."""
        return self.split("train")

    @cached_property
    def select(self) -> TokenFile:
        """For choices made during a study."""
        return self.split("select")

    @cached_property
    def val(self) -> TokenFile:
        """For verdicts only."""
        return self.split("val")

    @property
    def evaluated(self) -> TokenFile:
        """What a model is evaluated on: `val` for verdicts, `select` where something is chosen."""
        return self.split(self.evaluated_split)

    def split(self, name: SplitName) -> TokenFile:
        """The tokens of a split."""
        part = self.meta["splits"][name]
        sizes = (part["num_tokens"], part["num_bytes"], part["num_documents"])
        return TokenFile(self.folder / f"{name}.bin", self.meta["dtype"], *sizes, self.has_weights)

    @property
    def has_weights(self) -> bool:
        """Whether its source says how much each token counts."""
        return self.meta.get("has_weights", False)  # not in a corpus from before any did

    def bytes_per_token(self, name: SplitName) -> float:
        """Bytes of text per token, separators counted as tokens of no bytes: `bpb = loss_nats / ln 2 / this`.

        Exact over the whole split; `windows.num_target_bytes` is exact for the windows that were scored.
        """
        part = self.meta["splits"][name]
        return part["num_bytes"] / part["num_tokens"]

    def verify(self) -> None:
        """Read every file and compare its checksum again, as opening did.

        Raises: DataError naming the file that is not as it was written.
        """
        if (damage := _damage(self.folder)) is not None:
            do = f"delete the folder {self.folder}; it is built again when needed"
            raise DataError(str(self.folder), damage, "", do)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.folder, self.meta, self.evaluated_split, dict(self.further))


def open_corpus(fingerprint: str) -> Corpus:
    """A corpus that was prepared on this machine; its source is not touched.

    Raises: DataError if it is not there, or damaged.
    """
    if fingerprint == NO_CORPUS:
        found, do = "it was imported without a text, and this needs one", "vslm import it again with --data TEXT"
        raise DataError("this model", found, "", do)
    folder = home() / "corpora" / fingerprint
    damages: list[str] = []
    corpus = opened(folder, damages.append)
    if corpus is None:
        do = "run the study again: it prepares its corpus from the text, which must be there"
        why = f"damaged ({_damage(folder)})" if damages else f"not there, in {folder.parent}"
        raise DataError(f"corpus {fingerprint}", why, "", do)
    return corpus


def opened(folder: Path, say: Say | None = None) -> Corpus | None:
    """The corpus in a folder; None if there is none, or it is damaged, which `say` gets in words."""
    if not folder.is_dir():
        return None
    damage = _damage(folder)
    if damage is None:
        return Corpus(folder, read_json(folder / "meta.json"))
    if say is not None:
        say(f"{folder}: {damage}; the corpus is built again")
    return None


def _damage(folder: Path) -> str | None:
    """Which file of a corpus is not as it was written, in words; None where all are.

    Every file is read and its checksum compared, each time: a bit that flips on a disk changes no time and no size.
    Cost: 0.15 s for 100 MB (two cores of 2026), once a command and once a run.
    """
    try:
        meta = read_json(folder / "meta.json")
        if was_changed(meta) or not _is_consistent(meta, folder.name):
            return "meta.json is not as it was written"
        for name, recorded in meta["sha256"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != meta["sizes"][name]:
                return f"{name} is missing or cut short"
            if sha256(path) != recorded:
                return f"{name}: its bytes are not those that were written"
    except ResultError as error:
        return f"meta.json: {error.found}"
    except (KeyError, TypeError, AttributeError, ValueError):
        return "meta.json is not what a corpus has"
    return None


def _is_consistent(meta: dict[str, Any], name: str) -> bool:
    """Whether what a record says of its files fits together; the only check of a record that has no digest."""
    width = on_disk(meta["dtype"]).itemsize
    return (
        meta["fingerprint"] == name
        and meta["dtype"] in ("uint16", "uint32")
        and {*meta["sha256"], *meta["sizes"]} == {*names_of_files(meta.get("has_weights", False))}
        and all(meta["sizes"][f"{split}.bin"] == width * meta["splits"][split]["num_tokens"] for split in SPLITS)
        and all(meta["splits"][split]["num_bytes"] > 0 for split in SPLITS if meta["splits"][split]["num_tokens"] > 1)
    )


def names_of_files(has_weights: bool) -> list[str]:
    """The files of a corpus beside meta.json."""
    endings = ("bin", "weights") if has_weights else ("bin",)
    return [*(f"{split}.{ending}" for split in SPLITS for ending in endings), "tokenizer.json"]


def padding_share(splits: Mapping[Any, Mapping[str, int]]) -> float:
    """The share of tokens that are padding, over all splits of a record; 0 where documents are not laid in rows."""
    total = sum(part["num_tokens"] for part in splits.values())
    return sum(part.get("num_padding", 0) for part in splits.values()) / max(1, total)


def on_disk(dtype: str) -> np.dtype:
    """The type of ids as files hold them: little-endian."""
    return np.dtype(dtype).newbyteorder("<")
