"""A pilot: before any other arm is judged, the baseline is asked whether it has begun to use its context.

Its first judged runs are trained, their finished models are asked what the context is worth to them
(`measure/context_gain.py`), the answer is judged (`stats/pilot.py`) and kept in `study.json` under "pilot"; it is asked
once. If one of them has not begun, the study stops, and goes on with `--early`: then every verdict on runs so short
says so.

When it is asked: at the learning rate that the baseline is judged at, since the answer depends on it and the runs are
to count. So where rates are tuned the baseline's own search comes first, then the pilot, and only then a screening and
the searches of all other arms, which are most of such a study. Asking at the declared rate would save that one search
where the answer is no, train two runs for nothing where it is yes, and say no of a baseline whose tuned rate would have
begun.

The gain is taken on the split `select`, so that nothing a verdict is read from decides whether there is one.

    $VSLM_HOME/pilots/<key>.json      what pilots on this machine saw, for `vslm plan`
"""

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from vslm.core.errors import ResultError, TooEarlyError, VslmError
from vslm.core.numbers import plural, short_count
from vslm.core.specs import differences, fingerprint
from vslm.data.batches import Windows, evaluation_windows_of, mean_over_positions
from vslm.data.corpus import Corpus, home
from vslm.lab.options import Options, Watcher
from vslm.lab.stages import Train, describe_arms, judged_job, name_runs, save
from vslm.lab.tuning import count_runs, tune_arms, with_chosen_rates
from vslm.measure.context_gain import Gain, alone_nats, context_gain, num_windows
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.parts.kernels import Where
from vslm.results.files import read_json, write_json
from vslm.results.folder import RunFolder, StudyFolder
from vslm.results.places import checked
from vslm.results.records import PilotRecord, PilotRun, StudyRecord
from vslm.stats.pilot import (
    Enough,
    Seen,
    enough_in_words,
    enough_tokens,
    fall_per_doubling,
    has_begun,
    in_words,
    late_positions,
    onset_of_run,
    onsets_in_words,
    past_tokens,
)
from vslm.study.experiment import Experiment, FreshStart
from vslm.study.pilot import asked_seeds
from vslm.study.study import Study
from vslm.training.checkpoints import load_model_tensors


def declared_pilot(study: Study, before: StudyRecord | None) -> PilotRecord | None:
    """What is to be asked: as it was declared when the study began, with what came of it. None: nothing is, as in a
    study of one arm, and in one that began before there were pilots.
    """
    if before is not None:
        return before.pilot
    if study.pilot is None or not study.others:
        return None
    return PilotRecord(seeds=study.pilot.seeds, gain_nats=study.pilot.gain_nats)


