"""Can a small model answer from facts that it finds for itself, where one of its size has to know them?

One world of 128 people, 384 facts, is asked about. Every arm is the same model on as many tokens of text:

    closed-book     questions of that world and their answers, never a fact: what it answers, it knows (the baseline)
    reads           fresh worlds, facts in front, loss of the answers: it never sees that world
    loads           the same, and beside it learns to tell which fact answers a question, of fresh worlds too

When they are asked, the last two have a store of the 384 facts, and two of them stand in front of each question: those
that the model's own states find (what `loaded.accuracy` is of), that BM25 finds, two at random, none, and the one that
answers beside another. `answers` holds these ways against each other, with the same weights.

`loads` reads twice as many tokens as the others at each step, which are not counted; that its states find, and not that
it read more, is told by `recall`.

Seen before, with one fact loaded and models without the convolution, in one seed after 800,000 tokens: the states of
`loads` had the right fact first for 0.99 of the questions, BM25 for 0.39, the states of `reads` for none. Those models
took what stood first in their context, so with two facts they were right in 0.07, though the right one was among them.
As in `where_facts_live`, the model has a short convolution before every block and is trained with Muon here, because
with both it tells names apart. One wording and one hop: two hops were not tried to the end.
"""

import numpy as np

from vslm import (
    Budget,
    Experiment,
    FreshFactLoading,
    LoadedAnswers,
    LossByPosition,
    Mix,
    Muon,
    OwnStates,
    Primary,
    Study,
    StudyFolder,
    Universe,
    Worlds,
    convolved,
    uniform,
    vary,
)
from vslm.stats.intervals import per_arm_error, student_interval

CONTEXT_TOKENS = 64
UNIVERSE = Universe(people=128, relations=("lives_in", "job", "pet"), num_values=16, first_names=32, last_names=32)
reads = Experiment(
    model=convolved(
        vary(
            uniform(depth=3, width=64, heads=4, context_tokens=CONTEXT_TOKENS, qk_norm=True),
            {"blocks.*.attention.normalizer.temperature": 0.4},  # names are told apart by attention alone
        ),
        window_tokens=6,  # from a value back to the name of whom it is
    ),
    data=Worlds(
        universe=UNIVERSE,
        facts=(1, 2, 3),
        mix=Mix(one_hop=1, inverse=0, two_hop=0, comparison=0, negation=0, counting=0, unknown=0),
        questions=3,  # more answers to learn from for each context
        counts="novalue",
        diversity="single",
        num_documents=30_000,
        context_tokens=CONTEXT_TOKENS,
    ),
    budget=Budget(tokens=2_000_000),
    batch_tokens=1024,
    optimizer=Muon(learning_rate=0.025, rest_ratio=0.25),
    measures=(
        LossByPosition(num_evaluations=8, num_tokens=4096, num_final_tokens=16_384),
        LoadedAnswers(
            universe=UNIVERSE,
            retriever=OwnStates(),
            passages=2,
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
