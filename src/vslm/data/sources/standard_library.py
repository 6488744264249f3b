"""The default corpus: source and documentation text of the Python that runs it. Real, and always there."""

import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from pathlib import Path

from vslm.core.specs import Spec
from vslm.data.documents import Document
from vslm.data.splits import Splits
from vslm.data.tokenizers import BPE, Tokenizer

_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "_bundled", "turtledemo"}
_ENDINGS = {".py", ".txt", ".rst"}


@dataclass(frozen=True, kw_only=True)
class StandardLibrary(Spec):
    """About 12 MB of Python and English, one document per file; names repeat, so context helps.

    It differs between versions of Python; the fingerprint, which is by content, says so.

    Args:
        tokenizer: how text becomes tokens.
        vocabulary: shorthand for `tokenizer=BPE(vocabulary=...)`.
        splits: shares of train, select and val.
    """

    tokenizer: Tokenizer = BPE(vocabulary=1024)
    vocabulary: InitVar[int | None] = None
    splits: Splits = Splits()

    def __post_init__(self, vocabulary: int | None) -> None:
        """Read the shorthand, then check as every spec does."""
        if vocabulary is not None:
            object.__setattr__(self, "tokenizer", BPE(vocabulary=vocabulary))
        super().__post_init__()

    def describe(self) -> str:
        """What a person calls this corpus."""
        return f"the standard library of Python {platform.python_version()}"

    def files(self) -> list[Path]:
        """The files, by relative path, the same order on every machine."""
        root = Path(sysconfig.get_path("stdlib"))
        found = []
        for file in root.rglob("*"):
            parts = file.relative_to(root).parts
            if file.suffix in _ENDINGS and not _LEFT_OUT.intersection(parts) and file.is_file():
                found.append((parts, file))
        return [file for _, file in sorted(found)]

    def documents(self) -> Iterator[Document]:
        """Every file that is UTF-8; a few of the library's own are not, on purpose."""
        for file in self.files():
            try:
                yield Document(str(file), file.read_bytes().decode("utf-8"))
            except UnicodeDecodeError:
                continue
