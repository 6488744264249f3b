"""Answers to questions about paragraphs, of models whose answers are known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall, Squad
from vslm.data.splits import Splits
from vslm.data.word_tokenizer import Words
from vslm.measure.squad_accuracy import SquadAccuracy
from vslm.models.layouts.plain import uniform

CONTEXT_TOKENS = 61
PEOPLE = ["Anna", "Bo", "Cy", "Dag", "Eva", "Finn", "Gry", "Hal", "Ida", "Jon"]
PLACES = ["Oslo", "Riga", "Rome", "Bonn", "Bern", "Nice", "Graz"]


def articles() -> list[dict]:
    """A paragraph of two sentences for each of 70 pairs of people, with two questions."""
    found = []
    for n, one in enumerate(PEOPLE):
        paragraphs = []
        for m, there in enumerate(PLACES):
            other, else_where = PEOPLE[(n + m + 1) % len(PEOPLE)], PLACES[(m + n + 3) % len(PLACES)]
            qas = [
                {"question": f"Where is {who} of {n} {m}?", "answers": [{"text": f"the {where}"}]}
                for who, where in ((one, there), (other, else_where))
            ]
            paragraphs.append({"context": f"{one} is in the {there}. {other} is in the {else_where}.", "qas": qas})
        found.append({"title": one, "paragraphs": paragraphs})
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Of that file."""
    folder = tmp_path_factory.mktemp("squad")
    (folder / "squad.json").write_text(json.dumps({"data": articles()}), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(folder / "home"))
        source = Squad(
            path=str(folder / "squad.json"),
            tokenizer=Words(),
            context_tokens=CONTEXT_TOKENS,
            splits=Splits(min_val_tokens=0),
        )
        return prepare(source)


class Answering(nn.Module):
    """Writes what a function of the paragraph and the question says."""

    can_continue = False
    context_tokens = CONTEXT_TOKENS

    def __init__(self, corpus: Corpus, answer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5))
        self.tokenizer, self.answer = corpus.tokenizer, answer
        self.asked: list[str] = []

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """An even guess of every token."""
        return torch.zeros(*tokens_BT.shape, self.tokenizer.vocabulary)

    def next_logits(self, tokens_BT: Tensor, so_far: object) -> Tensor:
        """Certain of the next token of the answer."""
        del so_far
        text = self.tokenizer.decode(tokens_BT[0].tolist())
        prompt, _, written = text.partition(" <a>")
        if not written:
            self.asked.append(prompt)
        context, _, question = prompt.removeprefix("<ctx>").partition(" <q> ")
        ids = self.tokenizer.encode(f" {self.answer(context.strip(), question)}\n")
        logits_BV = torch.zeros(1, self.tokenizer.vocabulary)
        logits_BV[0, ids[len(self.tokenizer.encode(written)) if written else 0]] = 9.0
        return logits_BV


def read(context: str, question: str) -> str:
    """What the paragraph says of who is asked about."""
    who = question.split()[2]
    said = [sentence for sentence in context.split(".") if sentence.split()[:1] == [who]]
    return f"The {said[0].split()[-1]}!" if said else "nothing is known."


def taken(corpus: Corpus, model: nn.Module, measure: SquadAccuracy) -> dict[str, np.ndarray]:
    """Its numbers."""
    return measure.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)(model)  # type: ignore[arg-type]


def test_who_reads_is_right_with_its_own_paragraph_alone(corpus: Corpus) -> None:
    """Another one names the person elsewhere or not at all; without one nothing is known."""
    model = Answering(corpus, read)
    found = taken(corpus, model, SquadAccuracy(num_examples=7))
    assert found["exact_match"] == found["f1"] == 1
    assert found["exact_match_none"] == found["f1_none"] == 0
    assert found["exact_match_shuffled"] < 0.5
    assert found["exact_match_W"].tolist() == [1, found["exact_match_shuffled"], 0]
    assert found["num_questions"] == 7
    three = 3 * np.log(corpus.tokenizer.vocabulary)  # " the", a place, the line end
    assert found["nats_W"].tolist() == pytest.approx([three] * 3)
    assert found["nats"] == pytest.approx(three)
    own, others, none = model.asked[:7], model.asked[7:14], model.asked[14:]
    assert len(set(own)) == 7
    assert all(text.startswith("<ctx> <q> Where is") for text in none)
    for one, other in zip(own, others, strict=True):
        assert one.partition(" <q> ")[2] == other.partition(" <q> ")[2]
        assert one.partition(" <q> ")[0] != other.partition(" <q> ")[0]


