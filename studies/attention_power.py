"""Power scaling of the sum of the attention score values: does a softmax denominator raised to another power help?

y = sum_s exp(score_s) v_s / (sum_s exp(score_s)) ** p is softmax's output times exp((1 - p) LSE), so every arm is a
volume on what a head found, and the controls are volumes that know less (per head, by length) or other things (a sink,
the scores, the stream). All arms norm queries and keys: without it, a power far from 1 turns the size of the keys,
which grows in training, into a volume.

Every arm is screened. `power-learned` is judged whatever comes out, with the two controls that have as many parameters
(`head-gain`, which knows the head, and `length-power`, which knows head and length), and the best two of the others;
with tuned rates, at three budgets. Its own figures are the learned p of every head and block through training, and the
loss beyond the trained context, where a sum runs over more keys than it ever did.

In an hour on two cores a run has about half a million tokens, and four times that at the largest budget;
eight seeds resolve about 0.05 nats, and no more than 0.01 is expected. What the hour shows is where a learned p goes,
and whether an arm breaks.
"""

from vslm import (
    BeyondContext,
    Budget,
    Experiment,
    HeadGain,
    LearningRates,
    LengthPower,
    LossByPosition,
    ParameterTrack,
    Power,
    Primary,
    Screen,
    Sigmoid,
    SigmoidGate,
    Sink,
    SSMax,
    StandardLibrary,
    Study,
    uniform,
    vary,
)
from vslm.models.parts.normalizers import Normalizer

NORMALIZER = "model.blocks.*.attention.normalizer"
plain = Experiment(
    model=uniform(depth=4, width=64, heads=4, context_tokens=256, qk_norm=True),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200), BeyondContext()),
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
EXPONENT = ParameterTrack(names=("blocks.*.attention.normalizer.exponent",))


def arm_of(normalizer: Normalizer) -> Experiment:
    """The arm of a normalizer; an exponent that is learned is tracked."""
    arm = vary(plain, {NORMALIZER: normalizer})
    match normalizer:
        case Power(learned=True) | LengthPower(learned=True):
            return vary(arm, {"measures": (*arm.measures, EXPONENT)})
    return arm


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
        **{name: arm_of(normalizer) for name, normalizer in NORMALIZERS.items()},
        "gate": vary(plain, {"model.blocks.*.attention.gate": SigmoidGate()}),
    },
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="parameters",
    screen=Screen(controls=("power-learned", "head-gain", "length-power"), keep=2, budget_fraction=1),
    tune=LearningRates(),
    budgets=(0.25, 1, 4),
)
