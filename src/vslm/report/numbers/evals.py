"""What benchmarks found, as rows of tables and sentences. Not for: finding it, see `vslm.after.evaluating`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vslm.core.numbers import plural
from vslm.report.numbers.formatting import duration, listing, signed, span

Row = Sequence[str]
_DECIMALS = 3
_MOST_GROUP_LETTERS = 48


def run_rows(found: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Headings and a row per run."""
    margin = _margin(found)
    has_lengths = found["form"] == "choices"
    headings = ["run", "accuracy", "+-", *(["by length"] if has_lengths else []), "chance", ""]
    headings += [f"{margin}, nats/token", "interval", "items", "time"]
    rows = []
    for run in found["runs"]:
        lengths = [f"{run['accuracy_by_length']:.3f}"] if has_lengths else []
        ends = run[f"{margin}_interval"]
        rows.append(
            [
                run["run"],
                f"{run['accuracy']:.3f}",
                f"{run['accuracy_error']:.3f}",
                *lengths,
                f"{run['chance']:.3f}",
                run["standing"],
                signed(run[margin]) if margin == "margin" else f"{run[margin]:.3f}",
                span(*ends) if margin == "margin" else "{:.3f} to {:.3f}".format(*ends),
                f"{run['num_items']:,}",
                "kept" if run["seconds"] is None else duration(run["seconds"]),
            ]
        )
    return headings, rows


def group_rows(found: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Headings and a row per group: of each run its accuracy, how that stands to chance, and its margin. No rows where
    items are about one thing.
    """
    margin, runs = _margin(found), found["runs"]
    names = _short([run["run"] for run in runs]) if len(runs) > 1 else [""]
    headings = ["about"]
    for name in names:
        headings += [f"{word}{f' {name}' if name else ''}" for word in ("accuracy", "standing", margin, "interval")]
    rows = []
    for group in found["groups"]:
        row = [group[:_MOST_GROUP_LETTERS]]
        for run in runs:
            its = run["by"][group]
            row += (
                [
                    f"{its['accuracy']:.3f}",
                    its["standing"],
                    signed(its[margin], _DECIMALS),
                    span(*its[f"{margin}_interval"]),
                ]
                if its["num_items"]
                else ["none", "", "", ""]
            )
        rows.append(row)
    return headings, rows


def difference_rows(found: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Headings and a row per run but the first: how it differs from that one on the same items."""
    margin = _margin(found)
    rows = []
    for row in found["differences"]:
        has_margin = margin in row
        rows.append(
            [
                row["run"],
                signed(row["accuracy"], _DECIMALS),
                span(*row["accuracy_interval"]),
                signed(row[margin], _DECIMALS) if has_margin else "",
                span(*row[f"{margin}_interval"]) if has_margin else "other tokens",
                f"{row['num_items']:,}",
            ]
        )
    return ["less the first", "accuracy", "interval", margin, "interval", "items of both"], rows


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """What a reader has to know beside the tables."""
    for run in found["runs"]:
        if run["standing"] != "above chance":
            yield f"{run['run']}: {run['accuracy']:.3f} is {run['standing']} ({run['chance']:.3f})"
        if found["groups"]:
            standings = [its.get("standing") for its in run["by"].values()]
            counts = (f"{standings.count(f'{word} chance')} {word}" for word in ("above", "at", "below"))
            yield f"{run['run']}: {listing(list(counts))} chance, of {len(standings)} groups"
        if left_out := round(run["num_left_out"]):
            why = "longer than its context, or with characters that its tokenizer lacks"
            yield f"{run['run']}: {plural(left_out, 'item')} left out, {why}"
        if cut := round(run["num_cut"]):
            yield f"{run['run']}: of {plural(cut, 'item')} the beginning is not in its context"
    if found["groups"]:
        yield f"standings of the {len(found['groups'])} groups hold together, 95 % of the time"
        yield "what is said of all items is of these groups alone: items of a group resemble each other"
    if found["differences"]:
        yield "intervals of differences are over items of these very runs: other seeds are not in them"


def _margin(found: Mapping[str, Any]) -> str:
    return "loss" if found["form"] == "last word" else "margin"


def _short(names: Sequence[str]) -> list[str]:
    """Names without the folders that all of them begin with.

    >>> _short(["runs/a/full/seed0", "runs/a/short/seed0"])
    ['full/seed0', 'short/seed0']
    """
    parts = [Path(name).parts for name in names]
    same = 0
    while all(len(one) > same + 1 and one[same] == parts[0][same] for one in parts):
        same += 1
    return ["/".join(one[same:]) for one in parts]
