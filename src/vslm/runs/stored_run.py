"""A run's folder as models: what it was after every step whose weights are stored.

    run = StoredRun(Path("runs/quickstart/full/seed0"))
    run.steps                       # (0, 1, 10, ..., 977): the kept ones, and the last once it is done
    run.model(10)                   # on the CPU, in evaluation mode

A run that is still going, or that diverged, has the steps that it kept. A run with an adapter stored the adapter alone:
its model is that of the run that it started from, with the adapter on. Not for: going on with a training.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vslm.core.errors import DataError, ResultError, RunError
from vslm.core.specs import from_plain
from vslm.data.corpus import open_corpus
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.measure.token_counts import training_counts
from vslm.models.adapters.adapter import AdapterModule
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.parts.kernels import Where
from vslm.objectives.arm import Arm
from vslm.results.files import RUN_ANEW, read_json, sha256
from vslm.results.folder import DONE_ANEW, RUN_AGAIN, RunFolder, run_folder_of, study_folder_of
from vslm.results.places import checked
from vslm.results.seals import MODEL, unlike
from vslm.study.job import Job, Parent
from vslm.study.study_file import Kinds, kinds_of
from vslm.training.checkpoints import load_model_tensors, model_tensors
from vslm.training.kept_weights import load_weights

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class StoredRun:
    """A run with the models that it stored.

    Args:
        path: of the run: runs/NAME/ARM/seed0.
        may_run_code: whether the study file in the folder is run where the record holds specs of its own.
        trust: whether it is, even if this user did not run it before.
    """

    path: Path
    may_run_code: bool = field(default=True, kw_only=True)
    trust: bool = field(default=False, kw_only=True)

    @cached_property
    def folder(self) -> RunFolder:
        """What is written there."""
        return run_folder_of(self.path)

    @cached_property
    def job(self) -> Job:
        """What was trained.

        Raises: ResultError if the folder is no run, its record is torn, or only its study file could read it and may
            not be run; SpecError if the record holds a class that is not known here.
        """
        record = self.path / "experiment.json"
        if not record.is_file():
            found = "a study, not one run of it" if (self.path / "study.json").is_file() else "no run"
            do = "name one of its runs: NAME/ARM/seed0" if "study" in found else "`vslm ls` lists what was run"
            raise ResultError(str(self.path), found, "the folder of a run is needed", do)
        content = read_json(record)
        job = from_plain(content.get("job"), self.kinds) if isinstance(content, dict) else None
        if not isinstance(job, Job):
            allowed = "an object with the job that was run is needed"
            raise ResultError(str(record), "not the record of a run", allowed, RUN_ANEW)
        return job

    @cached_property
    def kinds(self) -> Kinds:
        """Every spec by its name, those of its study file among them."""
        return kinds_of(self.path, may_run_code=self.may_run_code, trust=self.trust)

    @property
    def name(self) -> str:
        """For messages: ARM/seed0."""
        return f"{self.path.parent.name}/{self.path.name}"

    @cached_property
    def tokenizer(self) -> FittedTokenizer:
        """Of its corpus."""
        return load_tokenizer(self.path / "tokenizer.json")

    @cached_property
    def training_counts(self) -> np.ndarray | None:
        """How often every id occurs in the training text; None where its corpus is not on this machine."""
        try:
            return training_counts(open_corpus(self.job.corpus))
        except DataError:
            return None

    @property
    def last_step(self) -> int | None:
        """The step that a run which ended well ended at; None for every other run."""
        done = self.folder.done
        if done is None or not done.ended_well or not (self.path / WEIGHTS).is_file():
            return None
        if done.step is None:
            raise ResultError(str(self.path / "done.json"), "names no step that the run ended at", "", DONE_ANEW)
        return done.step

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps whose weights are stored, rising. Read anew each time: a run may be going on."""
        last = self.last_step
        return tuple(sorted({*self.folder.kept_weights, *(() if last is None else (last,))}))

    def check_readable(self) -> None:
        """Read what the models of all steps are made of beside weights, so that it is not said of every step.

        Raises: ResultError if the record or the tokenizer is torn; as `job`.
        """
        _ = self.job, self.tokenizer

    def model(self, step: int | None = None, *, device: str = "cpu") -> LanguageModel:
        """The model after a step, in evaluation mode.

        Args:
            step: one of `steps`; None: the last, of a run that ended well.
            device: where it goes, with the kernels that it has there.
        Raises: ResultError if that step is not stored, or its file is torn or of another model.
        """
        adapter = self.job.experiment.adapter
        path, tensors = self._weights(step)
        if adapter is None:
            return _load(self._built(device), tensors, path).to(device).eval()
        model = self._started(device)
        self.adapter(model, step).to(device).attach(model)
        return model.to(device).eval()

    def adapter(self, model: LanguageModel, step: int | None = None) -> AdapterModule:
        """The adapter that it trained, after a step, for a model of the weights beside which it was; not put on.

        Raises: as `model`; ResultError for a run that trained a whole model, SpecError for a model that it does not
            fit.
        """
        spec = self.job.experiment.adapter
        if spec is None:
            do = "name the folder of a run with Experiment(adapter=...)"
            raise ResultError(str(self.path), "this run trained a whole model", "an adapter is needed", do)
        path, tensors = self._weights(step)
        return _load(spec.build(model, init=Init(seed=0), encode=self.tokenizer.encode), tensors, path)

    def whole_tensors(self) -> dict[str, Tensor]:
        """The last weights as those of one model: of a run with an adapter, its model's with the adapter merged.

        Raises: as `model`; ResultError for an adapter that cannot be merged.
        """
        if self.job.experiment.adapter is None:
            return self._weights(None)[1]
        model = self._started("cpu")
        module = self.adapter(model)
        if not module.merges:
            found = f"it holds a {type(self.job.experiment.adapter).__name__}, which cannot be written into weights"
            do = f"start from {self.job.experiment.start_from}, beside which it was trained"
            raise ResultError(str(self.path), found, "a whole model, or an adapter that can, is needed", do)
        module.merge(model)
        return model_tensors(model)

    def without_adapter(self) -> LanguageModel:
        """The model beside which its adapter was trained, on the CPU, in evaluation mode. Raises: as `model`."""
        return self._started("cpu").eval()

    @property
    def beside_sha256(self) -> str:
        """SHA-256 of the weights beside which its adapter was trained."""
        start = self.job.experiment.start_from
        if not isinstance(start, Arm):
            return str(self.job.start_sha256)
        parent = self._parent(start)
        done = self.folder.done
        return str(None if done is None else done.parents.get(f"{parent.arm}/seed{parent.seed}"))

    def _parent(self, start: Arm) -> Parent:
        return next(one for one in self.job.parents or () if one.arm == start.name)

    def _built(self, device: str) -> LanguageModel:
        """Its model, on the CPU, with weights that mean nothing yet."""
        spec = self.job.experiment.model
        where = Where(device, fused=self.job.settings.fused_attention)
        return spec.build(vocabulary=self.tokenizer.vocabulary, init=Init(seed=0), kernels=spec.kernels(where))

    def _started(self, device: str) -> LanguageModel:
        """The model beside which its adapter was trained, on the CPU."""
        named, digest = self.job.experiment.start_from, self.beside_sha256
        start = parent_folder(self.path, self._parent(named)) if isinstance(named, Arm) else Path(str(named))
        if not (start / WEIGHTS).is_file():
            found = f"it changes the weights of {start}, which are not there"
            do = f"name another run that has them: vslm sample RUN --adapter {self.path}"
            raise ResultError(str(self.path), found, f"weights with SHA-256 {digest[:12]} are needed", do)
        return _load(self._built(device), starting_tensors(start, digest), start / WEIGHTS)

    def models(
        self, say: Callable[[str], None], steps: Iterable[int] | None = None
    ) -> Iterator[tuple[int, LanguageModel]]:
        """The model of every stored step, or of some, in turn; torn files are named through `say` and passed over.

        Raises: as `check_readable`.
        """
        self.check_readable()
        for step in self.steps if steps is None else steps:
            try:
                model = self.model(step)
            except ResultError as error:
                say(f"passed over: {error}")
                continue
            yield step, model

    def weights_path(self, step: int) -> Path:
        """The file that holds the weights of a stored step."""
        return self.path / WEIGHTS if step == self.last_step else self.folder.kept_path(step)

    def _weights(self, step: int | None) -> tuple[Path, dict[str, Tensor]]:
        last = self.last_step
        if step is None and last is None:
            raise ResultError(str(self.path), self._why_no_last(), "a run that ended well is needed")
        if step is None or step == last:
            path = self.path / WEIGHTS
            self._check_sealed()
            try:
                return path, load_file(checked(path))
            except SafetensorError as error:
                raise ResultError(
                    str(path), f"cannot be read ({error})", "", "the file is torn; run it again"
                ) from None
        if step not in self.folder.kept_weights:
            there = ", ".join(f"{one:,}" for one in self.steps) or "none"
            do = "" if len(self.steps) > 1 else "train with Experiment(keep_weights=12) to keep more"
            raise ResultError(str(self.path), f"no weights of step {step:,}", f"stored are {there}", do)
        path = self.folder.kept_weights[step]
        return path, load_weights(path)

    def _check_sealed(self) -> None:
        """Refuse last weights, or what they are read with, that are not as the run wrote them.

        Raises: ResultError naming the file.
        """
        recorded = {} if self.folder.done is None else self.folder.done.files
        if damage := unlike(self.path, recorded, MODEL):
            raise ResultError(str(self.path), damage, "", f"{RUN_AGAIN}: give the command that ran the study")

    def _why_no_last(self) -> str:
        done = self.folder.done
        if done and not done.ended_well:
            return f"this run diverged at step {done.diverged_step}, and what its model gives is no text"
        return "no finished run"


