"""What a file holds: unpacked, known by its first bytes, decoded to text. Its name is not asked.

Not for: structure inside text (`records`, `columns`, `plain`).
"""

import bz2
import codecs
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vslm.core.errors import DataError, SpecError
from vslm.data.reading import pieces
from vslm.data.reading.pieces import Pieces

_MOST_LAYERS = 4  # of compression, one inside the other
_SAMPLE_BYTES = 65_536
_BYTES_AT_A_TIME = 2**16
_UNPACKED_AT_A_TIME = 2**20
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
        file: where it lies.
        packings: the compressions that are undone, the outermost first, as "gzip"; empty where there is none.
        table: "Parquet" or "Arrow"; empty for anything else.
        head: its first bytes, unpacked.
    """

    file: Path
    packings: tuple[str, ...]
    table: str
    head: bytes

    @property
    def packed(self) -> str:
        """The compressions in words."""
        return ", ".join(self.packings)

    def parts(self) -> Iterator[bytes]:
        """The bytes, unpacked, some at a time.

        Raises: TornFileError where they cannot be read to their end.
        """
        parts = _bytes_of(self.file)
        for name in self.packings:
            parts = _unpacked(self.file, name, parts)
        return parts


def opened(file: Path) -> Content:
    """What a file holds, by its first bytes.

    Raises: DataError for what cannot be read; NotTextError for an archive, an image, a pointer of a large-file store.
    """
    content = Content(file, (), "", _head(_bytes_of(file)))
    if table := _table(content.head):
        return replace(content, table=table)
    while (name := _packing(content.head)) and len(content.packings) < _MOST_LAYERS:
        content = replace(content, packings=(*content.packings, name))
        content = replace(content, head=_head(content.parts()))
    _refuse_other_kinds(file, content.head)
    return replace(content, table=_table(content.head))


def _bytes_of(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as stream:
            while data := stream.read(_BYTES_AT_A_TIME):
                yield data
    except OSError as error:
        raise TornFileError(str(file), f"cannot be read ({error.strerror or error})") from None


def _head(parts: Iterator[bytes]) -> bytes:
    head = b""
    for part in parts:
        head += part
        if len(head) >= _SAMPLE_BYTES:
            break
    return head[:_SAMPLE_BYTES]


def _table(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "Parquet"
    # The file format has a sign; the stream format, which `datasets` saves, begins with the length of a schema.
    is_stream = head[:4] == b"\xff\xff\xff\xff" and b"\x10\0\0\0" in head[4:40]
    return "Arrow" if head.startswith(b"ARROW1") or is_stream else ""


def _packing(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else None


_UNPACKERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
    "zstd": lambda: importlib.import_module("zstandard").ZstdDecompressor().decompressobj(),
}
_MAY_END_IN_ANYTHING = ("bzip2", "xz")  # as the programs that unpack them have it


def _unpacked(file: Path, name: str, parts: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of members or frames, one after the other, as parallel packers write them."""
    errors = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, *_errors_of_zstd(file, name))
    unpacker, num_whole, is_begun = _UNPACKERS[name](), 0, False
    try:
        for data in parts:
            while data:
                if unpacker.eof:
                    data = data.lstrip(b"\0") if name == "gzip" else data  # tapes are filled up with zeros
                    if not data:
                        break
                    unpacker, num_whole, is_begun = _UNPACKERS[name](), num_whole + 1, False
                for found in _some(unpacker, data, name):
                    is_begun = True
                    yield found
                data = unpacker.unused_data if unpacker.eof else b""
        if not unpacker.eof:
            raise EOFError("it ends too early")
    except errors as error:
        if num_whole and not is_begun and name in _MAY_END_IN_ANYTHING:
            return
        raise TornFileError(str(file), f"cannot be read as {name} ({error})") from None


def _some(unpacker: Any, data: bytes, name: str) -> Iterator[bytes]:
    """What these bytes unpack to: of some a thousand times as much, so not all at once, where that can be had."""
    if name == "zstd":
        yield from filter(None, [unpacker.decompress(data)])
        return
    while True:
        found = unpacker.decompress(data, _UNPACKED_AT_A_TIME)
        if found:
            yield found
        data = getattr(unpacker, "unconsumed_tail", b"")  # the others keep what they did not come to
        if unpacker.eof or (not data and len(found) < _UNPACKED_AT_A_TIME):
            return


def _errors_of_zstd(file: Path, name: str) -> tuple[type[Exception], ...]:
    if name != "zstd":
        return ()
    try:
        return (importlib.import_module("zstandard").ZstdError,)
    except ModuleNotFoundError:
        found = f"a file packed with {name}, and the package that opens these is not installed"
        raise NotTextError(str(file), found, "", "pip install 'vslm[zstd]'", kind=f"{name} file") from None


def _refuse_other_kinds(file: Path, data: bytes) -> None:
    """By the first bytes; a pointer is no longer than those."""
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


def text_of(content: Content, encoding: str | None) -> tuple[Pieces, str]:
    """The text of a file, without a byte order mark at the start, and a word for an encoding other than UTF-8.

    UTF-8, unless a byte order mark says otherwise or every second byte is zero, which is UTF-16 without a mark.

    Args:
        content: of the file.
        encoding: what a person says that it is; None to find out.
    Raises: DataError, at the first byte that does not fit, with what it may be.
    """
    codec, words = _codec_of(content.head) if encoding is None else (encoding, encoding)
    text = Pieces(lambda: _decoded(content, codec, words, is_told=encoding is not None))
    if encoding is None:
        _refuse_control_characters(content.file, text.begin(_SAMPLE_BYTES))
    return text, "" if codec == "utf-8" and encoding is None else words


def _decoded(content: Content, codec: str, words: str, *, is_told: bool) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)()
    start = 0  # of what is decoded next, in the bytes of the file
    for data, is_last in _with_last(_regrouped(content.parts())):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=is_last)
        except UnicodeError as error:
            raise _misfit(content.file, start - pending, error, codec, words, is_told=is_told) from None
        yield text.removeprefix("\ufeff") if start == 0 else text
        start += len(data)


def _regrouped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """In larger parts."""
    held: list[bytes] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= pieces.PIECE_BYTES:
            yield b"".join(held)
            held = []
    if held:
        yield b"".join(held)


def _with_last(parts: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each, and whether it is the last; nothing is one part, too."""
    before = None
    for part in parts:
        if before is not None:
            yield before, False
        before = part
    yield before or b"", True


def _misfit(file: Path, start: int, error: UnicodeError, codec: str, words: str, *, is_told: bool) -> DataError:
    """What is said of bytes that do not fit.

    Args:
        start: where the bytes that were decoded begin in the file.
    """
    data: bytes = getattr(error, "object", b"")
    at = getattr(error, "start", 0)
    where, reason = f"{file}:byte {start + at}", getattr(error, "reason", error)
    if is_told:
        found = f"{data[at : at + 1].hex() or 'the end'} is not {codec} here ({reason})"
        return DataError(where, found, "", "name the encoding that it has")
    if codec != "utf-8":
        return TornFileError(where, f"it begins as {words} and is not {words} here ({reason})")
    return DataError(where, f"{data[at]:#04x} is not UTF-8 here ({reason})", "UTF-8 text is needed", _advice(data, at))


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
