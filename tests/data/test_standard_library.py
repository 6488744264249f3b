import sysconfig
import time
from pathlib import Path

import pytest

from vslm.core.errors import DataError
from vslm.data.preparing import prepare
from vslm.data.sources.standard_library import StandardLibrary


def relative_files() -> list[tuple[str, ...]]:
    """Its files as parts of their paths within the library."""
    root = Path(sysconfig.get_path("stdlib"))
    return [path.relative_to(root).parts for path in StandardLibrary().files()]


def test_it_is_the_library_without_its_tests_and_without_what_was_installed() -> None:
    """Code that people import is there; tests, packages and bundles are not."""
    files = relative_files()
    assert ("argparse.py",) in files
    assert ("json", "decoder.py") in files
    folders = {part for parts in files for part in parts[:-1]}
    assert not folders & {"test", "tests", "site-packages", "dist-packages", "__pycache__", "_bundled", "idle_test"}


def test_the_order_is_by_relative_path() -> None:
    """Not by what the file system happens to return."""
    assert relative_files() == sorted(relative_files())


def test_nothing_of_this_machine_is_in_it() -> None:
    """Build settings name folders and compilers of one machine; they are left out."""
    assert not [parts for parts in relative_files() if parts[-1].startswith(("_sysconfigdata", "sitecustomize"))]


def test_a_python_without_source_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some distributions pack the library away; then the message offers Text."""
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(DataError, match=r"Text\(path\)"):
        StandardLibrary().files()


@pytest.mark.slow
def test_it_is_ready_in_seconds_and_opens_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default corpus: megabytes of text, at least 200,000 tokens for validation, whole documents."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path))
    corpus = prepare(StandardLibrary(vocabulary=1024))
    assert corpus.meta["splits"]["train"]["num_bytes"] > 5_000_000
    assert len(corpus.val.tokens) > 200_000
    assert not corpus.meta["cut_into_blocks"]
    started = time.perf_counter()
    assert prepare(StandardLibrary(vocabulary=1024)).meta == corpus.meta
    assert time.perf_counter() - started < 1.0  # measured 0.04 s on an idle core