def parent_folder(folder: Path, parent: Parent) -> Path:
    """Where a run of the same study lies that the run in a folder reads.

    Raises: ResultError where the folder lies in no study.
    """
    return study_folder_of(folder).run(parent.arm, parent.seed).path


def has_adapter(folder: Path) -> bool:
    """Whether the run in a folder trained an adapter, and so holds nothing else."""
    record = folder / "experiment.json"
    content = read_json(record) if record.is_file() else None
    try:
        return content["job"]["experiment"].get("adapter") is not None  # type: ignore[index]
    except (AttributeError, KeyError, TypeError):
        return False  # not the record of a run, which is said by who reads it as one


def starting_tensors(folder: Path, digest: str | None = None) -> dict[str, Tensor]:
    """The weights of a finished run, as training starts from them.

    Args:
        folder: of the run.
        digest: SHA-256 that their file had when they were chosen; None: not known.
    Raises: ResultError for another file, and as `StoredRun.whole_tensors`.
    """
    path = folder / WEIGHTS
    if digest is not None and (now := sha256(path)) != digest:
        found = f"these weights have SHA-256 {now[:12]}"
        raise ResultError(str(path), found, f"{digest[:12]} is needed: others were chosen", "bring the old file back")
    return StoredRun(folder).whole_tensors() if has_adapter(folder) else load_file(checked(path))


_M = TypeVar("_M", bound=nn.Module)


def _load(module: _M, tensors: dict[str, Tensor], path: Path) -> _M:
    """Copy stored tensors into a module.

    Raises: ResultError for those of another one.
    """
    try:
        load_model_tensors(module, tensors, str(path))
    except RunError as error:  # whole, and of another model
        raise ResultError(error.where, error.found, error.allowed, error.do) from None
    return module
