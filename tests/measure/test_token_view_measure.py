"""The token view's numbers on a model whose answer is known, and where its pieces of text begin."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.data.tokenizers import BPE, Characters
from vslm.measure.token_view import TokenView, TokenViewEvaluator, piece_starts, piece_text

CONTEXT_TOKENS = 5


class AlwaysSame(nn.Module):
    """A model that says the same of every position: probabilities in the order of ids."""

    def __init__(self, p_V: list[float]) -> None:
        super().__init__()
        self.context_tokens = CONTEXT_TOKENS
        self.log_p_V = nn.Parameter(torch.tensor(p_V).log())

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """The same logits everywhere."""
        return self.log_p_V.expand(*tokens_BT.shape, -1)


def test_by_hand() -> None:
    """Ids of the separator, a, b and c; two pieces, longer than the context and shorter."""
    tokenizer = Characters().fit(["ab", "c"])
    model = AlwaysSame([1 / 16, 1 / 2, 1 / 4, 3 / 16])
    said = TokenViewEvaluator(tokenizer, ["abcabca", "cb"], np.array([3, 11]), 2, np.array([1, 7, 0, 3]))(model)
    assert np.flatnonzero(said["is_never_N"]).tolist() == [1, 4, 8], "b was never shown"
    assert said["ids_N"].tolist() == [1, 2, 3, 1, 2, 3, 1, 3, 2]
    assert said["piece_N"].tolist() == [0] * 7 + [1] * 2
    assert said["from_token_P"].tolist() == [3, 11]
    p_N = np.array([1 / 2, 1 / 4, 3 / 16])[said["ids_N"] - 1]
    np.testing.assert_allclose(said["loss_nats_N"], -np.log(p_N), rtol=1e-6)
    assert said["rank_N"].tolist() == [1, 2, 3, 1, 2, 3, 1, 3, 2]
    assert said["top_ids_NK"].tolist() == [[1, 2]] * 9
    np.testing.assert_allclose(said["top_p_NK"], [[1 / 2, 1 / 4]] * 9, rtol=1e-6)
    entropy = sum(-p * math.log(p) for p in (1 / 16, 1 / 2, 1 / 4, 3 / 16))
    np.testing.assert_allclose(said["entropy_nats_N"], entropy, rtol=1e-6)


def test_without_a_separator_the_first_token_has_no_numbers() -> None:
    """Nothing stands before it."""
    tokenizer = Characters().fit(["abc"], separated=False)
    said = TokenViewEvaluator(tokenizer, ["cab"], np.array([0]), 3, np.ones(3))(AlwaysSame([1 / 2, 1 / 4, 1 / 4]))
    assert np.isnan(said["loss_nats_N"]).tolist() == [True, False, False]
    assert said["rank_N"].tolist() == [0, 1, 2]
    assert said["top_ids_NK"][0].tolist() == [-1, -1, -1]


def test_pieces_begin_where_documents_do(tmp_path: Path) -> None:
    """Documents of 23 characters and of 4: only the long ones are shown, each up to its own end or 11 tokens."""
    longs = [f"{letter * 3} begins the document" for letter in "abcdefghij"]
    shorts = [f"s{a}{b}." for a in "klmnop" for b in "qrstuv"]
    (tmp_path / "c.txt").write_text("\n<|endoftext|>\n".join([x for p in zip(shorts, longs, strict=False) for x in p]))
    corpus = prepare(Text(str(tmp_path / "c.txt"), tokenizer=Characters()))
    tokens = corpus.val.tokens
    starts_P = piece_starts(tokens, corpus.tokenizer.end_of_text, 2, 11)
    texts = [piece_text(corpus.tokenizer, tokens[start : start + 11]) for start in starts_P]
    assert texts
    for start, text in zip(starts_P, texts, strict=True):
        assert start == 0 or tokens[start - 1] == corpus.tokenizer.end_of_text
        assert text[3:] == " begins "
    whole = [piece_text(corpus.tokenizer, tokens[start : start + 40]) for start in starts_P]
    assert {text.strip() for text in whole} <= set(longs)


def test_a_piece_ends_with_a_whole_character() -> None:
    """Bytes of a character that the last token breaks are left out, so the text is encoded as it was."""
    tokenizer = BPE(vocabulary=257).fit(["plain letters, and some more of them"])
    ids = tokenizer.encode("né")
    assert piece_text(tokenizer, ids) == "né"
    assert piece_text(tokenizer, ids[:-1]) == "n"
    assert piece_text(tokenizer, np.append(ids, [tokenizer.end_of_text, 7])) == "né"


@pytest.mark.parametrize("name", ["num_evaluations", "num_pieces", "piece_tokens", "top"])
def test_counts_below_one_are_refused(name: str) -> None:
    """By name."""
    with pytest.raises(SpecError, match=f"{name}: found 0"):
        TokenView(**{name: 0})
