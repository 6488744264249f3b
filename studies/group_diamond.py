"""Does the group's own diamond lose by its shape, or by how it starts?

`group-diamond` is their model (the nanoGPT fork, symmetric widths): GPT-2 layout without biases, characters, dropout
0.2, widths from a base up to a peak and down again in multiples of the head width, heads of constant width, a learned
part of deviation 1 where it widens, a matrix of deviation 0.02 and nothing else where it narrows, untied. Their run has
12 blocks from 384 to 1,024 with heads of 64, in batches of 16,384 characters; the numbers below can say that too. Their
optimizer and schedule are kept. What differs: weight decay leaves the two embeddings and the readout alone.

`widening-mended` and `narrowing-mended` each mend one half of its start. `group-diamond-mended` mends both, fixes the
embedding's width, matches the parameters of the baseline, and scales initial values and learning rates with the width;
`uniform-mended` is its partner, one width under the same rules. Theirs, as they are, have 6% more parameters than
`uniform` (10% without embeddings).
"""

from functools import partial

from vslm import (
    AdamW,
    Budget,
    Characters,
    Experiment,
    FanIn,
    LayerNorm,
    LearnedPad,
    LearningRates,
    Primary,
    Project,
    RateByWidth,
    StandardLibrary,
    Study,
    Untied,
    WarmupCosine,
    gpt2,
    ramp,
    tapered,
    vary,
)

DEPTH, BASE, PEAK, HEAD_WIDTH = 6, 64, 128, 16  # theirs: 12, 384, 1024, 64
CONTEXT_TOKENS, BATCH_WINDOWS = 256, 8  # theirs: 256, 64
WIDTHS = ramp(depth=DEPTH, base=BASE, peak=PEAK, multiple=HEAD_WIDTH)
MIDDLE = (BASE + PEAK) // 2


def layout(width: int):
    """Their model at one width, with a readout of its own."""
    heads = width // HEAD_WIDTH
    model = gpt2(depth=DEPTH, width=width, heads=heads, context_tokens=CONTEXT_TOKENS, dropout=0.2, bias=False)
    return vary(model, {"readout": Untied(norm=LayerNorm(bias=False))})


widen, shrink = partial(LearnedPad, std=1.0), partial(Project, std=0.02, identity=0.0)
theirs = partial(tapered, layout(BASE), widths=WIDTHS, feedforward="same ratio")
optimizer = AdamW(learning_rate=1e-3, betas=(0.9, 0.99))
baseline = Experiment(
    model=layout(MIDDLE),
    data=StandardLibrary(tokenizer=Characters()),
    budget=Budget(tokens=2_000_000),
    batch_tokens=BATCH_WINDOWS * CONTEXT_TOKENS,
    optimizer=optimizer,
    schedule=WarmupCosine(warmup_fraction=0.02, final_fraction=0.1),
)
by_fan_in = vary(layout(MIDDLE), {"blocks.*.scale": FanIn()})
rate_by_width = {"optimizer.rate_by_width": RateByWidth(reference_width=MIDDLE)}
mended = tapered(by_fan_in, widths=WIDTHS, resize=LearnedPad, narrow=Project)
arms = {
    "uniform": baseline,
    "uniform-mended": vary(baseline, {"model": by_fan_in, **rate_by_width}),
    "group-diamond": vary(baseline, {"model": theirs(resize=widen, narrow=shrink)}),
    "widening-mended": vary(baseline, {"model": theirs(resize=LearnedPad, narrow=shrink)}),
    "narrowing-mended": vary(baseline, {"model": theirs(resize=widen, narrow=Project)}),
    "group-diamond-mended": vary(baseline, {"model": mended, **rate_by_width}),
}
STUDY = Study(
    question="Does the group's diamond lose by its shape, or by how it starts?",
    prediction="as it is, clearly worse than uniform; mended, within 0.03 nats of it",
    baseline="uniform",
    arms=arms,
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="parameters",
    unequal=("group-diamond", "widening-mended", "narrowing-mended"),
    tune=LearningRates(),
)
