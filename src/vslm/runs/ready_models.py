"""The model of a finished run for who reads with it: a retriever, a source that retrieves."""

from pathlib import Path

from vslm.knowledge.retriever import ReadyModel
from vslm.runs.stored_run import StoredRun


def ready_model(run: str, *, trust: bool = False) -> ReadyModel:
    """The model of a run with its last weights, on the CPU.

    Args:
        run: its folder: runs/NAME/ARM/seed0.
        trust: whether code in the folder is run even if this user did not run it before.
    Raises: ResultError as `StoredRun` does.
    """
    stored = StoredRun(Path(run), trust=trust)
    return ReadyModel(stored.model(), stored.tokenizer)
