"""Adapters put on the model of another run than their own: `vslm sample RUN --adapter FOLDER`.

An adapter's folder is the folder of its run. `weights.safetensors` holds the adapter alone; `experiment.json` says what
it is (`job.experiment.adapter`) and beside which weights it was trained (`job.start_sha256`, SHA-256 of their file). So
it can be put on any run with these weights, wherever that lies, and with others that were trained beside them.
"""

from collections.abc import Iterable
from pathlib import Path

from vslm.core.errors import ResultError, SpecError
from vslm.models.adapters.adapter import AdapterModule, Attachment
from vslm.models.language_model import LanguageModel
from vslm.results.files import sha256
from vslm.runs.stored_run import WEIGHTS, StoredRun

_DIGITS = 12  # of a SHA-256, in a message


def modules_of(
    model: LanguageModel, run: StoredRun, folders: Iterable[Path], *, trust: bool = False
) -> list[AdapterModule]:
    """The adapters of runs, for the model of another one; not put on.

    Args and errors: as of `put_on`.
    """
    runs = [StoredRun(folder, trust=trust) for folder in folders]
    weights = {sha256(run.path / WEIGHTS)}
    if run.job.experiment.adapter is not None:
        weights.add(str(run.job.start_sha256))
    modules = []
    for other in runs:
        beside = str(other.job.start_sha256)
        if other.job.experiment.adapter is not None and beside not in weights:
            found = (
                f"it was trained beside other weights ({other.job.experiment.start_from}, SHA-256 {beside[:_DIGITS]})"
            )
            allowed = f"{run.path} has {' and '.join(sorted(one[:_DIGITS] for one in weights))}"
            raise ResultError(str(other.path), found, allowed, "name the run that it was trained beside, or a copy")
        try:
            modules.append(other.adapter(model))
        except SpecError as error:
            raise ResultError(str(other.path), f"{error.where}: {error.found}", error.allowed, error.do) from None
    return modules


def put_on(model: LanguageModel, run: StoredRun, folders: Iterable[Path], *, trust: bool = False) -> list[Attachment]:
    """Put the adapters of runs on the model of another one; what they do adds up.

    Args:
        model: of `run`, with its last weights. If that run trained an adapter itself, it is on.
        run: whose model it is.
        folders: of the runs that trained the adapters.
        trust: whether code in the folders is run even if this user did not run it before.
    Returns: one attachment for each; `remove()` takes it off.
    Raises: ResultError, before anything is put on, for a folder without a finished adapter, and for one that was
        trained beside other weights than the run's.
    """
    return [module.attach(model) for module in modules_of(model, run, folders, trust=trust)]
