"""Everything that is checked before a run, beyond what a spec checks by itself: corpora, windows, models, weights to
start from.

`vslm plan` and `vslm run` both begin here, so that what plans also runs.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from vslm.core.errors import DataError, ResultError, SpecError, VslmError
from vslm.core.paths import specs_in
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources.source import Source
from vslm.data.splits import SplitName
from vslm.data.tokenizers import load_tokenizer
from vslm.lab.adapter_checks import check_adapter, check_model_of_start
from vslm.lab.fork_checks import check_fork, check_taught
from vslm.lab.further import further_corpora
from vslm.lab.memory import check_memory, machine_bytes
from vslm.lab.model_checks import check_models
from vslm.lab.own_builds import check_builds
from vslm.measure.measure import Measure
from vslm.models.initialization import Init
from vslm.objectives.next_token import NextToken
from vslm.results.folder import RUN_AGAIN, run_folder_of
from vslm.results.places import checked
from vslm.results.records import RunEnd
from vslm.results.seals import MODEL, unlike
from vslm.runs.ready_models import ready_model
from vslm.runs.stored_run import StoredRun, has_adapter, starting_tensors
from vslm.study.catalog import KINDS
from vslm.study.experiment import Experiment, FreshStart
from vslm.study.forks import MOST_SEEDS, at_seed
from vslm.study.matching import check_equal
from vslm.study.study import Study
from vslm.training.checkpoints import check_shapes, model_tensors


class Checked(NamedTuple):
    """What the checks of a study found.

    Args:
        corpora: of every arm and trunk, by name.
        words: how many models were tried, and what holds of them.
        lints: what is no error.
    """

    corpora: dict[str, Corpus]
    words: str
    lints: tuple[str, ...]


def check_study(study: Study, say: Callable[[str], None] | None = None) -> Checked:
    """Prepare the corpus of every arm and trunk, and check everything that can be known before a run.

    Raises: SpecError or DataError, at a path seen from the study where there is one.
    """
    for name, experiment in study.experiments.items():
        _check_names(experiment, study.place_of(name))
    corpora = _prepared(study, say)
    check_builds(study.arms, corpora, study.primary, models=study.experiments)
    check_builds(study.trunks, corpora, models=study.experiments, place="trunks")
    of_arms = {arm: corpora[arm] for arm in study.arms}
    _check_comparable(study, of_arms)
    _check_same_val(study, of_arms)
    for name, experiment in study.experiments.items():
        _check_runs_read(study, name, experiment, corpora)
    vocabularies = {name: corpus.vocabulary for name, corpus in corpora.items()}
    words, lints = check_models(study, vocabularies)
    if study.equal is not None:
        check_equal(study.arms, study.baseline, by=study.equal, unequal=study.unequal, vocabularies=vocabularies)
    return Checked(corpora, words, lints)


def _prepared(study: Study, say: Callable[[str], None] | None) -> dict[str, Corpus]:
    """The corpus of every arm and trunk, long enough for what is read of it."""
    corpora: dict[str, Corpus] = {}
    chooses = bool(study.screen or study.tune)
    prepared: dict[Source, Corpus] = {}  # made-up documents are drawn anew to be known again: once is enough
    prepared_beside: dict[tuple[Source, str | None], Corpus] = {}
    for arm, experiment in study.experiments.items():
        try:
            if experiment.optimizer is not None:
                experiment.optimizer.check_here()
            if experiment.data not in prepared:
                prepared[experiment.data] = prepare(experiment.data, say=say, models=ready_model)
            corpora[arm] = prepared[experiment.data]
            _check_target(experiment, corpora[arm].vocabulary)
            if experiment.objective is not None:
                further = further_corpora(experiment, corpora[arm], prepared_beside, say)
                corpora[arm] = dataclasses.replace(corpora[arm], further=further)
                with _said_at("objective"):
                    experiment.objective.check_corpora(corpora[arm])
            judging = study.primary.of(experiment) if arm in study.arms else None
            _check_windows(experiment, corpora[arm], chooses=chooses, judging=judging)
            check_memory(experiment, corpora[arm].vocabulary, machine_bytes())
        except SpecError as error:
            raise error.within(study.place_of(arm)) from None
    return corpora


def _check_target(experiment: Experiment, vocabulary: int) -> None:
    """Refuse a target of the optimizer that new weights have reached, where what is lowered is the loss itself."""
    lowers_loss = experiment.objective is None or isinstance(experiment.objective, NextToken)
    if experiment.optimizer is not None and lowers_loss and isinstance(experiment.start_from, FreshStart):
        experiment.optimizer.check_start(math.log(vocabulary))


def _check_runs_read(study: Study, name: str, experiment: Experiment, corpora: Mapping[str, Corpus]) -> None:
    """Refuse runs to start from and to learn from that are not there, or do not fit; those of other studies by their
    folders, with one run of each folder that holds seeds; arms of this study by what they are declared as.
    """
    place, corpus = study.place_of(name), corpora[name]
    own = at_seed(experiment, MOST_SEEDS)
    with _said_at(f"{place}.start_from"):
        if isinstance(own.start_from, str):
            _check_start(own, corpus)
        check_fork(study, experiment, corpora, name)
    if own.adapter is not None:
        try:
            check_adapter(own, own.adapter, corpus, models=study.experiments)
        except SpecError as error:
            raise error.within(place) from None
    if own.objective is None:
        return
    with _said_at(f"{place}.objective"):
        own.objective.check_files()
        for run in own.objective.runs():
            if isinstance(run, str):
                _check_run(Path(run), corpus)
                _ = StoredRun(Path(run)).job
    check_taught(study, own, corpora, name)


@contextlib.contextmanager
def _said_at(where: str) -> Iterator[None]:
    try:
        yield
    except VslmError as error:
        raise SpecError(where, f"{error.where}: {error.found}", error.allowed, error.do) from None


def _check_names(experiment: Experiment, where: str) -> None:
    """Refuse a spec of the study's own that is named as one of the catalog's: a record holds the name alone, and would
    be read back as the other.
    """
    for place, spec in specs_in(experiment, where):
        kind = type(spec)
        if KINDS.get(kind.__name__, kind) is not kind:
            found = f"{kind.__name__} is also the name of a class of vslm"
            raise SpecError(place, found, "a record tells specs by the names of their classes", "rename the class")


def _check_windows(experiment: Experiment, corpus: Corpus, *, chooses: bool, judging: Measure | None) -> None:
    """Refuse a window that does not fit into a split that the study reads."""
    context_tokens = experiment.model.context_tokens
    read: tuple[SplitName, ...] = ("train", "select", "val") if chooses else ("train", "val")
    for name in read:
        num_tokens = corpus.split(name).num_tokens
        if num_tokens <= context_tokens:
            found = f"a window of {context_tokens:,} tokens does not fit into the {num_tokens:,} tokens of {name}"
            do = f"give more text than {experiment.data.describe()}, or a smaller context_tokens"
            raise SpecError("model.context_tokens", found, f"at most {max(num_tokens - 1, 0):,} fit", do)
    for place, measure in enumerate(experiment.measures):
        longest = measure.longest_tokens(context_tokens)
        for split in ("val", "select") if chooses and measure == judging else ("val",):
            num_tokens = corpus.split(split).num_tokens
            if num_tokens <= longest:
                name = type(measure).__name__
                found = (
                    f"a window of {longest:,} tokens for {name} does not fit into the {num_tokens:,} tokens of {split}"
                )
                raise SpecError(
                    f"measures.{place}", found, f"at most {num_tokens - 1:,} fit", "give more text, or leave it out"
                )


def _check_comparable(study: Study, corpora: Mapping[str, Corpus]) -> None:
    tokenizers = {corpus.meta["tokenizer_fingerprint"] for corpus in corpora.values()}
    if study.primary.measure != "val_bpb" and len(tokenizers) > 1:
        found = f"{study.primary.measure} over {len(tokenizers)} different tokenizers"
        what = "nats per token compare" if study.primary.is_loss else "a measure reads tokens, so its numbers compare"
        do = "use Primary('val_bpb'), which compares bits per byte"
        raise SpecError("primary.measure", found, f"{what} within one tokenizer only", do)


def _check_same_val(study: Study, corpora: Mapping[str, Corpus]) -> None:
    """Refuse arms that would be judged on other text than the baseline: seeds share what that makes of a difference,
    so no interval would show it. A measure that asks questions of its own judges all arms by the same ones, whatever
    their corpora hold.
    """
    judging = study.primary.of(study.arms[study.baseline])
    if judging is not None and judging.asks_its_own:
        return
    base = corpora[study.baseline]
    for arm, corpus in corpora.items():
        if "judged" in base.meta and "judged" in corpus.meta:  # what is in front of what counts may differ
            _check_same_targets(arm, corpus, study.baseline, base)
            continue
        same_ids = corpus.tokenizer_fingerprint == base.tokenizer_fingerprint
        theirs, own = base.meta["splits"]["val"], corpus.meta["splits"]["val"]
        is_other_text = any(theirs[key] != own[key] for key in ("num_bytes", "num_documents"))
        has_other_ids = same_ids and base.meta["sha256"]["val.bin"] != corpus.meta["sha256"]["val.bin"]
        if is_other_text or has_other_ids:
            sizes = f"{own['num_bytes']:,} bytes and {theirs['num_bytes']:,}"
            found = f"its validation text is not that of {study.baseline!r} ({sizes})"
            do = "give both the same text, and with other tokenizers data.splits=Splits(min_val_tokens=0)"
            raise SpecError(f"arms.{arm}.data", found, "all arms are judged on the same text", do)
        counted = [one.meta["sha256"].get("val.weights") for one in (base, corpus)]
        if (same_ids and counted[0] != counted[1]) or (None in counted and counted[0] != counted[1]):
            found = f"other tokens of the validation text count than those of {study.baseline!r}"
            do = "let both score the same; other weights in training are a matter of the objective"
            raise SpecError(f"arms.{arm}.data", found, "all arms are judged by the same targets", do)


def _check_same_targets(arm: str, corpus: Corpus, baseline: str, base: Corpus) -> None:
    """Refuse rows that are judged by other tokens than the baseline's."""
    if corpus.meta["judged"]["val"] != base.meta["judged"]["val"]:
        found = f"other tokens of the validation text count than those of {baseline!r}"
        do = "let arms differ in retriever, store and number of passages alone; take longer rows where parts are cut"
        raise SpecError(f"arms.{arm}.data", found, "all arms are judged by the same targets", do)


