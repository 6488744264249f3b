"""Weights of targets: kept from the document to the loss, and right however a batch is split."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from vslm.core.errors import DataError, RunError
from vslm.data.batches import Batch, Windows, evaluation_windows_of, mean_over_positions, training_batch_of
from vslm.data.corpus import open_corpus
from vslm.data.documents import Document, Scored, token_weights
from vslm.data.preparing import prepare
from vslm.data.sources.source import Source
from vslm.data.splits import SPLITS, Splits, split_documents
from vslm.data.tokenizers import Characters, Tokenizer
from vslm.data.windows import training_starts

LETTERS = "abcdefg"


@dataclass(frozen=True, kw_only=True)
class Answers(Source):
    """Questions and answers; the answers count, and each second one counts double."""

    tokenizer: Tokenizer = Characters()
    length: int = 5

    def documents(self) -> Iterator[Document]:
        """Two hundred of them."""
        rng = np.random.default_rng(3)
        for number in range(200):
            text = "".join(rng.choice(list(LETTERS), 11)) + "?" + "".join(rng.choice(list(LETTERS), self.length))
            scored = (Scored(12, 12 + self.length, 1.0 + number % 2),) if self.length else ()
            yield Document(f"{number}", text, scored)

    def describe(self) -> str:
        """In words."""
        return "answers"


def batch_of(num_rows: int, weights: bool) -> tuple[Batch, torch.Tensor]:
    """A batch and a loss for each of its targets."""
    generator = torch.Generator().manual_seed(0)
    loss_BT = torch.rand(num_rows, 7, generator=generator, dtype=torch.float64)
    weight_BT = torch.randint(0, 3, (num_rows, 7), generator=generator).double() if weights else None
    return Batch(
        torch.zeros(num_rows, 7, dtype=torch.int64), torch.zeros(num_rows, 7, dtype=torch.int64), weight_BT
    ), loss_BT


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("further", [0, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_means_of_parts_add_up_to_the_mean_of_the_batch(count: int, further: int, weights: bool) -> None:
    """Weights are summed over the whole batch: a part in which little counts adds little."""
    batch, loss_BT = batch_of(5, weights)
    if batch.weight_BT is not None:
        batch.weight_BT[:2] = 0  # a part in which nothing counts
    parts = batch.parts(count)
    assert len(parts) == min(count, 5)
    rows = np.cumsum([0, *(len(part) for part in parts)])
    found = sum(
        part.mean(loss_BT[start : start + len(part), further:], further=further)
        for part, start in zip(parts, rows[:-1], strict=True)
    )
    weight_BT = torch.ones_like(loss_BT) if batch.weight_BT is None else batch.weight_BT
    expected = (loss_BT * weight_BT)[:, further:].sum() / weight_BT[:, further:].sum()
    torch.testing.assert_close(found, expected)


def test_by_position_is_the_weighted_mean_and_nan_where_nothing_counts() -> None:
    """By hand; and over positions it is the mean over all targets."""
    loss_NT = np.array([[1.0, 5.0, 3.0], [4.0, 7.0, 2.0]], dtype=np.float32)
    weight_NT = np.array([[1.0, 0.0, 2.0], [2.0, 0.0, 1.0]], dtype=np.float32)
    windows = Windows(np.zeros((2, 4), dtype=np.int64), weight_NT)
    found_T = windows.by_position(loss_NT)
    np.testing.assert_allclose(found_T, [3.0, np.nan, 8 / 3])
    assert mean_over_positions(found_T, windows.weights_by_position) == pytest.approx((1 + 8 + 6 + 2) / 6)


def test_a_token_counts_by_the_bytes_of_it_that_do() -> None:
    """Whatever the tokenizer makes of the text; a letter may have several bytes."""
    text = "ab\u00e9\u20acd"  # 1, 1, 2, 3 and 1 bytes
    weights_N = token_weights(text, [Scored(1, 3, 1.0), Scored(4, 5, 0.5)], np.array([1, 2, 1, 4, 0]))
    np.testing.assert_allclose(weights_N, [0.0, 1.0, 1.0, 0.5 / 4, 0.0])
    assert weights_N.sum() > 0


@pytest.mark.parametrize(
    ("scored", "words"),
    [
        ([(3, 2)], "3 to 2 of 7"),
        ([(0, 9)], "0 to 9 of 7"),
        ([(0, 4), (3, 5)], "3 to 5 of 7, behind 4"),
        ([(0, 4, -1.0)], "weight of -1"),
        ([(0, 4, float("nan"))], "weight of nan"),
    ],
)
def test_stretches_that_cannot_be_are_refused(scored: list[tuple], words: str) -> None:
    """By the name of the document."""
    with pytest.raises(DataError, match=f"(?s)doc.*{words}"):
        Document("doc", "abcdefg", scored)  # type: ignore[arg-type]


def test_what_counts_stays_with_its_letters_when_a_document_is_cut_and_joined() -> None:
    """Of a corpus of one document, blocks of which fall into three splits."""
    text = "".join(f"{i:05d} question\n\nanswer {i:05d}\n\n" for i in range(3000))
    scored = [Scored(place, place + 6) for place in range(len(text)) if text.startswith("answer", place)]
    parts = split_documents([Document("one", text, tuple(scored))], Splits(), bytes_per_token=1.0, where="it")
    assert parts.cut_into_blocks
    assert parts.has_scored
    assert max(len(list(parts.texts(name))) for name in SPLITS) > 1
    found = 0
    for part in parts.parts(*SPLITS):
        assert part.scored is not None
        assert {part.text[one.first : one.end] for one in part.scored} == {"answer"}
        assert len(part.scored) == part.text.count("answer")
        found += len(part.scored)
    assert found == 3000


def test_weights_are_kept_beside_the_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found again when the corpus is opened, and part of what it is called; batches and windows have them."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path))
    corpus = prepare(Answers(splits=Splits(min_val_tokens=0)))
    again = open_corpus(corpus.fingerprint)
    assert again.has_weights
    train = again.train
    assert train.weights is not None
    assert len(train.weights) == len(train.tokens)
    # A document is 18 tokens, its separator among them; behind the question mark five count.
    rows = np.asarray(train.weights).reshape(-1, 18)
    assert not rows[:, [*range(12), 17]].any()
    assert set(np.unique(rows[:, 12:17])) == {1.0, 2.0}
    how = {"context_tokens": 17, "batch_windows": 3, "data_seed": 1, "step": 0}
    batch = training_batch_of(train, align_tokens=1, **how)
    places_BT = training_starts(train.tokens, **how)[:, None] + 1 + np.arange(17)
    np.testing.assert_array_equal(batch.targets_BT.numpy(), train.tokens[places_BT])
    assert batch.weight_BT is not None
    np.testing.assert_array_equal(batch.weight_BT.numpy(), train.weights[places_BT])
    windows = evaluation_windows_of(again.val, context_tokens=17)
    assert windows.weight_NT is not None
    assert windows.weight_NT.sum() == pytest.approx(np.asarray(again.val.weights)[1 : 1 + windows.weight_NT.size].sum())
    other = prepare(Answers(splits=Splits(min_val_tokens=0), length=6))
    assert other.fingerprint != corpus.fingerprint


def test_text_of_which_nothing_counts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus, a batch, and what is evaluated: each in words."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path))
    with pytest.raises(DataError, match="no token of train counts"):
        prepare(Answers(length=0))
    corpus = prepare(Answers(splits=Splits(min_val_tokens=0)))
    split = corpus.train
    assert split.weights is not None
    object.__setattr__(split, "weights", np.zeros(len(split.tokens), dtype=np.float32))
    with pytest.raises(RunError, match="none of the 33 targets of step 8 counts"):
        training_batch_of(split, context_tokens=11, batch_windows=3, data_seed=1, step=7, align_tokens=1)
    with pytest.raises(RunError, match="targets of train that are evaluated counts"):
        evaluation_windows_of(split, context_tokens=11)


def test_a_part_has_the_rows_of_another_batch_that_go_with_it() -> None:
    """However it is split, the shares of the other batch's mean add up to it."""
    generator = torch.Generator().manual_seed(3)
    tokens_BT = torch.randint(7, (6, 5), generator=generator)
    own, other = Batch(tokens_BT, tokens_BT), Batch(tokens_BT + 1, tokens_BT + 1, tokens_BT.float())
    loss_BT = torch.rand(6, 5, generator=generator)
    assert own.part_beside(other) is other
    beside = [part.part_beside(other) for part in own.parts(3)]
    assert torch.equal(torch.cat([one.tokens_BT for one in beside]), other.tokens_BT)
    shares = [one.mean(loss_BT[2 * place : 2 * place + 2]) for place, one in enumerate(beside)]
    torch.testing.assert_close(torch.stack(shares).sum(), other.mean(loss_BT))
