"""What holds for every source. A new one is added to `SOURCES` and gets all of it."""

import importlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vslm.core.specs import from_plain, to_plain
from vslm.data.corpus import home, open_corpus
from vslm.data.preparing import prepare
from vslm.data.reading.notes import Notes
from vslm.data.readings import Readings
from vslm.data.sources import AssociativeRecall, Hub, Questions, Source, Squad, StandardLibrary, Text, Worlds
from vslm.data.sources.associative_recall import KEYS, VALUES
from vslm.data.splits import SPLITS, Splits
from vslm.data.tokenizers import BPE, Characters
from vslm.data.windows import evaluation_windows, training_batch
from vslm.data.word_tokenizer import WorldWords
from vslm.data.worlds.shards import Mix
from vslm.data.worlds.universe import Universe
from vslm.knowledge.passages import cut_passages
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retrieved import Retrieved
from vslm.knowledge.store import build_store

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when `datasets` is imported
_CLASSES = (Text, StandardLibrary, AssociativeRecall, Worlds, Squad, Questions, Retrieved, Random, Hub)
_KINDS = {kind.__name__: kind for kind in (*_CLASSES, Splits, BPE, Characters, WorldWords, Universe, Mix)}
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def _story(number: int) -> str:
    words = [_ALPHABET[number * k % 23 : number * k % 23 + 3] for k in range(1, 61)]
    return f"Story {number}.\n{' '.join(words)}\n\nThe end of {number}.\n"


def _stories(folder: Path) -> Text:
    (folder / "a.txt").write_text("<|endoftext|>\n".join(map(_story, range(211))), encoding="utf-8", newline="")
    return Text(str(folder / "*.txt"), vocabulary=307)


def _one_file_of_characters(folder: Path) -> Text:
    (folder / "a.txt").write_text("\n".join(map(_story, range(211))), encoding="utf-8", newline="")
    return Text(str(folder / "a.txt"), tokenizer=Characters())


def _library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandardLibrary:
    """A library of a few files in the place of the real one, which has a test of its own."""
    for number in range(211):
        (folder / f"module{number}.py").write_text(_story(number), encoding="utf-8", newline="")
    monkeypatch.setenv("VSLM_TEST_LIBRARY", str(folder))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(folder))
    return StandardLibrary(vocabulary=307)


def _retrieved(folder: Path) -> Retrieved:
    """Stories with passages of another text in front."""
    others = [("x", passage) for passage in cut_passages("Rain fell. It was cold. Nobody came by.\n" * 3, 5)]
    build_store(lambda: iter(others), folder / "store", description="others")
    return Retrieved(
        source=_stories(folder), store=str(folder / "store"), retriever=Random(), stretch_words=211, own_row_tokens=503
    )


