import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import filelock
import numpy as np
import pytest
from synthetic_text import HOSTILE, stories, written

from vslm.core.errors import DataError, RunError, SpecError
from vslm.data import preparing
from vslm.data.corpus import Corpus, home, open_corpus
from vslm.data.documents import Document
from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall, Text
from vslm.data.sources.source import Source
from vslm.data.splits import SPLITS, Splits
from vslm.data.tokenizers import BPE, Characters

OLD = 1_600_000_000  # long settled


@pytest.fixture(autouse=True)
def _empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))


@pytest.fixture
def source(tmp_path: Path) -> Text:
    """A small corpus that was written long ago."""
    path = written(tmp_path / "text" / "a.txt", stories(211))
    os.utime(path, (OLD, OLD))
    return Text(path, vocabulary=401)


def prepared(source: Text) -> tuple[Corpus, list[str]]:
    """The corpus, and what was said on the way."""
    said: list[str] = []
    return prepare(source, say=said.append), said


def test_the_tokens_are_the_documents_each_closed_by_the_separator(source: Text) -> None:
    """Decoded, the splits together are the text of the source."""
    corpus = prepare(source)
    found = []
    for name in SPLITS:
        text = corpus.tokenizer.decode(corpus.split(name).tokens, separator="\0")
        assert text.endswith("\0")
        found += text.split("\0")[:-1]
        assert corpus.split(name).num_documents == text.count("\0")
    assert sorted(found) == sorted(stories(211))


def test_the_record_tells_sizes_and_how_it_was_made(source: Text) -> None:
    """Numbers in meta.json are those of the files."""
    corpus = prepare(source)
    meta = json.loads((corpus.folder / "meta.json").read_text())
    num_bytes = sum(len(text.encode()) for text in stories(211))
    assert {**meta, "read": corpus.meta["read"]} == corpus.meta
    assert corpus.meta["read"] == [f"read: 1 file (a.txt) as plain text: 211 documents, {num_bytes:,} bytes of text"]
    assert (meta["num_documents"], meta["num_repeats"], meta["cut_into_blocks"]) == (211, 0, False)
    assert meta["description"] == f"text of {source.path}"
    assert sum(part["num_bytes"] for part in meta["splits"].values()) == num_bytes
    for name in SPLITS:
        file = corpus.split(name)
        assert file.tokens.dtype == np.dtype(meta["dtype"]) == np.uint16
        assert len(file.tokens) == file.num_tokens
        assert corpus.bytes_per_token(name) == file.num_bytes / file.num_tokens
        assert corpus.tokenizer.token_num_bytes[file.tokens].sum() == file.num_bytes
    assert corpus.tokenizer.fingerprint == corpus.tokenizer_fingerprint
    assert corpus.tokenizer.vocabulary == corpus.vocabulary == 401
    corpus.verify()


def test_bytes_are_bytes_where_a_character_has_more_than_one(tmp_path: Path) -> None:
    """In the record, of each token, and where the share of a split is weighed: loss per byte is told from them."""
    texts = [text.replace("a", "ä").replace("o", "語") for text in stories(211)]
    path = written(tmp_path / "a.txt", texts)
    for source in (Text(path, tokenizer=Characters()), Text(path, vocabulary=401)):
        corpus = prepare(source)
        found = 0
        for name in SPLITS:
            file = corpus.split(name)
            text = corpus.tokenizer.decode(file.tokens, separator="")
            assert file.num_bytes == len(text.encode()) > 1.1 * len(text)
            assert corpus.tokenizer.token_num_bytes[file.tokens].sum() == file.num_bytes
            assert corpus.bytes_per_token(name) == len(text.encode()) / len(file.tokens)
            found += file.num_bytes
        assert found == sum(len(text.encode()) for text in texts)


def test_many_ids_take_four_bytes_each(tmp_path: Path) -> None:
    """Above 65,536 ids, two bytes would wrap."""
    characters = [chr(0x10000 + i) for i in range(70_001)]
    path = written(tmp_path / "a.txt", ["".join(characters[i : i + 101]) + "\n" for i in range(0, 70_001, 101)])
    corpus = prepare(Text(path, tokenizer=Characters()))
    assert corpus.train.tokens.dtype == np.uint32
    assert corpus.vocabulary == 70_001 + 2
    assert corpus.tokenizer.decode(corpus.val.tokens[:102]) in Path(path).read_text(encoding="utf-8")


