"""Loss by position from windows and from beginnings of documents, by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.measure.position_profile import PositionProfile, PositionProfileEvaluator, beginnings, log_edges

CONTEXT_TOKENS = 6


class Table(nn.Module):
    """Logits that depend on the current token alone."""

    def __init__(self, p_VV: list[list[float]]) -> None:
        super().__init__()
        self.logits_VV = nn.Parameter(torch.tensor(p_VV).log())

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Look them up."""
        return self.logits_VV[tokens_BT]


def test_bins_are_single_positions_and_then_parts_of_an_octave() -> None:
    """They cover the context, whatever its size."""
    assert log_edges(1).tolist() == [0, 1]
    assert log_edges(7).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    for context_tokens in (2, 11, 127, 128, 129, 1024):
        edges = log_edges(context_tokens)
        assert edges[0] == 0
        assert edges[-1] == context_tokens
        assert (np.diff(edges) > 0).all()
        assert (edges[2:] / edges[1:-1]).max() <= 2


def test_documents_begin_behind_a_separator() -> None:
    """Longer ones are cut, shorter ones end with their separator, a part without an end is no document."""
    tokens = np.array([3, 4, 0, 5, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 9, 9], dtype=np.uint16)
    rows, is_target = beginnings(tokens, 0, CONTEXT_TOKENS, 99)
    assert rows.tolist() == [[0, 3, 4, 0, 0, 0, 0], [0, 5, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6], [0] * 7]
    assert is_target.sum(axis=1).tolist() == [3, 2, 6, 1]
    assert [row[0] for row in beginnings(tokens, 0, CONTEXT_TOKENS, 2)[0][:, 1:].tolist()] == [3, 1]


def test_both_profiles_by_hand() -> None:
    """The separator is 0. After it anything is even, 1/4; after 1 comes 2 with 1/2 and others with 1/6; else even."""
    model = Table([[0.25] * 4, [1 / 6, 1 / 6, 1 / 2, 1 / 6], [0.25] * 4, [0.25] * 4])
    windows_NT1 = np.array([[1, 2, 1, 2, 1, 2, 3], [1, 1, 1, 1, 1, 1, 1]])
    documents = beginnings(np.array([1, 2, 0, 1, 3, 1, 2, 1, 1, 0]), 0, CONTEXT_TOKENS, 2)
    numbers = PositionProfileEvaluator(windows_NT1, *documents)(model)  # type: ignore[arg-type]
    two, four, six = math.log(2), math.log(4), math.log(6)
    np.testing.assert_allclose(numbers["random_nats_NP"], [[two, four] * 3, [six] * 6], rtol=1e-6)
    np.testing.assert_allclose(numbers["random_nats_T"], [(two + six) / 2, (four + six) / 2] * 3, rtol=1e-6)
    nan = math.nan
    expected_NP = [[four, two, four, nan, nan, nan], [four, six, four, two, four, six]]
    np.testing.assert_allclose(numbers["document_nats_NP"], expected_NP, rtol=1e-6)
    assert numbers["document_targets_NP"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert numbers["document_nats_T"] == pytest.approx([four, (two + six) / 2, four, two, four, six])
    assert numbers["from_tokens_P"].tolist() == numbers["tokens_P"].tolist() == [1, 2, 3, 4, 5, 6]


def test_wide_bins_are_means_of_their_targets() -> None:
    """Of a document that ends inside of one, of those it has."""
    model = Table([[0.25] * 4, [1 / 6, 1 / 6, 1 / 2, 1 / 6], [0.25] * 4, [0.25] * 4])
    windows_NT1 = np.array([[1, 2] * 5])
    documents = beginnings(np.array([3, 3, 3, 3, 3, 3, 1, 0]), 0, 9, 1)
    numbers = PositionProfileEvaluator(windows_NT1, *documents)(model)  # type: ignore[arg-type]
    assert numbers["from_tokens_P"].tolist() == [1, 2, 3, 4, 5, 6, 7, 9]
    assert numbers["tokens_P"][6] == pytest.approx(math.sqrt(7 * 8))
    two, four, six = math.log(2), math.log(4), math.log(6)
    np.testing.assert_allclose(numbers["random_nats_NP"][0, 6:], [(two + four) / 2, two], rtol=1e-6)
    np.testing.assert_allclose(numbers["document_nats_NP"][0, 6:], [(four + six) / 2, math.nan], rtol=1e-6)
    assert numbers["document_targets_NP"][0, 6:].tolist() == [2, 0]


def test_windows_know_their_documents() -> None:
    """That which holds most of a window's targets; numbers are those of the validation text."""

    class Tokenizer:
        end_of_text = 0

    class Held:
        tokenizer = Tokenizer()

        evaluated = SimpleNamespace(
            weights=None, tokens=np.array([1, 2, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2, 2, 0, 1, 1, 1, 0])
        )

    take = PositionProfile(num_tokens=99).build(
        model=None,  # type: ignore[arg-type]
        corpus=Held(),  # type: ignore[arg-type]
        context_tokens=CONTEXT_TOKENS,
    )
    numbers = take(Table([[1 / 3] * 3] * 3))  # type: ignore[arg-type]
    # Targets 1 to 6: two of the first, four of the second; 7 to 12: five of the second; 13 to 18: four of the last.
    assert numbers["random_document_N"].tolist() == [1, 1, 3]
    assert len(numbers["random_nats_NP"]) == 3


def test_a_corpus_without_separators_has_no_documents() -> None:
    """Its windows are there, a uniform model's at ln V at every position."""

    class Tokenizer:
        end_of_text = None

    class Held:
        tokenizer = Tokenizer()

        evaluated = SimpleNamespace(weights=None, tokens=np.arange(50) % 3)

    take = PositionProfile(num_tokens=12).build(model=None, corpus=Held(), context_tokens=5)  # type: ignore[arg-type]
    numbers = take(Table([[1 / 3] * 3] * 3))  # type: ignore[arg-type]
    assert set(numbers) == {"random_nats_NP", "random_nats_T", "from_tokens_P", "tokens_P"}
    np.testing.assert_allclose(numbers["random_nats_NP"], np.full((3, 5), math.log(3)), rtol=1e-6)
