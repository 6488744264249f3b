"""Sections of the package's own measures that need nothing but what is declared.

Here, and not in the file of each measure, so that a page can be made of runs that recorded no declaration, without
torch. A measure of one's own, and a new one in the package, declares this in its class.
"""

import dataclasses

from vslm.measure.declared import Array, Axis, Declared, Number, Shown

STREAMS = Axis(title="visit of the path (0: the root)", hover="after visit")
VISITS = Axis(title="visit of the path", hover="visit", first=1)
HEADS = Axis(title="head", hover="head")

LOGIT_LENS = Declared(
    shown=Shown(
        title="What the stream says, layer by layer",
        short="Layers",
        read="The stream after each visit of the path, read by the model's own norm and readout as if the model ended "
        "there. A high probability of the current token means that the token itself is still in the stream; the next "
        "token is what the model is for, and its loss after the last visit is the model's own. Where the stream has "
        "another width than the readout, the point is missing.",
    ),
    arrays={
        "p_current_L": Array(axes=(STREAMS,), title="mean probability of the current token", button="current token"),
        "top_current_L": Array(
            axes=(STREAMS,), title="share where the current token is likeliest", button="current is likeliest"
        ),
        "p_next_L": Array(axes=(STREAMS,), title="mean probability of the next token", button="next token"),
        "loss_nats_L": Array(
            axes=(STREAMS,), title="loss, read after each visit", unit="nats per token", button="loss"
        ),
    },
)

ATTENTION_DISTANCE = Declared(
    shown=Shown(
        title="How far back attention looks",
        short="Attention",
        read="Lines are means over heads, small marks single heads. Distances are weighted by attention, as shares of "
        "each query's own sum of weights.",
    ),
    arrays={
        "distance_tokens_LH": Array(
            axes=(VISITS, HEADS),
            figure="lines",
            title="distance, mean over attention",
            unit="tokens",
            button="distance",
        ),
        "p_self_LH": Array(
            axes=(VISITS, HEADS), figure="lines", title="share of attention to the own position", button="to itself"
        ),
        "p_first_LH": Array(
            axes=(VISITS, HEADS),
            figure="lines",
            title="share of attention to the first position",
            button="to the first",
        ),
    },
)

RESIDUAL_NORMS = Declared(
    shown=Shown(
        title="How large the stream is",
        short="Stream",
        read="The root mean square over the width, mean over tokens, after the root and after each visit.",
    ),
    arrays={"rms_L": Array(axes=(STREAMS,), title="root mean square of the stream", button="size")},
)

LOSS_BY_LOOPS = Declared(
    shown=Shown(
        title="Fewer or more loops than were trained",
        short="Loops",
        read="Validation loss at the end of training when the repeated part is passed so many times, with the same "
        "weights on the same text. Where a line goes on falling beyond the loops of its training, more compute still "
        "helps; where it is level, the state has come to rest; where it rises again, the loops work in their own "
        "number only.",
    ),
    arrays={
        "loss_nats_R": Array(
            axes=(Axis(title="loops of the repeated part", at="times_R", hover="loops:"),),
            title="validation loss",
            unit="nats per token",
            button="loss",
        )
    },
)

_BEYOND = Axis(title="tokens into the text", at="to_tokens_P", hover="token", is_log=True)
BEYOND_CONTEXT = Declared(
    shown=Shown(
        title="Further into a text than training went",
        short="Beyond",
        read="Validation tokens in windows longer than the context that the model was trained in, half a context at a "
        "time; the first point ends at that context. The rise holds content fixed: the same tokens, seen from the "
        "beginning of the text and from within a trained context. At 0 more text changes nothing, below it helps, "
        "above it the model breaks on what it never met.",
    ),
    arrays={
        "rise_nats_P": Array(
            axes=(_BEYOND,), title="beyond minus within", unit="nats per token", button="rise", level=0.0
        ),
        "beyond_nats_P": Array(
            axes=(_BEYOND,), title="loss, seen from the first token on", unit="nats per token", button="loss"
        ),
    },
    numbers={
        "mean_rise_nats": Number(
            unit="nats per token", higher_is_better=False, title="rise of the loss beyond the context"
        ),
        "mean_rise_sem_nats": Number(unit="nats per token", higher_is_better=None, title="standard error of that rise"),
    },
)