def test_hostile_documents_survive_the_way_to_tokens_and_back(tmp_path: Path) -> None:
    """What goes in as text is text, whatever it says."""
    texts = [*stories(101), *(f"{name} {text}"[:900] for name, text in HOSTILE.items())]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    corpus = prepare(Text(str(tmp_path / "a.jsonl"), vocabulary=401))
    decoded = [corpus.tokenizer.decode(corpus.split(name).tokens, separator="\uffff") for name in SPLITS]
    assert sorted("".join(decoded).split("\uffff")[:-1]) == sorted(texts)


def test_a_second_time_nothing_is_read_or_built(source: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with the same place, size and time are known."""
    first, said = prepared(source)
    assert said
    monkeypatch.setattr(Text, "read", lambda self, notes: pytest.fail("the source was read"))
    second, said = prepared(source)
    assert (second, said) == (first, [])


def test_what_is_said_at_the_end_are_the_sizes(source: Text) -> None:
    """Tokens by split, then ids."""
    corpus, said = prepared(source)
    counts = ", ".join(f"{name} {corpus.split(name).num_tokens:,}" for name in SPLITS)
    assert said[-1].startswith(f"tokens: {counts}; 401 ids; ")


def test_where_corpora_lie_by_themselves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the user's cache, where VSLM_HOME names no other place."""
    assert home() == tmp_path / "home"
    monkeypatch.delenv("VSLM_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert home() == tmp_path / ".cache" / "vslm"


def test_a_changed_file_is_another_corpus(source: Text) -> None:
    """Even one of the same size, by its time."""
    first = prepare(source)
    path = Path(source.path)
    path.write_bytes(path.read_bytes().replace(b"Story 1.", b"Story X."))
    os.utime(path, (OLD + 1, OLD + 1))
    assert prepare(source).fingerprint != first.fingerprint


def test_a_file_that_was_just_written_is_read_again(source: Text) -> None:
    """Two writes within one tick of the clock have the same time; so a young file is not trusted."""
    first = prepare(source)
    path = Path(source.path)
    os.utime(path)
    prepare(source)
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"Story 1.", b"Story X."))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert prepare(source).fingerprint != first.fingerprint


def test_a_corpus_may_move(source: Text, tmp_path: Path) -> None:
    """The fingerprint is by content, so nothing is built again; that it was read is said."""
    first = prepare(source)
    shutil.move(Path(source.path).parent, tmp_path / "elsewhere")
    moved, said = prepared(Text(str(tmp_path / "elsewhere"), vocabulary=401))
    assert (moved.fingerprint, said) == (first.fingerprint, first.meta["read"])


def test_text_tokenizer_and_splits_each_change_the_fingerprint(source: Text) -> None:
    """And nothing else in this list does."""
    others = [
        Text(source.path, vocabulary=402),
        Text(source.path, tokenizer=Characters()),
        Text(source.path, vocabulary=401, splits=Splits(val_fraction=0.2)),
    ]
    assert len({prepare(other).fingerprint for other in [source, *others]}) == 4


def test_a_worker_opens_it_without_the_source(source: Text) -> None:
    """By its fingerprint alone."""
    corpus = prepare(source)
    Path(source.path).unlink()
    opened = open_corpus(corpus.fingerprint)
    assert {**opened.meta, "read": corpus.meta["read"]} == corpus.meta
    assert opened.folder == corpus.folder
    with pytest.raises(DataError, match="corpus 123456789abc: not there"):
        open_corpus("123456789abc")


def test_sending_a_corpus_to_another_process_sends_no_tokens(source: Text) -> None:
    """A few kilobytes; the tokens are read from the file there."""
    corpus = prepare(source)
    assert len(corpus.train.tokens) > 5_000
    sent = pickle.dumps((corpus, corpus.train))
    assert len(sent) < 4_000
    received, train = pickle.loads(sent)
    assert received == corpus
    assert np.array_equal(train.tokens, corpus.train.tokens)


