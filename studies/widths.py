"""Should a small model be wider in the middle, or narrower?

Six blocks with one multiset of widths in every order, against six of width 56: two of 32, two of 56, two of 72, with
heads of 8. The embedding is 56 wide in all of them, and the feedforwards pay for what a shape or a resize costs, so
that parameters agree within 0.5%. Initial values and learning rates follow the fan-in in every arm.

`group-diamond` widens and narrows as the group's own code does (a learned part of deviation 1, on the way down a matrix
of deviation 0.02 without an identity), on the layout of the other arms; `group-diamond-mended` is the same with a
learned part that starts at 0 and a matrix that starts at the identity. Their whole model is in `group_diamond.py`.
`diamond-4-heads` has as many heads in every block, which are wider in the middle; its partner is `uniform-4-heads`.

Every arm is screened. The two that the question names, `diamond` and `bowtie`, are judged whatever comes out, and
beside them the best of the others, `permuted` among them, the control that has the widths without a shape; with tuned
rates, at three budgets. All shapes and resizes stand in the figure of the screening, without an interval.

In an hour on two cores a run has about 0.4 million tokens, and four times that at the largest budget;
eight seeds resolve about 0.05 nats, where 0.00 to 0.03 are expected. Of the expected differences the hour can show only
the largest, that of a bad start. Larger: change the numbers in the line of WIDTH; theirs have heads of 64.
"""

from functools import partial

from vslm import (
    AdamW,
    Budget,
    Carry,
    Experiment,
    LearnedPad,
    LearningRates,
    LossByPosition,
    Primary,
    Project,
    RateByWidth,
    Screen,
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

WIDTH, WIDTHS, HEAD_WIDTH = 56, (32, 32, 56, 56, 72, 72), 8
FOUR_HEADS = 4  # divides every width into heads of an even width, which rotary positions need
plain = uniform(depth=len(WIDTHS), width=WIDTH, heads=WIDTH // HEAD_WIDTH, context_tokens=256)
baseline = Experiment(
    model=plain,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    optimizer=AdamW(learning_rate=0.004, rate_by_width=RateByWidth(reference_width=WIDTH)),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200),),
)
four_heads = vary(plain, {"blocks.*.attention.heads": FOUR_HEADS})
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
    "uniform-4-heads": four_heads,
    "diamond-4-heads": tapered(
        four_heads,
        widths=small_large_small(WIDTHS),
        heads="constant head count",
    ),
    "group-diamond": diamond(resize=partial(LearnedPad, std=1.0), narrow=partial(Project, std=0.02, identity=0.0)),
    "group-diamond-mended": diamond(resize=LearnedPad, narrow=Project),
}
STUDY = Study(
    question="Diamond or the opposite: what does the model dimension do through the depth?",
    prediction="bowtie <= uniform < diamond by 0.00 to 0.03 nats; the group's diamond, with its start, is the worst",
    baseline="uniform",
    arms={"uniform": baseline, **{name: vary(baseline, {"model": model}) for name, model in MODELS.items()}},
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="parameters",
    screen=Screen(controls=("diamond", "bowtie"), keep=1, budget_fraction=1),
    tune=LearningRates(),
    budgets=(0.25, 1, 4),
)