def _check_start(experiment: Experiment, corpus: Corpus) -> None:
    """Refuse a folder that is no finished run, another tokenizer, and weights that do not fit the model; beside an
    adapter another model, too.
    """
    folder = Path(str(experiment.start_from))
    _check_run(folder, corpus)
    if experiment.adapter is not None:
        check_model_of_start(experiment)
    model = experiment.model.build(vocabulary=corpus.vocabulary, init=Init(seed=0))
    own = {name: tuple(tensor.shape) for name, tensor in model_tensors(model).items()}
    path = folder / "weights.safetensors"
    if has_adapter(folder):
        stored = {name: tuple(tensor.shape) for name, tensor in starting_tensors(folder).items()}
        check_shapes(own, stored, str(path))
        return
    try:
        with safe_open(checked(path), framework="numpy") as file:
            stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no dict)
    except SafetensorError as error:
        raise ResultError(str(path), f"cannot be read ({error})", "", "the file is torn") from None
    check_shapes(own, stored, str(path))


def _check_run(folder: Path, corpus: Corpus) -> None:
    """Refuse a folder that is no run that ended well, and one of another tokenizer."""
    done = finished(folder)
    if not done.ended_well:
        raise ResultError(str(folder), "this run diverged", "a run that ended well is needed")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if tokenizer.fingerprint != corpus.tokenizer_fingerprint:
        found = f"its tokenizer ({tokenizer.fingerprint}) is not that of the corpus ({corpus.tokenizer_fingerprint})"
        raise DataError(str(folder), found, "an id must mean the same text in both", "use the same corpus")


def finished(folder: Path) -> RunEnd:
    """`done.json` of a run's folder.

    Raises: ResultError if the folder holds no finished run.
    """
    if (folder / "done.json").is_file() and (folder / "weights.safetensors").is_file():
        run = run_folder_of(folder)
        damage = run.damage or (unlike(folder, run.done.files, MODEL) if run.done else None)
        if damage is not None or run.done is None:
            raise ResultError(str(folder), str(damage), "a whole run is needed", f"{RUN_AGAIN}")
        return run.done
    found = "no such folder"
    if folder.exists():
        found = "a study, not one run of it" if (folder / "study.json").is_file() else "no finished run"
    do = f"try {folder}/ARM/seed0" if "study" in found else "runs/NAME/ARM/seed0 is one, once it is done"
    raise ResultError(str(folder), found, "the folder of a finished run is needed", do)