@pytest.mark.parametrize("name", ["train.bin", "val.bin", "tokenizer.json", "meta.json"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_torn_cache_is_noticed_said_and_built_again(source: Text, name: str, how: str) -> None:
    """And a reader that has the torn file open keeps what it has."""
    corpus = prepare(source)
    fingerprint, path = corpus.fingerprint, corpus.folder / name
    held = corpus.select.tokens
    before = held.copy()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if name != "meta.json" else b"{")
    with pytest.raises(DataError):
        open_corpus(fingerprint)
    again, said = prepared(source)
    assert any(name in words and "built again" in words for words in said)
    assert again.fingerprint == fingerprint
    again.verify()
    assert np.array_equal(held, before)


@pytest.mark.parametrize("name", ["train.bin", "val.bin", "tokenizer.json", "meta.json"])
def test_a_flipped_bit_is_found_when_a_corpus_is_opened(source: Text, name: str) -> None:
    """Size and time are as they were; who trains is refused, and who has the text builds it again and says so."""
    corpus = prepare(source)
    path, stat = corpus.folder / name, (corpus.folder / name).stat()
    whole = path.read_bytes()
    content = bytearray(whole)
    content[101] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DataError, match=name):
        corpus.verify()
    with pytest.raises(DataError, match=rf"damaged \({name}"):
        open_corpus(corpus.fingerprint)
    again, said = prepared(source)
    assert any(name in words and "built again" in words for words in said)
    assert path.read_bytes() == whole
    again.verify()


def test_a_note_of_files_that_names_another_text_is_not_believed(source: Text) -> None:
    """It would give the corpus another name, and a study another corpus."""
    fingerprint = prepare(source).fingerprint
    (note,) = (path for path in (home() / "corpora" / "read").iterdir() if not path.name.startswith("last-"))
    note.write_text('{"content": "0123"}')
    assert prepare(source).fingerprint == fingerprint


def test_building_twice_gives_the_same_bytes(source: Text) -> None:
    """No time and no machine is in them."""
    first = prepare(source).meta
    shutil.rmtree(home())
    assert prepare(source).meta == first


def test_a_build_that_fails_leaves_nothing_behind(source: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is reported as one, and the next try starts afresh."""

    def full(path: Path) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(preparing, "sha256", full)
        with pytest.raises(RunError, match="the disk is full; make room, or set VSLM_HOME"):
            prepare(source)
    assert not [path for path in (home() / "corpora").iterdir() if path.is_dir()]
    prepare(source).verify()


def test_what_a_killed_build_left_is_cleared_away(source: Text) -> None:
    """The temporary folder of a process that died is removed by the next one that builds."""
    corpus = prepare(source)
    leftover = corpus.folder.with_name(f".{corpus.fingerprint}.0123abcd.tmp")
    corpus.folder.rename(leftover)
    prepare(source)
    assert not leftover.exists()


def test_a_home_that_cannot_be_used_is_named(source: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be: the message offers VSLM_HOME."""
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "file"))
    with pytest.raises(RunError, match="set VSLM_HOME"):
        prepare(source)


