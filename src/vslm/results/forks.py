"""What arms start from and learn from, as a study's record holds it, and the sentences that go with it.

    forked from knows (1.0M tokens): what is compared is what the 200k tokens after the fork do

What came before a fork is in no comparison of arms that have it in common; `matched` says where they have not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from vslm.core.numbers import short_count
from vslm.results.records import StudyRecord


@dataclass(frozen=True)
class Stretch:
    """One run that training went through before.

    Args:
        name: of an arm or trunk of the study, or a folder.
        tokens: of it; None: not known, of another study.
        by_seed: whether every seed has its own.
    """

    name: str
    tokens: int | None
    by_seed: bool


@dataclass(frozen=True)
class Forks:
    """What all arms of a study start from.

    Args:
        starts: by arm and trunk, what it starts from as `to_plain` writes it.
        tokens: of a run, by arm and trunk.
    """

    starts: Mapping[str, Any]
    tokens: Mapping[str, int]

    @classmethod
    def of(cls, study: StudyRecord) -> "Forks":
        """From the record of a study."""
        rows = {**study.trunks, **study.arms}
        return cls(
            {name: row.experiment.get("start_from") for name, row in rows.items()},
            {name: row.tokens for name, row in rows.items()},
        )

    def before(self, arm: str) -> tuple[Stretch, ...]:
        """What the weights went through before this arm, the nearest first; nothing for new weights."""
        found: list[Stretch] = []
        seen = {arm}
        while (start := self.starts.get(arm)) is not None:
            if isinstance(start, str):
                found.append(Stretch(start, None, not PurePath(start).name.startswith("seed")))
                break
            name = start.get("name") if isinstance(start, Mapping) and start.get("kind") == "Arm" else None
            if not isinstance(name, str) or name in seen:
                break
            arm = name
            seen.add(arm)
            found.append(Stretch(arm, self.tokens.get(arm), by_seed=True))
        return tuple(found)

    def in_words(self, arm: str) -> str | None:
        """What an arm starts from; None for new weights.

        >>> Forks({"on": {"kind": "Arm", "name": "knows"}}, {"knows": 1_000_000, "on": 200_000}).in_words("on")
        'forked from knows (1M tokens)'
        """
        stretches = self.before(arm)
        if not stretches:
            return None
        first, *others = stretches
        words = f"forked from {first.name}"
        inner = [] if first.tokens is None else [f"{short_count(first.tokens)} tokens"]
        inner += [
            f"after {one.name}" + ("" if one.tokens is None else f", {short_count(one.tokens)}") for one in others
        ]
        return f"{words} ({' '.join(inner)})" if inner else words

    def of_verdict(self, arm: str, baseline: str, tokens: int) -> str | None:
        """What a verdict on an arm is about, where it or the baseline is forked; else None.

        Args:
            arm: that is judged.
            baseline: that it is judged against.
            tokens: of a run of the arm.
        """
        own, base = self.before(arm), self.before(baseline)
        if not own and not base:
            return None
        if own == base:
            after = f"what is compared is what the {short_count(tokens)} tokens after the fork do"
            return f"{self.in_words(arm)}: {after}{_of_one_model(own)}"
        sides = [f"{name} is {self.in_words(name) or 'trained from new weights'}" for name in (arm, baseline)]
        return f"{sides[0]}, {sides[1]}: what came before the fork is compared, too{_of_one_model(own or base)}"

    def matched(self, arms: Iterable[str]) -> str | None:
        """Whether arms have what came before the fork in common, which no budget counts; None where nothing is forked.

        >>> knows = {"kind": "Arm", "name": "knows"}
        >>> forks = Forks({"a": knows, "b": knows, "c": {"kind": "FreshStart"}}, {"knows": 1_000_000})
        >>> forks.matched(["a", "b"])
        'tokens and FLOPs are matched after the fork; all arms are forked from knows (1M tokens), which is not counted'
        >>> forks.matched(["a", "c"])
        'not matched before the fork: a is forked from knows (1M tokens); c starts from new weights'
        """
        chains = {name: self.before(name) for name in arms}
        if not any(chains.values()):
            return None
        if len(self.shared(chains)) == 1:
            words = self.in_words(next(iter(chains)))
            whose = "all arms are" if len(chains) > 1 else "the arm is"
            return f"tokens and FLOPs are matched after the fork; {whose} {words}, which is not counted"
        groups: dict[tuple[Stretch, ...], list[str]] = {}
        for name, chain in chains.items():
            groups.setdefault(chain, []).append(name)
        told = []
        for its in groups.values():
            words, is_one = self.in_words(its[0]), len(its) == 1
            does = (f"{'is' if is_one else 'are'} {words}") if words else f"start{'s' * is_one} from new weights"
            told.append(f"{', '.join(its)} {does}")
        return f"not matched before the fork: {'; '.join(told)}"

    def shared(self, arms: Iterable[str]) -> set[tuple[Stretch, ...]]:
        """The different ways in which arms came to be: one where they have everything before the fork in common."""
        return {self.before(name) for name in arms}

    @property
    def of_one_model(self) -> bool:
        """Whether some arm goes on, in every seed, from one and the same run."""
        return any(not stretch.by_seed for name in self.starts for stretch in self.before(name))


def _of_one_model(stretches: tuple[Stretch, ...]) -> str:
    """That all seeds go on from one run, where they do: then they say nothing about other models."""
    if any(not stretch.by_seed for stretch in stretches):
        return "; every seed goes on from that one model, so the interval is of its continuations alone"
    return ""