@dataclass(frozen=True)
class PilotOfStudy:
    """Asks the pilot of one study in its folder.

    Args:
        study: as declared, before any search.
        record: `study.json`.
        out: the folder.
        corpora: by arm.
        watcher: gets the question and the answer in words.
        options: `early`.
    """

    study: Study
    record: StudyRecord
    out: Path
    corpora: Mapping[str, Corpus]
    watcher: Watcher
    options: Options

    def ask(self, arms: Mapping[str, Experiment], train: Train) -> Mapping[str, Experiment]:
        """The arms, the baseline at its learning rate, once it has begun or the study goes on early.

        Raises: TooEarlyError where it has not begun; RunError as `tune_arms`.
        """
        pilot = self.record.pilot
        if pilot is None:
            return arms
        if pilot.has_begun is None:
            arms = self._at_its_rate(arms, train)
            self._train(arms, train)
            self._answer(pilot, arms[self.study.baseline])
        if pilot.has_begun is False and not pilot.goes_on:
            self._stop_or_go_on(pilot)
        return arms

    def _at_its_rate(self, arms: Mapping[str, Experiment], train: Train) -> Mapping[str, Experiment]:
        study, record, baseline = self.study, self.record, self.study.baseline
        if study.tune is None or baseline in record.tuning:
            count_runs(record, self.out)
            return arms
        own = {baseline: arms[baseline]}
        record.tuning = {**record.tuning, **tune_arms(study.tune, own, record, self.out, train)}
        tuned = with_chosen_rates(own, record.tuning)
        describe_arms(tuned, baseline, record)
        name_runs(tuned, record)
        save(record, self.out)
        count_runs(record, self.out)
        return {**arms, **tuned}

    def _train(self, arms: Mapping[str, Experiment], train: Train) -> None:
        baseline = self.study.baseline
        words = plural(len(self._seeds), "seed")
        self.watcher.say(f"pilot: {baseline} with {words}, to see whether it begins to use its context")
        folder = StudyFolder(self.out)
        asked = [(baseline, seed) for seed in self._seeds]
        train(
            [
                (judged_job(self.record, arm, arms[arm], seed, 1.0), folder.run(arm, seed).path)
                for arm, seed in asked + self._beside(len(asked))
            ]
        )

    def _beside(self, num_asked: int) -> list[tuple[str, int]]:
        """Runs of other arms for cores that would wait for the pilot: they are needed next, where it says yes, and cost
        nothing where it says no. None where arms are still to be screened or to get their learning rates.
        """
        if self.study.screen is not None or self.study.tune is not None:
            return []
        others = [(arm, seed) for seed in self._seeds for arm in self.study.others]
        return others[: -num_asked % self.record.settings.workers]

    @property
    def _seeds(self) -> list[int]:
        assert self.record.pilot is not None
        return self.record.seeds[: asked_seeds(self.record.pilot.seeds, len(self.record.seeds))]

    def _answer(self, pilot: PilotRecord, experiment: Experiment) -> None:
        """Write down what the runs show. Nothing is written, and it is asked again the next time, where a run is not
        finished; of a run that diverged there is nothing to ask.
        """
        baseline, record = self.study.baseline, self.record
        folder = StudyFolder(self.out)
        names = record.arms[baseline].runs
        ended = {seed: folder.run(baseline, seed) for seed in self._seeds}
        dones = {seed: run.ended_as(names.get(str(seed))) for seed, run in ended.items()}
        runs = {seed: ended[seed] for seed, done in dones.items() if done is not None and done.ended_well}
        if None in dones.values() or not runs:
            self.watcher.say("the pilot is not answered: a run of it has not ended well")
            return
        corpus = self.corpora[baseline]
        context_tokens = experiment.model.context_tokens
        if context_tokens < 2:  # the last token is all of it
            record.pilot = None
            save(record, self.out)
            return
        asked = _Asked.of(experiment, corpus, record, pilot.gain_nats)
        rows = {seed: asked.ask(run) for seed, run in runs.items()}
        seen = {seed: row[0] for seed, row in rows.items()}
        tokens = record.arms[baseline].tokens
        _write_down(pilot, record, {seed: row[1] for seed, row in rows.items()}, seen, tokens, _seconds(runs))
        pilot.words = in_words(baseline, tokens, seen)
        save(record, self.out)
        _remember(record, experiment)
        self.watcher.say(f"pilot: {pilot.words}{_besides(pilot)}")

    def _stop_or_go_on(self, pilot: PilotRecord) -> None:
        if self.options.early:
            pilot.goes_on = True
            save(self.record, self.out)
            self.watcher.say("the study goes on early, and every verdict says so")
            return
        allowed = "a verdict on runs so short is about the first steps of training"
        raise TooEarlyError(str(self.out), pilot.words or "", allowed, what_to_do(pilot))


def what_to_do(pilot: PilotRecord) -> str:
    """What can be done where a baseline has not begun, with what it costs and how sure that is."""
    on = "the same command with --early goes on with runs as long as these, and nothing that was run is lost"
    if pilot.enough_tokens is None:
        return on
    enough = Enough(pilot.enough_tokens, "some" if pilot.basis == "some" else "none")
    do = f"--tokens {short_count(enough.tokens)} with another --out"
    return f"{enough_in_words(enough, pilot.more_minutes)}: {do}; {on}"


def _besides(pilot: PilotRecord) -> str:
    falls = [run.fall_nats for run in pilot.runs.values() if run.fall_nats is not None]
    words = f"; the loss fell by {sum(falls) / len(falls):.2f} nats over the last doubling of tokens" if falls else ""
    return words + (f"; seeds scatter by {pilot.loss_sd_nats:.3f}" if pilot.loss_sd_nats is not None else "")


