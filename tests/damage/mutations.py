"""Ways to damage a file of a study's folder: bits, cuts, odd values in JSON, odd arrays. One generator draws all."""

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]
FIFTY: dict[str, Any] = {}
for _ in range(50):
    FIFTY = {"a": FIFTY}
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, -1e308, 5e-324, 10**400, -(10**30), 2**63, 1e30),
    *(float("nan"), float("inf"), "", "x", "0", "seed0", "../../x", "/etc/hostname", "\x1b[31m", "\ud800", "\0"),
    *("x" * 70_000, "é" * 300, [], {}, [[]], [None], [1, "a", None], {"a": 1}, [0.9], [1e308, 1e308], [{}], FIFTY),
    *([0, 0, 0], [10**400], {"0": "x"}, {"": {}}, ["full", "full"], list(range(2000))),
)


def flipped(content: bytes, draw: random.Random) -> bytes:
    """One to eight bits are others."""
    found = bytearray(content)
    for _ in range(draw.randint(1, 8) if found else 0):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def cut(content: bytes, draw: random.Random) -> bytes:
    """The end is gone."""
    return content[: draw.randrange(len(content) + 1)]


def longer(content: bytes, draw: random.Random) -> bytes:
    """Something stands behind it."""
    return content + bytes(draw.randrange(256) for _ in range(draw.randint(1, 99)))


def encoded_otherwise(content: bytes, draw: random.Random) -> bytes:
    """Saved by a program with an encoding of its own."""
    return content.decode("utf-8", "replace").encode(
        draw.choice(["utf-16", "utf-32", "utf-8-sig", "latin-1"]), "replace"
    )


def zeroed(content: bytes, draw: random.Random) -> bytes:
    """A page of a disk that came back empty."""
    start = draw.randrange(len(content) + 1)
    return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def edited(content: bytes, draw: random.Random) -> bytes:
    """A JSON file, or a line of a file of rows, with a value that nobody would write there, or without a key."""
    try:
        lines = content.decode().splitlines() if content.count(b"\n") > 1 and content[:1] == b"{" else []
    except UnicodeDecodeError:  # it was damaged before
        return flipped(content, draw)
    is_rows = len(lines) > 1 and lines[0].endswith("}")
    place = draw.randrange(len(lines)) if is_rows else 0
    try:
        value = json.loads(lines[place] if is_rows else content)
    except ValueError:
        return flipped(content, draw)
    for _ in range(draw.randint(1, 2)):
        value = _with_an_odd_value(value, draw)
    try:
        text = json.dumps(value, indent=None if is_rows else 1)
    except RecursionError:
        text = "[" * 3000 + "]" * 3000
    if is_rows:
        lines[place] = text
        text = "\n".join(lines)
    return text.encode() + b"\n"


def _with_an_odd_value(value: Any, draw: random.Random) -> Any:
    found = list(_places(value))
    if not found or draw.random() < 0.03:
        return draw.choice((*ODD_VALUES, DEEP))
    container, key = draw.choice(found)
    how = draw.random()
    if how < 0.15:
        del container[key]
    elif how < 0.2 and isinstance(container, dict):
        container[draw.choice(["", "x", "../x", "seed0", "é\n"])] = container.pop(key)
    elif how < 0.3 and isinstance(container[key], int | float):
        container[key] = container[key] * draw.choice([-1, 0, 2, 1e-9, 1e9]) + draw.choice([0, 1, 0.25])
    else:
        container[key] = draw.choice(ODD_VALUES)
    return value


