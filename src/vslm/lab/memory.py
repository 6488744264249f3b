"""What a training needs in memory at the least, against what this machine has, before anything is allocated.

Not for: saying how much it will take. This is a lower bound, so that nothing is refused that could be trained.
"""

import os

from vslm.core.errors import SpecError
from vslm.core.machine import memory_limit
from vslm.lab.experiment import Experiment

_BYTES_PER_NUMBER = 4  # fp32
_NUMBERS_PER_PARAMETER = 2  # its value and its gradient; most optimizers keep more


def machine_bytes() -> int | None:
    """Memory of this machine, or the part of it that this process may use; None where nobody says."""
    try:
        seen = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None
    limit = memory_limit()
    return seen if limit is None else min(seen, limit)


def least_bytes(experiment: Experiment, vocabulary: int) -> int:
    """Bytes that a step of training holds at once whatever computes it: parameters, gradients, and of each token of a
    micro-batch the stream at every visit.
    """
    model = experiment.model
    widths = sum(visit.around.width for visit in model.visits())
    numbers = _NUMBERS_PER_PARAMETER * model.num_parameters(vocabulary)
    numbers += experiment.tokens_per_step // experiment.accumulation * widths
    return _BYTES_PER_NUMBER * numbers


def check_memory(experiment: Experiment, vocabulary: int, machine: int | None) -> None:
    """Refuse a model or a batch that this machine cannot hold.

    Args:
        experiment: that is to be trained.
        vocabulary: ids of its corpus.
        machine: bytes of memory; None: not known, so nothing is refused.
    Raises: SpecError at the model.
    """
    needed = least_bytes(experiment, vocabulary)
    if machine is not None and needed > machine:
        parameters = experiment.model.num_parameters(vocabulary)
        found = (
            f"{parameters:,} parameters and {experiment.tokens_per_step:,} tokens a step need "
            f"{needed / 1024**3:,.0f} GB of memory or more"
        )
        allowed = f"this machine has {machine / 1024**3:,.0f} GB"
        raise SpecError("model", found, allowed, "choose a smaller width, depth, vocabulary or batch_tokens")
