"""What several commands print: JSON, a verdict, a plan. The report room makes the lines."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vslm.core.jsons import json_text

if TYPE_CHECKING:
    from vslm.results.folder import StudyFolder


def print_json(value: Any) -> None:
    """A value, and nothing else."""
    # JSON takes DEL as it is, and a terminal does not; everything else that acts on one is escaped already.
    print(json_text(value).replace("\x7f", "\\u007f"))


def print_verdict(folder: "StudyFolder", page: Path, *, as_json: bool) -> None:
    """What `vslm run` ends with."""
    from vslm.report.terminal import show_verdict

    if as_json:
        print_json(folder.plain_verdict or {"arms": {}})
        return
    show_verdict(folder)
    print(f"report  {page}")
    arms = {} if folder.verdict is None else folder.verdict.arms
    if folder.study.equal and any(row.verdict == "better" for row in arms.values()):
        print(f"next    vslm rematch {folder.path}  (the winner again: other sizes, new seeds)")
