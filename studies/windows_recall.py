"""Which blocks must see far for a model to remember?

The patterns of `windows.py` on `AssociativeRecall`: 8 pairs of a key and a value, then the keys again, in documents of
128 tokens that are the context. Windows are about half of those on text: two of 8, two of 26, two of 94; equal ones and
full attention in every third block are matched within 0.1% on visible keys. `first-short` and `last-short` have five
windows of 42, and one of 6 in the first or in the last block: does it matter which block sees little? A query whose key
was mentioned further back than the last blocks see can be answered only if an earlier block has carried the value on.

The verdict is on the share of queries answered right; the figure is the same by distance, in octaves of tokens back.
Every pattern is trained, since each one's curve is part of the answer: no screening, one budget, rates as declared.

A model first learns which values a document holds (accuracy 1/8) and stays there for some thousand steps until
attention has learned to look a token back. In 42 minutes on two cores a run had three million tokens, as many thousand
steps: with a short window in the first block every run was past this point, and with a wide one few were. So the study
tells who learns soon; an arm on the dotted line of chance may only need more tokens.
"""

from vslm import (
    AssociativeRecall,
    Budget,
    Experiment,
    LossByPosition,
    Primary,
    RecallAccuracy,
    Study,
    uniform,
    vary,
    window_patterns,
    windowed,
)

CONTEXT_TOKENS, NUM_PAIRS, WINDOWS = 128, 8, (8, 8, 26, 26, 94, 94)
# Queries are told apart by attention alone, and a norm on queries and keys bears the rate at which that is learned.
full = uniform(depth=len(WINDOWS), width=64, heads=4, context_tokens=CONTEXT_TOKENS, qk_norm=True)
PATTERNS = window_patterns(WINDOWS, context_tokens=CONTEXT_TOKENS)
SHORT, LONG = 6, 42  # one block sees little, five see equally far: as many visible keys as the patterns
PATTERNS |= {"first-short": (SHORT, *[LONG] * 5), "last-short": (*[LONG] * 5, SHORT)}
plain = Experiment(
    model=full,
    # Few letters are learned sooner; 4M tokens, because a document that comes again asks for no recall.
    data=AssociativeRecall(num_pairs=NUM_PAIRS, document_tokens=CONTEXT_TOKENS, num_letters=32, num_documents=32_768),
    budget=Budget(tokens=2_000_000),
    batch_tokens=1024,
    measures=(LossByPosition(num_evaluations=12, num_tokens=4096), RecallAccuracy()),
)
STUDY = Study(
    question="Which blocks must see far for a model to remember: the first, the last, or those in the middle?",
    prediction=(
        "small-large-small loses recall beyond the last window of 8 only if the middle cannot carry the value to the "
        "end; increasing is as good as full; first-short learns in every seed, last-short as rarely as uniform"
    ),
    baseline="uniform",
    arms={
        name: vary(plain, {"model": windowed(full, windows, at_least=CONTEXT_TOKENS)})
        for name, windows in PATTERNS.items()
    },
    seeds=4,
    primary=Primary("recall", "accuracy", smallest_effect=0.02),
    equal="flops",
    unequal=("full",),
    pilot=None,  # who begins sooner is what it asks
)
