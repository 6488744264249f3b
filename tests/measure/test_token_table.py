"""What a model says of every token, by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import DataError, SpecError
from vslm.data.tokenizers import BPE, Characters, FittedTokenizer
from vslm.measure.measure import evaluating
from vslm.measure.token_loss import token_loss
from vslm.measure.token_table import TokenTable, sliding_windows, token_table
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import uniform

ABC = Characters().fit(["abc", "cab"])  # ids: 0 separator, 1 a, 2 b, 3 c


class Table(nn.Module):
    """Logits that depend on the current token alone."""

    def __init__(self, logits_VV: Tensor, context_tokens: int) -> None:
        super().__init__()
        self.logits_VV = nn.Parameter(logits_VV)
        self.context_tokens = context_tokens

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Look them up, and refuse what does not fit as a language model does."""
        assert tokens_BT.shape[1] <= self.context_tokens
        return self.logits_VV[tokens_BT]


def table_of(rows: list[list[float]], text: str, tokenizer: FittedTokenizer = ABC, **options) -> TokenTable:
    """The table of a text by a model whose probabilities after each id are `rows`."""
    model = Table(torch.tensor(rows).log(), context_tokens=options.pop("context_tokens", 7))
    return token_table(model, tokenizer, text, **options)  # type: ignore[arg-type]


EVEN = [0.25] * 4
AFTER_A = [0.1, 0.2, 0.3, 0.4]


def test_three_tokens_by_hand() -> None:
    """ "aab" after the separator: even at first, then twice what comes after an a."""
    table = table_of([EVEN, AFTER_A, EVEN, EVEN], "aab", top=2)
    assert table.ids_N.tolist() == [1, 1, 2]
    assert table.p_N == pytest.approx([0.25, 0.2, 0.3])
    assert table.loss_nats_N == pytest.approx([math.log(4), math.log(5), -math.log(0.3)], rel=1e-6)
    assert table.rank_N.tolist() == [1, 3, 2]
    entropy = -sum(p * math.log(p) for p in AFTER_A)
    assert table.entropy_nats_N == pytest.approx([math.log(4), entropy, entropy], rel=1e-6)
    assert table.top_ids_NK[1:].tolist() == [[3, 2], [3, 2]]
    np.testing.assert_allclose(table.top_p_NK[1:], [[0.4, 0.3]] * 2, rtol=1e-6)
    assert table.seen_tokens_N.tolist() == [1, 2, 3]
    assert table.remark == ""


def test_without_a_separator_the_first_token_has_no_numbers() -> None:
    """And the others have those of the token before them."""
    tokenizer = Characters().fit(["cab"], separated=False)  # ids: 0 a, 1 b, 2 c
    table = table_of([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [1 / 3] * 3], "abca", tokenizer)
    assert np.isnan(table.loss_nats_N).tolist() == [True, False, False, False]
    assert table.p_N[1:] == pytest.approx([0.25, 0.6, 1 / 3])
    assert (table.rank_N[0], table.seen_tokens_N.tolist(), table.top_ids_NK[0].tolist()) == (0, [0, 1, 2, 3], [-1] * 3)
    alone = table_of([[1 / 3] * 3] * 3, "b", tokenizer)
    assert np.isnan(alone.p_N).all()
    assert len(alone) == 1


def test_tokens_that_training_never_showed_are_said() -> None:
    """Beside what else there is to say, and nothing where it is not known."""
    counts_V = np.array([5, 1, 0, 9])
    assert table_of([EVEN] * 4, "aab", counts_V=counts_V).remark.startswith("1 token never occurs in the training text")
    assert table_of([EVEN] * 4, "ca", counts_V=counts_V).remark == ""
    long = table_of([EVEN] * 4, "ab" * 9, counts_V=counts_V)
    assert long.num_never == 9
    assert "the window slides by 3" in long.remark
    assert "; 9 tokens never occur" in long.remark
    assert table_of([EVEN] * 4, "aab").num_never is None


