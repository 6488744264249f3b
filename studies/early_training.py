"""In which order does a model learn the language's statistics, and does a tied readout change how it begins?

Two blocks of width 64 on the standard library in short tokens (320 ids, 1.5 bytes each): few enough that a run of a
million tokens goes beyond the bigram and the trigram model, so that all three minima can be seen inside the run. Steps
of 1,024 tokens, measured twice per doubling.

`tied` reads the logits with the embedding, so before the first step every position already says its own token (over
three times the uniform probability), and a bigram has to be learned through the blocks. `untied` starts flat and has a
direct way from the current token to the next: a table of bigrams, embedding times readout. Everything else, the initial
weights that both have among it, is the same; parameters differ by the readout (`untied` has 20,480 more).

If it were the direct way that makes bigrams early, `untied` is nearest to the bigram model at an earlier step.
"""

from vslm import Budget, EarlyDays, Experiment, LossByPosition, Primary, StandardLibrary, Study, Untied, uniform, vary

tied = Experiment(
    model=uniform(depth=2, width=64, heads=4, context_tokens=128),
    data=StandardLibrary(vocabulary=320),
    budget=Budget(tokens=1_000_000),
    batch_tokens=1024,
    measures=(LossByPosition(num_evaluations=12, num_tokens=4096), EarlyDays(steps_per_doubling=2)),
)
STUDY = Study(
    question="In which order does a model learn what n-grams know, and does a tied readout change it?",
    prediction="KL minima in the order unigram, bigram, trigram in every seed; untied is nearest to bigrams earlier",
    baseline="tied",
    arms={"tied": tied, "untied": vary(tied, {"model.readout": Untied()})},
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="flops",
    pilot=None,  # it is about the first steps
)
