"""What a path means: a study, one of its arms, or one run, at one of its budgets."""

from dataclasses import dataclass
from pathlib import Path

from vslm.core.errors import ResultError, nearest
from vslm.results.folder import RunFolder, StudyFolder, budget_name, study_folder_of

FORMS = "NAME, NAME/ARM, NAME/ARM/seed0, or NAME/budgets/x2/ARM"


@dataclass(frozen=True)
class Named:
    """What was named.

    Args:
        folder: of the study.
        arms: one, or all judged ones with the baseline first.
        budget: the multiple of the budget.
        seed: None: all.
    """

    folder: StudyFolder
    arms: tuple[str, ...]
    budget: float
    seed: int | None

    def runs(self, arm: str) -> list[RunFolder]:
        """The runs of an arm that are there and meant, by seed."""
        return [run for run in self.folder.runs(arm, self.budget) if self.seed in (None, run.seed)]

    def name_of(self, arm: str) -> str:
        """As short as it can be said: `study/arm`, with the budget and the seed where one is meant."""
        budget = f" {budget_name(self.budget)}" if self.budget != 1 else ""
        seed = "" if self.seed is None else f"/seed{self.seed}"
        return f"{self.folder.path.resolve().name}/{arm}{budget}{seed}"


def study_around(path: Path) -> Path | None:
    """The folder of the study that a path is, or lies in; None where there is none."""
    try:
        return study_folder_of(path).path
    except ResultError:
        return None


def named(path: Path) -> Named:
    """What a path below a study means.

    Raises: ResultError if it is none of `FORMS`, with the nearest names; also for runs that were made to choose, whose
        numbers are of other text.
    """
    folder = study_folder_of(path)
    study = folder.study
    parts = list(path.resolve().relative_to(folder.path.resolve()).parts)
    budget = 1.0
    if parts[:1] == ["budgets"] and len(parts) > 1:
        known = {budget_name(one): one for one in folder.budgets}
        if parts[1] not in known:
            raise ResultError(str(path), f"no budget {parts[1]!r}", nearest(parts[1], known))
        budget, parts = known[parts[1]], parts[2:]
    elif parts[:1] in (["screen"], ["tuning"]):
        found = "these runs were made to choose, and judged on other text"
        raise ResultError(str(path), found, f"{FORMS} can be named")
    if not parts:
        arms = sorted(folder.judged_arms, key=lambda arm: arm != study.baseline)
        return Named(folder, tuple(arms), budget, None)
    if parts[0] not in (every := [*study.arms, *study.trunks]):
        raise ResultError(str(path), f"no arm {parts[0]!r} in {folder.path.name}", nearest(parts[0], every))
    if len(parts) == 1:
        return Named(folder, (parts[0],), budget, None)
    number = parts[1].removeprefix("seed")
    if len(parts) > 2 or not number.isdigit() or not folder.run(parts[0], int(number), budget).path.is_dir():
        raise ResultError(str(path), "no run", f"{FORMS} can be named")
    return Named(folder, (parts[0],), budget, int(number))
