"""vslm: a laboratory for ideas about very small language models.

Names are imported when they are first used, so that `import vslm` and the command line stay quick.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "vslm.core.paths": ("vary",),
    "vslm.core.errors": ("VslmError", "SpecError", "DataError", "RunError", "ResultError"),
    "vslm.core.specs": ("Spec", "differences", "fingerprint", "to_plain"),
    "vslm.data.sources": ("Text", "StandardLibrary"),
    "vslm.data.splits": ("Splits",),
    "vslm.data.tokenizers": ("BPE", "Characters"),
    "vslm.models.language_model": ("Model", "uniform", "gpt2"),
    "vslm.models.blocks": ("Block",),
    "vslm.models.attention": ("Attention",),
    "vslm.models.feedforward": ("SwiGLU", "GELU"),
    "vslm.models.normalizers": ("Softmax", "Sigmoid", "Sink"),
    "vslm.models.norms": ("RMSNorm", "LayerNorm"),
    "vslm.models.positions": ("Rotary", "NoPositions"),
    "vslm.models.readouts": ("Tied", "Untied"),
    "vslm.models.residuals": ("PlainAdd", "ScaledAdd"),
    "vslm.models.roots": ("TokenRoot", "TokenPositionRoot"),
    "vslm.optim.adamw": ("AdamW",),
    "vslm.optim.schedules": ("WarmupCosine", "WarmupStableDecay"),
    "vslm.measure.loss_by_position": ("LossByPosition",),
    "vslm.lab.experiment": ("Experiment", "Budget", "Averaging", "FreshStart"),
    "vslm.lab.study": ("Study", "Primary"),
    "vslm.lab.matching": ("matched",),
    "vslm.lab.changes": ("Depth", "WidthScale", "FeedforwardMultiplier", "Loops"),
    "vslm.lab.screening": ("Screen",),
    "vslm.lab.tuning": ("LearningRates",),
    "vslm.cli": ("run",),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'vslm' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
