"""Should a small model be wider in the middle, or narrower?

Six blocks with one multiset of widths in every order, against six of width 112: two of 64, two of 112, two of 144, with
heads of 16. The embedding is 112 wide in all of them, and the feedforwards pay for what a shape or a resize costs, so
that parameters agree within 0.5%. Initial values and learning rates follow the fan-in in every arm.

`group-diamond` widens and narrows as the group's own code does (a learned part of deviation 1, on the way down a matrix
of deviation 0.02 without an identity), on the layout of the other arms; `group-diamond-mended` is the same with a
learned part that starts at 0 and a matrix that starts at the identity. Their whole model is in `group_diamond.py`.
"""

from functools import partial

from vslm import (
    AdamW,
    Budget,
    Carry,
    Experiment,
    LearnedPad,
    Primary,
    Project,
    RateByWidth,
    StandardLibrary,
    Study,
    UNet,
    ZeroPad,
    decreasing,
    increasing,
    large_small_large,
    permuted,
    small_large_small,
    tapered,
    uniform,
    vary,
)

WIDTH, WIDTHS, HEAD_WIDTH = 112, (64, 64, 112, 112, 144, 144), 16
FOUR_HEADS = 4  # divides every width into heads of an even width, which rotary positions need
plain = uniform(depth=len(WIDTHS), width=WIDTH, heads=WIDTH // HEAD_WIDTH, context_tokens=256)
baseline = Experiment(
    model=plain,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=2_000_000),
    optimizer=AdamW(learning_rate=0.004, rate_by_width=RateByWidth(reference_width=WIDTH)),
)
diamond = partial(tapered, plain, widths=small_large_small(WIDTHS))
MODELS = {
    "diamond": diamond(resize=Carry),
    "bowtie": tapered(plain, widths=large_small_large(WIDTHS)),
    "increasing": tapered(plain, widths=increasing(WIDTHS)),
    "decreasing": tapered(plain, widths=decreasing(WIDTHS)),
    "permuted": tapered(plain, widths=permuted(WIDTHS)),
    "diamond-zeros": diamond(resize=ZeroPad),
    "diamond-learned": diamond(resize=LearnedPad),
    "diamond-project": diamond(resize=Project),
    "diamond-unet": diamond(resize=UNet),
    "diamond-4-heads": tapered(
        vary(plain, {"blocks.*.attention.heads": FOUR_HEADS}),
        widths=small_large_small(WIDTHS),
        heads="constant head count",
    ),
    "group-diamond": diamond(
        resize=partial(LearnedPad, std=1.0), narrow=partial(Project, std=0.02, identity=0.0), ends=ZeroPad
    ),
    "group-diamond-mended": diamond(resize=LearnedPad, narrow=Project, ends=ZeroPad),
}
STUDY = Study(
    question="Diamond or the opposite: what does the model dimension do through the depth?",
    prediction="bowtie <= uniform < diamond by 0.00 to 0.03 nats; the group's diamond, with its start, is the worst",
    baseline="uniform",
    arms={"uniform": baseline, **{name: vary(baseline, {"model": model}) for name, model in MODELS.items()}},
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
)