def test_a_uniform_model_says_ln_v_of_every_token() -> None:
    """Whatever the text, however long."""
    table = table_of([EVEN] * 4, "abcabbacca" * 3, context_tokens=5)
    assert table.loss_nats_N == pytest.approx([math.log(4)] * 30)
    assert table.rank_N.tolist() == [1] * 30


def test_bytes_of_tokens_lie_side_by_side() -> None:
    """Also where a character has several bytes, and where a token is a part of one."""
    text = "añ→a"
    characters = Characters().fit([text, "b"])
    rows = [[1 / characters.vocabulary] * characters.vocabulary] * characters.vocabulary
    table = table_of(rows, text, characters)
    assert table.from_byte_N.tolist() == [0, 1, 3, 6]
    assert table.to_byte_N.tolist() == [1, 3, 6, 7]
    pairs = BPE(vocabulary=260).fit(["aaaa aaaa bb bb aaaa"] * 3)
    rows = [[1 / pairs.vocabulary] * pairs.vocabulary] * pairs.vocabulary
    table = table_of(rows, text + " aaaa", pairs, context_tokens=31)
    raw = (text + " aaaa").encode()
    spans = zip(table.from_byte_N, table.to_byte_N, strict=True)
    assert [raw[a:b] for a, b in spans] == [pairs.token_bytes[token] for token in table.ids_N]
    assert table.to_byte_N[-1] == len(raw)


@pytest.mark.parametrize("context_tokens", [1, 2, 5, 8])
@pytest.mark.parametrize("num_targets", [1, 2, 4, 5, 6, 7, 8, 9, 23])
def test_windows_score_every_target_once_after_half_a_context(num_targets: int, context_tokens: int) -> None:
    """Within the text, none longer than the context, all as long as it once the text is longer."""
    scored = []
    for start, stop, position in sliding_windows(num_targets, context_tokens):
        assert 0 <= start < stop <= num_targets
        assert stop - start == min(num_targets, context_tokens)
        scored += range(start + position, stop)
        if start:
            assert position >= context_tokens / 2 or context_tokens == 1
    assert scored == list(range(num_targets))


def real_model(context_tokens: int) -> LanguageModel:
    """Untrained, but no table: what it says depends on all it sees."""
    return uniform(depth=2, width=12, heads=3, context_tokens=context_tokens, dropout=0.3).build(
        vocabulary=4, init=Init(3)
    )


def test_a_long_text_slides_and_says_so() -> None:
    """Every row is what a separate pass over exactly the tokens it says it saw gives."""
    model = real_model(7).train()
    with torch.no_grad():
        for parameter in model.root.parameters():
            parameter.mul_(9)
    text = "abcacbabbca" * 3
    table = token_table(model, ABC, text)
    assert model.training
    assert table.stride_tokens == 3
    assert table.seen_tokens_N.tolist()[:12] == [1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 5, 6]
    assert "33 tokens are more than the context of 7: the window slides by 3" in table.remark
    assert "after 5 or more" in table.remark
    read = np.concatenate([[0], table.ids_N])
    for place, seen in enumerate(table.seen_tokens_N):
        window = torch.from_numpy(read[place + 1 - seen : place + 2])[None]
        with evaluating(model):
            loss = token_loss(model, window[:, :-1], window[:, 1:])[0, -1]
        assert table.loss_nats_N[place] == pytest.approx(float(loss), abs=1e-5), place
    assert table.loss_nats_N.std() > 0.01


def test_what_cannot_be_scored_is_said() -> None:
    """A character the corpus never had, no text at all, no alternatives; more of them than ids are as many as ids."""
    with pytest.raises(DataError, match="the character 'x' at 2 does not occur"):
        table_of([EVEN] * 4, "abx")
    with pytest.raises(DataError, match="text: it is empty"):
        table_of([EVEN] * 4, "")
    with pytest.raises(SpecError, match="1 or more"):
        table_of([EVEN] * 4, "a", top=0)
    assert table_of([EVEN] * 4, "a", top=9).top_p_NK.shape == (1, 4)
