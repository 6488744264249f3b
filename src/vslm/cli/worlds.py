"""The commands `vslm worlds ...`: made-up facts with questions, as files for whoever wants them."""

import json
from pathlib import Path
from typing import Any

from cyclopts import App

from vslm.cli.arguments import Count, Json, Size

app = App(
    name="worlds", help="Made-up facts with questions that their context answers, as files.", help_format="plaintext"
)
_TRAIN = ("train_fresh", "train_fixed")


@app.command
def write(
    out: str,
    /,
    *,
    people: Size = 1024,
    seed: Count = 0,
    train: Size = 50_000,
    examples: Size = 2000,
    stories: Size = 2000,
) -> None:
    """Write worlds: training data, twelve splits to judge by, stories, a manifest with hashes, a card, a license.

    Args:
        out: A new folder.
        people: Of the fixed world.
        seed: Of everything. The same numbers give the same bytes on any machine.
        train: Examples of each of the two training splits.
        examples: Of each type of question in each other split.
        stories: Of each of three splits.
    """
    from vslm.data.worlds.shards import Written
    from vslm.data.worlds.shards import write as write_worlds
    from vslm.data.worlds.universe import Universe

    what = Written(Universe(people=people, seed=seed), seed, train, examples, stories)
    manifest = write_worlds(what, Path(out), say=lambda words: print(words, flush=True))
    megabytes = sum(file["bytes"] for file in manifest["files"].values()) / 1e6
    print(f"{len(manifest['files'])} files, {megabytes:,.1f} MB in {out}")


@app.command
def check(folder: str, /, *, json_: Json = False) -> None:
    """Check worlds: hashes, every answer proven from its own text, and what is got by who does not read.

    Args:
        folder: That `vslm worlds write` wrote.
        json_: Print JSON and nothing else.
    """
    from vslm.data.worlds.checks import commonest_answers, prove, shortcuts
    from vslm.data.worlds.shards import read_manifest, read_rows

    place = Path(folder)
    manifest = read_manifest(place)
    by_split: dict[str, list[Path]] = {}
    for name in manifest["files"]:
        kind, _, file = name.partition("/")
        if kind == "questions":
            by_split.setdefault(file.removesuffix(".jsonl").partition("-")[0], []).append(place / name)
    commonest = commonest_answers(
        row for split in _TRAIN for path in by_split.get(split, ()) for row in read_rows(path)
    )
    rows: list[dict[str, Any]] = []
    for split, paths in by_split.items():
        by_type: dict[str, list[dict[str, Any]]] = {}
        for path in paths:
            for row in read_rows(path):
                prove(row)
                by_type.setdefault(row["type"], []).append(row)
        for kind, some in by_type.items() if split not in _TRAIN else ():
            rows.append({"split": split, "type": kind, **shortcuts(some, commonest).__dict__})
    if json_:
        print(json.dumps(rows, indent=1))
        return
    print(f"{len(manifest['files'])} files are as they were written; every answer follows from its own text\n")
    columns = {
        "chance": "chance",
        "question": "question_only",
        "other ctx": "other_context",
        "first": "first_value",
        "last": "last_value",
        "commonest": "commonest_value",
    }
    print(f"{'split':14}{'type':12}{'num':>7}{''.join(f'{name:>11}' for name in columns)}")
    for row in rows:
        shares = "".join(f"{f'{100 * row[name]:.1f}%':>11}" for name in columns.values())
        print(f"{row['split']:14}{row['type']:12}{row['num']:>7,}{shares}")