def test_half_of_the_words_is_half_of_the_way(corpus: Corpus) -> None:
    """F1 of an answer with one word more: 2 * 1 * 0.5 / 1.5; and who never ends a line is cut off."""
    found = taken(corpus, Answering(corpus, lambda *a: f"{read(*a)} maybe"), SquadAccuracy(num_examples=5))
    assert found["exact_match"] == 0
    assert found["f1"] == pytest.approx(2 / 3)
    found = taken(corpus, Answering(corpus, lambda *a: "so " * 40), SquadAccuracy(num_examples=2, most_tokens=3))
    assert found["f1"] == 0


def test_questions_are_those_of_the_split(corpus: Corpus) -> None:
    """Of val, or of select in a run that chooses: none is in both, and no more than there are."""
    asked = []
    for split in ("val", "select"):
        model = Answering(corpus, read)
        opened = Corpus(corpus.folder, corpus.meta, split)  # type: ignore[arg-type]
        taken(opened, model, SquadAccuracy(num_examples=500))
        asked.append({text for text in model.asked if not text.startswith("<ctx> <q>")})
    assert 3 < len(asked[0]) < 200
    questions = [{text.partition(" <q> ")[2] for text in each} for each in asked]
    assert questions[0]
    assert not questions[0] & questions[1]


def test_questions_of_another_file_are_the_same_for_all(corpus: Corpus, tmp_path: Path) -> None:
    """Spread over it, the best of several answers counts, long ones are left out and counted; a run that chooses is
    asked others.
    """
    given = articles()
    for article in given:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                asked["answers"].append({"text": asked["answers"][0]["text"] + " maybe"})
    given[0]["paragraphs"][0]["context"] += " Many words." * 30
    (tmp_path / "dev.json").write_text(json.dumps({"data": given}), encoding="utf-8")
    measure = SquadAccuracy(path=str(tmp_path / "dev.json"), num_examples=10)
    assert measure.asks_its_own
    assert not SquadAccuracy().asks_its_own
    model = Answering(corpus, lambda *a: f"{read(*a)} maybe")
    found = taken(corpus, model, measure)
    assert found["exact_match"] == found["f1"] == 1
    assert (found["num_questions"], found["num_left_out"]) == (9, 1)
    first = {text.partition(" <q> ")[2] for text in model.asked}
    assert len({question.split()[4] for question in first}) > 6  # articles
    chooses = Answering(corpus, read)
    taken(Corpus(corpus.folder, corpus.meta, "select"), chooses, measure)
    assert not first & {text.partition(" <q> ")[2] for text in chooses.asked}
    with pytest.raises(DataError, match="140 questions; 200 are needed where something is chosen"):
        taken(Corpus(corpus.folder, corpus.meta, "select"), chooses, dataclasses.replace(measure, num_examples=100))


def test_what_cannot_be_asked_is_said(corpus: Corpus, tmp_path: Path) -> None:
    """Counts, other data, one paragraph alone, a file that is not there or is none."""
    model = uniform(depth=1, width=12, heads=2, context_tokens=CONTEXT_TOKENS)
    SquadAccuracy().check_fits(model=model, source=Squad(path="x"))
    with pytest.raises(SpecError, match="most_tokens: found 0"):
        SquadAccuracy(most_tokens=0)
    with pytest.raises(SpecError, match="SquadAccuracy with data=AssociativeRecall"):
        SquadAccuracy().check_fits(model=model, source=AssociativeRecall())
    with pytest.raises(DataError, match="nowhere"):
        SquadAccuracy(path=str(tmp_path / "nowhere.json")).check_fits(model=model, source=Squad(path="x"))
    (tmp_path / "none.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="data: found list"):
        taken(corpus, Answering(corpus, read), SquadAccuracy(path=str(tmp_path / "none.json")))
    with pytest.raises(DataError, match="no other paragraph fits to"):
        taken(corpus, Answering(corpus, read), SquadAccuracy(num_examples=1))
