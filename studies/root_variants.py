"""Where may the token enter the residual stream, if the stream need not start from it?

Eleven arms, 4 layers of width 64. `shifted` is the control of which nothing is expected (a bias). `learned` is the
question itself: the stream starts as one learned vector at every position, and tokens are reached only through
attention. `memory-everywhere` adds that every block may read the tokens; `token-everywhere` is its control, the same
reading under a stream that starts from the token. `token-again` adds the token to the stream before every block: what
reading tokens late is worth without a learned root. `widened` has a narrower embedding and a learned part beside it;
`projected` is its control, as narrow and without the part. Feedforwards pay for what an arm adds or saves, so
parameters are equal within 0.5%, but for `two-streams`, which has 57% more (and 60% more FLOPs; `shared-two-streams`
has those FLOPs at equal parameters).

Every arm is screened; `token`, `shifted`, `learned` and the best two of the others are judged with tuned rates at a
quarter, one and four times the budget. Its own figure is the lens: how likely the current token is, read off the stream
after each block.

In an hour on two cores a run has about half a million tokens, and four times that at the largest budget,
where a model of this size has begun to use its context. Eight seeds resolve differences of about 0.05 nats: enough to
say whether a learned start costs much, not whether 0.01 is lost.
"""

from vslm import (
    BothReads,
    Budget,
    Experiment,
    FeedforwardMultiplier,
    InjectSum,
    Keep,
    LearningRates,
    LogitLens,
    LossByPosition,
    Primary,
    Screen,
    StandardLibrary,
    Study,
    learned_root,
    matched,
    mixed_root,
    projected_root,
    shared_two_streams,
    shifted_root,
    two_streams,
    uniform,
    vary,
    widened_root,
)

plain = uniform(depth=4, width=64, heads=4, context_tokens=256)
token = Experiment(
    model=plain,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200), LogitLens()),
)
again = InjectSum(of="token")
MODELS = {
    "shifted": shifted_root(plain),
    "mixed": mixed_root(plain, gate_per_coordinate=True),
    "learned": learned_root(plain),
    "shared-two-streams": shared_two_streams(plain),
    "widened": widened_root(plain, embedding_width=48),
    "projected": projected_root(plain, embedding_width=48),
    "token-again": vary(plain, {"path": (Keep(name="token"), "0", again, "1", again, "2", again, "3")}),
    "memory-everywhere": learned_root(plain, first_reads=BothReads(), later_reads=BothReads()),
    "token-everywhere": vary(plain, {"blocks.*.reads": BothReads()}),
}
arms = {
    name: matched(vary(token, {"model": model}), to=token, by="parameters", change=FeedforwardMultiplier())
    for name, model in MODELS.items()
}
STUDY = Study(
    question="Does the residual stream have to start from the token? Could it start from a learned value?",
    prediction="learned is worse than token by more than 0.01 nats; memory-everywhere is within 0.01 of it",
    baseline="token",
    arms={"token": token, **arms, "two-streams": vary(token, {"model": two_streams(plain)})},
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="parameters",
    unequal=("two-streams",),
    screen=Screen(controls=("shifted", "learned"), keep=2, budget_fraction=1),
    tune=LearningRates(),
    budgets=(0.25, 1, 4),
)
