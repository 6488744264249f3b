"""Plain rows about studies: every arm ever run, the verdict of one study, what differs between its arms.

Rows are dicts of numbers and strings, ready for JSON, for a terminal or for the page.

Not for: anything heavy. `vslm ls` lives on this file, so it imports neither rich, jinja2 nor scipy.
"""

from pathlib import Path
from typing import Any

from vslm.core.errors import ResultError
from vslm.report.numbers.formatting import is_number, of_folder
from vslm.results.folder import RUN_AGAIN, StudyFolder, find_studies
from vslm.results.primary import PrimaryNumber

VERDICT_WORDS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "unresolved": "not resolved yet",
    "baseline": "baseline",
    "screened out": "screened out",
}

# What a row of a verdict holds: parts with parts of a kind, and numbers. Nothing seals a folder from before there were
# checksums, so what is of another kind is missing.
_PARTS: dict[str, tuple[type, type]] = {
    "per_seed": (dict, dict),
    "looks": (list, dict),
    "seeds": (list, int),
    "diverged": (list, int),
}
_NUMBERS = (
    *("delta", "smallest_effect", "minutes_to_resolve", "minutes_to_resolve_nine_in_ten"),
    *("tokens", "num_parameters", "seconds"),
)

_JUDGED = ("better", "worse", "equivalent", "unresolved")


def list_arms(root: Path) -> list[dict[str, Any]]:
    """Every arm that was ever run in the studies at or below `root`, the ones that did not work included.

    Returns: one row per arm: `study`, `folder`, `question`, `arm`, `verdict` (better | worse | equivalent | unresolved
    | baseline | screened out, or None before the first look), `delta`, `interval`, `unit` of both, `seeds` (a number),
    `tokens`, `parameters`, `date` and `problem` (None, or why a file cannot be read). A folder that cannot be read
    gives one row with `arm` None.
    """
    rows: list[dict[str, Any]] = []
    for folder in find_studies(root):
        try:
            rows += _arms_of(folder)
        except (ResultError, UnicodeDecodeError, OSError) as error:
            rows.append({**_row(folder, {}), "problem": str(error)})
    return rows


def _arms_of(folder: StudyFolder) -> list[dict[str, Any]]:
    study = of_folder(folder.study, dict)
    verdict, problem = read_verdict(folder)
    judged = of_folder(verdict.get("arms"), dict)
    rows = []
    for name, arm in of_folder(study.get("arms"), dict).items():
        runs = folder.runs(name)
        damaged = [f"{run.path}: {run.damage}; {RUN_AGAIN}" for run in runs if run.damage]
        arm, entry = of_folder(arm, dict), of_folder(judged.get(name), dict)
        if arm.get("screened_out"):
            rows.append({**_row(folder, study), **_screened_out(study, name), "problem": problem})
            continue
        if not runs:
            continue
        is_baseline = name == study.get("baseline") and len(study["arms"]) > 1
        rows.append(
            {
                **_row(folder, study),
                "arm": name,
                "verdict": "baseline" if is_baseline else entry.get("verdict"),
                "delta": entry.get("delta"),
                "interval": entry.get("interval"),
                "seeds": sum(run.is_done and run.damage is None for run in runs),
                "tokens": entry.get("tokens", arm.get("tokens")),
                "parameters": entry.get("num_parameters", arm.get("num_parameters")),
                "problem": "; ".join(words for words in (problem, *damaged) if words) or None,
            }
        )
    return rows


def _screened_out(study: dict[str, Any], name: str) -> dict[str, Any]:
    """What is known of an arm that was run once, briefly: its difference on `select`, and no verdict."""
    row = of_folder(of_folder(of_folder(study.get("screening"), dict).get("arms"), dict).get(name), dict)
    return {
        "arm": name,
        "verdict": "screened out",
        "delta": row.get("difference"),
        "seeds": 1,
        "tokens": row.get("tokens"),
        "parameters": of_folder(study["arms"][name], dict).get("num_parameters"),
    }


