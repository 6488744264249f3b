"""A rendered report, pinned: what a reader sees changes only on purpose.

Style, scripts and the numbers of figures are left out. After a change that is meant:
`VSLM_UPDATE_GOLDEN=1 pytest tests/golden/test_report.py`, and read the difference.
"""

import os
import re
import sys
from pathlib import Path

from vslm.report.pages.study import render
from vslm.results.folder import StudyFolder

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from synthetic_study import write_study

PINNED = Path(__file__).parent / "report.html"


def test_the_rendered_report_is_the_pinned_one(tmp_path: Path) -> None:
    """The markup of a small study, without style, scripts and the numbers of figures."""
    folder = write_study(tmp_path / "pinned", {"plain": (13, 0.3, 101), "near": (3, 0.3, 103)}, num_positions=13)
    html = render(StudyFolder(folder))
    markup = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", r"<\1></\1>", html, flags=re.DOTALL)
    markup = re.sub(r"script-src .*?; style-src", "script-src ...; style-src", markup)
    markup = re.sub(r"(?m)^\s*\n", "", markup)
    if os.environ.get("VSLM_UPDATE_GOLDEN"):
        PINNED.write_text(markup, encoding="utf-8", newline="\n")
    assert markup == PINNED.read_text(encoding="utf-8")