def _questions(folder: Path) -> Questions:
    lines = [json.dumps({"question": f"Which is story {n}?", "answer": _story(n)[:40]}) for n in range(211)]
    (folder / "questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return Questions(path=str(folder / "questions.jsonl"), vocabulary=307, context_tokens=97)


def _squad(folder: Path) -> Squad:
    asked = [
        {"id": str(n), "question": f"Which is story {n}?", "answers": [{"text": f"the {n}th", "answer_start": 0}]}
        for n in range(211)
    ]
    paragraphs = [{"context": _story(n), "qas": asked[7 * n : 7 * n + 7]} for n in range(31)]
    data = [{"title": str(n), "paragraphs": paragraphs[n::3]} for n in range(3)]
    (folder / "squad.json").write_text(json.dumps({"version": "1.1", "data": data}), encoding="utf-8")
    return Squad(path=str(folder / "squad.json"), vocabulary=307, context_tokens=349)


def _hub(folder: Path) -> Hub:
    """A folder in the layout of the hub."""
    parquet = importlib.import_module("pyarrow.parquet")
    table = importlib.import_module("pyarrow").table({"text": [_story(number) for number in range(211)]})
    parquet.write_table(table, folder / "train-00000-of-00001.parquet")
    return Hub(id=str(folder), vocabulary=307)


Make = Callable[[Path, pytest.MonkeyPatch], Source]
SOURCES: dict[str, Make] = {
    "text": lambda folder, monkeypatch: _stories(folder),
    "one file of characters": lambda folder, monkeypatch: _one_file_of_characters(folder),
    "standard library": _library,
    "associative recall": lambda folder, monkeypatch: AssociativeRecall(
        num_pairs=5, document_tokens=38, num_letters=7, num_documents=211
    ),
    "retrieved": lambda folder, monkeypatch: _retrieved(folder),
    "worlds": lambda folder, monkeypatch: Worlds(
        universe=Universe(people=37, first_names=16, last_names=32),
        facts=(2, 3),
        world="both",
        context_share=0.7,
        num_documents=211,
        context_tokens=97,
    ),
    "squad": lambda folder, monkeypatch: _squad(folder),
    "questions": lambda folder, monkeypatch: _questions(folder),
}
if importlib.util.find_spec("datasets") and importlib.util.find_spec("pyarrow"):
    SOURCES["hub"] = lambda folder, monkeypatch: _hub(folder)


@pytest.fixture(params=SOURCES.values(), ids=SOURCES.keys())
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Every source, with a cache of its own."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    (tmp_path / "text").mkdir()
    return request.param(tmp_path / "text", monkeypatch)


def _names_its_document(line: str) -> bool:
    """The first line of a story, a whole document of pairs, or a question with what stands in front of it."""
    is_recall = line[:1] in KEYS and line[1:2] in VALUES and len(line) > 2
    return is_recall or line.startswith(("<ctx>", "Story"))


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_documents_come_the_same_every_time(source: Source) -> None:
    """In the same order, each with text and a name."""
    first, second = list(source.documents()), list(source.documents())
    assert first == second
    assert Readings(source, Notes()).content == Readings(source, Notes()).content
    assert all(document.text and document.name for document in first)


def test_a_source_says_what_it_is(source: Source) -> None:
    """In a few words, on one line."""
    assert 0 < len(source.describe()) < 300
    assert "\n" not in source.describe()


def test_a_source_is_read_back_from_its_record(source: Source) -> None:
    """Spec -> plain -> spec is equal."""
    assert from_plain(to_plain(source), _KINDS) == source


def test_the_same_fingerprint_is_the_same_bytes(source: Source) -> None:
    """Built twice, every file is equal."""
    first = prepare(source)
    content = _bytes(first.folder)
    shutil.rmtree(home())
    second = prepare(source)
    assert second.fingerprint == first.fingerprint
    assert _bytes(second.folder) == content


def test_splits_are_disjoint_and_none_is_empty(source: Source) -> None:
    """No line that is long enough to tell is in two of them."""
    corpus = prepare(source)
    texts = {name: corpus.tokenizer.decode(corpus.split(name).tokens, separator="\n") for name in SPLITS}
    lines = {name: {line for line in text.split("\n") if _names_its_document(line)} for name, text in texts.items()}
    assert all(lines.values())
    assert sum(map(len, lines.values())) == len(set().union(*lines.values())) == 211


def test_tokens_are_in_range_and_count_the_text(source: Source) -> None:
    """Every id is known, and the bytes of all ids are the bytes of the source."""
    corpus = prepare(source)
    total = 0
    for name in SPLITS:
        tokens = np.asarray(corpus.split(name).tokens)
        assert tokens.max() < corpus.vocabulary
        total += int(corpus.tokenizer.token_num_bytes[tokens].sum())
    assert total == sum(len(document.text.encode()) for document in source.documents())


def test_the_order_of_batches_is_fixed_by_the_seed(source: Source) -> None:
    """The same seed gives the same batches after opening again, another gives others."""

    def batches(data_seed: int) -> np.ndarray:
        tokens = open_corpus(fingerprint).train.tokens
        rows = [
            training_batch(tokens, context_tokens=13, batch_windows=5, data_seed=data_seed, step=step)
            for step in range(7)
        ]
        return np.stack(rows)

    fingerprint = prepare(source).fingerprint
    assert np.array_equal(batches(0), batches(0))
    assert not np.array_equal(batches(0), batches(1))


def test_validation_is_the_same_for_everyone(source: Source) -> None:
    """No seed reaches it."""
    corpus = prepare(source)
    windows = [evaluation_windows(open_corpus(corpus.fingerprint).val.tokens, context_tokens=13) for _ in range(2)]
    assert np.array_equal(*windows)


def test_once_cached_it_needs_neither_network_nor_source(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every socket is refused and every file of the source is gone."""
    corpus = prepare(source)
    monkeypatch.setattr(socket, "socket", lambda *args, **kwargs: pytest.fail("the network was asked for"))
    for path in source.files():
        Path(path).unlink()
    opened = open_corpus(corpus.fingerprint)
    opened.verify()
    assert np.array_equal(opened.train.tokens, corpus.train.tokens)


_CHILD = """
import json, os, sys, sysconfig
from vslm.core.specs import from_plain
from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall, Hub, Questions, Squad, StandardLibrary, Text, Worlds
from vslm.data.splits import Splits
from vslm.data.tokenizers import BPE, Characters
from vslm.data.word_tokenizer import WorldWords
from vslm.data.worlds.shards import Mix
from vslm.data.worlds.universe import Universe
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retrieved import Retrieved
sysconfig.get_path = lambda name: os.environ["VSLM_TEST_LIBRARY"]
sources = (Text, StandardLibrary, Hub, AssociativeRecall, Retrieved, Squad, Questions, Worlds)
kinds = {kind.__name__: kind for kind in (*sources, Random, Splits, BPE, Characters, WorldWords, Mix, Universe)}
for record in json.loads(sys.argv[1]):
    print(prepare(from_plain(record, kinds)).folder, flush=True)
"""


def test_another_process_makes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all sources: nothing depends on what a process draws when it starts, such as the order of its sets."""
    records, content = [], []
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "here"))
    for name, make in SOURCES.items():
        (tmp_path / name).mkdir()
        source = make(tmp_path / name, monkeypatch)
        records.append(to_plain(source))
        content.append(_bytes(prepare(source).folder))
    environment = {**os.environ, "VSLM_HOME": str(tmp_path / "there"), "PYTHONHASHSEED": "3"}
    command = [sys.executable, "-c", _CHILD, json.dumps(records)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    folders = [Path(line) for line in said.splitlines()]
    assert all((tmp_path / "there") in folder.parents for folder in folders)
    for name, folder, expected in zip(SOURCES, folders, content, strict=True):
        assert _bytes(folder) == expected, name
