"""A job: one arm with one seed, as a record. Running it is a pure function of the record and a folder."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vslm.core.bounds import Seed, Some, Tokens
from vslm.core.specs import Spec, fingerprint
from vslm.models.language_model import Model
from vslm.models.parts.kernels import Where
from vslm.results.files import sha256
from vslm.study.experiment import Experiment
from vslm.training.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Settings(Spec):
    """What is chosen once per study and used by every arm, seed and resume.

    Args:
        device: "cpu", "cuda" or "mps".
        precision: of the forward pass.
        compiled: whether the loss goes through torch.compile.
        threads: of one run; bitwise equality holds for a fixed number.
        fused_attention: whether a CPU computes attention with torch's fused one, where that serves it.
    """

    device: Literal["cpu", "cuda", "mps"]
    precision: Precision
    compiled: bool
    threads: Some
    fused_attention: bool = field(default=False, metadata={"in_fingerprint": "when set"})

    @property
    def where(self) -> Where:
        """Where attention runs."""
        return Where(self.device, fused=self.fused_attention)


@dataclass(frozen=True, kw_only=True)
class Parent(Spec):
    """A run of the same study that another one starts from or learns from.

    Args:
        arm: of the study, or a trunk.
        seed: of the run.
        fingerprint: of its job. What it will come to has no name before it is trained, so this one names it.
    """

    arm: str
    seed: Seed
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Job(Spec):
    """Everything that decides the numbers of one run.

    Args:
        arm: its name, for messages.
        experiment: what to train.
        stages_tokens: tokens of each stage; every stage goes through the whole schedule. More than one when a finished
            run went on.
        init_seed: of the initial weights.
        data_seed: of the order of batches.
        settings: of the study.
        corpus: fingerprint.
        start_sha256: of the weights to start from; None: new ones.
        split: where it is evaluated: "val" for verdicts, "select" for choices made during a study. What is written is
            named after it (`val_loss`, `select_loss`), so that no choice can read `val` by mistake.
        objective_sha256: of the weights of the runs that the objective reads; None: it reads none.
        objective_corpora: fingerprints of the further corpora that the objective reads, in its order; None: it reads
            none.
        chosen_by: the measure that a run which is made to choose takes, once, at its end, by the name that it is
            recorded under; None: the loss says it all.
        own_code: a digest of the code of classes that are not the package's; None: there is none, or the run is older
            than this field.
        parents: the runs of the same study that it reads; None: it reads none.
        stand_ins: models of arms of the study that need not be trained, for a timing: with new weights they cost what
            trained ones do. None: runs are read as they are.
    """

    arm: str
    experiment: Experiment
    stages_tokens: tuple[Tokens, ...]
    init_seed: Seed
    data_seed: Seed
    settings: Settings
    corpus: str
    start_sha256: str | None = None
    split: Literal["val", "select"] = "val"
    objective_sha256: tuple[str, ...] | None = field(default=None, metadata={"in_fingerprint": "when set"})
    objective_corpora: tuple[str, ...] | None = field(default=None, metadata={"in_fingerprint": "when set"})
    chosen_by: str | None = field(default=None, metadata={"in_fingerprint": "when set"})
    own_code: str | None = field(default=None, metadata={"in_fingerprint": False})  # but see `_named`
    parents: tuple[Parent, ...] | None = field(default=None, metadata={"in_fingerprint": "when set"})
    stand_ins: Mapping[str, Model] | None = field(default=None, metadata={"in_fingerprint": "when set"})

    @property
    def fingerprint(self) -> str:
        """Names the run: equal records give equal numbers."""
        return _named(self)

    @property
    def lineage(self) -> str:
        """Names all jobs that may go on from one another's checkpoints: the same but for how many stages they have."""
        return _named(dataclasses.replace(self, stages_tokens=self.stages_tokens[:1]))

    @property
    def is_made_to_choose(self) -> bool:
        """Whether its last loss is all that anybody will ask for: nothing is measured or looked at on the way."""
        return self.split == "select"

    @property
    def stages_steps(self) -> tuple[int, ...]:
        """Optimizer steps of each stage."""
        return tuple(max(1, round(tokens / self.experiment.tokens_per_step)) for tokens in self.stages_tokens)


def _named(job: Job) -> str:
    # Jobs of the package's own classes keep the names that they always had.
    return fingerprint(job) if job.own_code is None else fingerprint({"job": job, "own_code": job.own_code})


def digest_of(parts: Mapping[str, str] | None) -> str | None:
    """The name of a code that is recorded as a digest of every part; None for none."""
    if not parts:
        return None
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()[:12]


def objective_checksums(experiment: Experiment) -> tuple[str, ...] | None:
    """SHA-256 of the weights of every run that the objective reads by its folder, and of every other file, or None for
    none. They must be there. Arms of the study are named by their jobs, see `Parent`.
    """
    if experiment.objective is None:
        return None
    runs = (run for run in experiment.objective.runs() if isinstance(run, str))
    weights = tuple(Path(run) / "weights.safetensors" for run in runs)
    return tuple(map(sha256, weights + experiment.objective.files())) or None


def start_checksum(experiment: Experiment) -> str | None:
    """SHA-256 of the weights of the folder that an experiment starts from, or None for new ones, and for an arm of the
    study. They must be there.
    """
    if isinstance(experiment.start_from, str):
        return sha256(Path(experiment.start_from) / "weights.safetensors")
    return None
