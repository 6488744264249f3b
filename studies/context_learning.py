"""When does a model learn to use its context, and how many layers does it take?

A context is used by copying: find where the last token stood before, and expect what came after it. That takes two
layers of attention, one that looks a token back and one that compares (an induction head); one layer can do little more
than count what is there. So one layer should gain little from far context however long it is trained, and two or four
should begin to gain at some step, and quickly.

What is measured: the same targets, given the last 1, 2, 4 ... 256 tokens (`ContextCurve`), at log-spaced steps; and the
loss by position from windows and from document starts (`PositionProfile`). The verdict is about the last quarter of the
window, where far context counts most. The report shows how much the curve falls beyond the last 32 tokens, and since
which step. Measuring takes about a sixth of the time of a run.

Layers are not made equal in size: the question is what a layer can do, not what it costs. Source code repeats its
names, so there is much to copy in `StandardLibrary`. A high rate and sharp scores as in `quickstart.py`, because at so
small a budget a model that learns slowly never gets to its context.
"""

from vslm import (
    AdamW,
    Budget,
    ContextCurve,
    Experiment,
    LossByPosition,
    PositionProfile,
    Primary,
    StandardLibrary,
    Study,
    uniform,
    vary,
)

CONTEXT_TOKENS, BASELINE_LAYERS = 256, 2


def layers(depth: int) -> Experiment:
    """A plain model of so many layers."""
    return Experiment(
        model=vary(
            uniform(depth=depth, width=128, heads=4, context_tokens=CONTEXT_TOKENS, qk_norm=True),
            {"blocks.*.attention.normalizer.temperature": 0.4},
        ),
        data=StandardLibrary(vocabulary=1024),
        budget=Budget(tokens=1_500_000),
        optimizer=AdamW(learning_rate=0.006, clip_norm=0.3),
        measures=(
            LossByPosition(num_evaluations=16),
            ContextCurve(num_evaluations=12, num_tokens=49_152),
            PositionProfile(),
        ),
    )


STUDY = Study(
    question="When does a model learn to use its context, and how many layers does it take?",
    prediction="one layer gains far less from far context than two; two and four gain it suddenly",
    baseline=f"layers-{BASELINE_LAYERS}",
    arms={f"layers-{depth}": layers(depth) for depth in (1, BASELINE_LAYERS, 4)},
    seeds=3,
    primary=Primary("val_loss", positions=(192, CONTEXT_TOKENS), smallest_effect=0.05),
    pilot=None,  # when a baseline begins is what it asks
)
