"""What stands in front of a text, and when it is loaded anew."""

from typing import Any

import numpy as np
import pytest
import torch
from small_store import DOCUMENTS, passages, untrained

from vslm.after.loading import Loading, LoadingWriter, loader_of
from vslm.after.sampling import Draws, Writer
from vslm.core.errors import DataError, SpecError
from vslm.data.tokenizers import Characters
from vslm.knowledge.passages import Passage
from vslm.knowledge.preloading import Loader, laid_out
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retriever import Finder, Found, Query
from vslm.knowledge.store import store_of
from vslm.measure.token_table import token_table

TOKENIZER = untrained().tokenizer


class Last(Finder):
    """Finds passages that hold the query's last letter, in their order; remembers what it was asked."""

    def __init__(self, store) -> None:
        super().__init__(store)
        self.asked: list[str] = []

    def find_many(self, queries: Any, k: int) -> list[list[Found]]:
        """Scores fall with the place."""
        self.asked += [query.text for query in queries]
        rows = []
        for query in queries:
            numbers = [n for n, p in enumerate(self.store.passages) if query.text[-1:] in p.text][:k]
            rows.append([Found(number, 10.0 - place) for place, number in enumerate(numbers)])
        return rows


class Certain:
    """In place of a model: every token follows by one, with the probability of certainty that is asked for."""

    context_tokens = 24

    def __init__(self, certain: Any = lambda number: True, *, can_continue: bool = True) -> None:
        self.windows: list[list[int]] = []
        self.can_continue, self._certain, self._calls = can_continue, certain, 0

    def next_logits(self, tokens_BT: torch.Tensor, so_far: Any) -> torch.Tensor:
        """Logits of the next token; a text that goes on has to begin as it did."""
        row = tokens_BT[0].tolist()
        assert len(row) <= self.context_tokens
        if so_far.length:
            assert row[: so_far.length] == self.windows[-1]
        so_far.length = len(row)
        self.windows.append(row)
        logits_BV = torch.zeros(1, TOKENIZER.vocabulary)
        logits_BV[0, (row[-1] + 1) % TOKENIZER.vocabulary] = 100.0 if self._certain(len(self.windows)) else 0.001
        return logits_BV


class SoFar:
    """How much was computed."""

    length = 0


def writer(monkeypatch: pytest.MonkeyPatch, model: Certain, finder: Finder, **loading: Any) -> tuple[Any, list[str]]:
    """Writes 40 tokens, the likeliest ones; what it says."""
    monkeypatch.setattr("vslm.after.loading.TextSoFar", SoFar)
    said: list[str] = []
    draws = Draws(tokens=40, temperature=0, top_k=None, seed=0)
    inner = Writer(model, TOKENIZER, draws, None)  # type: ignore[arg-type]
    made = Loading(store="unread", **loading)  # type: ignore[arg-type]
    loader = loader_of(finder, TOKENIZER, model, made.passages)  # type: ignore[arg-type]
    return LoadingWriter(inner, made, loader, said.append), said


STORE = store_of(Passage(text, number) for number, text in enumerate(["ab", "cab", "x" * 40, "da"]))


def test_passages_stay_in_front_while_the_text_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, behind the separator; the window never outgrows the context, and what was computed serves."""
    model, finder = Certain(), Last(STORE)
    made, said = writer(monkeypatch, model, finder, passages=2)
    pieces = list(made.stream("a b"))
    assert pieces[0] == "a b"
    assert said == ["loaded: [0] 10.00 'ab'; [1] 9.00 'cab'"]
    front = [TOKENIZER.end_of_text, *TOKENIZER.encode("cab\nab\n\n").tolist()]
    text = TOKENIZER.encode("a b").tolist()
    assert len(model.windows) == 40
    for number, window in enumerate(model.windows):
        assert window[: len(front)] == front
        seen = [*text, *((text[-1] + 1 + n) % TOKENIZER.vocabulary for n in range(number))]
        rest = window[len(front) :]
        assert rest == seen[-len(rest) :]
        assert len(rest) >= min(len(seen), (24 - len(front)) * 3 // 4)
    assert finder.asked == ["a b"]


def test_a_model_that_keeps_nothing_sees_as_much_as_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its windows are full from the moment that the text fills them."""
    model = Certain(can_continue=False)
    made, _ = writer(monkeypatch, model, Last(STORE), passages=1)
    list(made.stream("b"))
    lengths = [len(window) for window in model.windows]
    assert lengths == [min(24, lengths[0] + number) for number in range(40)]


def test_every_n_tokens_it_is_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the end of what stands there then; the same passages again are not said."""
    model, finder = Certain(), Last(STORE)
    made, said = writer(monkeypatch, model, finder, passages=1, every=15)
    list(made.stream("b"))
    assert len(finder.asked) == 3
    first = TOKENIZER.encode("b").tolist()[-1]
    assert finder.asked[1].endswith(TOKENIZER.decode([first + 15]))
    found = [finder.find(Query(asked), 1) for asked in finder.asked[:3]]
    changed = [f"after {15 * n} tokens" for n in (1, 2) if found[n] != found[n - 1]]
    assert [words.split(",")[0] for words in said[1:]] == changed
    assert changed


def test_where_it_is_uncertain_it_is_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first token, and not again within eight; where something else is found the token is drawn anew."""
    model, finder = Certain(lambda call: call < 6), Last(STORE)
    made, said = writer(monkeypatch, model, finder, passages=1, when_uncertain=2.0)
    list(made.stream("b"))
    assert len(finder.asked) == 1 + 4  # at tokens 8, 16, 24 and 32: the first is certain up to the fifth
    assert len(model.windows) == 40 + sum(words.startswith("after") for words in said)
    sure, asked = Certain(), Last(STORE)
    list(writer(monkeypatch, sure, asked, when_uncertain=2.0)[0].stream("b"))
    assert len(asked.asked) == 1


