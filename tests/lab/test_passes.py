"""How often a run sees its text, and what is said of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vslm.core.numbers import passes_words
from vslm.data.corpus import Corpus
from vslm.lab.passes import lints_of_passes, passes
from vslm.lab.runner import _say_passes
from vslm.report.pages.content import corpora, facts
from vslm.results.records import StudyRecord, Verdict


def corpus(num_tokens: int) -> Corpus:
    """Of which the training split has so many tokens."""
    splits = {"train": {"num_tokens": num_tokens, "num_bytes": 3 * num_tokens, "num_documents": 7}}
    return Corpus(Path("nowhere"), {"splits": splits, "dtype": "uint16"})


def test_passes_are_tokens_of_a_run_by_those_of_its_training_split() -> None:
    """Not of all splits, and not of bytes."""
    assert passes(400_000, corpus(5_600)) == pytest.approx(71.43, abs=0.01)
    assert [passes_words(count).split()[0] for count in (71.43, 9.96, 1.0, 0.034)] == ["71", "10.0", "1.0", "0.03"]


def test_above_four_passes_it_is_said_and_at_four_it_is_not() -> None:
    """With how many, of what, and what to do; arms that do so alike share a sentence."""
    small, large = corpus(5_600), corpus(1_000_000)
    (words,) = lints_of_passes({"model": 400_000}, {"model": small})
    assert words == (
        "71 passes over the text: a run trains on 400,000 tokens, and the training part of the text has 5,600; beyond "
        "4 a model learns it by heart: give more text or fewer tokens"
    )
    assert list(lints_of_passes({"a": 22_400, "b": 4_000_000}, {"a": small, "b": large})) == []
    assert len(list(lints_of_passes({"a": 22_401}, {"a": small}))) == 1
    (words,) = lints_of_passes({"a": 56_000, "b": 56_000, "c": 56_000}, {"a": small, "b": small, "c": large})
    assert words.startswith("arms 'a', 'b': 10 passes")


def study(**changed: Any) -> StudyRecord:
    """As a folder records it."""
    arms = {"plain": {"tokens": 12_000, "corpus": "c0"}, "other": {"tokens": 60_000, "corpus": "c0"}}
    read = ["read: 1 file (a.txt) as plain text: 7 documents, 9 bytes of text", "3 Parquet files, not read"]
    meta = {"splits": {"train": {"num_tokens": 5_000}}, "read": read, "vocabulary": 300}
    return StudyRecord.from_plain({"arms": arms, "corpora": {"c0": meta}, **changed})


def test_the_page_tells_the_passes_of_the_arm_that_makes_the_most() -> None:
    """And warns above four; a record without the numbers has no such line."""
    assert ("Passes over the text", "12; above 4 a model learns its text by heart") in facts(study(), Verdict())
    few = {"plain": {"tokens": 15_000, "corpus": "c0"}}
    assert ("Passes over the text", "3.0") in facts(study(arms=few), Verdict())
    for broken in ({}, {"c0": 3}, {"c0": {"splits": {"train": {"num_tokens": 0}}}}, {"c0": {"splits": []}}):
        assert "Passes over the text" not in dict(facts(study(corpora=broken), Verdict()))


def test_the_page_tells_what_was_read_a_line_each() -> None:
    """Beside the facts of the corpus; lines that are no text are left out."""
    (group,) = corpora(study())
    assert (group["title"], len(group["read"])) == ("Corpus", 2)
    assert dict(group["facts"]) == {"fingerprint": "c0", "splits.train.num_tokens": "5,000", "vocabulary": "300"}
    assert corpora(study(corpora={"c0": {"read": [3, "x"]}}))[0]["read"] == ["x"]


def test_what_all_corpora_have_in_common_is_told_once() -> None:
    """In front of them, with what was read of each; digests of files come last."""
    dtypes = {"a": "u2", "b": "u4"}
    made = {key: {"vocabulary": 300, "sha256": {"val.bin": key}, "dtype": dtype} for key, dtype in dtypes.items()}
    common, first, second = corpora(study(corpora=made))
    assert (common["title"], common["facts"]) == ("All corpora", [("vocabulary", "300")])
    assert first["facts"] == [("fingerprint", "a"), ("dtype", "u2"), ("sha256.val.bin", "a")]
    assert dict(second["facts"])["dtype"] == "u4"


def test_before_training_the_passes_of_a_run_are_told() -> None:
    """A line where there is nothing to warn of, of the arm that makes the most; the warning where there is."""
    said: list[str] = []
    watcher = SimpleNamespace(say=said.append)
    made = {"a": corpus(10_000), "b": corpus(100_000)}
    _say_passes(
        StudyRecord.from_plain({"arms": {"a": {"tokens": 20_000}, "b": {"tokens": 100_000}}}), made, cast(Any, watcher)
    )
    assert said == ["a run: 20,000 tokens, 2.0 passes over the text"]
    _say_passes(
        StudyRecord.from_plain({"arms": {"a": {"tokens": 50_000}, "b": {"tokens": 100_000}}}), made, cast(Any, watcher)
    )
    assert said[1].startswith("arm 'a': 5.0 passes over the text: a run trains on 50,000 tokens")
    assert len(said) == 2
