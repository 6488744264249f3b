"""A finished study on disk, made once for all tests that only read it."""

from collections.abc import Iterator
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
