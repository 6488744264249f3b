"""What a file holds: unpacked, known by its first bytes, decoded to text. Its name is not asked.

Not for: structure inside text (`records`, `columns`, `plain`).
"""

import bz2
import codecs
import gzip
import importlib
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import DataError, SpecError

_MOST_LAYERS = 4  # of compression, one inside the other
_SAMPLE_BYTES = 65_536
_HEAD_BYTES = 560  # the sign of a tar archive is at 257
_POINTERS = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
    b"/annex/objects/",
)
_MOST_CONTROL_SHARE = 0.01  # text has none but tabs and line ends; a page break or a stray NUL is no reason to refuse
_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r\x1b")

_MARKS = (  # the longer first: the mark of UTF-16 is the start of that of UTF-32
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_BINARY = (
    (b"%PDF-", "a PDF file", "extract its text first, as with pdftotext"),
    (b"{\\rtf", "an RTF file", "save it as plain text first"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file", "save it as plain text first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"SQLite format 3\0", "an SQLite database", "export the text first"),
    (b"\x93NUMPY", "a NumPy array", "text is needed, not ids"),
    (b"\x80\x04\x95", "a pickle", "no pickle is opened, since it may run code; write the text to a file"),
    (b"\x89HDF", "an HDF5 file", "export the text first"),
    (b"GGUF", "a GGUF model", "that is a model, not text"),
    (b"\x7fELF", "a program", ""),
)


class NotTextError(DataError):
    """A file that holds something else, with the kind of file that it is, for a line that counts them."""

    def __init__(self, where: str, found: str, allowed: str = "", do: str = "", *, kind: str = "file") -> None:
        super().__init__(where, found, allowed, do)
        self.kind = kind


class TornFileError(DataError):
    """A file that begins as what it is and cannot be read to its end. It is never passed over."""

    def __init__(self, where: str, found: str, allowed: str = "", do: str = "is the file whole?") -> None:
        super().__init__(where, found, allowed, do)


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Args:
        packed: the compression that was undone, as "gzip"; empty where there was none.
        table: "Parquet" or "Arrow"; then `data` is its bytes, or None where the file itself can be opened.
        data: the bytes, unpacked.
    """

    packed: str
    table: str
    data: bytes | None


def opened(file: Path) -> Content:
    """Read and unpack a file.

    Raises: DataError for what cannot be read; NotTextError for an archive, an image, a pointer of a large-file store.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
            if table := _table(head):
                return Content("", table, None)
            data = head + stream.read()
    except OSError as error:
        raise TornFileError(str(file), f"cannot be read ({error.strerror or error})") from None
    packed: list[str] = []
    while (found := _packing(data)) and len(packed) < _MOST_LAYERS:
        name, unpack = found
        data = _unpacked(file, data, name, unpack)
        packed.append(name)
    _refuse_other_kinds(file, data)
    return Content(", ".join(packed), _table(data), data)


def _table(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "Parquet"
    # The file format has a sign; the stream format, which `datasets` saves, begins with the length of a schema.
    is_stream = head[:4] == b"\xff\xff\xff\xff" and b"\x10\0\0\0" in head[4:40]
    return "Arrow" if head.startswith(b"ARROW1") or is_stream else ""


def _packing(data: bytes) -> tuple[str, Callable[[bytes], bytes]] | None:
    if data.startswith(b"\x1f\x8b"):
        return "gzip", gzip.decompress
    if data.startswith(b"BZh") and data[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return "bzip2", bz2.decompress
    if data.startswith(b"\xfd7zXZ\0"):
        return "xz", lzma.decompress
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd", _zstd
    return None


def _unpacked(file: Path, data: bytes, name: str, unpack: Callable[[bytes], bytes]) -> bytes:
    try:
        return unpack(data)
    except ModuleNotFoundError:
        found = f"a file packed with {name}, and the package that opens these is not installed"
        raise NotTextError(str(file), found, "", "pip install 'vslm[zstd]'", kind=f"{name} file") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise TornFileError(str(file), f"cannot be read as {name} ({error})") from None


def _zstd(data: bytes) -> bytes:
    zstandard: Any = importlib.import_module("zstandard")
    parts: list[bytes] = []
    while data:  # frame after frame, as parallel packers write them
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            parts.append(frame.decompress(data))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None
        if not frame.eof:
            raise ValueError("it ends too early")
        data = frame.unused_data
    return b"".join(parts)


def _refuse_other_kinds(file: Path, data: bytes) -> None:
    if data.startswith(_POINTERS) and len(data) < 2_000:
        is_annex = data.startswith(b"/annex/")
        do = "git annex get" if is_annex else "git lfs pull"
        found = "a pointer to a large file, not the file"
        raise NotTextError(str(file), found, "", f"{do}, in its repository, brings it", kind="pointer to a large file")
    if data.startswith(b"PK\x03\x04"):
        raise NotTextError(
            str(file), _zip_kind(data), "text is needed", "unpack it, or save it as plain text", kind="archive"
        )
    if data[257:262] == b"ustar":
        raise NotTextError(str(file), "a tar archive", "text is needed", "unpack it first: tar -xf", kind="archive")
    for sign, found, do in _BINARY:
        if data.startswith(sign):
            raise NotTextError(
                str(file), found, "text is needed", do, kind=found.removeprefix("a ").removeprefix("an ")
            )


def _zip_kind(data: bytes) -> str:
    for sign, words in ((b"word/", "a Word document"), (b"xl/", "an Excel sheet"), (b"ppt/", "PowerPoint slides")):
        if sign in data[:_SAMPLE_BYTES]:
            return words
    if b"mimetypeapplication/epub" in data[:200]:
        return "an EPUB book"
    return "an OpenDocument file" if b"mimetypeapplication/vnd.oasis" in data[:200] else "a zip archive"


def check_encoding(name: str) -> None:
    """Refuse what is no encoding of text.

    Raises: SpecError naming the field.
    """
    try:
        b"a\0b\0".decode(name, "replace")
    except (LookupError, UnicodeError, ValueError, TypeError) as error:
        allowed = "the name of an encoding is needed, such as 'cp1252', 'utf-16', 'gb18030', 'shift_jis', 'koi8-r'"
        raise SpecError("encoding", f"{name!r} cannot be used ({error})", allowed) from None


def decoded(file: Path, data: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of bytes, without a byte order mark at the start, and a word for an encoding other than UTF-8.

    UTF-8, unless a byte order mark says otherwise or every second byte is zero, which is UTF-16 without a mark.

    Args:
        encoding: what a person says that it is; None to find out.
    Raises: DataError, at the first byte that does not fit, with what it may be.
    """
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff"), encoding
        except UnicodeError as error:
            at = getattr(error, "start", 0)
            found = f"{data[at : at + 1].hex() or 'the end'} is not {encoding} here ({getattr(error, 'reason', error)})"
            raise DataError(f"{file}:byte {at}", found, "", "name the encoding that it has") from None
    codec, words = _codec_of(data)
    try:
        text = data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if codec != "utf-8":
            found = f"it begins as {words} and is not {words} here ({error.reason})"
            raise TornFileError(f"{file}:byte {error.start}", found) from None
        found = f"{data[error.start]:#04x} is not UTF-8 here ({error.reason})"
        raise DataError(
            f"{file}:byte {error.start}", found, "UTF-8 text is needed", _advice(data, error.start)
        ) from None
    _refuse_control_characters(file, text)
    return text, "" if codec == "utf-8" else words


def _codec_of(data: bytes) -> tuple[str, str]:
    for mark, codec, words in _MARKS:
        if data.startswith(mark):
            return codec, words
    sample = data[: _SAMPLE_BYTES // 16]
    sample = sample[: len(sample) // 4 * 4]
    if len(sample) < 4:
        return "utf-8", "UTF-8"
    zeros = [sample[i::4].count(0) / (len(sample) / 4) for i in range(4)]
    least, most = 0.7, 0.05  # of text in Latin letters nearly every second byte is zero, and no other is
    for codec, words, full in (
        ("utf-32-le", "UTF-32", (1, 2, 3)),
        ("utf-32-be", "UTF-32", (0, 1, 2)),
        ("utf-16-le", "UTF-16", (1, 3)),
        ("utf-16-be", "UTF-16", (0, 2)),
    ):
        if all(zeros[i] >= least if i in full else zeros[i] <= most for i in range(4)):
            return codec, words
    return "utf-8", "UTF-8"


def _advice(data: bytes, start: int) -> str:
    sample = data[:_SAMPLE_BYTES]
    num_controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in sample)
    if num_controls > _MOST_CONTROL_SHARE * len(sample):
        return "it does not look like text at all; leave it out"
    high = sum(byte >= 128 for byte in sample) / len(sample)
    # Of Western text few bytes are no ASCII; of Cyrillic, Greek, Chinese, Japanese or Korean text most are.
    begin = data.rfind(b"\n", 0, start) + 1
    piece = data[max(begin, start - 20) : start + 12].splitlines()
    western = piece[0].decode("cp1252", "replace").strip() if piece else ""
    if high < 0.2 and western.isprintable() and "\ufffd" not in western:
        name = f"with encoding='cp1252' it reads {western!r}: if that is right, give encoding='cp1252'"
    else:
        name = "name its encoding, as encoding='gb18030', 'shift_jis', 'cp1251' or 'koi8-r'"
    return f"{name} (--encoding on the command line), or convert the file to UTF-8, or leave it out"


def _refuse_control_characters(file: Path, text: str) -> None:
    sample = text[:_SAMPLE_BYTES]
    count = sum(letter < " " and ord(letter) not in _TEXT_CONTROLS for letter in sample)
    if count > 2 and count > _MOST_CONTROL_SHARE * len(sample):
        found = f"{count:,} of the first {len(sample):,} characters are control characters"
        raise NotTextError(str(file), found, "text is needed", "leave it out", kind="binary file")
