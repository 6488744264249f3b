"""Worlds of facts that are made up, texts that state them, and questions that can be answered from those texts.

    draws       numbers from a counter: the same on every machine, in every version of Python and numpy
    words       values, names, and which pairs of names belong to which part of the data
    wording     sentences that state a fact and questions that ask for one, split for training and testing
    universe    which people and relations there are
    facts       one world: the value of every relation of everybody in it
    contexts    facts in an order, written as sentences
    questions   what is asked, and of which facts
    examples    a context with its questions
    plans       what is in a split
    solver      answers from facts alone; facts and questions read back from text
    stories     short texts that can be written from facts by reasoning
    shards      files of examples with hashes, a card and a license

Needs numpy and the standard library. Not for: tokens and windows (`vslm.data.sources.Worlds` is the source).

Paper: bioS of Physics of Language Models, part 3.1, Allen-Zhu and Li, 2023, https://arxiv.org/abs/2309.14316, where
biographies of made-up people have values of known entropy. We differ: people live in worlds that are drawn anew, so
that a context can be the only place where a fact stands.
"""
