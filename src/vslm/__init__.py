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
    "vslm.data.sources": ("Text", "StandardLibrary", "AssociativeRecall"),
    "vslm.data.splits": ("Splits",),
    "vslm.data.tokenizers": ("BPE", "Characters"),
    "vslm.models.language_model": ("Model", "uniform", "gpt2"),
    "vslm.models.blocks": ("Block",),
    "vslm.models.resizes": ("ZeroPad", "LearnedPad", "Carry", "Project", "UNet"),
    "vslm.models.shapes": (
        "knots",
        "increasing",
        "decreasing",
        "small_large_small",
        "large_small_large",
        "permuted",
        "ramp",
        "sized",
        "tapered",
    ),
    "vslm.models.context_windows": (
        "every_full",
        "matched_windows",
        "window_patterns",
        "windowed",
        "reach",
        "visible_keys",
    ),
    "vslm.models.attention": ("Attention",),
    "vslm.models.exits": ("Exit",),
    "vslm.models.feedforward": ("SwiGLU", "GELU"),
    "vslm.models.gates": ("SigmoidGate", "SignedPower"),
    "vslm.models.normalizers": (
        "Softmax",
        "Sigmoid",
        "Sink",
        "Power",
        "LengthPower",
        "HeadGain",
        "WeightPower",
        "SSMax",
    ),
    "vslm.models.norms": ("RMSNorm", "LayerNorm"),
    "vslm.models.patterns": (
        "INJECT_MATRIX",
        "INJECT_SUM",
        "Stack",
        "ahead",
        "cycle",
        "cycle_reversed",
        "looped",
        "repeat_each",
        "share_attention",
        "share_feedforward",
        "shifted",
    ),
    "vslm.models.positions": ("Rotary", "NoPositions"),
    "vslm.models.readouts": ("Tied", "TiedProjected", "Untied"),
    "vslm.models.reads": ("StreamReads", "MemoryReads", "BothReads"),
    "vslm.models.repeats": ("PerLoop", "PoissonLognormalLoops", "Repeat", "UniformLoops"),
    "vslm.models.residuals": ("PlainAdd", "ScaledAdd"),
    "vslm.models.scales": ("FanIn", "FixedStd"),
    "vslm.models.roots": ("TokenRoot", "TokenPositionRoot"),
    "vslm.models.learned_roots": ("LearnedRoot", "ShiftedRoot", "MixedRoot", "WidenedRoot", "ProjectedRoot"),
    "vslm.models.root_layouts": (
        "shifted_root",
        "mixed_root",
        "learned_root",
        "widened_root",
        "projected_root",
        "two_streams",
        "shared_two_streams",
    ),
    "vslm.models.shares": ("LowRank", "Shares"),
    "vslm.models.states": (
        "AddVector",
        "InjectMatrix",
        "InjectSum",
        "Keep",
        "LearnedState",
        "NoiseState",
        "Return",
        "ShiftedState",
    ),
    "vslm.models.two_streams": ("MemoryBlock", "TwoStreamBlock"),
    "vslm.optim.adamw": ("AdamW",),
    "vslm.optim.rate_by_width": ("RateByWidth",),
    "vslm.optim.schedules": ("WarmupCosine", "WarmupStableDecay"),
    "vslm.measure.loss_by_position": ("LossByPosition",),
    "vslm.measure.loss_by_loops": ("LossByLoops",),
    "vslm.measure.measure": ("Measure", "Taker"),
    "vslm.measure.logit_lens": ("LogitLens",),
    "vslm.measure.attention_distance": ("AttentionDistance",),
    "vslm.measure.context_curve": ("ContextCurve",),
    "vslm.measure.position_profile": ("PositionProfile",),
    "vslm.measure.early_days": ("EarlyDays",),
    "vslm.measure.residual_norms": ("ResidualNorms",),
    "vslm.measure.parameter_track": ("ParameterTrack",),
    "vslm.measure.prompt_effect": ("PromptEffect",),
    "vslm.measure.recall_accuracy": ("RecallAccuracy",),
    "vslm.measure.copy_gain": ("CopyGain",),
    "vslm.measure.prefix_matching": ("PrefixMatching",),
    "vslm.measure.token_classes": ("TokenClasses",),
    "vslm.measure.effective_rank": ("EffectiveRank",),
    "vslm.measure.token_probe": ("TokenProbe",),
    "vslm.measure.attention_maps": ("AttentionMaps",),
    "vslm.measure.beyond_context": ("BeyondContext",),
    "vslm.measure.token_table": ("TokenTable", "token_table"),
    "vslm.measure.token_view": ("TokenView",),
    "vslm.measure.watch": ("watch", "watchable"),
    "vslm.lab.experiment": ("Experiment", "Budget", "Averaging", "FreshStart"),
    "vslm.lab.study": ("Study", "Primary"),
    "vslm.lab.matching": ("matched",),
    "vslm.lab.rematch": ("rematch",),
    "vslm.lab.changes": ("Depth", "WidthScale", "FeedforwardMultiplier", "Loops"),
    "vslm.lab.screening": ("Screen",),
    "vslm.lab.tuning": ("LearningRates",),
    "vslm.results.folder": ("StudyFolder",),
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
