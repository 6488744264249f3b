"""What a training needs in memory at the least, against what this machine has, before anything is allocated.

Not for: saying how much it will take. This is a lower bound, so that nothing is refused that could be trained.
"""

import math
import os
from typing import get_args

from vslm.core.declarations import place_of_class
from vslm.core.errors import SpecError
from vslm.core.machine import memory_limit
from vslm.core.types import describe
from vslm.optim.groups import Role
from vslm.optim.optimizer import Optimizer
from vslm.study.experiment import Experiment

_BYTES_PER_NUMBER = 4  # fp32


def machine_bytes() -> int | None:
    """Memory of this machine, or the part of it that this process may use; None where nobody says."""
    try:
        seen = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None
    limit = memory_limit()
    return seen if limit is None else min(seen, limit)


def least_bytes(experiment: Experiment, vocabulary: int) -> int:
    """Bytes that a step of training holds at once whatever computes it: parameters, gradients, the optimizer's state,
    and of each token of a micro-batch the stream at every visit.
    """
    model = experiment.model
    widths = sum(visit.around.width for visit in model.visits())
    gradients = experiment.num_trained_parameters(vocabulary)
    numbers = experiment.num_parameters(vocabulary) + gradients + state_numbers(experiment, vocabulary)
    numbers += experiment.tokens_per_step // experiment.accumulation * widths
    return _BYTES_PER_NUMBER * numbers


def state_numbers(experiment: Experiment, vocabulary: int) -> int:
    """Numbers that the optimizer keeps from step to step, or a few less: what is no table counts as the role that keeps
    fewest, since a model is counted before it is built, and its roles are known only afterwards.
    """
    optimizer = experiment.optimizer
    assert optimizer is not None  # filled in when the experiment was made
    if experiment.adapter is not None:
        fewest = min(_kept(optimizer, role) for role in get_args(Role))
        return int(experiment.num_trained_parameters(vocabulary) * fewest)
    rest = experiment.model.num_parameters_without_embeddings(vocabulary)
    tables = experiment.model.num_parameters(vocabulary) - rest
    fewest = min(_kept(optimizer, role) for role in ("matrix", "vector", "stream map"))
    return int(tables * _kept(optimizer, "embedding") + rest * fewest)


def _kept(optimizer: Optimizer, role: Role) -> float:
    found = optimizer.state_per_parameter(role)
    if not isinstance(found, int | float) or not 0 <= found < math.inf:
        kind = type(optimizer)
        said = f"{kind.__name__}.state_per_parameter({role!r}) returned {describe(found)}"
        raise SpecError(place_of_class(kind), said, "a number of 0 or more is needed: how many are kept for each")
    return found


def check_memory(experiment: Experiment, vocabulary: int, machine: int | None) -> None:
    """Refuse a model or a batch that this machine cannot hold.

    Args:
        experiment: that is to be trained.
        vocabulary: ids of its corpus.
        machine: bytes of memory; None: not known, so nothing is refused.
    Raises: SpecError at the model.
    """
    try:
        parameters = experiment.model.num_parameters(vocabulary)
    except SpecError as error:
        raise error.within("model") from None
    needed = least_bytes(experiment, vocabulary)
    if machine is not None and needed > machine:
        found = (
            f"{parameters:,} parameters and {experiment.tokens_per_step:,} tokens a step need "
            f"{needed / 1024**3:,.0f} GB of memory or more"
        )
        allowed = f"this machine has {machine / 1024**3:,.0f} GB"
        raise SpecError("model", found, allowed, "choose a smaller width, depth, vocabulary or batch_tokens")
