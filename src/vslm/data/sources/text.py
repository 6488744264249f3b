"""A user's own text: a file, a folder, a glob, `.jsonl` (field `text`), any of them as `.gz`."""

import glob
import gzip
import json
from collections.abc import Iterator
from dataclasses import KW_ONLY, InitVar, dataclass
from pathlib import Path

from vslm.core.errors import DataError, SpecError
from vslm.core.specs import Spec
from vslm.data.documents import Document
from vslm.data.splits import Splits
from vslm.data.tokenizers import BPE, END_OF_TEXT, Tokenizer


@dataclass(frozen=True)
class Text(Spec):
    """Documents from files.

    A text file is cut at lines that are `<|endoftext|>`; without such a line it is one document. A `.jsonl` file holds
    one record per line, its text in the field `text`.

    Args:
        path: a file, a folder (all files below it), or a glob; from the working directory.
        tokenizer: how text becomes tokens.
        vocabulary: shorthand for `tokenizer=BPE(vocabulary=...)`.
        splits: shares of train, select and val.
    """

    path: str
    _: KW_ONLY
    tokenizer: Tokenizer = BPE()
    vocabulary: InitVar[int | None] = None
    splits: Splits = Splits()

    def __post_init__(self, vocabulary: int | None) -> None:
        """Read the shorthand, then check as every spec does."""
        if vocabulary is not None:
            object.__setattr__(self, "tokenizer", BPE(vocabulary=vocabulary))
        super().__post_init__()

    def check(self) -> None:
        """Refuse an empty path."""
        if not self.path:
            raise SpecError("path", "an empty path", "a file, folder or glob is needed")

    def describe(self) -> str:
        """What a person calls this corpus."""
        return f"text of {self.path}"

    def files(self) -> list[Path]:
        """The files, sorted by name.

        Raises: DataError if there are none.
        """
        path = Path(self.path)
        if path.is_dir():
            found = [
                file for file in path.rglob("*") if not any(p.startswith(".") for p in file.relative_to(path).parts)
            ]
        else:
            found = [path] if path.exists() else [Path(name) for name in glob.glob(self.path, recursive=True)]  # noqa: PTH207
        files = sorted(file for file in found if file.is_file())
        if not files:
            do = f"paths are from the working directory, {Path.cwd()}"
            raise DataError(self.path, "no such file, and no file matches", "a file, folder or glob is needed", do)
        return files

    def documents(self) -> Iterator[Document]:
        """Every document, in order of the files."""
        for file in self.files():
            text = _read(file)
            if file.name.removesuffix(".gz").endswith(".jsonl"):
                yield from _records(file, text)
            else:
                yield from _separated(file, text)


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
    except (OSError, EOFError) as error:
        raise DataError(str(file), f"cannot be read ({error})") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {content[error.start]:#04x} at offset {error.start} is not UTF-8"
        raise DataError(str(file), found, "UTF-8 text is needed", "convert the file, or leave it out") from None


def _records(file: Path, text: str) -> Iterator[Document]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(where, f"not valid JSON ({error.msg})", "one record per line is needed") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise DataError(where, "no field `text` that is a string", 'a record like {"text": "..."} is needed')
        yield Document(where, record["text"])


def _separated(file: Path, text: str) -> Iterator[Document]:
    if END_OF_TEXT not in text:
        yield Document(str(file), text)
        return
    lines: list[str] = []
    number = 0
    for line in [*text.splitlines(keepends=True), END_OF_TEXT]:
        if line.strip() == END_OF_TEXT:
            yield Document(f"{file}#{number}", "".join(lines).strip("\r\n"))
            lines, number = [], number + 1
        else:
            lines.append(line)
