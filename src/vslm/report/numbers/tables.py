"""Rows about studies: every arm ever run, the verdict of one study, what differs between its arms.

Not for: anything heavy. `vslm ls` lives on this file, so it imports neither rich, jinja2 nor scipy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import ResultError
from vslm.results.folder import RUN_AGAIN, StudyFolder, find_studies
from vslm.results.forks import Forks
from vslm.results.primary import VAL_LOSS
from vslm.results.records import ArmVerdict, EffectVerdict, ScreenedArm, StudyRecord, Verdict

VERDICT_WORDS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "unresolved": "not resolved yet",
    "baseline": "baseline",
    "screened out": "screened out",
    "dropped": "dropped",
    "trunk": "trunk",
}


@dataclass(frozen=True)
class Judged:
    """A judged arm: what the verdict holds for it, and what it holds at every budget, the smallest first."""

    arm: str
    at: ArmVerdict
    by_budget: tuple[ArmVerdict, ...] = ()

    @property
    def verdict(self) -> str:
        """In one word; "unresolved" where its row holds none."""
        return self.at.verdict or "unresolved"


def list_arms(root: Path) -> list[dict[str, Any]]:
    """Every arm that was ever run in the studies at or below `root`, the ones that did not work included.

    Returns: one row per arm: `study`, `folder`, `question`, `arm`, `verdict` (better | worse | equivalent | unresolved
    | baseline | screened out | dropped | trunk, or None before the first look), `delta`, `interval`, `is_early`
    (whether runs end before the baseline has begun to use its context), `unit` of delta and interval, `seeds` (a
    number), `tokens`, `parameters`, `date`, `forked` (None, or what it starts from) and `problem` (None, or why a file
    cannot be read). A folder that cannot be read gives one row
    with `arm` None. In a study with factors the arms have no verdict, and rows of the effects follow them.
    """
    rows: list[dict[str, Any]] = []
    for folder in find_studies(root):
        try:
            rows += _arms_of(folder)
        except (ResultError, UnicodeDecodeError, OSError) as error:
            rows.append({**_row(folder, None), "problem": str(error)})
    return rows


def _arms_of(folder: StudyFolder) -> list[dict[str, Any]]:
    study = folder.study
    verdict, problem = read_verdict(folder)
    rows, forks = [_trunk_row(folder, study, name) for name in study.trunks], Forks.of(study)
    for name, arm in study.arms.items():
        runs = folder.runs(name)
        damaged = [f"{run.path}: {run.damage}; {RUN_AGAIN}" for run in runs if run.damage]
        if arm.screened_out:
            rows.append({**_row(folder, study), **_screened_out(study, name), "problem": problem})
            continue
        if not runs:
            continue
        entry = verdict.arms.get(name, ArmVerdict())
        is_baseline = name == study.baseline and len(study.arms) > 1
        is_dropped = name in study.dropped and name not in verdict.arms
        rows.append(
            {
                **_row(folder, study),
                "arm": name,
                "verdict": "baseline" if is_baseline else "dropped" if is_dropped else entry.verdict,
                "delta": study.dropped[name].difference if is_dropped else entry.delta,
                "interval": entry.interval,
                "is_early": bool(verdict.is_early) and not is_baseline,
                "seeds": sum(run.is_done and run.damage is None for run in runs),
                "tokens": arm.tokens if entry.tokens is None else entry.tokens,
                "parameters": arm.num_parameters if entry.num_parameters is None else entry.num_parameters,
                "forked": forks.in_words(name),
                "problem": "; ".join(words for words in (problem, *damaged) if words) or None,
            }
        )
    for name, entry in verdict.effects.items():
        rows.append(
            {
                **_row(folder, study),
                "arm": f"effect of {name}",
                "verdict": entry.verdict,
                "delta": entry.delta,
                "interval": entry.interval,
                "is_early": bool(verdict.is_early),
                "seeds": len(entry.seeds),
                "tokens": entry.tokens,
                "problem": problem,
            }
        )
    return rows


def _trunk_row(folder: StudyFolder, study: StudyRecord, name: str) -> dict[str, Any]:
    """What was trained for arms to start from, and judged by nobody."""
    runs, row = folder.runs(name), study.trunks[name]
    return {
        **_row(folder, study),
        "arm": name,
        "verdict": "trunk",
        "seeds": sum(run.is_done and run.damage is None for run in runs),
        "tokens": row.tokens,
        "parameters": row.num_parameters,
        "forked": Forks.of(study).in_words(name),
        "problem": "; ".join(f"{run.path}: {run.damage}; {RUN_AGAIN}" for run in runs if run.damage) or None,
    }


def _screened_out(study: StudyRecord, name: str) -> dict[str, Any]:
    """What is known of an arm that was run once, briefly: its difference on `select`, and no verdict."""
    row = ScreenedArm() if study.screening is None else study.screening.arms.get(name, ScreenedArm())
    return {
        "arm": name,
        "verdict": "screened out",
        "delta": row.difference,
        "seeds": 1,
        "tokens": row.tokens,
        "parameters": study.arms[name].num_parameters,
    }


def _row(folder: StudyFolder, study: StudyRecord | None) -> dict[str, Any]:
    """What all arms of a study share, and the empty places."""
    return {
        "study": (study and study.name) or folder.path.name,
        "folder": str(folder.path),
        "question": study and study.question,
        "arm": None,
        "verdict": None,
        "delta": None,
        "interval": None,
        "is_early": False,
        "unit": (study.primary if study else VAL_LOSS).unit,
        "seeds": 0,
        "tokens": None,
        "parameters": None,
        "date": study and study.created,
        "forked": None,
        "problem": None,
    }


def read_verdict(folder: StudyFolder) -> tuple[Verdict, str | None]:
    """The verdict, empty before the first look or where it cannot be read, and what is wrong with it, if anything is:
    it cannot be read, was read from other runs than are there now, or belongs to another declaration.
    """
    try:
        problems = [words for words in (folder.verdict_problem, folder.record_problem) if words]
        return folder.verdict or Verdict(), "; ".join(problems) or None
    except (ResultError, UnicodeDecodeError, OSError) as error:
        return Verdict(), str(error)


def judged_arms(folder: StudyFolder) -> list[Judged]:
    """What verdict.json holds of every judged arm; [] before a look."""
    verdict, _ = read_verdict(folder)
    found = []
    for name, entry in verdict.arms.items():
        each = [entry, *(at.arms[name] for at in verdict.budgets.values() if name in at.arms)]
        by_budget = sorted((row for row in each if row.tokens is not None), key=lambda row: row.tokens or 0)
        found.append(Judged(name, entry, tuple(by_budget)))
    return found


def judged_effects(folder: StudyFolder) -> list[Judged]:
    """What verdict.json holds of every factor and declared interaction; [] before a look, and in a study of arms."""
    verdict, _ = read_verdict(folder)
    return [Judged(name, entry, (entry,)) for name, entry in verdict.effects.items()]


def sides_of(at: ArmVerdict) -> tuple[float | None, float | None]:
    """Means over seeds of both sides of an effect: without and with it; of an interaction the effect of the first
    factor with the other off and on.
    """
    pairs = [pair for pair in at.per_seed.values() if pair.baseline is not None and pair.arm is not None]
    if not pairs:
        return None, None
    return (
        sum(pair.baseline or 0.0 for pair in pairs) / len(pairs),
        sum(pair.arm or 0.0 for pair in pairs) / len(pairs),
    )


EFFECT_WORDS = {
    1: {"better": "makes it better", "worse": "makes it worse", "equivalent": "makes no difference that matters"},
    2: {
        "better": "are worth more together than added up",
        "worse": "are worth less together than added up",
        "equivalent": "are worth as much together as added up",
    },
}
INTERACTION_WORDS = {"better": "more together", "worse": "less together", "equivalent": "adds up"}


def is_interaction(row: Judged) -> bool:
    """Whether this is of two factors."""
    return isinstance(row.at, EffectVerdict) and len(row.at.factors) == 2


def effect_word(row: Judged) -> str:
    """The verdict on an effect in a word or two: better and worse are words for factors, not for what two of them are
    worth together.
    """
    words = INTERACTION_WORDS if is_interaction(row) else VERDICT_WORDS
    return words.get(row.verdict, VERDICT_WORDS.get(row.verdict, "not judged"))


def headline_of_effects(rows: list[Judged]) -> list[dict[str, str]]:
    """The same as `headline` for factors and their interactions."""
    found = []
    for row in rows:
        words = EFFECT_WORDS[2 if is_interaction(row) else 1]
        found.append({"arm": row.arm, "verdict": row.verdict, "words": words.get(row.verdict, "is not resolved yet")})
    return found


def headline(study: StudyRecord, rows: list[Judged]) -> list[dict[str, str]]:
    """The verdict as a few words per arm, for the top of a page: `arm`, `verdict` and `words`."""
    relation = {
        "better": f"better than {study.baseline}",
        "worse": f"worse than {study.baseline}",
        "equivalent": f"equivalent to {study.baseline}",
    }
    return [
        {"arm": row.arm, "verdict": row.verdict, "words": f"is {relation.get(row.verdict, 'not resolved yet')}"}
        for row in rows
    ]
