"""Worlds as files for others: JSONL shards, a manifest with their hashes, a card and a license.

    OUT/README.md                       the card; Hugging Face `datasets` reads its table of splits
    OUT/LICENSE
    OUT/manifest.json                   universe, seeds, and of each file its SHA-256, size, rows and seeds
    OUT/questions/S4.jsonl              a row per example, the same fields in every split
    OUT/questions/train_fresh-00000.jsonl
    OUT/stories/test.jsonl              derivable prose
    OUT/facts/fixed.jsonl               every fact of the fixed world

Every file is a function of the universe, the seed and the counts: written twice, on any machine, by any version of
Python, its bytes are the same.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vslm.core.bounds import Some
from vslm.core.errors import DataError, SpecError
from vslm.core.specs import Spec, from_plain, to_plain
from vslm.data.worlds.examples import Example, Examples
from vslm.data.worlds.facts import fixed_world
from vslm.data.worlds.plans import MOST_SEED, SEEDS_OF_A_SPLIT, SPLITS, STORY_SPLITS, Plan, first_seed
from vslm.data.worlds.stories import Stories, Story
from vslm.data.worlds.universe import QUESTION_TYPES, QuestionType, Universe
from vslm.data.worlds.words import Pool
from vslm.results.files import read_json, sha256, write_json, write_text

FORMAT = 1  # of the files and of the rules by which their rows are made
_ROWS_OF_A_SHARD = 25_000
_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
STORY_POOLS: tuple[Pool, ...] = ("train", "val", "test")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Mix(Spec):
    """How often each type of question is asked in training, as shares of their sum. Three hops are never asked there
    unless it is said here.

    Args: a weight for each type, 0 or more.
    Raises: SpecError where nothing is asked.
    """

    one_hop: Some = 40
    inverse: Some = 10
    two_hop: Some = 25
    three_hop: Some = 0
    comparison: Some = 10
    negation: Some = 8
    counting: Some = 5
    unknown: Some = 2

    def check(self) -> None:
        """Refuse weights below 0, and none above."""
        for name, value in self.weights().items():
            if not 0 <= value <= 1000:
                raise SpecError(name, f"found {value}", "0 to 1,000 is needed")
        if not any(self.weights().values()):
            raise SpecError("", "all weights are 0", "one above 0 is needed")

    def weights(self) -> dict[QuestionType, int]:
        """By type."""
        return {kind: getattr(self, kind) for kind in QUESTION_TYPES}

    def types(self, universe: Universe, world: str) -> tuple[QuestionType, ...]:
        """The types, each as often as its weight; those that cannot be asked about a universe are left out."""
        asked = ((kind, weight) for kind, weight in self.weights().items() if universe.can_ask(kind, world=world))
        return cast("tuple[QuestionType, ...]", tuple(kind for kind, weight in asked for _ in range(weight)))


@dataclass(frozen=True)
class Written:
    """What is to be written.

    Args:
        universe: of the worlds; its seed is that of the fixed one.
        seed: of all else: 0 to 67,108,863.
        num_train: rows of each of the two training splits.
        num_examples: of each type of question in each split that something is measured on.
        num_stories: of each split of stories.
        mix: of training questions.
    Raises: SpecError for numbers that nothing can be written of.
    """

    universe: Universe
    seed: int = 0
    num_train: int = 50_000
    num_examples: int = 2000
    num_stories: int = 2000
    mix: Mix = Mix()

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MOST_SEED:
            raise SpecError(
                "--seed", f"found {self.seed}", f"0 to {MOST_SEED:,} is needed: seeds of rows follow from it"
            )
        for name, option in (("num_train", "--train"), ("num_examples", "--examples"), ("num_stories", "--stories")):
            if not 1 <= getattr(self, name) <= SEEDS_OF_A_SPLIT // 64:
                raise SpecError(option, f"found {getattr(self, name)}", "1 or more is needed")

    def training_plans(self) -> list[Plan]:
        """Of the two training splits."""
        fixed, fresh = (self.mix.types(self.universe, world) for world in ("fixed", "fresh"))
        return [
            Plan("train_fixed", "open book, fixed world", "fixed", types=fixed, in_turn=False),
            Plan("train_fresh", "open book, fresh worlds", types=fresh, pool="train", in_turn=False),
        ]


def write(what: Written, out: Path, *, say: Say = print) -> dict[str, Any]:
    """Write a folder, and give its manifest.

    Raises: SpecError for a folder with something in it; RunError when it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpecError(
            str(out), "there is something there", "a new or empty folder is needed", "name another, or empty it"
        )
    files: dict[str, dict[str, Any]] = {}
    about: dict[str, str] = {}
    plans = [*what.training_plans(), *SPLITS.values()]
    for plan in plans:
        examples = Examples(what.universe, plan)
        if not examples.types:
            say(f"{plan.name}: nothing of it can be asked of these relations; it is left out")
            continue
        is_train = not plan.in_turn
        count = what.num_train if is_train else what.num_examples * len(examples.types)
        for start in range(0, count, _ROWS_OF_A_SHARD if is_train else count):
            size = min(_ROWS_OF_A_SHARD, count - start) if is_train else count
            name = f"questions/{plan.name}{f'-{start // _ROWS_OF_A_SHARD:05d}' if is_train else ''}.jsonl"
            first = first_seed(what.seed, plan.name) + start
            seeds = [first, first + size]
            rows = (row_of(example, plan) for example in examples.many(seeds[0], size, start))
            files[name] = _file(out / name, rows) | {"seeds": seeds}
        about[plan.name] = plan.about
        say(f"{plan.name}: {count:,} examples, {plan.about}")
    for pool, split in zip(STORY_POOLS, STORY_SPLITS, strict=True):
        first = first_seed(what.seed, split)
        seeds = [first, first + what.num_stories]
        stories = Stories(what.universe, pool).many(seeds[0], what.num_stories)
        name = f"stories/{pool}.jsonl"
        files[name] = _file(out / name, map(story_row, stories)) | {"seeds": seeds}
    facts = ({"subject": s, "relation": r.name, "value": v} for s, r, v in fixed_world(what.universe).facts())
    files["facts/fixed.jsonl"] = _file(out / "facts/fixed.jsonl", facts)
    manifest = {
        "format": FORMAT,
        "seed": what.seed,
        "universe": to_plain(what.universe),
        "mix": to_plain(what.mix),
        "bits_of_fixed_world": round(what.universe.bits, 3),
        "splits": about,
        "files": files,
    }
    write_text(out / "LICENSE", _LICENSE)
    write_text(out / "README.md", _card(what, manifest))
    write_json(out / "manifest.json", manifest)
    return manifest


