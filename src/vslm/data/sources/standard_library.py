"""The default corpus: source and documentation text of the Python that runs it. Real, always there, no download."""

import os
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vslm.core.errors import DataError
from vslm.data.documents import Document
from vslm.data.sources.source import Source

# Tests, what was installed beside the library, and the pip that ensurepip carries. `config-...` holds build files.
_FOLDERS_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "_bundled"}
_STARTS_LEFT_OUT = ("_sysconfigdata", "sitecustomize", "usercustomize")  # written for one machine, paths and all
_ENDINGS = (".py", ".txt", ".rst")


@dataclass(frozen=True, kw_only=True)
class StandardLibrary(Source):
    """About 12 MB of Python and English, one document per file. Names repeat, so context helps.

    It differs between versions of Python, and a distribution may leave modules out. The fingerprint is by content, so
    it says so; a study on several machines needs the same Python on each.

    Args: see `Source`.
    """

    def describe(self) -> str:
        """What a person calls this corpus."""
        return f"the standard library of Python {platform.python_version()}"

    def files(self) -> list[Path]:
        """The files, by relative path.

        Raises: DataError if this Python comes without its source (some are packed into an archive).
        """
        root = Path(sysconfig.get_path("stdlib"))
        found: list[tuple[tuple[str, ...], Path]] = []
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in _FOLDERS_LEFT_OUT and not name.startswith("config-")]
            for name in names:
                if name.endswith(_ENDINGS) and not name.startswith(_STARTS_LEFT_OUT):
                    path = Path(folder, name)
                    found.append((path.relative_to(root).parts, path))
        if not found:
            raise DataError(str(root), "this Python has no source files", "", "give a corpus of your own: Text(path)")
        return [path for _, path in sorted(found)]

    def documents(self) -> Iterator[Document]:
        """Every file that is UTF-8; the library may hold a few that are not, on purpose."""
        for path in self.files():
            try:
                yield Document(str(path), path.read_bytes().decode("utf-8"))
            except UnicodeDecodeError:
                continue
