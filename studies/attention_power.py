"""Power scaling of the sum of the attention score values: does a softmax denominator raised to another power help?

y = sum_s exp(score_s) v_s / (sum_s exp(score_s)) ** p is softmax's output times exp((1 - p) LSE), so every arm is a
volume on what a head found, and the controls are volumes that know less (per head, by length) or other things (a sink,
the scores, the stream). All arms norm queries and keys: without it, a power far from 1 turns the size of the keys,
which grows in training, into a volume.
"""

from vslm import (
    Budget,
    Experiment,
    HeadGain,
    LengthPower,
    LossByPosition,
    Power,
    Primary,
    Sigmoid,
    SigmoidGate,
    Sink,
    SSMax,
    StandardLibrary,
    Study,
    uniform,
    vary,
)

NORMALIZER = "model.blocks.*.attention.normalizer"
plain = Experiment(
    model=uniform(depth=4, width=128, heads=4, context_tokens=256, qk_norm=True),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=4_000_000),
    measures=(LossByPosition(num_evaluations=8),),
)
NORMALIZERS = {
    "power-0.75": Power(exponent=0.75),
    "power-1.25": Power(exponent=1.25),
    "power-learned": Power(exponent=1.0, learned=True),
    "power-learned-centered": Power(exponent=1.0, learned=True, centered=True),
    "head-gain": HeadGain(),
    "length-power": LengthPower(exponent=1.0, learned=True),
    "sink": Sink(),
    "ssmax": SSMax(),
    "sigmoid": Sigmoid(),
}
STUDY = Study(
    question=(
        "Power scaling of the sum of the attention score values: "
        "does a softmax denominator raised to another power help?"
    ),
    prediction=(
        "no arm is more than 0.01 nats from plain at 50M parameters or below; "
        "a learned p moves away from 1 mainly in the early layers"
    ),
    baseline="plain",
    arms={
        "plain": plain,
        **{name: vary(plain, {NORMALIZER: normalizer}) for name, normalizer in NORMALIZERS.items()},
        "gate": vary(plain, {"model.blocks.*.attention.gate": SigmoidGate()}),
    },
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
)