PREFIX_MATCHING = Declared(
    shown=Shown(
        title="Heads that look at what came next last time",
        short="Induction heads",
        read="In the second of two equal blocks of random tokens, a head that copies looks at the token behind the "
        "earlier occurrence of the current one; 1 is all of its attention. Lines are the strongest head of a visit, "
        "small marks every head of every seed. Even attention would score next to nothing, and a head whose window "
        "does not reach that far scores zero.",
    ),
    arrays={
        "score_LH": Array(
            axes=(VISITS, HEADS),
            figure="lines",
            over="largest",
            title="share of attention to the token that comes next",
            button="score",
        )
    },
)

TOKEN_PROBE = Declared(
    shown=Shown(
        title="Which tokens can be read off the stream",
        short="Probes",
        read="A linear probe of its own for every visit, fitted on three quarters of the windows and tested on the "
        "others. It tells whether the token is there to be read at all, in whatever basis, where the logit lens tells "
        "what the model's own readout would say. The dotted line is naming the commonest token.",
    ),
    arrays={
        f"accuracy_{which}_L": Array(
            axes=(STREAMS,),
            title=f"share of {which} tokens named right",
            button=f"{which} token",
            level="chance",
            from_zero=True,
        )
        for which in ("current", "previous")
    },
    numbers={
        "chance": Number(unit="of the tokens", higher_is_better=None, title="accuracy of naming the commonest token")
    },
)

JUDGED_SPLITS = tuple(f"S{number}" for number in range(1, 13))
_SPLITS = Axis(title="split", names=JUDGED_SPLITS)
_ABOUT_SPLITS = (
    "S1 closed book, fixed world",
    "S2 closed book, fresh worlds",
    "S3 open book, fixed world",
    "S4 open book, fresh worlds",
    "S5 counter to the fixed world",
    "S6 what would answer left out",
    "S7 by distractors",
    "S8 long contexts",
    "S9 other sentences",
    "S10 other names",
    "S11 other chains",
    "S12 no names",
)
_ASKED = Axis(
    title="type",
    names=("one hop", "inverse", "two hops", "three hops", "comparison", "negation", "counting", "unknown"),
)
_SHARE = "of the questions"


def _share(title: str, *, is_better: bool | None = None) -> Number:
    return Number.share(unit=_SHARE, higher_is_better=is_better, title=title)


def _above_chance(title: str, *, is_better: bool = True) -> Number:
    """A difference of shares, or a share as a part of what is above another: how low it can be is not said."""
    return Number(unit=_SHARE, higher_is_better=is_better, title=title)