def _huge(arrays: dict[str, np.ndarray], draw: random.Random) -> bytes:
    """An archive in which an array claims to have a million million elements."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in arrays:
            member = io.BytesIO()
            header = {
                "descr": "<f8",
                "fortran_order": False,
                "shape": draw.choice([(10**12,), (10**6, 10**6), (2**62,)]),
            }
            np.lib.format.write_array_header_1_0(member, header)
            archive.writestr(f"{name}.npy", member.getvalue() + bytes(64))
    return written.getvalue()


def _bomb(arrays: dict[str, np.ndarray]) -> bytes:
    """An archive that is small and holds half a gigabyte of nothing."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in list(arrays)[:1]:
            member = io.BytesIO()
            header = {"descr": "<f8", "fortran_order": False, "shape": (2**26,)}
            np.lib.format.write_array_header_1_0(member, header)
            with archive.open(f"{name}.npy", "w") as file:
                file.write(member.getvalue())
                for _ in range(512):
                    file.write(bytes(2**20))
    return written.getvalue()


ODD_ARRAYS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda a: a.T,
    lambda a: a.astype(str),
    lambda a: a.astype(complex) * 1j,
    lambda a: a.astype(bool),
    lambda a: a.astype(object),
    lambda a: np.zeros(a.shape, "datetime64[s]"),
    lambda a: np.zeros(a.shape, [("x", "f4"), ("y", "i2")]),
    lambda a: np.full(a.shape, np.nan),
    lambda a: np.full(a.shape, np.inf),
    lambda a: np.full(a.shape, 1e308),
    lambda a: -np.abs(a.astype(float)) - 1,
    lambda a: a.ravel()[:0],
    lambda a: a.reshape((*a.shape, 1)),
    lambda a: np.float64(3.0).reshape(()),
    lambda a: a[:-1],
    lambda a: np.concatenate([a, a]),
    lambda a: np.repeat(a, 3, axis=-1),
    lambda a: a[::-1],
    lambda a: np.full(a.shape, 2**63, dtype=np.uint64),
    lambda a: np.zeros((0, 7)),
)


def other_arrays(content: bytes, draw: random.Random) -> bytes:
    """An archive of arrays with another name, shape or type, or with more claimed than is there."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception:  # it was damaged before
        return flipped(content, draw)
    how = draw.random()
    if how < 0.1:
        return _huge(arrays, draw)
    if how < 0.12:
        return _bomb(arrays)
    name = draw.choice(list(arrays))
    if how < 0.25:
        arrays[draw.choice(["", "x", "token_view.ids_N", "logit_lens.steps_S", f"../{name}"])] = arrays.pop(name)
    elif how < 0.35:
        del arrays[name]
    else:
        arrays[name] = draw.choice(ODD_ARRAYS)(arrays[name])
    written = io.BytesIO()
    np.savez(written, **arrays)
    return written.getvalue()


ANY = (flipped, flipped, cut, longer, encoded_otherwise, zeroed, lambda content, draw: b"")
JSON = (edited, edited, edited, edited, edited)


def damage(folder: Path, draw: random.Random) -> list[str]:
    """Damage one to three files of a folder; what was done, in words."""
    said = []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        own = [path for path in files if path.parent == folder]
        if not files:
            break
        path = draw.choice(own if own and draw.random() < 0.4 else files)
        said.append(f"{_damage_file(path, files, draw)} {path.relative_to(folder)}")
    return said


def _damage_file(path: Path, files: list[Path], draw: random.Random) -> str:
    how = draw.random()
    if how < 0.05:
        path.unlink()
        return "gone:"
    if how < 0.1:
        path.unlink()
        path.mkdir()
        return "a folder in place of"
    if how < 0.15:
        other = draw.choice(files)
        if other.is_file() and other != path:
            swapped = path.read_bytes()
            shutil.copyfile(other, path)
            other.write_bytes(swapped)
            return f"swapped with {other.name}:"
    content = path.read_bytes()
    ways = [*ANY]
    if path.suffix in (".json", ".jsonl"):
        ways += JSON * 3
    if path.suffix == ".npz":
        ways += [other_arrays] * 12
    way = draw.choice(ways)
    path.write_bytes(way(content, draw))
    os.utime(path)
    return getattr(way, "__name__", "emptied").strip("<>")
