"""Checksums that a record carries: of itself, and of the files beside it. They tell damage from what was written.

    done.json       files: SHA-256 by name; digest: of the record itself
    .verdict.json   of verdict.json beside it: digests; read_from: SHA-256 of the done.json of the runs it is of
    study.json      digest

    digest = SHA-256 of the record without its digest, as JSON with sorted keys and no spaces

Covers: bits that flip, files that are cut, emptied, swapped or edited. Does not cover: somebody who wants to deceive
and writes the checksums, too. Folders from before there were any have none, and count as they did.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vslm.results.files import sha256

DIGEST, FILES = "digest", "files"
NUMBERS = ("arrays.npz", "measures.jsonl")  # what a verdict and a page are made of
MODEL = ("weights.safetensors", "experiment.json", "tokenizer.json")  # what a stored model is made of
BESIDE = ("environment.json", "sample.txt")  # what a page shows beside numbers
MAY_BE_ABSENT = ("weights.safetensors", "sample.txt")  # a packed folder has no weights, a diverged run no sample


def digest_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of what a record holds beside its digest, whatever the order of its keys.

    >>> digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1, "digest": "none"})
    True
    """
    held = {str(key): value for key, value in record.items() if key != DIGEST}
    # Through JSON and back, so that a record in memory and the same one read again are equal: keys become text.
    plain = json.loads(json.dumps(held, allow_nan=False))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its digest, as the last key."""
    held = {key: value for key, value in record.items() if key != DIGEST}
    return {**held, DIGEST: digest_of(held)}


def was_changed(record: Mapping[str, Any]) -> bool:
    """Whether a record is another than was sealed; one without a digest was never sealed."""
    return DIGEST in record and record[DIGEST] != digest_of(record)


def checksums(folder: Path, names: Iterable[str] = (*NUMBERS, *MODEL, *BESIDE)) -> dict[str, str]:
    """SHA-256 of the files of a folder that are there, by name."""
    return {name: sha256(folder / name) for name in names if (folder / name).is_file()}


def unlike(folder: Path, recorded: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """The first of some files that is not as it was recorded, in words; None where all are, or nothing is recorded."""
    for name in names:
        if name not in recorded:
            continue
        if not (folder / name).is_file():
            if name in MAY_BE_ABSENT:
                continue
            return f"{name} is missing"
        if sha256(folder / name) != recorded[name]:
            return f"{name} is not as it was written"
    return None
