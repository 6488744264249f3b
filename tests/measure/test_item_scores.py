"""What a model makes of items: by hand, against the logits of each text alone, whatever else is in the batch."""

import math

import numpy as np
import pytest
import torch

from vslm.data.eval_items import Form, Item, Items
from vslm.data.tokenizers import BPE, Characters, FittedTokenizer
from vslm.measure.item_numbers import arrays_of, declared_of, item_numbers
from vslm.measure.item_scores import lay_out, score_items
from vslm.measure.likelihoods import Row, row_losses
from vslm.measure.measure import evaluating
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import uniform

CONTEXT_TOKENS = 29
TEXT = "Ann has left the old house, and Bob have seen it. " * 7
ANN = "Ann has left the old"


def model_of(vocabulary: int) -> LanguageModel:
    """With logits that are far from alike."""
    model = uniform(depth=2, width=12, heads=2, context_tokens=CONTEXT_TOKENS).build(
        vocabulary=vocabulary, init=Init(5)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.fixture(scope="module")
def tokenizer() -> FittedTokenizer:
    """Byte pairs, with a separator."""
    return BPE(vocabulary=283).fit([TEXT])


def items_of(form: Form, *items: tuple[str, tuple[str, ...], int]) -> Items:
    """Numbered."""
    return Items("made up", form, tuple(Item(str(n), f"g{n % 2}", *item) for n, item in enumerate(items)))


def behind(tokenizer: FittedTokenizer, text: str) -> np.ndarray:
    """Ids of a text behind a separator."""
    assert tokenizer.end_of_text is not None
    return np.concatenate(([tokenizer.end_of_text], tokenizer.encode(text)))


def alone(model: LanguageModel, ids: np.ndarray, first: int) -> float:
    """The loss of the end of a text, from the logits of that text alone, in float64."""
    log_p = torch.log_softmax(model(torch.from_numpy(ids[None, :-1]))[0].double(), dim=-1)
    return -float(sum(log_p[t - 1, ids[t]] for t in range(first, len(ids))))


def test_rows_are_scored_as_they_are_alone() -> None:
    """Of any length, from any place on, in batches with others; what greedy decoding says is the likeliest end."""
    model, rng = model_of(31), np.random.default_rng(3)
    rows = [Row(rng.integers(0, 31, size), first) for size, first in ((2, 1), (30, 29), (17, 5), (30, 1), (3, 2))]
    greedy = [7]
    for _ in range(4):
        greedy.append(int(model(torch.tensor([greedy]))[0, -1].argmax()))
    rows.append(Row(np.array(greedy), 2))
    with evaluating(model):
        nats_N, is_likeliest_N = row_losses(model, rows)
        np.testing.assert_allclose(nats_N, [alone(model, *row) for row in rows], rtol=2e-6)
    assert is_likeliest_N.tolist() == [False] * 5 + [True]


def test_a_pair_is_right_by_sums_and_its_margin_is_per_token(tokenizer: FittedTokenizer) -> None:
    """The whole sentence behind a separator."""
    model = model_of(tokenizer.vocabulary)
    good, bad = "Ann has left.", "Bob have seen it, and"
    laid_out = lay_out(items_of("pairs", ("", (good, bad), 0), ("", (bad, good), 0)), tokenizer, CONTEXT_TOKENS)
    assert len(laid_out.rows) == 2  # each text once
    ids = [behind(tokenizer, text) for text in (good, bad)]
    with evaluating(model):
        scores = score_items(model, laid_out)
        first, second = (alone(model, one, 1) for one in ids)
    margin = (second - first) / (len(ids[0]) + len(ids[1]) - 2) * 2
    np.testing.assert_allclose(scores.margin_N, [margin, -margin], rtol=1e-5)
    assert scores.right_N.tolist() == [float(first < second), float(second < first)]
    assert np.isnan(scores.by_length_N).all()


def test_the_same_sentence_twice_is_a_tie(tokenizer: FittedTokenizer) -> None:
    """Which counts half, with no margin, whatever rounding does in a batch."""
    laid_out = lay_out(items_of("pairs", ("", (ANN, ANN), 0)), tokenizer, CONTEXT_TOKENS)
    model = model_of(tokenizer.vocabulary)
    with evaluating(model):
        scores = score_items(model, laid_out)
    assert (scores.right_N.tolist(), scores.margin_N.tolist()) == ([0.5], [0.0])


def test_choices_are_compared_behind_their_context(tokenizer: FittedTokenizer) -> None:
    """By sums, by letters, and by tokens against the mean of the wrong ones; only the choice is scored."""
    model = model_of(tokenizer.vocabulary)
    choices = (" house, and Bob", " it", " seen it. Ann")
    items = items_of("choices", *((ANN, choices, right) for right in range(3)))
    laid_out = lay_out(items, tokenizer, CONTEXT_TOKENS)
    before = 1 + len(tokenizer.encode(ANN))
    rows = [behind(tokenizer, ANN + choice) for choice in choices]
    with evaluating(model):
        scores = score_items(model, laid_out)
        nats = np.array([alone(model, row, before) for row in rows])
    per_token = nats / [len(row) - before for row in rows]
    per_letter = nats / [len(choice) - 1 for choice in choices]
    assert scores.right_N.tolist() == [float(place == nats.argmin()) for place in range(3)]
    assert scores.by_length_N.tolist() == [float(place == per_letter.argmin()) for place in range(3)]
    margins = [np.delete(per_token, place).mean() - per_token[place] for place in range(3)]
    np.testing.assert_allclose(scores.margin_N, margins, rtol=1e-5, atol=1e-6)


def test_what_is_too_long_is_left_out_or_cut(tokenizer: FittedTokenizer) -> None:
    """A pair is left out; of a last word the context is cut at its beginning; both are counted."""
    long = TEXT[:150].rstrip()
    pairs = lay_out(items_of("pairs", ("", (ANN, long), 0), ("", (ANN, "Bob"), 0)), tokenizer, CONTEXT_TOKENS)
    assert (pairs.num_left_out, pairs.places[0], pairs.num_cut) == (1, (), 0)
    words = lay_out(items_of("last word", (long, (" it.",), 0), (ANN, (" house",), 0)), tokenizer, CONTEXT_TOKENS)
    assert (words.num_left_out, words.num_cut) == (0, 1)
    row = words.rows[words.places[0][0]]
    whole = tokenizer.encode(f"{long} it.")
    assert row.ids.tolist() == whole[-(CONTEXT_TOKENS + 1) :].tolist()
    assert tokenizer.decode(row.ids[row.first :]) == " it."
    longer = lay_out(items_of("last word", ("so", (" " + "ab" * 40,), 0)), tokenizer, CONTEXT_TOKENS)
    assert longer.num_left_out == 1
    exact = behind(tokenizer, ANN)
    fits = lay_out(items_of("pairs", ("", (ANN, "Bob"), 0)), tokenizer, len(exact) - 1)
    assert fits.num_left_out == 0
    assert lay_out(items_of("pairs", ("", (ANN, "Bob"), 0)), tokenizer, len(exact) - 2).num_left_out == 1


def test_a_token_over_the_end_of_the_context_is_scored() -> None:
    """The same letters are scored of every choice, whatever pairs of letters are tokens."""
    tokenizer = BPE(vocabulary=259).fit(["abab abab abab abab"])
    laid_out = lay_out(items_of("choices", ("ca", ("b", "c"), 0)), tokenizer, CONTEXT_TOKENS)
    right, wrong = (laid_out.rows[place] for place in laid_out.places[0])
    assert tokenizer.decode(right.ids[right.first :]) == "ab"
    assert tokenizer.decode(wrong.ids[wrong.first :]) == "c"


def test_without_a_separator_the_first_token_is_not_scored() -> None:
    """Of one document of characters; and what has another character is left out."""
    tokenizer = Characters().fit([TEXT], separated=False)
    items = items_of("pairs", ("", ("Ann has", "Ann hav"), 0), ("", ("Ann", "Zoe"), 0))
    laid_out = lay_out(items, tokenizer, CONTEXT_TOKENS)
    assert laid_out.num_left_out == 1
    row = laid_out.rows[laid_out.places[0][0]]
    assert (row.first, tokenizer.decode(row.ids)) == (1, "Ann has")


def test_numbers_are_means_over_the_items_that_were_scored(tokenizer: FittedTokenizer) -> None:
    """By what they are about, too; what is declared is what there is."""
    long = TEXT[:150].rstrip()
    pairs = [("", (ANN, "Bob have"), 0), ("", ("Bob", "it"), 0), ("", (ANN, long), 0), ("", ("seen it", "old Ann"), 0)]
    items = items_of("pairs", *pairs)
    model = model_of(tokenizer.vocabulary)
    laid_out = lay_out(items, tokenizer, CONTEXT_TOKENS)
    with evaluating(model):
        scores = score_items(model, laid_out)
    found = item_numbers(items, laid_out, scores)
    kept = [0, 1, 3]
    assert found["accuracy"] == pytest.approx(scores.right_N[kept].mean())
    assert found["margin"] == pytest.approx(scores.margin_N[kept].mean())
    assert found["margin_error"] == pytest.approx(scores.margin_N[kept].std(ddof=1) / math.sqrt(3))
    assert (found["num_items"], found["num_left_out"]) == (3, 1)
    np.testing.assert_allclose(found["margin_G"], [scores.margin_N[0], scores.margin_N[[1, 3]].mean()])
    assert np.asarray(found["num_items_G"]).tolist() == [1, 2]
    declared = declared_of(items)
    assert set(declared.numbers) == {name for name, value in found.items() if not isinstance(value, np.ndarray)}
    assert set(arrays_of(items)) < set(found)
