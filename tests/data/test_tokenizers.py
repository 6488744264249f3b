import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_text import HOSTILE, stories

from vslm.core.errors import DataError, ResultError, SpecError
from vslm.data.tokenizers import (
    BPE,
    END_OF_TEXT,
    Characters,
    FittedTokenizer,
    StreamingDecoder,
    _in_threads,
    load_tokenizer,
)

STORIES = stories(211)
FITTED = {
    "bpe": BPE(vocabulary=401).fit(STORIES),
    "characters": Characters().fit(STORIES, held_out=list(HOSTILE.values())),
    "characters of one document": Characters().fit(STORIES, held_out=list(HOSTILE.values()), separated=False),
}
both = pytest.mark.parametrize("fitted", FITTED.values(), ids=FITTED.keys())


@both
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_comes_back_to_the_byte(fitted: FittedTokenizer, text: str) -> None:
    """Script tags, NUL, lone carriage returns, byte order marks, very long lines: all are text."""
    ids = fitted.encode(text)
    assert ids.dtype == np.int64
    assert fitted.decode(ids) == text
    assert fitted.decode_bytes(ids) == text.encode()
    assert fitted.token_num_bytes[ids].sum() == len(text.encode())


@both
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_asks_for_the_separator(fitted: FittedTokenizer, text: str) -> None:
    """Its letters inside a document are letters, and every id is in range."""
    ids = fitted.encode(f"{text}{END_OF_TEXT}{text}" if fitted.end_of_text == 0 else text)
    assert fitted.end_of_text not in ids.tolist()
    assert ids.min() >= 0
    assert ids.max() < fitted.vocabulary


@settings(max_examples=100)
@given(st.text())
def test_bpe_takes_any_text(text: str) -> None:
    """Every byte has an id."""
    fitted = FITTED["bpe"]
    assert fitted.decode(fitted.encode(text)) == text


@both
def test_an_empty_text_is_no_ids(fitted: FittedTokenizer) -> None:
    """And no ids are an empty text."""
    assert fitted.encode("").tolist() == []
    assert fitted.encode("").dtype == np.int64
    assert fitted.decode([]) == ""


def test_the_separator_is_id_0_and_holds_no_text() -> None:
    """It shows as whatever the reader asks for."""
    for name in ("bpe", "characters"):
        fitted = FITTED[name]
        ids = [*fitted.encode("a dog"), 0, *fitted.encode("cat")]
        assert fitted.end_of_text == 0
        assert fitted.token_num_bytes[0] == 0
        assert fitted.decode(ids) == "a dogcat"
        assert fitted.decode(ids, separator="\n") == "a dog\ncat"


def test_characters_of_one_document_are_its_characters_alone() -> None:
    """Sorted, from id 0, without a separator."""
    fitted = Characters().fit(["hello\n"], separated=False)
    assert fitted.end_of_text is None
    assert fitted.vocabulary == 5
    assert fitted.encode("\nehlo").tolist() == [0, 1, 2, 3, 4]


def test_characters_takes_its_alphabet_from_held_out_text_too() -> None:
    """What exists must have an id, however rare."""
    assert Characters().fit(["ab"], held_out=["é"]).encode("é").tolist() == [3]


def test_a_character_that_the_corpus_lacks_is_named() -> None:
    """The character, its place, and what to do."""
    with pytest.raises(DataError, match=r"the character 'Z' at 3 does not occur .* BPE\(\.\.\.\)"):
        Characters().fit(["abc"]).encode("abcZ")
    with pytest.raises(DataError, match=r"the character 'z' at 1 "):  # behind the last that it knows
        Characters().fit(["abc"]).encode("az")


@both
def test_half_a_surrogate_pair_is_refused_in_words(fitted: FittedTokenizer) -> None:
    """Such a string can come from a terminal; no tokenizer can write it."""
    with pytest.raises(DataError, match=r"half a surrogate pair .* at character 2"):
        fitted.encode("ab\udcff")