ANSWERS = Declared(
    shown=Shown(
        title="What is answered, from weights and from the context",
        short="Answers",
        read="The share of questions whose whole answer is the likeliest text. Knowledge in weights shows in S1, "
        "reading in S4; S2 must be at chance, since nobody can know a fresh world without its facts. Where S3 is above "
        "S4, weights are read through the context; in S5 the two contradict each other, and in S6 the facts that would "
        "answer are left out. S7 to S12 are fresh worlds with other distractors, long contexts, other sentences, other "
        "names, other chains, no names. Chance is that of a guess by who reads the question alone; by kind is "
        "right who picks any value of the context that is of the kind asked for: reading begins above it.",
    ),
    arrays={
        "accuracy_P": Array(axes=(_SPLITS,), unit=_SHARE, title="answered right", button="right", from_zero=True),
        "chance_P": Array(axes=(_SPLITS,), unit=_SHARE, title="right by a guess", button="chance", from_zero=True),
        "picked_P": Array(
            axes=(_SPLITS,), unit=_SHARE, title="right by kind, whomever it is of", button="by kind", from_zero=True
        ),
        "nats_P": Array(axes=(_SPLITS,), unit="nats", title="loss of the answer", button="loss", from_zero=True),
        "accuracy_PQ": Array(axes=(_SPLITS, _ASKED), unit=_SHARE, title="answered right by type", button="by type"),
    },
    numbers={
        **{
            f"accuracy_s{place}": _share(f"right in {name}", is_better=True)
            for place, name in enumerate(_ABOUT_SPLITS, start=1)
        },
        "nats_s1": Number(unit="nats per answer", higher_is_better=False, title="loss of answers of S1, closed book"),
        "nats_s4": Number(unit="nats per answer", higher_is_better=False, title="loss of answers of S4, open book"),
        "knowledge_in_weights": _above_chance("above chance, closed book, fixed world"),
        "context_reading": _above_chance("above chance, open book, fresh worlds"),
        "separation": _share("reading without knowing: S4 (1 - S1), above chance", is_better=True),
        "gap": _above_chance("above chance, open book less closed book"),
        "context_matching": _above_chance("above any value of the kind asked for, open book, fresh worlds"),
        "picked_s4": _share("right in S4 by any value of the kind asked for", is_better=None),
        "through_context": _above_chance("weights read through the context: S3 less S4", is_better=False),
        "follows_context": _share("answered by a context counter to the fixed world", is_better=True),
        "memorization_ratio": Number.share(
            unit="of answers by either", higher_is_better=False, title="answered by the fixed world, not by the context"
        ),
        "composition": Number.share(
            unit="of those with both hops right", higher_is_better=True, title="two hops right where each alone is"
        ),
        "unknown_rate": _share('said "unknown" where what would answer is left out', is_better=True),
        "memory_rate": _share("by the fixed world where what would answer is left out", is_better=False),
        "copy_rate": _share("a value of the context where what would answer is left out", is_better=False),
        "bits_stored": Number(unit="bits", higher_is_better=True, title="bits of the fixed world in the weights"),
        "bits_asked": Number(unit="bits", higher_is_better=True, title="bits of the fixed world, when asked for"),
        "bits_never_seen": Number(unit="bits", higher_is_better=None, title="the same of facts that nobody saw"),
        "bits_per_parameter": Number(
            unit="bits per parameter", higher_is_better=True, title="bits of the fixed world in the weights"
        ),
    },
)

QUANTIZED_ANSWERS = dataclasses.replace(
    ANSWERS,
    shown=Shown(
        title="What is answered with weights of a few bits",
        short="Rounded",
        read="The same questions of the same model, whose matrices are rounded, row by row. What is not answered above "
        "and is answered here was hidden, not gone.",
    ),
)

_LAYER = Axis(title="layer: 0 is the root, the others are behind each visit", hover="layer")
_READ_RIGHT = "of the values"
_PROBED = {
    "entity": "at the last token of the name",
    "answer": "where the answer begins",
    "entity_shuffled": "at the name, values dealt out anew",
    "answer_shuffled": "where the answer begins, values dealt out anew",
}
VALUE_PROBE = Declared(
    shown=Shown(
        title="Whether values can be read from states",
        short="Probe",
        read="A linear map from the states of some people to their values, tried on other people of the fixed world, "
        "behind a question without facts. What it reads is there, whatever the model says; what it does not read may "
        "still be there in another form. With values that were dealt out anew it must be at chance.",
    ),
    arrays={
        f"{name}_L": Array(
            axes=(_LAYER,),
            unit=_READ_RIGHT,
            title=f"read {words}",
            button=name.replace("_", ", "),
            level="chance",
            from_zero=True,
        )
        for name, words in _PROBED.items()
    },
    numbers={
        **{
            name: Number.share(
                unit=_READ_RIGHT,
                higher_is_better=None if "shuffled" in name else True,
                title=f"read {words}, at the best layer",
            )
            for name, words in _PROBED.items()
        },
        "chance": Number(unit=_READ_RIGHT, higher_is_better=None, title="right by the commonest value of a relation"),
    },
)

