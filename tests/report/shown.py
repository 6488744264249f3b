"""What a page would show of a study's folder, and a study whose runs stored more."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_study import write_study

from vslm.report.figures.style import styles
from vslm.report.numbers.runs import read_runs
from vslm.report.numbers.tables import judged_arms
from vslm.report.sections.measured import sections
from vslm.report.sections.section import Section
from vslm.results.files import read_arrays, write_arrays
from vslm.results.folder import StudyFolder


def sections_of(path: Path) -> dict[str, Section]:
    """The sections of what was measured, by name."""
    folder = StudyFolder(path)
    runs = read_runs(folder)
    style_of = styles(list(runs), folder.study.baseline)
    return {section.id: section for section in sections(folder.study, judged_arms(folder), runs, style_of)}


def write_study_with(
    path: Path, arms: Mapping[str, Any], arrays_of: Callable[[str, int], dict[str, np.ndarray]]
) -> Path:
    """Three seeds of every arm, which stored these arrays, too."""
    write_study(path, dict(arms), num_positions=13)
    for arm in arms:
        for seed in range(3):
            file = path / arm / f"seed{seed}" / "arrays.npz"
            write_arrays(file, read_arrays(file) | arrays_of(arm, seed))
    return path