def _file(path: Path, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, num_rows, num_bytes = hashlib.sha256(), 0, 0
    with path.open("wb") as file:
        for row in rows:
            line = f"{_ENCODE(row)}\n".encode("ascii")
            file.write(line)
            digest.update(line)
            num_rows += 1
            num_bytes += len(line)
    return {"sha256": digest.hexdigest(), "bytes": num_bytes, "rows": num_rows}


def row_of(example: Example, plan: Plan) -> dict[str, Any]:
    """An example as a row: the same fields in every split."""
    return {
        "id": f"{plan.name}-{example.draw_seed}",
        "split": plan.name,
        "world": plan.world,
        "world_seed": example.world_seed,
        "draw_seed": example.draw_seed,
        "text": example.text,
        "question": example.question,
        "answer": example.answer,
        "memory_answer": example.memory,
        "type": example.type,
        "hops": example.hops,
        "relations": [relation.name for relation in example.asked.query.relations],
        "facts": [[subject, relation.name, value] for subject, relation, value in example.facts],
        "gold": example.gold,
        "context_span": example.context_span,
        "value_spans": example.value_spans,
        "answer_span": example.answer_span,
        "distractors": example.distractors,
        "num_facts": len(example.value_spans),
        "gold_quintile": example.gold_quintile,
        "chance": example.chance,
    }


def story_row(story: Story) -> dict[str, Any]:
    """A story as a row."""
    return {
        "world_seed": story.world_seed,
        "text": story.text,
        "context": story.context,
        "shuffled_context": story.shuffled_context,
        "story": story.story,
        "spans": story.spans,
        "hops": story.hops,
        "gold": story.gold,
        "facts": [[subject, relation.name, value] for subject, relation, value in story.facts],
    }


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard. Raises: DataError for a line that is no row."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}:{number}", f"no JSON ({error})", "", "write the worlds again") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}", "no record", "an object a line is needed", "write the worlds again")
            yield row


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, every file held against it.

    Raises: DataError naming a file that is missing or not as it was written; ResultError where there is no manifest.
    """
    manifest = read_json(folder / "manifest.json")
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or manifest.get("format") != FORMAT:
        raise DataError(str(folder / "manifest.json"), "no manifest of worlds", f"one of format {FORMAT} is needed")
    for name, recorded in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(str(path), "a name that leads elsewhere", "files of this folder are needed")
        if not path.is_file() or path.stat().st_size != recorded["bytes"] or sha256(path) != recorded["sha256"]:
            raise DataError(str(path), "missing, or not as it was written", "", "write the worlds again")
    return manifest


def universe_of(manifest: dict[str, Any]) -> Universe:
    """The universe that a manifest names."""
    return from_plain(manifest["universe"], {"Universe": Universe})


_LICENSE = """Creative Commons Zero v1.0 Universal (CC0-1.0)

