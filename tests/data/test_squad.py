"""SQuAD and other questions as a corpus, and files that are none."""

import json
from pathlib import Path

import pytest
from test_real_corpora import corpus_path

from vslm.core.errors import DataError
from vslm.data.sources import Questions, Squad
from vslm.data.sources.squad import read_squad
from vslm.measure.likelier_answers import LikelierAnswers
from vslm.models.layouts.plain import uniform

ASKED = {"question": "Who  came?", "answers": [{"text": "Ann Á", "answer_start": 0}, {"text": "Ann"}]}
ARTICLES = [
    {"title": "a", "paragraphs": [{"context": "Ann Á came.\nBob left.", "qas": [ASKED]}]},
    {"title": "b", "paragraphs": [{"context": "It rained.", "qas": [{**ASKED, "answers": [], "is_impossible": True}]}]},
]


def written(folder: Path, data: object) -> str:
    """A file."""
    (folder / "squad.json").write_text(json.dumps(data), encoding="utf-8")
    return str(folder / "squad.json")


@pytest.mark.parametrize(
    ("paragraph", "texts"),
    [
        (
            "own",
            ["<ctx> Ann Á came. Bob left. <q> Who came? <a> Ann Á\n", "<ctx> It rained. <q> Who came? <a> unknown\n"],
        ),
        (
            "shuffled",
            ["<ctx> It rained. <q> Who came? <a> Ann Á\n", "<ctx> Ann Á came. Bob left. <q> Who came? <a> unknown\n"],
        ),
        ("none", ["<ctx> <q> Who came? <a> Ann Á\n", "<ctx> <q> Who came? <a> unknown\n"]),
    ],
)
def test_a_question_stands_behind_its_paragraph_or_a_control(tmp_path: Path, paragraph, texts) -> None:
    """The answer counts, with the space before it and the line end behind."""
    documents = list(Squad(path=written(tmp_path, {"data": ARTICLES}), paragraph=paragraph).documents())
    assert [document.text for document in documents] == texts
    counted = [document.text[one.first : one.end] for document in documents for one in document.scored or ()]
    assert counted == [" Ann Á\n", " unknown\n"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "data: found list; a list is needed"),
        ({"data": {}}, "data: found dict; a list"),
        ({"data": [{"title": "a"}]}, r"data\.0\.paragraphs: no field 'paragraphs'"),
        ({"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}, r"paragraphs\.0\.context: found int; text is needed"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b"}]}]}]}, r"qas\.0\.answers: no field"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b", "answers": []}]}]}]}, "none is given"),
        ({"data": []}, "there is no question in it"),
    ],
)
def test_a_file_that_is_no_squad_is_refused(tmp_path: Path, data, words: str) -> None:
    """With the place that is not as it should be."""
    with pytest.raises(DataError, match=words):
        list(read_squad(Path(written(tmp_path, data))))


def test_other_files_are_refused(tmp_path: Path) -> None:
    """No JSON, no file, one article that has no other."""
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match="no JSON"):
        list(Squad(path=str(tmp_path / "a.json")).documents())
    with pytest.raises(DataError, match="no such"):
        list(Squad(path=str(tmp_path / "b.json")).documents())
    one = written(tmp_path, {"data": ARTICLES[:1]})
    with pytest.raises(DataError, match="another article"):
        list(Squad(path=one, paragraph="shuffled").documents())


def test_the_real_file_is_read_whole() -> None:
    """Every answer stands in its paragraph, and mostly not in a shuffled one."""
    path = corpus_path("squad/dev-v1.1-half.json.gz")
    asked = list(read_squad(Path(path)))
    assert len(asked) > 5000
    assert all(answer in one.paragraph for one in asked for answer in one.answers)
    shuffled = list(Squad(path=path, paragraph="shuffled").documents())
    contexts = [document.text.split(" <q> ")[0] for document in shuffled]
    answers = [one.answers[0] for one in asked]
    assert sum(a in context for a, context in zip(answers, contexts, strict=True)) < 0.06 * len(asked)


def test_the_questions_of_tofu_are_read() -> None:
    """400 to be forgotten, with five wrong answers or so each; 3,600 others."""
    forget, retain, perturbed = (
        corpus_path(f"tofu/{name}.jsonl.gz") for name in ("forget10", "retain90", "forget10_perturbed")
    )
    assert [sum(1 for _ in Questions(path=path).documents()) for path in (forget, retain)] == [400, 3600]
    measure = LikelierAnswers(forget=perturbed, retain=perturbed)
    measure.check_fits(model=uniform(depth=1, width=8, heads=1, context_tokens=9), source=Squad(path="x"))
    assert {len(line["perturbed_answer"]) for line in measure._read("forget")} <= {3, 4, 5}
