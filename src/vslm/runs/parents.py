"""The runs of the same study that a job starts from or learns from: found beside it, and held to what they ended as.

    runs/<study>/knows/seed3/        the run of the arm, or trunk, "knows" that seed 3 of another arm reads

A run that was made again as another one, that diverged, or whose weights are gone or changed is refused in words.

Not for: runs of other studies, which an experiment names by their folder (`stored_run.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vslm.core.errors import ResultError
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.objectives.arm import Arm
from vslm.results.folder import RUN_AGAIN
from vslm.runs.stored_run import WEIGHTS, StoredRun, parent_folder, starting_tensors
from vslm.study.job import Job, Parent


@dataclass(frozen=True)
class ParentRuns:
    """What a job reads of its study.

    Args:
        parents: by name.
        folder: of the run that reads them; None: a job that reads none, or a timing.
        job: whose `stand_ins` serve for a timing.
        vocabulary: of its corpus.
    """

    parents: Mapping[str, Parent] = field(default_factory=dict)
    folder: Path | None = None
    job: Job | None = None
    vocabulary: int = 0

    @classmethod
    def of(cls, job: Job, folder: Path | None, vocabulary: int) -> "ParentRuns":
        """Those of a job, whose run lies in `folder`."""
        return cls({one.arm: one for one in job.parents or ()}, folder, job, vocabulary)

    def tensors(self, arm: Arm) -> dict[str, Tensor] | None:
        """The weights to start from; None for a timing, which starts from new ones.

        Raises: ResultError as `path_of`, and as `starting_tensors`.
        """
        if self._stands_in:
            return None
        path, digest = self.path_of(arm.name)
        return starting_tensors(path, digest)

    def model(self, run: str | Arm, device: str) -> LanguageModel:
        """The model of a finished run, of the study or by its folder, without gradients.

        Raises: ResultError as `path_of` and `StoredRun.model`.
        """
        if isinstance(run, Arm) and self._stands_in:
            assert self.job is not None
            assert self.job.stand_ins is not None
            spec, where = self.job.stand_ins[run.name], self.job.settings.where
            model = spec.build(vocabulary=self.vocabulary, init=Init(seed=0), kernels=spec.kernels(where))
            return model.to(device).eval().requires_grad_(requires_grad=False)
        path = self.path_of(run.name)[0] if isinstance(run, Arm) else Path(run)
        return StoredRun(path).model(device=device).requires_grad_(requires_grad=False)

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the weights of every one, by ARM/seedK. Raises: ResultError as `path_of`."""
        if self.folder is None:
            return {}
        return {f"{name}/seed{one.seed}": self.path_of(name)[1] for name, one in self.parents.items()}

    def path_of(self, name: str) -> tuple[Path, str]:
        """The folder of one, and the SHA-256 that it recorded of its weights.

        Raises: ResultError where it is not finished, diverged, was made as another run, or lacks its weights.
        """
        assert self.folder is not None
        parent = self.parents[name]
        path = parent_folder(self.folder, parent)
        said = f"{parent.arm} seed {parent.seed}, which this run reads,"
        run = StoredRun(path).folder
        if run.damage is not None:
            raise ResultError(str(path), f"{said} is not as it was written: {run.damage}", "", RUN_AGAIN)
        done = run.done
        if done is None:
            why = f": {run.failed.splitlines()[-1]}" if run.failed else ""
            raise ResultError(str(path), f"{said} is not finished{why}", "it has to end first", RUN_AGAIN)
        if done.fingerprint != parent.fingerprint:
            found = f"{said} is another run now ({done.fingerprint}, and {parent.fingerprint} is needed)"
            raise ResultError(str(path), found, "", RUN_AGAIN)
        if not done.ended_well:
            found = f"{said} diverged at step {done.diverged_step}"
            raise ResultError(str(path), found, "a run that ended well is needed")
        if not (path / WEIGHTS).is_file():
            raise ResultError(str(path), f"{said} has no weights any more", f"{WEIGHTS} is needed", RUN_AGAIN)
        return path, done.files[WEIGHTS]

    @property
    def _stands_in(self) -> bool:
        return self.job is not None and self.job.stand_ins is not None
