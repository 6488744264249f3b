"""A finished study on disk, made once for all tests that only read it."""

from pathlib import Path

import pytest
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
