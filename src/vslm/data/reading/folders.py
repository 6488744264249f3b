"""A path as a person writes it -> the files that it means, in an order that depends on their names alone.

A file that is named, or that a glob finds, is meant. In a folder those are that are text or records by their ending,
whatever its case and whatever packs them; hidden ones are passed over, and what is about the data and not the data:
licenses, citations, checksums, dataset cards. Linked folders are followed, each once.
"""

import dataclasses
import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vslm.core.errors import DataError, nearest

_PLAIN = (".txt", ".text", ".md", ".rst")
_RECORDS = (".jsonl", ".ndjson", ".jsonlines")
# Read where they hold the field that is asked for; beside text they are often something else.
_PERHAPS = (".json", ".csv", ".tsv", ".parquet", ".arrow")
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_FOLDERS_LEFT_OUT = ("__MACOSX", "__pycache__", "node_modules")
_ABOUT = re.compile(  # whole names, so that a story called license_to_kill.txt stays one
    r"(licen[cs]e([-_.](mit|apache|bsd|l?gpl|mpl|isc|cc|odc|code|data|third)[\w.-]*)?|copying|notice|citation"
    r"|requirements([-_]\w+)?|(sha\d*|md5)[-_]?sums?|checksums?|dataset_infos?|robots)(\.\w+)?",
    re.IGNORECASE,
)
_README = re.compile(r"(readme|datasheet|dataset_card)([-_.].*)?", re.IGNORECASE)
_FRONT_MATTER = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n.*?^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_CARD_KEYS = (b"license:", b"task_categories:", b"language:", b"configs:", b"dataset_info:", b"pretty_name:")
_ENDING_SHOWN = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True)
class Found:
    """A file that may be read.

    Args:
        file: where it lies.
        name: as it is shown: from the folder that was named.
        perhaps: whether it may be passed over, with the reason, where other files are read.
    """

    file: Path
    name: str
    perhaps: bool


