"""What `vslm compare` puts side by side: an arm of any study, or some of its runs, and what makes it comparable."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import ResultError
from vslm.report.numbers.formatting import count, of_folder
from vslm.report.numbers.runs import Run, read_run
from vslm.results.naming import FORMS, Named, named
from vslm.results.primary import VAL_LOSS, PrimaryNumber
from vslm.results.records import ArmRecord, CorpusRecord, SplitRecord


@dataclass(frozen=True)
class Side:
    """An arm, or some of its runs.

    Args:
        name: as short as it can be said: `study/arm`, with the budget or the seed where one is meant.
        arm: its row in study.json.
        corpus: its corpus' record, empty where there is none.
        runs: that ended well, and count under the study's record, by seed.
        left_out: runs that are there and do not count, each with why.
        primary: what its study is judged by.
    """

    name: str
    arm: ArmRecord
    corpus: CorpusRecord
    runs: dict[int, Run]
    left_out: list[str] = field(default_factory=list)
    primary: PrimaryNumber = VAL_LOSS

    def values(self, number: PrimaryNumber, seeds: Sequence[int] | None = None) -> np.ndarray:
        """The final numbers by seed, of all seeds or of these; losses over the whole window."""
        chosen = self.runs if seeds is None else seeds
        return np.array([_final(self.runs[seed], number) for seed in chosen], dtype=float)

    def having(self, number: PrimaryNumber) -> "Side":
        """The same side without the runs that did not record a number."""
        lacking = [seed for seed, run in self.runs.items() if _final(run, number) is None]
        runs = {seed: run for seed, run in self.runs.items() if seed not in lacking}
        words = [f"seed {seed} has no {number.name} at its end" for seed in lacking]
        return dataclasses.replace(self, runs=runs, left_out=[*self.left_out, *words]) if lacking else self

    @property
    def measures(self) -> dict[str, Any]:
        """What it was measured by beside its loss, as declared, by class."""
        measures = of_folder(self.arm.experiment.get("measures"), list)
        known = {str(of_folder(one, dict).get("kind")): one for one in measures}
        return {kind: one for kind, one in known.items() if kind != "LossByPosition"}

    @property
    def validation(self) -> Any:
        """What tells one validation text from another: its bytes and documents; None where that is not recorded."""
        val = self.corpus.splits.get("val", SplitRecord())
        return None if None in (val.num_bytes, val.num_documents) else (val.num_bytes, val.num_documents)

    @property
    def val_sha256(self) -> Any:
        """Of the validation tokens: equal only for the same text and tokenizer."""
        return self.corpus.sha256.get("val.bin")

    @property
    def tokenizer(self) -> Any:
        """Its fingerprint."""
        return self.corpus.tokenizer_fingerprint

    @property
    def tokens(self) -> float | None:
        """Training tokens of a run, as really seen."""
        found = [run.done.tokens for run in self.runs.values() if run.done.tokens is not None]
        return float(np.mean(found)) if found else None

    @property
    def context_tokens(self) -> Any:
        """The window that it was trained and judged with."""
        return of_folder(self.arm.experiment.get("model"), dict).get("context_tokens")

    @property
    def scored_tokens(self) -> Any:
        """Validation tokens that its final number is a mean over."""
        measures = of_folder(self.arm.experiment.get("measures"), list)
        found = [of_folder(one, dict).get("num_final_tokens") for one in measures]
        return next((tokens for tokens in found if tokens is not None), None)

    @property
    def shown_corpus(self) -> str:
        described, fingerprint = self.corpus.description, self.arm.corpus
        return (
            f"{described} ({fingerprint})" if described and fingerprint else str(fingerprint or described or "unknown")
        )

    @property
    def shown_validation(self) -> str:
        if self.validation is None:
            return "unknown"
        return f"{self.validation[1]:,} documents, {count(self.validation[0])} bytes"


def read_sides(paths: Sequence[Path]) -> list[Side]:
    """The sides that paths mean: of a study all its judged arms, the baseline first; of an arm or a run itself.

    Raises: ResultError for a path that is none of them, for what was only run to choose, for the same one twice, and
        for less than two sides.
    """
    meant = [named(path) for path in paths]
    sides = [_side(one, arm) for one in meant for arm in one.arms]
    for i, side in enumerate(sides):
        for other in sides[:i]:
            if shared := {run.where for run in side.runs.values()} & {run.where for run in other.runs.values()}:
                found = f"{sorted(shared)[0]} is on both sides"
                raise ResultError(side.name, found, "a run is compared with others", "name each run or arm once")
    if len(sides) < 2:
        found = f"found {len(sides)} arm"
        raise ResultError("compare", found, "two or more are needed", f"name another one: {FORMS}")
    return sides


def _side(meant: Named, arm: str) -> Side:
    study, expected = meant.folder.study, meant.folder.fingerprints(arm, meant.budget)
    runs, left_out = {}, []
    for place in meant.runs(arm):
        run = read_run(place)
        name_of_run = expected.get(str(place.seed))
        if not run.is_whole:
            left_out.append(f"seed {place.seed} {run.words}")
        elif name_of_run is not None and run.done.fingerprint != name_of_run:
            left_out.append(f"seed {place.seed} is of another declaration than the study's")
        elif None in (run.done.val_loss, run.done.val_bpb):
            left_out.append(f"seed {place.seed} has no final loss on the validation text")
        else:
            runs[place.seed] = dataclasses.replace(run, where=str(place.path.resolve()))  # no two studies' are one
    return Side(meant.name_of(arm), study.row(arm), study.corpus_of(arm), runs, left_out, study.primary)


def _final(run: Run, number: PrimaryNumber) -> float | None:
    return getattr(run.done, number.measure) if number.is_loss else number.last_in(run.arrays)
