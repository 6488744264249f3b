"""A finished study on disk, made once for all tests that only read it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opened import Opened, Opener
from synthetic_study import write_study

from vslm.results.folder import StudyFolder


@pytest.fixture(scope="session")
def study_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms, three seeds, all well. Only for reading."""
    return write_study(tmp_path_factory.mktemp("runs") / "quickstart")


@pytest.fixture(scope="session")
def _written_once() -> dict[tuple[str, ...], Path]:
    """Where the studies of a function and its arguments are."""
    return {}


@pytest.fixture
def written(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, _written_once: dict[tuple[str, ...], Path]
) -> Callable[..., Path]:
    """A study to damage: what a function writes to a folder, written once and copied for every test that asks."""

    def copy(write: Callable[..., Path], *args: Any, **kwargs: Any) -> Path:
        key = (write.__module__, write.__qualname__, repr(args), repr(kwargs))
        if key not in _written_once:
            _written_once[key] = write(tmp_path_factory.mktemp("written") / "s", *args, **kwargs)
        return shutil.copytree(_written_once[key], tmp_path / "s")

    return copy


@pytest.fixture
def study(study_dir: Path) -> StudyFolder:
    """The same, opened anew."""
    return StudyFolder(study_dir)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    """Open a report from disk in a window of its own."""
    contexts = []

    def opener(report: Path, width: int = 1280, scheme: str = "light") -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, is_mobile=width < 500, has_touch=width < 500
        )
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.goto(report.as_uri())
        opened.page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
        return opened

    yield opener
    for context in contexts:
        context.close()