def test_the_home_is_in_the_users_cache_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/.cache/vslm`."""
    monkeypatch.delenv("VSLM_HOME")
    assert home() == Path.home() / ".cache" / "vslm"


def test_a_vocabulary_larger_than_the_corpus_supports_has_its_dotted_path(source: Text) -> None:
    """As the command line takes it; nothing is left in the cache."""
    with pytest.raises(SpecError, match=r"^data\.tokenizer\.vocabulary: 50,000 ids"):
        prepare(Text(source.path, vocabulary=50_000))
    assert not list((home() / "corpora").glob("*/meta.json"))


def test_a_text_too_small_for_the_default_vocabulary_gets_fewer_ids_and_it_is_said(tmp_path: Path) -> None:
    """When it is built, and whenever it is prepared again."""
    source = Text(written(tmp_path / "a.txt", stories(71)))
    corpus, said = prepared(source)
    words = f"the text is too small for 2,048 ids, the default: the tokenizer has the {corpus.vocabulary:,} it supports"
    assert 257 < corpus.vocabulary < 2048
    assert words in said
    assert words in prepare(source).meta["read"]


def test_a_package_that_is_installed_later_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was passed over for want of it is read then, though no file has changed."""
    for name, content in (("a.txt", "<|endoftext|>\n".join(stories(211)).encode()), ("b.parquet", b"PAR1" + bytes(99))):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (OLD, OLD))
    source = Text(str(tmp_path), vocabulary=401)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        assert any("pip install 'vslm[parquet]'" in words for words in prepare(source).meta["read"])
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        prepare(source)


def test_another_way_to_read_the_same_files_is_another_corpus(source: Text) -> None:
    """Nothing of the first is taken for the second, though no file has changed."""
    whole, lines = prepare(source), prepare(Text(source.path, vocabulary=401, document="line"))
    assert whole.meta["num_documents"] == 211
    assert lines.meta["num_documents"] > 400


def test_cutting_and_repeats_are_said(tmp_path: Path) -> None:
    """In words, and in the record."""
    path = written(tmp_path / "a.txt", ["\n".join(stories(211)), "\n".join(stories(223, 31)), "\n".join(stories(211))])
    corpus, said = prepared(Text(path, vocabulary=401))
    assert any("cut at blank lines into blocks of about 3 KB" in words for words in said)
    assert "1 repeat is left out" in said
    assert corpus.meta["cut_into_blocks"] is True
    assert corpus.meta["num_repeats"] == 1
    assert corpus.meta["num_documents"] == 2


_CHILD = """
import sys
from vslm.data.preparing import prepare
from vslm.data.sources import Text
corpus = prepare(Text(sys.argv[1], vocabulary=401), say=lambda words: print(words, flush=True))
print("done", corpus.fingerprint, len(corpus.train.tokens), flush=True)
"""


def test_two_processes_at_once_build_once(source: Text) -> None:
    """Both find the corpus held; when it is let go one builds, the other waits and opens what was built."""
    fingerprint = prepare(source).fingerprint
    shutil.rmtree(home() / "corpora" / fingerprint)
    with filelock.FileLock(home() / "corpora" / f"{fingerprint}.lock"):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", _CHILD, source.path], stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
            for _ in range(2)
        ]
        waited = [next(line for line in child.stdout if "waiting" in line) for child in children if child.stdout]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert len(waited) == 2
    assert sum("preparing" in output for output in outputs) == 1
    assert len({output.splitlines()[-1] for output in outputs}) == 1
    assert outputs[0].splitlines()[-1].startswith(f"done {fingerprint}")


def test_a_killed_builder_leaves_no_lock(source: Text) -> None:
    """The operating system lets go of it."""
    fingerprint = prepare(source).fingerprint
    shutil.rmtree(home() / "corpora" / fingerprint)
    lock = home() / "corpora" / f"{fingerprint}.lock"
    code = (
        f"import filelock, time; filelock.FileLock({str(lock)!r}).acquire(); print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    child.kill()
    child.communicate()
    started = time.perf_counter()
    prepare(source)
    assert time.perf_counter() - started < 20


def test_a_corpus_opens_without_its_source(source: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text is unplugged: what was prepared from it is used, and said; with another tokenizer there is none."""
    before = prepare(source)
    for path in source.files():
        path.unlink()
    said: list[str] = []
    again = prepare(source, say=said.append)
    assert again.fingerprint == before.fingerprint
    assert np.array_equal(again.val.tokens, before.val.tokens)
    assert any("the corpus that was prepared from it before is used" in words for words in said)
    with pytest.raises(DataError):
        prepare(dataclasses.replace(source, tokenizer=BPE(vocabulary=303)))


def test_made_up_documents_are_not_drawn_again_to_be_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Their fields and the number of their rules say who they are; other fields, or rules, are drawn."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    recall = AssociativeRecall(num_pairs=3, document_tokens=20, num_letters=4, num_documents=300)
    first, draws = prepare(recall), []
    drawn = AssociativeRecall.documents
    monkeypatch.setattr(AssociativeRecall, "documents", lambda self: (draws.append(self.seed), drawn(self))[1])
    assert prepare(recall).fingerprint == first.fingerprint
    assert not draws
    assert prepare(dataclasses.replace(recall, seed=1)).fingerprint != first.fingerprint
    monkeypatch.setattr("vslm.data.sources.associative_recall._RULES", 99)
    assert prepare(recall).fingerprint == first.fingerprint
    assert draws == [1, 0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Revised(Source):
    """A source that is known by a revision, as one that is downloaded would be."""

    reads: ClassVar[list[str]] = []
    revision: ClassVar[str] = "a"

    def identity(self) -> str:
        """The revision."""
        return self.revision

    def documents(self) -> Iterator[Document]:
        """Some, of this revision."""
        self.reads.append(self.revision)
        for number in range(300):
            yield Document(str(number), f"{self.revision} {number} " * 20)

    def describe(self) -> str:
        """In words."""
        return "revised"


def test_a_source_is_read_once_for_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for again it is not read; another revision is another corpus, and the first is still known."""
    source = Revised(vocabulary=300)
    monkeypatch.setattr(Revised, "reads", [])
    first = prepare(source)
    assert prepare(source).fingerprint == first.fingerprint
    monkeypatch.setattr(Revised, "revision", "b")
    assert prepare(source).fingerprint != first.fingerprint
    monkeypatch.setattr(Revised, "revision", "a")
    assert prepare(source).fingerprint == first.fingerprint
    assert Revised.reads == ["a", "b"]