@both
def test_streaming_shows_whole_characters_and_loses_nothing(fitted: FittedTokenizer) -> None:
    """Joined, the parts are the text; no part holds a replacement character."""
    text = HOSTILE["emoji"] + " dog " + HOSTILE["right to left"]
    decoder = fitted.streaming_decoder()
    parts = [decoder.push(token) for token in fitted.encode(text)]
    assert "\ufffd" not in "".join(parts)
    assert "".join(parts) + decoder.finish() == text


def test_a_stream_that_stops_inside_a_character_says_so() -> None:
    """A replacement character stands for what is missing."""
    decoder = StreamingDecoder([b"a\xc3"])
    assert decoder.push(0) == "a"
    assert decoder.finish() == "\ufffd"


@both
def test_what_is_saved_is_what_is_loaded(fitted: FittedTokenizer, tmp_path: Path) -> None:
    """One loader reads both kinds; ids, fingerprint and the file itself are the same."""
    fitted.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert type(loaded) is type(fitted)
    assert loaded.fingerprint == fitted.fingerprint
    assert (loaded.vocabulary, loaded.end_of_text) == (fitted.vocabulary, fitted.end_of_text)
    text = HOSTILE["separator inside a line"] + STORIES[0]
    assert np.array_equal(loaded.encode(text), fitted.encode(text))
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


@both
def test_other_programs_read_the_same_ids_from_the_file(fitted: FittedTokenizer, tmp_path: Path) -> None:
    """The format is that of the tokenizers library, for characters too."""
    fitted.save(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (STORIES[7], HOSTILE["emoji"], HOSTILE["nul"], HOSTILE["lone carriage return"]):
        ids = theirs.encode(text).ids
        assert ids == fitted.encode(text).tolist()
        assert theirs.decode(ids) == text
    assert theirs.token_to_id(END_OF_TEXT) == fitted.end_of_text


def test_fingerprints_differ_where_an_id_means_something_else() -> None:
    """Another alphabet, another separator, another training text."""
    others = [
        Characters().fit(["abd"]),
        Characters().fit(["abc"], separated=False),
        BPE(vocabulary=401).fit(STORIES[9:]),
    ]
    tested = [Characters().fit(["abc"]), FITTED["bpe"], *others]
    assert len({fitted.fingerprint for fitted in tested}) == len(tested)


def test_training_is_the_same_in_every_process() -> None:
    """Whatever the seed of Python's hashing."""
    folder = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {folder!r})\n"
        "from synthetic_text import stories\n"
        "from vslm.data.tokenizers import BPE\n"
        "print(BPE(vocabulary=401).fit(stories(211)).fingerprint)"
    )
    for _ in range(2):
        made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert made.stdout.strip() == FITTED["bpe"].fingerprint


def test_training_finds_the_pairs_that_are_frequent() -> None:
    """Common words of the corpus are one id, and text takes fewer ids than bytes."""
    fitted = FITTED["bpe"]
    assert len(fitted.encode(" river")) == 1
    assert len(fitted.encode(STORIES[0])) < 0.5 * len(STORIES[0])


def test_a_vocabulary_larger_than_the_corpus_supports_names_the_most_it_does() -> None:
    """And that one works."""
    with pytest.raises(SpecError, match=r"^vocabulary: 60,000 ids are more .* at most ([\d,]+);") as caught:
        BPE(vocabulary=60_000).fit(STORIES[:11])
    most = int(caught.value.allowed.split()[-1].replace(",", ""))
    assert BPE(vocabulary=most).fit(STORIES[:11]).vocabulary == most


def test_a_pair_that_occurs_once_is_no_token() -> None:
    """It would only be a way to remember one place."""
    with pytest.raises(SpecError, match="at most 257"):
        BPE(vocabulary=258).fit(["ab"])
    assert BPE(vocabulary=258).fit(["ab ab"]).token_bytes[257] == b"ab"