To the extent possible under law, whoever generated these files has waived all copyright and related or neighboring
rights to them. They were made by a program from lists of words and a seed; nothing in them is about anybody.

The whole text: https://creativecommons.org/publicdomain/zero/1.0/legalcode
"""


def _card(what: Written, manifest: dict[str, Any]) -> str:
    by_split: dict[str, list[str]] = {}
    for name in manifest["files"]:
        folder, _, file = name.partition("/")
        if folder == "questions":
            by_split.setdefault(file.removesuffix(".jsonl").split("-")[0], []).append(name)
    lines = ["---", "license: cc0-1.0", "language: en", "task_categories: [question-answering]", "configs:"]
    lines += ["- config_name: questions", "  default: true", "  data_files:"]
    for split, names in by_split.items():
        lines += [f"  - split: {split}", f"    path: {names[0] if len(names) == 1 else f'questions/{split}-*.jsonl'}"]
    lines += ["- config_name: stories", "  data_files:"]
    for pool in STORY_POOLS:
        lines += [f"  - split: {pool}", f"    path: stories/{pool}.jsonl"]
    lines += ["- config_name: facts", "  data_files:", "  - split: fixed", "    path: facts/fixed.jsonl", "---"]
    rows = "\n".join(
        f"| {name} | {about} | {sum(manifest['files'][file]['rows'] for file in by_split[name]):,} |"
        for name, about in manifest["splits"].items()
    )
    universe = what.universe
    command = f"vslm worlds write --people {universe.people} --seed {what.seed} OUT"
    return "\n".join(lines) + _CARD.format(
        people=f"{universe.people:,}",
        bits=f"{universe.bits:,.0f}",
        relations=", ".join(universe.relations),
        rows=rows,
        command=command,
    )


_CARD = """
# Worlds with a preloaded context

Facts about made-up people, stated in a context, and questions that can be answered from that context alone: data for
asking whether a model keeps facts in its weights or reads them where they stand.

Made by `{command}`; the same command writes the same bytes on any machine. `manifest.json` has the SHA-256 of every
file and the seeds of its rows; no two splits share a seed.

- One fixed world of {people} people ({bits} bits) that is the same in every row, and fresh worlds, drawn anew for each.
- Relations: {relations}.
- Pairs of names are split by hash between the fixed world and fresh worlds of training, validation and test: no pair is
  in two of them, and all names occur in training, but for those of S10.

| split | what | rows |
|---|---|---|
{rows}

## Fields

- `text`: `<ctx> facts <q> question <a> answer.`; spans are [first, end) in characters of it.
- `facts`: [subject, relation, value] in the order of the context; where that is empty, the facts that would answer.
- `gold`: numbers of the facts that answer. `gold_quintile`: in which fifth of the context the first of them stands, -1
  for none.
- `answer` follows from the context; `memory_answer` is that of the fixed world, which S5 contradicts and S6 leaves out.
- `type`, `hops`, `relations`; `distractors`: what else is in the context; `num_facts`: of the context.
- `chance`: of a guess by who reads the question alone.
- `world_seed`, `draw_seed`: of the world and of all else.

Stories: `story` can be written from `context` by reasoning alone; `spans` are the stretches of it that only the facts
tell, `hops` and `gold` of each; `shuffled_context` has other values and must not help.

## What it is not

English as people write it: sentences come from templates, all in lower case, and values are drawn evenly. Of the fixed
world nobody is counted, since its facts cannot be chosen. Questions with an empty context ask nothing about "here".
"""
