"""How often the facts that answer a question are among the first k that are found for it.

    recall@k = mean over questions of (gold facts among the first k) / (gold facts)
    whole@k  = share of questions all of whose gold facts are among the first k

Questions are JSON lines with `question`, `facts` ([subject, relation, value] each) and `gold` (numbers of those that
answer it), as worlds are written; `hops` and `type` group them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vslm.core.errors import DataError, SpecError
from vslm.knowledge.passages import Fact
from vslm.knowledge.retriever import Finder, Query
from vslm.knowledge.store import Store

_AT_A_TIME = 256  # questions that are searched for together


class Asked(NamedTuple):
    """A question with the facts that answer it, and its number of hops; None where it says none."""

    question: str
    gold: tuple[Fact, ...]
    hops: int | None


@dataclass
class Recall:
    """Sums over questions, for each k.

    Args:
        num_questions: that were asked.
        found: sums of the share of gold facts that was found.
        whole: questions of which all were.
    """

    num_questions: int = 0
    found: dict[int, float] = field(default_factory=dict)
    whole: dict[int, int] = field(default_factory=dict)

    def add(self, places: Sequence[int], num_gold: int, ks: Sequence[int]) -> None:
        """A question, by the places, from 0, at which its gold facts were found."""
        self.num_questions += 1
        for k in ks:
            num_found = sum(place < k for place in places)
            self.found[k] = self.found.get(k, 0.0) + num_found / num_gold
            self.whole[k] = self.whole.get(k, 0) + (num_found == num_gold)

    def plain(self) -> dict[str, Any]:
        """Shares, by k."""
        num = max(1, self.num_questions)
        return {
            "questions": self.num_questions,
            "recall": {str(k): total / num for k, total in self.found.items()},
            "whole": {str(k): total / num for k, total in self.whole.items()},
        }


def read_questions(path: Path) -> Iterator[Asked]:
    """The questions of a file.

    Raises: SpecError if there is no such file; DataError at a line that is no question with its facts.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise SpecError(str(path), found, "a file of questions, JSON lines, is needed", "vslm worlds write makes some")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _asked(f"{path}:{number}", line)


def _asked(where: str, line: str) -> Asked:
    try:
        row = json.loads(line)
        facts = [Fact(*map(str, fact)) for fact in row["facts"]]
        gold = tuple(facts[number] for number in row["gold"])
        return Asked(str(row["question"]), gold, row.get("hops"))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        found = f"no question with its facts ({type(error).__name__}: {error})"
        allowed = "`question`, `facts` of [subject, relation, value] and `gold`, numbers of facts, are needed"
        raise DataError(where, found, allowed, "mend the line") from None


def recall(
    finder: Finder, questions: Iterator[Asked], ks: Sequence[int], *, most: int | None = None
) -> tuple[dict[int | None, Recall], int, int]:
    """By the number of hops; how many questions were left out because a gold fact is not in the store; and how many
    because they have none.

    Args:
        finder: of a store of facts.
        questions: asked in their order.
        ks: how many passages may be loaded.
        most: questions that are asked at most; None: all.
    Raises: DataError for a store without facts; where no question is left.
    """
    numbers = facts_by_number(finder.store)
    by_hops: dict[int | None, Recall] = {}
    num_not_there, num_without = 0, 0
    waiting: list[tuple[Asked, list[int]]] = []
    num_asked = 0

    def ask() -> None:
        rows = finder.find_many([Query(asked.question, gold=tuple(gold)) for asked, gold in waiting], max(ks))
        for (asked, gold), row in zip(waiting, rows, strict=True):
            places = [place for place, found in enumerate(row) if found.passage in gold]
            by_hops.setdefault(asked.hops, Recall()).add(places, len(gold), ks)
        waiting.clear()

    for asked in questions:
        gold = {numbers[fact] for fact in asked.gold if fact in numbers}
        if not asked.gold:
            num_without += 1
        elif any(fact not in numbers for fact in asked.gold):
            num_not_there += 1
        else:
            waiting.append((asked, [*gold]))
            num_asked += 1
        if len(waiting) == _AT_A_TIME:
            ask()
        if num_asked == most:
            break
    if waiting:
        ask()
    if not by_hops:
        found = f"{num_not_there:,} questions whose facts are not in the store, {num_without:,} without facts"
        raise DataError(finder.store.where, found, "questions about its facts are needed", "give a file of those")
    return dict(sorted(by_hops.items(), key=lambda item: item[0] or 0)), num_not_there, num_without


def facts_by_number(store: Store) -> dict[Fact, int]:
    """Every fact of a store with the number of its passage. Raises: DataError where there is none."""
    numbers = {passage.fact: number for number, passage in enumerate(store.passages) if passage.fact is not None}
    if not numbers:
        raise DataError(store.where, "its passages are no facts", "recall is of facts", "build it of records of facts")
    return numbers