@dataclass(frozen=True)
class _Asked:
    """What every run of a pilot is asked, on the same windows.

    Args:
        experiment: of the baseline.
        vocabulary: of its corpus.
        device: where its models are asked.
        windows: that the gain is taken on.
        along: that were evaluated along the way.
        plateau_nats: of its source.
        least_nats: of a gain.
    """

    experiment: Experiment
    vocabulary: int
    device: str
    windows: Windows
    along: Windows
    plateau_nats: float | None
    least_nats: float

    @classmethod
    def of(cls, experiment: Experiment, corpus: Corpus, record: StudyRecord, least_nats: float) -> "_Asked":
        """From what was trained."""
        context_tokens, tokens = experiment.model.context_tokens, record.arms[record.baseline].tokens
        # A text may be too short for a window of select, which is checked only where something is chosen on it.
        split = corpus.select if corpus.select.num_tokens > context_tokens else corpus.val
        wanted = num_windows(tokens, context_tokens) * context_tokens
        along_tokens = experiment.loss_by_position.num_tokens
        return cls(
            experiment,
            corpus.vocabulary,
            record.settings.device,
            evaluation_windows_of(split, context_tokens=context_tokens, num_tokens=wanted),
            evaluation_windows_of(corpus.val, context_tokens=context_tokens, num_tokens=along_tokens),
            experiment.data.plateau_nats,
            least_nats,
        )

    def ask(self, run: RunFolder) -> tuple[Seen, PilotRun]:
        """What one finished run shows."""
        model = self._model(run)
        gain = context_gain(model, self.windows, plateau_nats=self.plateau_nats)
        begun = has_begun(gain.nats, gain.sem_nats, self.least_nats)
        tokens_S, loss_S = _losses(run.arrays, late=False)
        onset = None
        if len(late := _losses(run.arrays, late=True)[1]):
            alone = self.plateau_nats if self.plateau_nats is not None else alone_nats(model, self.along)
            onset = onset_of_run(tokens_S, late, alone_nats=alone, gain_nats=gain.nats, least_nats=self.least_nats)
        seen = Seen(gain.nats, gain.sem_nats, begun, onset if begun else None)
        return seen, _row(run, gain, seen, fall_per_doubling(tokens_S, loss_S))

    def _model(self, run: RunFolder) -> LanguageModel:
        spec, path = self.experiment.model, run.path / "weights.safetensors"
        model = spec.build(vocabulary=self.vocabulary, init=Init(seed=0), kernels=spec.kernels(Where(self.device)))
        try:
            load_model_tensors(model, load_file(checked(path)), str(path))
        except (OSError, SafetensorError) as error:
            do = "delete done.json beside it and run the study again, which makes the run anew"
            raise ResultError(str(path), f"cannot be read ({error})", "the pilot asks the finished model", do) from None
        return model.to(self.device).eval()