@dataclass
class Listing:
    """What a path means.

    Args:
        files: to be read.
        passed_over: (kind, why, name) of what is not.
        remarks: about links.
    """

    files: list[Found] = field(default_factory=list)
    passed_over: list[tuple[str, str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def listing(path: str | Sequence[str]) -> Listing:
    """The files of a path: a file, a folder, or a glob; of several, one after the other, every file once.

    Raises: DataError if there are none behind one of them, or if it cannot be looked up.
    """
    if isinstance(path, str):
        return _listing(path)
    whole, seen = Listing(), set()
    for one in path:
        each = _listing(one)
        for found in each.files:
            if found.file.resolve() not in seen:
                whole.files.append(dataclasses.replace(found, name=str(found.file)))
            seen.add(found.file.resolve())
        whole.passed_over += [(kind, why, str(Path(one).expanduser() / name)) for kind, why, name in each.passed_over]
        whole.remarks += each.remarks
    named = {found.name for found in whole.files}  # by a path of its own, what a folder would have passed over
    whole.passed_over = [row for row in whole.passed_over if row[2] not in named]
    return whole


def _listing(path: str) -> Listing:
    """The files of one path.

    Raises: DataError if there are none, or if it cannot be looked up.
    """
    try:
        place = Path(path).expanduser()
        if place.is_dir():
            return _below(path, place)
        if place.exists():
            return Listing([Found(place, place.name, perhaps=False)])
        # glob.glob, because Path.glob takes no absolute pattern.
        found = sorted(Path(name) for name in glob.glob(str(place), recursive=True))  # noqa: PTH207
        files = [file for file in found if file.is_file()]
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, a user unknown
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(path, f"cannot be looked up ({reason})", "a file, a folder or a glob is needed") from None
    if not files:
        raise _nothing_there(path, place)
    return Listing([Found(file, str(file), perhaps=False) for file in files])


def _nothing_there(path: str, place: Path) -> DataError:
    do = f"paths are from the working directory, {Path.cwd()}"
    if place.is_symlink():
        return DataError(path, f"a link to {os.readlink(place)}, which is not there", "", do)  # noqa: PTH115
    is_pattern = any(sign in path for sign in "*?[")
    try:
        beside = sorted(file.name for file in place.parent.iterdir())[:50] if not is_pattern else []
    except OSError:
        beside = []
    offered = nearest(place.name, beside) if not is_pattern else ""
    return DataError(path, "no file matches" if is_pattern else "no such file or folder", offered, do)


def _below(path: str, folder: Path) -> Listing:
    found = Listing()
    everything = sorted(_walked(folder, found.remarks))
    texts = [(parts, file) for parts, file in everything if unpacked_ending(file.name) in _PLAIN + _RECORDS + _PERHAPS]
    if not texts:  # the parts of a corpus may have no ending at all, as part-00000
        texts = [(parts, file) for parts, file in everything if not _ENDING_SHOWN.fullmatch(unpacked_ending(file.name))]
    about = {file: why for _, file in texts if (why := _about(file, [other for _, other in texts]))}
    if len(about) == len(texts):  # a folder of nothing else: then they are what is meant
        about = {}
    taken = {file for _, file in texts}
    for parts, file in everything:
        name = "/".join(parts)
        if file in about:
            found.passed_over.append((_kind(file.name), about[file], name))
        elif file in taken:
            found.files.append(Found(file, name, perhaps=unpacked_ending(file.name) not in _PLAIN + _RECORDS))
        else:
            found.passed_over.append((_kind(file.name), "no text by its name; a glob names it", name))
    if not found.files:
        seen = f"none of the {len(everything)} files in this folder is text by its name"
        allowed = (
            f"{', '.join(_PLAIN + _RECORDS + _PERHAPS)} and these with {', '.join(_PACKED)} are read from a folder"
        )
        raise DataError(path, seen, allowed, f"name others by a glob, as in {path}/**/*.tex")
    return found


def _walked(folder: Path, remarks: list[str]) -> Iterator[tuple[tuple[str, ...], Path]]:
    """(parts of the name, file) of everything that is not hidden. A linked folder is gone through once, and not where
    it leads back into this one or above it.
    """
    root = Path(os.path.realpath(folder))
    followed: set[Path] = set()
    waiting: list[tuple[tuple[str, ...], Path]] = [((), folder)]
    while waiting:
        parts, inside = waiting.pop()
        try:
            entries = sorted(inside.iterdir())
        except OSError as error:
            raise DataError(str(inside), f"cannot be looked into ({error.strerror})", "", "leave it out") from None
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name in _FOLDERS_LEFT_OUT:
                continue
            if entry.is_dir():
                if not entry.is_symlink() or _is_new(entry, root, followed, remarks, "/".join((*parts, name))):
                    waiting.append(((*parts, name), entry))
            elif entry.is_file():
                yield (*parts, name), entry
            elif entry.is_symlink():
                remarks.append(f"{'/'.join((*parts, name))}: a link that leads nowhere, not read")


def _is_new(link: Path, root: Path, followed: set[Path], remarks: list[str], name: str) -> bool:
    target = Path(os.path.realpath(link))
    if target == root or root.is_relative_to(target):
        remarks.append(f"{name}: a link to a folder around this one, not followed")
    elif target.is_relative_to(root):
        remarks.append(f"{name}: a link to a folder that is read at its own place")
    elif any(target.is_relative_to(other) for other in followed):
        remarks.append(f"{name}: a second link to the same folder, not followed")
    else:
        followed.add(target)
        remarks.append(f"{name}: a link to another folder, followed")
        return True
    return False


def _unpacked_name(name: str) -> str:
    name = name.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return name


def is_packed_by_name(name: str) -> bool:
    """Whether a name ends as those of packed files do."""
    return name.lower().endswith(_PACKED)


def unpacked_ending(name: str) -> str:
    """The ending of a name in small letters, without that of what packs it: `.jsonl` of A.JSONL.GZ."""
    return Path(_unpacked_name(name)).suffix


def _kind(name: str) -> str:
    ending = unpacked_ending(name)
    return f"{ending} file" if _ENDING_SHOWN.fullmatch(ending) else "file"


def _about(file: Path, files: Sequence[Path]) -> str:
    """Why a file is about the data and not the data; empty where it is not."""
    stem = _unpacked_name(file.name)
    if _ABOUT.fullmatch(stem) and unpacked_ending(file.name) not in (".jsonl", ".parquet"):
        return "about the data by its name, not the data"
    if not _README.fullmatch(stem) or unpacked_ending(file.name) not in _PLAIN:
        return ""
    # A folder of documentation has pages of which README is one; beside data of another kind it is about the data.
    beside = [other for other in files if not _README.fullmatch(_unpacked_name(other.name))]
    is_page = any(
        unpacked_ending(other.name) in (".md", ".rst") for other in beside if not _ABOUT.fullmatch(other.stem)
    )
    return "" if is_page and not _is_card(file) else "about the data by its name, not the data"


def _is_card(file: Path) -> bool:
    """Whether it begins as the card of a data set does: facts between two lines of dashes."""
    try:
        with file.open("rb") as stream:
            matter = _FRONT_MATTER.match(stream.read(65_536))
    except OSError:
        return False
    return matter is not None and any(key in matter[0] for key in _CARD_KEYS)
