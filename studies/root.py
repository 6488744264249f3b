"""Does the residual stream have to start from the token? Could it start from a learned value?

Four arms, 4 layers of width 64, long enough that the baseline uses its context. `learned` is the question: the stream
starts as one learned vector at every position, and tokens are reached only through the attention of the first block.
`memory-everywhere` adds that every block may read the tokens; `token-everywhere` is its control, the same reading under
a stream that starts from the token. Feedforwards pay for what an arm adds or saves, so parameters are equal within
0.5%. Its own figure is the lens: how likely the current token is, read off the stream after each block.

4 million tokens a run: with a twentieth of that a learned start had hardly left the frequencies of single tokens, and
the answer was about the first steps only. Every other place where the token might enter: `root_variants.py`.
"""

from vslm import (
    BothReads,
    Budget,
    Experiment,
    FeedforwardMultiplier,
    LogitLens,
    LossByPosition,
    Muon,
    Primary,
    StandardLibrary,
    Study,
    learned_root,
    matched,
    uniform,
    vary,
)

plain = uniform(depth=4, width=64, heads=4, context_tokens=128)
token = Experiment(
    model=plain,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=4_000_000),
    optimizer=Muon(learning_rate=0.0125, rest_ratio=0.45),
    measures=(LossByPosition(num_evaluations=16, num_tokens=10_240, num_final_tokens=102_400), LogitLens()),
)
MODELS = {
    "learned": learned_root(plain),
    "memory-everywhere": learned_root(plain, first_reads=BothReads(), later_reads=BothReads()),
    "token-everywhere": vary(plain, {"blocks.*.reads": BothReads()}),
}
STUDY = Study(
    question="Does the residual stream have to start from the token? Could it start from a learned value?",
    prediction="learned is worse than token by 0.05 to 0.5 nats; memory-everywhere is within 0.05 of token",
    baseline="token",
    arms={
        "token": token,
        **{
            name: matched(vary(token, {"model": model}), to=token, by="parameters", change=FeedforwardMultiplier())
            for name, model in MODELS.items()
        },
    },
    seeds=4,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="parameters",
)
