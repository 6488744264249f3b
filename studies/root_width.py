"""Does a learned root make it easier to change the stream's size?

Three widths of the stream under three roots. `token`: the embedding is as wide as the stream. `projected`: it stays at
128, and a matrix leads to the stream. `memory`: it stays at 128, the stream starts learned, and every block may read
the tokens. The answer is how the loss moves with the width under each root, so compare within a root, and the roots at
one width. The readouts of the last two go through a matrix at every width, also where it is not needed, so that the
arms of a root differ in the width alone.
"""

from vslm import (
    BothReads,
    Budget,
    Experiment,
    Primary,
    StandardLibrary,
    Study,
    TiedProjected,
    learned_root,
    projected_root,
    uniform,
    vary,
)

EMBEDDING_WIDTH = 128
WIDTHS = (64, 128, 192)

plain = {width: uniform(depth=4, width=width, heads=4, context_tokens=256) for width in WIDTHS}
token = Experiment(model=plain[128], data=StandardLibrary(vocabulary=1024), budget=Budget(tokens=2_000_000))
fixed = {"readout": TiedProjected()}
roots = {
    "token": lambda model: model,
    "projected": lambda model: vary(projected_root(model, embedding_width=EMBEDDING_WIDTH), fixed),
    "memory": lambda model: vary(
        learned_root(model, first_reads=BothReads(), later_reads=BothReads(), embedding_width=EMBEDDING_WIDTH), fixed
    ),
}
STUDY = Study(
    question="Does a learned root make it easier to change the stream's size?",
    prediction="from 128 to 64 the loss rises less under memory than under token, and no less than under projected",
    baseline="token-128",
    arms={
        f"{name}-{width}": vary(token, {"model": root(model)})
        for name, root in roots.items()
        for width, model in plain.items()
    },
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
)
