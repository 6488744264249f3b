"""Can what a model knows be taken out of its weights, so that it goes on using its context? And is it gone, or hidden?

A trunk, `knows`, is trained on the fixed world of 64 people without its facts and on fresh worlds with the fact in
front that is asked for, in turn: it knows 128 facts by heart, and says what stands in front of people whom it never
met. Every arm goes on from the trunk of its seed, on fresh worlds with their fact in front; what differs is what is
lowered beside it on questions about the fixed world, with nothing in front:

    none        nothing: what is forgotten by itself (the baseline)
    prior       the distance to the prior of the answer's type (maximum entropy)
    npo         negative preference optimization against the trunk
    ascent      minus the loss: the poor control
    gap         the gap-gated loss, of the fixed world with its facts in front and without: each answer is let go of as
                far as its facts make it likelier; nobody says what is to be forgotten
    gap-counter the same of worlds that are counter to the fixed one: its people, with other facts in every example

and whether it is gone:

    again-prior, again-npo, again-gap     the model of that arm (the last: of gap-counter), trained on a tenth of the
                                          facts, closed book

All are asked about the other nine tenths, which no `again` arm is trained on. If S1 rises there, the facts were hidden:
a tenth of them cannot tell the others. Beside it stand the answers of the same model with matrices of 4 bits, and what
a linear map reads from its states of people whom the map was not fitted to.

One fact stands in front, so S4 says that a model takes what stands there and not what it knows; that it finds the right
one of several is not asked. A model of this size did not learn to tell whose value it is: with two to four facts in
front, S4 of such a trunk was at 0.62 after 1.5M tokens, which is who picks any value of the kind that is asked for, and
with three or four facts of one relation at 0.37 after 4M, a guess.

Judged by `separation`, reading without knowing: S4 (1 - S1) above a guess, 1/16. Who says the commonest city or job of
this world to every question is right more often than that (about 0.17), and the prior is no worse than that by design,
so `prior` cannot come to 1: 0.88 is what it can come to. `npo` and `ascent` can, by saying what is never right; what an
arm says is in `nats_s1`, 2.6 for who answers with the prior, and in S2, whose answers nobody can know: below chance,
where a model has learned to say no city to any question without facts.

Seen before the predictions were written, with two to four facts in front, of which the one that was asked for stood
first (mended since), from a trunk with S1 1.00: after 150k tokens S1 of `none` 0.84, `prior` 0.18, `npo` 0.00, `ascent`
0.00 (its S4 fell to 0.62 and came back to 0.95), `gap` 0.92 with S4 0.72. Seen after that, likewise: `gap-counter` S1
0.11, S4 1.00, the probe where the answer begins from 0.83 to 0.20 (0.15 by the commonest value); `again-prior` S1 0.11,
`again-npo` 0.09.
"""

from vslm import (
    NPO,
    AdamW,
    AnswerAccuracy,
    Arm,
    Budget,
    Experiment,
    Forget,
    GapGated,
    GradientAscent,
    LossByPosition,
    MaxEntropy,
    Mix,
    Primary,
    QuantizedAnswers,
    SomeFacts,
    Study,
    Universe,
    ValueProbe,
    Worlds,
    uniform,
    vary,
)

CONTEXT_TOKENS, FACTS, SENTENCES = 40, (1,), "single"
UNIVERSE = Universe(people=64, relations=("lives_in", "job"), num_values=16, first_names=16, last_names=16)
AGAIN, REST = SomeFacts(end=0.1), SomeFacts(first=0.1)

fresh = Worlds(
    universe=UNIVERSE,
    facts=FACTS,
    mix=Mix(one_hop=1, inverse=0, two_hop=0, comparison=0, negation=0, counting=0, unknown=0),
    questions=3,  # without a context; one fact answers one. Single ones about the fixed world would be few documents
    counts="answer",
    diversity=SENTENCES,
    num_documents=10_000,
    context_tokens=CONTEXT_TOKENS,
)
asked = vary(fresh, {"world": "fixed", "context_share": 0.0})
opened = vary(fresh, {"world": "fixed", "own_rows": "open"})
counter = vary(fresh, {"world": "counter", "own_rows": "open"})

judged = AnswerAccuracy(
    universe=UNIVERSE,
    facts=FACTS,
    types=("one_hop",),
    diversity=SENTENCES,
    num_examples=200,
    num_facts=128,
    num_evaluations=4,
    some=REST,
)
at_the_end = vary(judged, {"splits": ("S1", "S4"), "num_evaluations": 1, "num_facts": 0})
none = Experiment(
    model=vary(
        uniform(depth=3, width=64, heads=4, context_tokens=CONTEXT_TOKENS, qk_norm=True),
        {"blocks.*.attention.normalizer.temperature": 0.4},  # names are told apart by attention alone
    ),
    data=fresh,
    start_from=Arm("knows"),
    budget=Budget(tokens=150_000),
    batch_tokens=1160,
    optimizer=AdamW(learning_rate=0.001),
    measures=(
        LossByPosition(num_evaluations=4, num_tokens=4608, num_final_tokens=9216),
        judged,
        QuantizedAnswers(answers=at_the_end),
        ValueProbe(universe=UNIVERSE, num_evaluations=2, some=REST),
    ),
)
knows = vary(
    none,
    {
        "data": vary(fresh, {"world": "both", "fixed_context_share": 0.0, "num_documents": 60_000}),
        "start_from": Experiment.__dataclass_fields__["start_from"].default,
        "budget.tokens": 1_500_000,
        "optimizer.learning_rate": 0.004,
    },
)


def gated(data):
    """Each question with its facts and without, by the gap between the two."""
    return vary(none, {"data": data, "objective": GapGated(closed=vary(data, {"own_rows": "closed"}))})


def again(arm):
    """The model of an arm, trained on a tenth of the fixed world's facts without a context."""
    return vary(none, {"data": vary(asked, {"some": AGAIN}), "start_from": Arm(arm)})


STUDY = Study(
    question="Can what a model knows be taken out of its weights, so that it still uses its context, and is it gone?",
    prediction=(
        "prior, npo, ascent and gap-counter do not know (S1 below 0.25) where none still does (above 0.6); prior, npo "
        "and gap-counter read as none does (S4 within 0.05), ascent reads worse; gap shuts its own gate, since who "
        "knows all by heart has no gap: it still knows (S1 above 0.6), and reads worse; of again-prior and again-npo "
        "some of the other facts come back (S1 above 0.3), and more of npo's than of prior's; 4 bits bring nothing "
        "back; the probe reads fewer values after prior than before"
    ),
    baseline="none",
    arms={
        "none": none,
        "prior": vary(none, {"objective": Forget(forget=asked, by=MaxEntropy())}),
        "npo": vary(none, {"objective": Forget(forget=asked, by=NPO())}),
        "ascent": vary(none, {"objective": Forget(forget=asked, by=GradientAscent())}),
        "gap": gated(opened),
        "gap-counter": gated(counter),
        "again-prior": again("prior"),
        "again-npo": again("npo"),
        "again-gap": again("gap-counter"),
    },
    trunks={"knows": knows},
    seeds=5,
    primary=Primary("answers", "separation", smallest_effect=0.05),
    pilot=None,  # a pilot asks for the use of any context; what is asked here is told by the measures alone
)
