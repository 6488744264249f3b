"""Questions from JSON lines, and whether their right answers are likelier than wrong ones."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import Questions
from vslm.data.sources.questions import read_question_lines
from vslm.data.sources.text import Text
from vslm.measure.likelier_answers import LikelierAnswers
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import uniform

CONTEXT_TOKENS = 61
MODEL = uniform(depth=1, width=16, heads=2, context_tokens=CONTEXT_TOKENS)
LINES = [
    {
        "question": f"Who  wrote book {n}?",
        "answer": f"Ann {n} did.",
        "paraphrased_answer": f"It was Ann {n}.",
        "perturbed_answer": [f"It was Bob {n}.", f"It was Eve {n}.", f"It was Dan {n + 1}."],
    }
    for n in range(71)
]


def written(path: Path, lines: list[dict]) -> str:
    """A compressed file."""
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    return str(path)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Of the questions themselves."""
    path = written(tmp_path / "asked.jsonl.gz", LINES)
    return prepare(Questions(path=path, vocabulary=300, context_tokens=CONTEXT_TOKENS))


def test_questions_are_written_with_nothing_in_front(tmp_path: Path) -> None:
    """Each line is a document of which the answer counts, with its line end."""
    source = Questions(path=written(tmp_path / "asked.jsonl.gz", LINES))
    documents = list(source.documents())
    assert documents[3].text == "<ctx> <q> Who wrote book 3? <a> Ann 3 did.\n"
    ((first, end, _),) = documents[3].scored or ()
    assert documents[3].text[first:end] == " Ann 3 did.\n"
    assert documents[3].name.endswith("line 4")
    assert len(documents) == 71


def by_hand(model: LanguageModel, corpus: Corpus, question: str, answer: str) -> float:
    """Mean loss of the tokens of an answer."""
    head = f"<ctx> <q> {' '.join(question.split())} <a>"
    ids = torch.from_numpy(corpus.tokenizer.encode(f"{head} {answer}\n").astype(np.int64))
    num_head = len(corpus.tokenizer.encode(head))
    with torch.no_grad():
        loss_N = functional.cross_entropy(model(ids[None, :-1])[0], ids[1:], reduction="none")
    return float(loss_N[num_head - 1 :].mean())


def test_the_paraphrase_is_compared_and_the_answer_is_told(corpus: Corpus, tmp_path: Path) -> None:
    """Against every wrong answer, per token; questions that do not fit are left out and counted."""
    model = MODEL.build(vocabulary=corpus.vocabulary, init=Init(4)).eval()
    long = {**LINES[0], "question": "long " * 99}
    plain = [{name: value for name, value in line.items() if name != "paraphrased_answer"} for line in LINES[5:9]]
    files = [written(tmp_path / f"{n}.gz", lines) for n, lines in enumerate(([*LINES[:5], long], plain))]
    measure = LikelierAnswers(forget=files[0], retain=files[1])
    taken = measure.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)(model)
    for name, lines in (("forget", LINES[:5]), ("retain", plain)):
        nll = [
            [
                by_hand(model, corpus, line["question"], answer)
                for answer in (
                    line.get("paraphrased_answer", line["answer"]),
                    *line["perturbed_answer"],
                    line["answer"],
                )
            ]
            for line in lines
        ]
        right = np.mean([row[0] < min(row[1:-1]) for row in nll])
        assert float(taken[f"{name}_right"]) == pytest.approx(right)
        assert float(taken[f"{name}_probability"]) == pytest.approx(
            np.mean([np.exp(-row[-1]) for row in nll]), rel=1e-4
        )
    assert (float(taken["forget_left_out"]), float(taken["retain_left_out"])) == (1, 0)
    assert float(taken["chance"]) == 0.25


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no json", "line 1: no JSON"),
        ('{"question": "a"}', "line 1: no text 'answer'"),
        ('{"question": "", "answer": "b"}', "line 1: no text 'question'"),
        ("", "there is no question in it"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, line: str, words: str) -> None:
    """With the line; and by the measure, before any run, one without wrong answers."""
    path = tmp_path / "asked.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=words):
        list(read_question_lines(path))
    measure = LikelierAnswers(forget=str(path), retain=str(path))
    with pytest.raises(SpecError, match=rf"LikelierAnswers\.forget: .*{words}"):
        measure.check_fits(model=MODEL, source=Text("x"))
    path.write_text('{"question": "a", "answer": "b"}')
    with pytest.raises(SpecError, match="no wrong answers"):
        measure.check_fits(model=MODEL, source=Text("x"))
    with pytest.raises(SpecError, match="no such file"):
        LikelierAnswers(forget="none.jsonl", retain=str(path)).check_fits(model=MODEL, source=Text("x"))