_ABOUT_FILES = {"forget": "questions to be forgotten", "retain": "questions to be kept"}
LIKELIER_ANSWERS = Declared(
    shown=Shown(
        title="Whether right answers are likelier than wrong ones",
        short="Likelier",
        read="The share of questions whose right answer is likelier per token than each wrong one, and how likely the "
        "answer is as it stands, of what was to be forgotten and of what was to be kept. Who knows nothing is right "
        "about as often as chance.",
    ),
    numbers={
        **{
            f"{name}_right": Number.share(
                unit="of the questions", higher_is_better=name == "retain", title=f"right answer likelier: {words}"
            )
            for name, words in _ABOUT_FILES.items()
        },
        **{
            f"{name}_probability": Number.share(
                unit="per token", higher_is_better=name == "retain", title=f"probability of the answer: {words}"
            )
            for name, words in _ABOUT_FILES.items()
        },
        **{
            f"{name}_left_out": Number(
                unit="questions", higher_is_better=None, title=f"that the context does not hold: {words}"
            )
            for name, words in _ABOUT_FILES.items()
        },
        "chance": Number(unit="of the questions", higher_is_better=None, title="right by a guess among its answers"),
    },
)

_ALONG = Axis(title="step, as a share of the one at which the tangent meets the target", at="share_P", hover="step:")
LOSS_ALONG_STEP = Declared(
    shown=Shown(
        title="The loss along one step, and its tangent",
        short="Along a step",
        read="Loss on a few validation windows when the weights go along a direction, by default against the gradient "
        "on these very windows. At 0 the model is where it stands; at 1 the tangent line meets the target, the dotted "
        "line. Where the loss bends away from its tangent before 1, the step to the target is too long.",
    ),
    arrays={
        "loss_nats_P": Array(
            axes=(_ALONG,), title="loss along the step", unit="nats per token", button="loss", level="target_nats"
        ),
        "tangent_nats_P": Array(
            axes=(_ALONG,), title="tangent of the loss", unit="nats per token", button="tangent", level="target_nats"
        ),
    },
    numbers={
        "target_nats": Number(unit="nats per token", higher_is_better=None, title="loss that the step aims at"),
        "asked_step": Number(
            unit="times the direction", higher_is_better=None, title="step at which the tangent meets the target"
        ),
        "kept_share": Number(
            unit="of what the tangent promises", higher_is_better=None, title="share of the promised drop that is kept"
        ),
    },
)

OPTIMIZER_STEPS = Declared(
    shown=Shown(
        title="How long the steps are that a tangent asks for",
        short="Steps",
        read="Means over the steps of training since the point before, of optimizers that step to where a tangent of "
        "the loss meets a target. Where nearly all steps are capped, the tangent decided nothing and the learning rate "
        "alone did. A refused step found no descent along its direction; where the target is reached nothing is asked.",
    ),
    numbers={
        "asked_step": Number(
            unit="", higher_is_better=None, title="step that the tangent asks for (counted up to 1,000 caps)"
        ),
        "taken_step": Number(unit="", higher_is_better=None, title="step taken"),
        "target_nats": Number(unit="nats per token", higher_is_better=None, title="loss that a step aims at"),
        "capped_share": Number(unit="of the steps", higher_is_better=None, title="steps as long as the cap"),
        "refused_share": Number(unit="of the steps", higher_is_better=None, title="steps refused: no descent"),
        "reached_share": Number(unit="of the steps", higher_is_better=None, title="steps with the target reached"),
    },
)

RECORDED_AS = {
    "loss_by_loops": LOSS_BY_LOOPS,
    "beyond_context": BEYOND_CONTEXT,
    "logit_lens": LOGIT_LENS,
    "attention_distance": ATTENTION_DISTANCE,
    "residual_norms": RESIDUAL_NORMS,
    "prefix_matching": PREFIX_MATCHING,
    "token_probe": TOKEN_PROBE,
    "answers": ANSWERS,
    "quantized_answers": QUANTIZED_ANSWERS,
    "value_probe": VALUE_PROBE,
    "likelier_answers": LIKELIER_ANSWERS,
    "loss_along_step": LOSS_ALONG_STEP,
}
"""By the name that runs have them under, in the order of the page."""
