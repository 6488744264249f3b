"""Does the residual stream have to start from the token? Could it start from a learned value?

Nine arms on the text of Python's standard library, 4 layers of width 128. `token` is the plain model; `shifted` is the
control of which nothing is expected; `wide-token` has the parameters of `memory-everywhere` in wider feedforwards.
`two-streams` costs nearly twice the FLOPs of `token`: read it beside its own row of the plan.
"""

from vslm import (
    BothReads,
    Budget,
    Experiment,
    Primary,
    StandardLibrary,
    Study,
    learned_root,
    mixed_root,
    shared_two_streams,
    shifted_root,
    two_streams,
    uniform,
    vary,
    widened_root,
)

WIDER_HIDDEN = 432  # 344 and what the key and value of a memory of width 128 cost, in whole eights

plain = uniform(depth=4, width=128, heads=4, context_tokens=256)
token = Experiment(model=plain, data=StandardLibrary(vocabulary=1024), budget=Budget(tokens=2_000_000))
models = {
    "token": plain,
    "shifted": shifted_root(plain),
    "mixed": mixed_root(plain, gate_per_coordinate=True),
    "learned": learned_root(plain),
    "two-streams": two_streams(plain),
    "shared-two-streams": shared_two_streams(plain),
    "widened": widened_root(plain, embedding_width=96),
    "memory-everywhere": learned_root(plain, first_reads=BothReads(), later_reads=BothReads()),
    "wide-token": vary(plain, {"blocks.*.feedforward.hidden": WIDER_HIDDEN}),
}
STUDY = Study(
    question="Does the residual stream have to start from the token? Could it start from a learned value?",
    prediction="learned is worse than token by more than 0.01 nats; memory-everywhere is within 0.01 of wide-token",
    baseline="token",
    arms={name: vary(token, {"model": model}) for name, model in models.items()},
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
)