def _losses(arrays: Mapping[str, np.ndarray], *, late: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and loss of every evaluation of a run, over all targets or over late ones; empty where they are not
    there.
    """
    tokens_S, loss_ST = arrays.get("tokens_S"), arrays.get("val_loss_nats_ST")
    if tokens_S is None or loss_ST is None or loss_ST.ndim != 2 or len(tokens_S) != len(loss_ST):
        return np.array([]), np.array([])
    weight_ST = arrays.get("val_weight_ST")
    weights = [None] * len(loss_ST) if weight_ST is None else list(weight_ST)
    where_T = late_positions(loss_ST.shape[1], weights[0]) if late else slice(None)
    means = [
        mean_over_positions(loss_T[where_T], None if weight_T is None else weight_T[where_T])
        for loss_T, weight_T in zip(loss_ST, weights, strict=True)
    ]
    return tokens_S, np.array(means)


def _row(run: RunFolder, gain: Gain, seen: Seen, fall_nats: float) -> PilotRun:
    assert run.done is not None
    return PilotRun(
        gain_nats=gain.nats,
        sem_nats=gain.sem_nats if math.isfinite(gain.sem_nats) else None,
        has_begun=seen.has_begun,
        onset_after_tokens=None if seen.onset is None or seen.onset.after is None else int(seen.onset.after),
        onset_tokens=None if seen.onset is None else int(seen.onset.at),
        fall_nats=fall_nats if math.isfinite(fall_nats) else None,
        val_loss=run.done.val_loss,
    )


def _write_down(
    pilot: PilotRecord,
    record: StudyRecord,
    rows: Mapping[int, PilotRun],
    seen: Mapping[int, Seen],
    tokens: int,
    seconds: float,
) -> None:
    losses = [row.val_loss for row in rows.values() if row.val_loss is not None]
    pilot.runs = {str(seed): row for seed, row in rows.items()}
    pilot.tokens, pilot.has_begun = tokens, all(one.has_begun for one in seen.values())
    pilot.loss_sd_nats = float(np.std(losses, ddof=1)) if len(losses) > 1 else None
    enough = None if pilot.has_begun else enough_tokens(tokens, list(seen.values()))
    pilot.past_tokens = past_tokens(tokens, list(seen.values()), enough)
    if enough is not None:
        rounds = record.estimate.get("rounds")
        times_more = enough.tokens / tokens - 1
        pilot.enough_tokens, pilot.basis = enough.tokens, enough.basis
        pilot.more_minutes = rounds * seconds * times_more / 60 if isinstance(rounds, int | float) else None


def _seconds(runs: Mapping[int, RunFolder]) -> float:
    """Of a run of the baseline, as it was measured."""
    return float(np.mean([run.done.seconds or 0.0 for run in runs.values() if run.done is not None]))


def as_declared(record: StudyRecord, study: Study) -> None:
    """Compare arms that were screened out with the baseline as it was declared, at which they were run beside it; the
    baseline's rate may have been searched before.
    """
    for arm, experiment in study.arms.items():
        if record.arms[arm].screened_out:
            record.arms[arm].differences = [list(one) for one in differences(study.arms[study.baseline], experiment)]


def _remember(record: StudyRecord, experiment: Experiment) -> None:
    """Keep what was seen for `vslm plan`. A home that cannot be written is no reason to stop."""
    pilot, row = record.pilot, record.arms[record.baseline]
    assert pilot is not None
    if not isinstance(experiment.start_from, FreshStart):  # its tokens are not all that it learned from
        return
    kept = {
        "num_parameters": row.num_parameters,
        "context_tokens": experiment.model.context_tokens,
        "corpus": row.corpus,
        "tokens": pilot.tokens,
        "has_begun": pilot.has_begun,
        "gains_nats": [run.gain_nats for run in pilot.runs.values()],
        "onset_tokens": [run.onset_tokens for run in pilot.runs.values()],
        "words": pilot.words,
        "date": time.strftime("%Y-%m-%d"),
    }
    name = fingerprint({"experiment": row.fingerprint, "corpus": row.corpus, "tokens": pilot.tokens})
    with contextlib.suppress(VslmError, OSError):
        (home() / "pilots").mkdir(parents=True, exist_ok=True)
        write_json(home() / "pilots" / f"{name}.json", kept)


_ALIKE = 2.0  # models with up to so many times the parameters tell of one another


def earlier_pilots(experiment: Experiment, corpus: Corpus) -> list[dict[str, Any]]:
    """What pilots on this machine saw on the same corpus, of models with half to twice the parameters and the same
    context; the shortest runs first. What cannot be read is left out. Of runs that start from others nothing is known.
    """
    own, found = experiment.num_parameters(corpus.vocabulary), []
    if not isinstance(experiment.start_from, FreshStart):
        return found
    for path in sorted((home() / "pilots").glob("*.json")):
        try:
            kept = read_json(path)
            is_alike = (
                kept["corpus"] == corpus.fingerprint
                and kept["context_tokens"] == experiment.model.context_tokens
                and own / _ALIKE <= kept["num_parameters"] <= own * _ALIKE
            )
            if is_alike and isinstance(kept["words"], str) and isinstance(kept["tokens"], int):
                found.append(kept)
        except (VslmError, OSError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda kept: kept["tokens"])


def transition_in_words(earlier: Sequence[Mapping[str, Any]], tokens: int) -> str | None:
    """At how many tokens runs of earlier pilots began to use their context, beside those of a planned run; None where
    no pilot tells.

    Args:
        earlier: as `earlier_pilots` gives them.
        tokens: of a planned run.
    """
    seen = [row.get("onset_tokens") for row in earlier]
    onsets = [one for row in seen if isinstance(row, list) for one in row if isinstance(one, int) and one > 0]
    not_by = [row["tokens"] for row in earlier if row.get("has_begun") is False]
    return onsets_in_words(onsets, not_by, tokens)