def _row(folder: StudyFolder, study: dict[str, Any]) -> dict[str, Any]:
    """What all arms of a study share, and the empty places."""
    return {
        "study": study.get("name") or folder.path.name,
        "folder": str(folder.path),
        "question": study.get("question"),
        "arm": None,
        "verdict": None,
        "delta": None,
        "interval": None,
        "unit": PrimaryNumber.of(study.get("primary")).unit,
        "seeds": 0,
        "tokens": None,
        "parameters": None,
        "date": study.get("created"),
        "problem": None,
    }


def read_verdict(folder: StudyFolder) -> tuple[dict[str, Any], str | None]:
    """The verdict, empty before the first look or where it cannot be read, and what is wrong with it, if anything is:
    it cannot be read, was read from other runs than are there now, or belongs to another declaration.
    """
    try:
        problems = [words for words in (folder.verdict_problem, folder.record_problem) if words]
        return of_folder(folder.verdict, dict), "; ".join(problems) or None
    except (ResultError, UnicodeDecodeError, OSError) as error:
        return {}, str(error)


def verdict_rows(folder: StudyFolder) -> list[dict[str, Any]]:
    """One row per judged arm: what verdict.json holds for it, the arm's name under `arm`, and under `by_budget` what it
    holds at every budget, the smallest first; [] before a look.
    """
    verdict, _ = read_verdict(folder)
    arms = of_folder(verdict.get("arms"), dict)
    budgets = of_folder(verdict.get("budgets"), dict).values()
    others = [of_folder(of_folder(row, dict).get("arms"), dict) for row in budgets]
    found = []
    for name, entry in arms.items():
        each = [judged_row(judged.get(name)) for judged in (arms, *others)]
        by_budget = sorted((row for row in each if is_number(row.get("tokens"))), key=lambda row: row["tokens"])
        found.append({"arm": name, **judged_row(entry), "by_budget": by_budget})
    return found


def judged_row(entry: Any) -> dict[str, Any]:
    """What a verdict holds for one arm, without what is of another kind than a verdict writes.

    >>> judged_row({"delta": {}, "tokens": 7, "seeds": [0, "1"], "per_seed": {"0": 3}, "words": []})
    {'delta': None, 'tokens': 7, 'seeds': [0], 'per_seed': {}, 'words': ''}
    """
    row = dict(of_folder(entry, dict))
    for name in row.keys() & _PARTS.keys():
        kind, part = _PARTS[name]
        value = of_folder(row[name], kind)
        # By the very type, since true and false are whole numbers, too.
        kept = [(key, item) for key, item in value.items() if type(item) is part] if kind is dict else []
        row[name] = dict(kept) if kind is dict else [item for item in value if type(item) is part]
    for name in row.keys() & set(_NUMBERS):
        row[name] = row[name] if is_number(row[name]) else None
    if "words" in row:
        row["words"] = of_folder(row["words"], str)
    return row


def verdict_of(row: dict[str, Any]) -> str:
    """The verdict of a judged arm; "unresolved" where its row holds none.

    >>> verdict_of({"verdict": "worse"}), verdict_of({}), verdict_of({"verdict": [0.9]})
    ('worse', 'unresolved', 'unresolved')
    """
    found = row.get("verdict")
    return found if isinstance(found, str) and found in _JUDGED else "unresolved"


def headline(study: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The verdict as a few words per arm, for the top of a page: `arm`, `verdict` and `words`."""
    baseline = study.get("baseline")
    relation = {
        "better": f"better than {baseline}",
        "worse": f"worse than {baseline}",
        "equivalent": f"equivalent to {baseline}",
    }
    return [
        {
            "arm": row["arm"],
            "verdict": verdict_of(row),
            "words": f"is {relation.get(str(row.get('verdict')), 'not resolved yet')}",
        }
        for row in rows
    ]
