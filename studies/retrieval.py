"""Can a small model answer from facts that it finds for itself, where one of its size has to know them?

One world of 128 people, 384 facts, is asked about. Every arm is the same model on as many tokens of text:

    closed-book     questions of that world and their answers, never a fact: what it answers, it knows (the baseline)
    reads           fresh worlds, facts in front, loss of the answers: it never sees that world
    loads           the same, and beside it learns to tell which fact answers a question, of fresh worlds too

When they are asked, the last two have a store of the 384 facts, and one of them stands in front of each question: the
one that the model's own states find (what `loaded.accuracy` is of), that BM25 finds, one at random, none, and the one
that answers. `answers` holds these ways against each other, with the same weights.

`loads` reads twice as many tokens as the others at each step, which are not counted; that its states find, and not that
it read more, is told by `recall`.

Seen in a pilot with one seed and 800,000 tokens, before any verdict. The states of `loads` had the right fact first
for 0.99 of the questions, BM25 for 0.39, the states of `reads` for none. With the right fact in front, `loads` was
right in 1.00 (in 0.94 after 460,000 tokens), `reads` in 0.48 (0.34) and rising; with what its own states found, `loads`
in 0.99, and `reads` at a guess (0.06). The closed book was right in 0.11 after 260,000 tokens, where its pilot ended:
it is held back by how often it sees a fact, some 70 times here, and not by its size.

That pilot was made when the fact that was asked for still stood first in its context in training. With two facts in
front, the same weights of `loads` were right in 0.77 with what BM25 finds, and in 0.07 with what their own states find,
though the right fact was among these for every question: they answered with the fact that stood first for 95% of the
questions, and the best one stood last. Who stands first is drawn now, and how far that moves the numbers above was not
seen. One fact is loaded here, so what is asked is whether it is found, and not whether names are told apart.
One wording and one hop: two hops were not tried to the end.
"""

import numpy as np

from vslm import (
    AdamW,
    Budget,
    Experiment,
    FreshFactLoading,
    LoadedAnswers,
    LossByPosition,
    Mix,
    OwnStates,
    Primary,
    Study,
    StudyFolder,
    Universe,
    Worlds,
    uniform,
    vary,
)
from vslm.stats.intervals import per_arm_error, student_interval

CONTEXT_TOKENS = 64
UNIVERSE = Universe(people=128, relations=("lives_in", "job", "pet"), num_values=16, first_names=32, last_names=32)
reads = Experiment(
    model=vary(
        uniform(depth=3, width=64, heads=4, context_tokens=CONTEXT_TOKENS, qk_norm=True),
        {"blocks.*.attention.normalizer.temperature": 0.4},  # names are told apart by attention alone
    ),
    data=Worlds(
        universe=UNIVERSE,
        facts=(1, 2, 3),
        mix=Mix(one_hop=1, inverse=0, two_hop=0, comparison=0, negation=0, counting=0, unknown=0),
        questions=3,  # more answers to learn from for each context
        counts="answer",
        diversity="single",
        num_documents=16_000,
        context_tokens=CONTEXT_TOKENS,
    ),
    budget=Budget(tokens=600_000),
    batch_tokens=1024,
    optimizer=AdamW(learning_rate=0.004),
    measures=(
        LossByPosition(num_evaluations=8, num_tokens=4096, num_final_tokens=16_384),
        LoadedAnswers(
            universe=UNIVERSE,
            retriever=OwnStates(),
            passages=1,
            types=("one_hop",),
            num_examples=400,
            num_evaluations=8,
        ),
    ),
)
ALONE = {"data.world": "fixed", "data.context_share": 0.0, "measures.1.passages": 0}
STUDY = Study(
    question="Can a small model answer from facts that it finds for itself, where one of its size has to know them?",
    prediction=(
        "loads finds the right fact first for 0.9 of the questions or more, and is better than the closed book; reads "
        "finds next to nothing by its own states, and is no better than the closed book; in loads what its own states "
        "find is worth more than what BM25 finds, and nearly as much as the right fact; with a fact at random both are "
        "at a guess"
    ),
    baseline="closed-book",
    arms={
        "closed-book": vary(reads, ALONE),
        "reads": reads,
        "loads": vary(reads, {"objective": FreshFactLoading(universe=UNIVERSE, pairs=16)}),
    },
    seeds=5,
    primary=Primary("loaded", "accuracy", smallest_effect=0.05),
    pilot=None,  # a pilot asks for the use of any context; what is asked here is told by the measure alone
)


def answers(folder: StudyFolder) -> list[str]:
    """What stands in front, compared with the same weights: differences of shares over seeds, together with 95%."""
    seeds = list(folder.paired(STUDY.arms)[STUDY.baseline])
    if not seeds:
        return ["no seed has finished every arm"]

    def ended(arm: str, name: str) -> np.ndarray:
        rows = [folder.run(arm, seed).measures[-1] for seed in seeds]
        return np.array([row[f"loaded.{name}"] for row in rows], dtype=float)

    pairs = [
        ("loads: own states, minus BM25", ("loads", "accuracy"), ("loads", "accuracy_other")),
        ("loads: own states, minus the right fact", ("loads", "accuracy"), ("loads", "accuracy_gold")),
        ("loads: own states, minus facts at random", ("loads", "accuracy"), ("loads", "accuracy_random")),
        ("reads: BM25, minus own states", ("reads", "accuracy_other"), ("reads", "accuracy")),
        ("the right fact: loads, minus reads", ("loads", "accuracy_gold"), ("reads", "accuracy_gold")),
    ]
    lines = []
    for words, first, second in pairs:
        one, other = ended(*first), ended(*second)
        found = student_interval(one - other, per_arm_error(0.05, len(pairs)))
        told = "more" if found.low > 0 else "less" if found.high < 0 else "not resolved"
        shares, between = f"{one.mean():.2f} and {other.mean():.2f}", f"[{found.low:+.2f}, {found.high:+.2f}]"
        lines.append(f"{words}: {shares}, {found.mean:+.2f} {between}, {told} ({len(seeds)} seeds)")
    recall, by_words, untrained = (
        ended(*one) for one in (("loads", "recall"), ("loads", "recall_other"), ("reads", "recall"))
    )
    lines.append(
        f"the right fact is found for {recall.mean():.2f} of the questions by the states of loads ({recall.min():.2f} "
        f"to {recall.max():.2f}), {untrained.mean():.2f} by those of reads, {by_words.mean():.2f} by BM25"
    )
    to_find, without = ended("loads", "tokens_to_find"), ended("closed-book", "tokens_read").mean()
    tokens = ended("loads", "tokens_read") + to_find
    lines.append(
        f"an answer of loads costs {tokens.mean():.0f} tokens, {to_find.mean():.0f} of them to find; one of "
        f"closed-book {without:.0f}"
    )
    return lines