def test_a_vocabulary_below_the_bytes_is_refused() -> None:
    """The separator and 256 bytes are the least."""
    assert BPE(vocabulary=257).fit(["x"]).vocabulary == 257
    with pytest.raises(SpecError, match=r"^vocabulary: found 256; 257 or more is needed"):
        BPE(vocabulary=256)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"model": 3}',
        '{"model": {"type": "Unigram"}}',
        '{"model": {"type": "BPE"}}',
        '{"model": {"type": "WordLevel"}}',
    ],
)
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    """Torn, or of another kind."""
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ResultError, match=r"tokenizer\.json: "):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_the_file_is_json_that_holds_the_letters_as_they_are(tmp_path: Path) -> None:
    """A reader can look into it."""
    FITTED["characters"].save(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["model"]["vocab"][END_OF_TEXT] == 0


LONG_WORDS = {
    "genome": "".join(random.Random(1).choices("ACGT", k=300_000)),
    "Chinese": "".join(map(chr, random.Random(2).choices(range(0x4E00, 0x5000), k=100_000))),
    "signs": "=-" * 150_000,
    "digits": "".join(random.Random(3).choices("0123456789", k=300_000)),
    "spaces": "a" + " " * 300_000 + "b",
}


@pytest.mark.parametrize("name", LONG_WORDS)
def test_a_word_of_any_length_is_trained_on_and_encoded_in_time(name: str, tmp_path: Path) -> None:
    """Time went with the square of its length: 300,000 letters took minutes. Text comes back to the byte."""
    text = LONG_WORDS[name]
    started = time.process_time()
    fitted = (BPE() if name in ("signs", "spaces") else BPE(vocabulary=300)).fit([text])
    ids = fitted.encode(text)
    assert time.process_time() - started < 20
    assert fitted.decode(ids) == text
    assert len(ids) < len(text.encode())
    fitted.save(tmp_path / "tokenizer.json")
    assert np.array_equal(load_tokenizer(tmp_path / "tokenizer.json").encode(text[:5_000]), fitted.encode(text[:5_000]))


def test_words_are_cut_only_in_a_corpus_with_a_long_run_and_change_no_other_text() -> None:
    """A run of 499 characters leaves the tokenizer as it was; beside a longer one, usual words are the same."""
    plain = BPE(vocabulary=300).fit([*STORIES, "x" * 499])
    cut = BPE(vocabulary=300).fit([*STORIES, "x" * 300_000])
    assert "Split" not in plain._plain
    assert "Split" in cut._plain
    assert max(len(item) for item in cut.token_bytes) <= 128
    hostile = "'Tis don't we'll 'st  x   y \t\n\n z 12's e\u0301 🏳️‍🌈 -- x_y"
    split = tokenizers.Tokenizer.from_str(cut._plain).pre_tokenizer.pre_tokenize_str
    whole = tokenizers.Tokenizer.from_str(plain._plain).pre_tokenizer.pre_tokenize_str
    for text in (*STORIES[:5], hostile):
        assert split(text) == whole(text)


def test_held_out_text_with_a_long_word_is_cut_too() -> None:
    """It is encoded, if not trained on."""
    assert "Split" in BPE(vocabulary=300).fit(STORIES, held_out=["x" * 500])._plain


def test_the_default_vocabulary_gets_smaller_with_the_text_and_no_other_does() -> None:
    """A number that was asked for is refused."""
    fitted = BPE().fit(STORIES[:3])
    assert 257 < fitted.vocabulary < 2048
    with pytest.raises(SpecError, match=f"at most {fitted.vocabulary:,}"):
        BPE(vocabulary=2047).fit(STORIES[:3])


def test_ctrl_c_is_heard_while_the_library_works() -> None:
    """Work that stays outside Python for seconds ends for whoever waits for it at once."""
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            _in_threads(time.sleep, [5, 5], 2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.perf_counter() - started < 3
    with pytest.raises(DataError, match="half"):
        FITTED["bpe"].encode("\ud800")
    with pytest.raises(ZeroDivisionError):
        _in_threads(lambda number: 1 // number, [1, 0], 2)
