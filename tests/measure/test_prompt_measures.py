"""What prompts do, on models whose answer is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.measure.measure import Evaluator
from vslm.measure.prompt_effect import PromptEffect, PromptEffectEvaluator, cut
from vslm.measure.prompts import KINDS, prompt_effect
from vslm.models.initialization import Init
from vslm.models.layouts.plain import uniform

VOCABULARY = 5


class Remembers(nn.Module):
    """Says the token `back` positions before the current one with probability 3/4, and each other one with 1/16."""

    def __init__(self, back: int) -> None:
        super().__init__()
        self.back = back
        self.logits_VV = nn.Parameter(math.log(12) * torch.eye(VOCABULARY))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """The start stands before the text too."""
        shifted_BT = nn.functional.pad(tokens_BT, (self.back, 0))[:, : tokens_BT.shape[1]]
        return self.logits_VV[shifted_BT]


def effect(model: nn.Module, prompts: list[list[int]], continuations: list[list[int]]):
    """With the separator 0."""
    texts = ([np.array(text) for text in group] for group in (prompts, continuations))
    return prompt_effect(model, *texts, start=0, rng=np.random.default_rng(3))  # type: ignore[arg-type]


def test_mutual_information_by_hand() -> None:
    """The model repeats its last token, so only the first token of a continuation depends on the prompt.

    After 1 a 1 has 3/4 and a 2 has 1/16; after nothing (the separator 0) both have 1/16.
    """
    found = effect(Remembers(0), [[1], [3, 2]], [[1, 4, 1], [2]])
    np.testing.assert_allclose(found.pmi_nats_IJ, [[math.log(12), 0], [0, math.log(12)]], atol=1e-6)
    np.testing.assert_allclose(found.log_p_nats_J, [3 * math.log(1 / 16), math.log(1 / 16)], rtol=1e-6)
    # Shuffling one token does nothing; the irrelevant prompts are [3] and [1, 1].
    np.testing.assert_allclose(found.pmi_shuffled_nats_IJ[0], [math.log(12), 0], atol=1e-6)
    np.testing.assert_allclose(found.pmi_irrelevant_nats_IJ, [[0, 0], [math.log(12), 0]], atol=1e-6)


def jensen_shannon() -> float:
    """Of two of its distributions around different tokens, by the formula."""
    p, q = np.full(VOCABULARY, 1 / 16), np.full(VOCABULARY, 1 / 16)
    p[1] = q[2] = 3 / 4
    middle = (p + q) / 2
    return float(((p * np.log(p / middle)) + (q * np.log(q / middle))).sum() / 2)


def test_a_prompt_is_remembered_for_as_long_as_the_model_looks_back() -> None:
    """Two tokens back: the last three tokens of prompts decide three positions, and nothing beyond."""
    found = effect(Remembers(2), [[1, 1, 1], [1, 2, 1]], [[3] * 6, [4] * 5])
    assert {kind: values.shape for kind, values in found.js_nats.items()} == {
        "prompts": (1, 5),
        "shuffled": (2, 5),
        "irrelevant": (2, 5),
        "empty": (2, 5),
    }
    js = jensen_shannon()
    np.testing.assert_allclose(found.js_nats["prompts"], [[0, js, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(found.js_nats["irrelevant"], [[0, js, 0, 0, 0]] * 2, atol=1e-6)
    np.testing.assert_allclose(found.js_nats["shuffled"][0], 0, atol=1e-6)  # all its tokens are the same
    np.testing.assert_allclose(found.js_nats["empty"], [[js, js, js, 0, 0]] * 2, atol=1e-6)
    assert found.members["prompts"].tolist() == [[0, 1]]
    assert found.members["empty"].tolist() == [[0, 0], [1, 1]]


def test_divergence_has_its_bounds() -> None:
    """ln 2 where nothing is shared, 0 for a prompt beside itself; never below."""
    model = Remembers(0)
    with torch.no_grad():
        model.logits_VV.mul_(100)
    found = effect(model, [[1], [2], [1]], [[3, 3, 3]])
    np.testing.assert_allclose(found.js_nats["prompts"][:, 0], [math.log(2), 0, math.log(2)], atol=1e-6)
    assert all((values >= 0).all() for values in found.js_nats.values())


def test_texts_of_other_lengths_do_not_change_each_other() -> None:
    """A real model: what is filled up behind a text is not seen by it, and it is left in the mode it was in."""
    model = uniform(depth=2, width=12, heads=2, context_tokens=17).build(vocabulary=VOCABULARY, init=Init(2)).train()
    prompts, continuations = [[1, 2, 3], [4], [2, 2, 1, 3, 4, 1, 2]], [[1, 2, 3], [4, 3]]
    together = effect(model, prompts, continuations)
    assert model.training
    for i, j in ((0, 1), (1, 0)):
        alone = effect(model, [prompts[i], prompts[2]], [continuations[j]])
        assert alone.pmi_nats_IJ[0, 0] == pytest.approx(together.pmi_nats_IJ[i, j], abs=1e-5)
        assert alone.js_nats["empty"][0, 0] >= 0


def test_the_measure_by_hand() -> None:
    """Means of the diagonal and of the rest, and curves that are means over pairs."""
    evaluator: Evaluator = PromptEffectEvaluator(
        np.array([[1, 1], [2, 2], [3, 3]]), np.array([[1, 4], [2, 4], [3, 4]]), 0
    )
    numbers = evaluator(Remembers(1))  # type: ignore[arg-type]
    gain = math.log(12)  # the first token of the own continuation; the second is the same under every prompt
    np.testing.assert_allclose(numbers["pmi_nats_IJ"], gain * np.eye(3), atol=1e-6)
    assert numbers["pmi_own_nats"] == pytest.approx(gain)
    assert numbers["pmi_other_nats"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(numbers["pmi_shuffled_nats_I"], [gain] * 3, rtol=1e-6)
    np.testing.assert_allclose(numbers["pmi_irrelevant_nats_I"], [0] * 3, atol=1e-6)
    for kind in KINDS:
        expected = [0, 0] if kind == "shuffled" else [jensen_shannon()] * 2
        np.testing.assert_allclose(numbers[f"js_{kind}_nats_T"], expected, atol=1e-6)


def test_texts_are_beginnings_of_documents_or_pieces() -> None:
    """Spread evenly over those that are long enough; where there are too few, over the text."""
    documents = [np.full(length, i + 1) for i, length in enumerate((7, 2, 7, 7, 7, 7))]
    tokens = np.concatenate([np.append(document, 0) for document in documents])
    assert cut(tokens, 0, num=3, length=7)[:, 0].tolist() == [1, 4, 6]
    assert cut(tokens, 0, num=7, length=3).shape == (7, 3)
    np.testing.assert_array_equal(cut(np.arange(11), None, num=2, length=4), [[0, 1, 2, 3], [7, 8, 9, 10]])
    with pytest.raises(SpecError, match="are needed for one text"):
        cut(np.arange(3), None, num=2, length=4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_prompts": 1}, "2 or more"),
        ({"prompt_tokens": 0}, "prompt_tokens: found 0"),
        ({"continuation_tokens": -1}, "continuation_tokens: found -1"),
        ({"num_evaluations": 0}, "num_evaluations: found 0"),
    ],
)
def test_counts_that_leave_nothing_are_refused(fields: dict[str, int], words: str) -> None:
    """When declared."""
    with pytest.raises(SpecError, match=words):
        PromptEffect(**fields)


def test_prompts_are_what_stands_before_their_continuations() -> None:
    """A quarter and a half of the context where no lengths are given; given lengths are taken."""
    model = uniform(depth=1, width=8, heads=1, context_tokens=12).build(vocabulary=7, init=Init(1))
    tokens = np.arange(997) % 7
    corpus = SimpleNamespace(evaluated=SimpleNamespace(tokens=tokens), tokenizer=SimpleNamespace(end_of_text=None))
    for fields, prompt_tokens, continuation_tokens in (
        ({}, 3, 6),
        ({"prompt_tokens": 5}, 5, 6),
        ({"continuation_tokens": 2}, 3, 2),
    ):
        evaluator = PromptEffect(**fields).build(model=model, corpus=corpus, context_tokens=12)  # type: ignore[arg-type]
        assert isinstance(evaluator, PromptEffectEvaluator)
        prompts, continuations = evaluator.prompts_IT, evaluator.continuations_IT
        assert prompts.shape == (12, prompt_tokens)
        assert continuations.shape == (12, continuation_tokens)
        np.testing.assert_array_equal((prompts[:, -1] + 1) % 7, continuations[:, 0])


def test_lengths_beyond_the_context_are_refused() -> None:
    """Before the first step."""
    model = uniform(depth=1, width=8, heads=1, context_tokens=11).build(vocabulary=7, init=Init(1))
    with pytest.raises(SpecError, match=r"at most model\.context_tokens, 11"):
        PromptEffect(prompt_tokens=7, continuation_tokens=5).build(model=model, corpus=None, context_tokens=11)  # type: ignore[arg-type]
