"""In which number format the forward pass runs. Parameters, gradients and optimizer state are fp32 in every one."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[object]:
    """The context for a forward pass: bf16 matrix products by torch's autocast rules, or nothing for fp32."""
    if precision == "bf16":
        # The cache of cast weights would keep a stale copy when evaluations and steps share one graph.
        return torch.autocast(device_type, dtype=torch.bfloat16, cache_enabled=False)
    return nullcontext()
