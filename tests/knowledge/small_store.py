"""A few documents, a store of them, and an untrained model that can read."""

import torch

from vslm.data.tokenizers import BPE
from vslm.knowledge.passages import Passage, cut_passages
from vslm.knowledge.retriever import ReadyModel
from vslm.models.initialization import Init
from vslm.models.layouts.plain import uniform

DOCUMENTS = [
    "Anna lives in Riga. She has a green boat. The boat is called Swan.",
    "Boris lives in Oslo. He bakes bread for the harbor. His friend is Anna.",
    "The harbor of Oslo is old. Seven cranes stand in it. None of them turns.",
    "Clara counts stars. She never saw the sea. Her telescope came from Riga.",
    "Snow fell on the mill. The miller slept. Nobody baked bread that day.",
]


def passages() -> list[Passage]:
    """A passage a sentence."""
    return [passage for text in DOCUMENTS for passage in cut_passages(text, 7)]


def untrained(seed: int = 0) -> ReadyModel:
    """A model of two blocks with drawn weights, and a tokenizer of the documents."""
    tokenizer = BPE(vocabulary=270).fit(DOCUMENTS)
    model = uniform(depth=2, width=14, heads=1, context_tokens=29).build(
        vocabulary=tokenizer.vocabulary, init=Init(seed=seed)
    )
    return ReadyModel(model.eval(), tokenizer)


def parameters_of(ready: ReadyModel) -> list[torch.Tensor]:
    """Copies."""
    return [parameter.detach().clone() for parameter in ready.model.parameters()]