def test_nothing_found_is_said_and_the_text_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anything in front."""
    model = Certain()
    made, said = writer(monkeypatch, model, Last(STORE))
    list(made.stream("Q"))
    assert said == ["loaded: nothing is found"]
    assert model.windows[0] == [TOKENIZER.end_of_text, *TOKENIZER.encode("Q").tolist()]


def test_passages_without_room_are_passed_over() -> None:
    """The next one takes the place; better ones are counted; where none has room that is an error in words."""
    store = store_of(Passage(text, number) for number, text in enumerate(["x" * 30 + "a", "ab", "bba"]))
    loader = Loader(Last(store), TOKENIZER, passages=2, most_tokens=12)
    loaded = loader.load("text", "a")
    assert [one.passage for one in loaded.found] == [1, 2]
    assert loaded.words == "[1] 9.00 'ab'; [2] 8.00 'bba'; 1 better without room"
    with pytest.raises(DataError, match=r"store: the passages that are found have \d+ tokens or more; the context"):
        Loader(Last(store), TOKENIZER, passages=2, most_tokens=3).load("text", "a")
    known = Characters().fit(["abx \n"])
    strange = store_of([Passage("z a", 1), Passage("ab", 2)])
    loaded = Loader(Last(strange), known, passages=1, most_tokens=12).load("b", "a")
    assert [one.passage for one in loaded.found] == [1]
    with pytest.raises(DataError, match="characters that the model never read"):
        Loader(Last(store_of([Passage("z a", 1)])), known, passages=1, most_tokens=12).load("b", "a")


def test_a_text_with_a_place_for_facts_gets_them_there() -> None:
    """Right behind `<ctx>`; tokens are cut as those of the whole text are."""
    finder = Random().open(store_of(passages()))
    loader = Loader(finder, TOKENIZER, passages=3, most_tokens=200)
    for text in ("<ctx> <q> where?", "Once upon", "", "\n\nx", "<ctx>"):
        loaded = loader.load(text, "q")
        front, rest = laid_out(text, loaded.texts)
        assert TOKENIZER.decode(loaded.front_M) == front
        together = TOKENIZER.encode(front + rest).tolist()
        if rest:
            assert together[: len(loaded.front_M)] == loaded.front_M.tolist()
    assert laid_out("<ctx> <q> where?", []) == ("<ctx>", " <q> where?")
    assert laid_out("x", []) == ("", "x")


@pytest.mark.parametrize(
    ("loading", "words"),
    [
        ({"every": 0}, "--every: found 0"),
        ({"when_uncertain": -0.5}, "--when-uncertain: found -0.5"),
        ({"when_uncertain": float("nan")}, "--when-uncertain: found nan"),
        ({"every": 3, "when_uncertain": 1.0}, "given beside --every"),
    ],
)
def test_what_cannot_be_meant_is_said(loading: dict[str, Any], words: str) -> None:
    """At the option."""
    with pytest.raises(SpecError, match=words):
        Loading(store="s", **loading)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="--passages: found 0"):
        Loader(Last(STORE), TOKENIZER, passages=0, most_tokens=3)


def test_a_table_with_tokens_in_front_is_that_of_the_joined_text() -> None:
    """For every token of the text; a longer text slides behind what stands in front; without any nothing changes."""
    ready = untrained()
    front, text = "Anna is.\n\n", "She has a boat"
    front_M = TOKENIZER.encode(front + "S")[:-1]
    assert TOKENIZER.decode(front_M) == front
    table = token_table(ready.model, ready.tokenizer, text, before_M=front_M)
    whole = token_table(ready.model, ready.tokenizer, front + text)
    assert whole.stride_tokens is None
    np.testing.assert_allclose(table.loss_nats_N, whole.loss_nats_N[len(front_M) :], atol=1e-5)
    np.testing.assert_array_equal(table.top_ids_NK, whole.top_ids_NK[len(front_M) :])
    plain = token_table(ready.model, ready.tokenizer, text)
    assert not np.allclose(plain.loss_nats_N, table.loss_nats_N)
    long = token_table(ready.model, ready.tokenizer, DOCUMENTS[1], before_M=front_M)
    room = ready.model.context_tokens - len(front_M)
    assert long.context_tokens == room
    row = [ready.tokenizer.end_of_text, *front_M[:-1].tolist()]
    ids_N = ready.tokenizer.encode(DOCUMENTS[1])
    last = torch.tensor([[*row, *ids_N[-room - 1 : -1].tolist()]])
    expected = torch.log_softmax(ready.model(last)[0, -1].double(), dim=-1)[ids_N[-1]]
    assert long.loss_nats_N[-1] == pytest.approx(-float(expected.detach()), abs=1e-5)
    with pytest.raises(SpecError, match="one position for the text is needed"):
        token_table(ready.model, ready.tokenizer, "x", before_M=np.zeros(29, dtype=np.int64))
