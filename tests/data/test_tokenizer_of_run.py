"""A tokenizer that another run has: the same ids for other text, and what names the corpus that it makes."""

from pathlib import Path

import pytest

from vslm.core.errors import SpecError
from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.data.tokenizer_of_run import TokenizerOf
from vslm.data.tokenizers import BPE, Characters, Tokenizer

OTHER = "\n<|endoftext|>\n".join(f"zebra quagga number {i} ÆØ" for i in range(60))


def made(folder: Path, tokenizer: Tokenizer) -> Path:
    """What of a run holds its tokenizer."""
    text = "\n<|endoftext|>\n".join(f"the first text says {i} and so on, again and again" for i in range(60))
    (folder / "first.txt").write_text(text, encoding="utf-8")
    corpus = prepare(Text(str(folder / "first.txt"), tokenizer=tokenizer))
    run = folder / "runs" / "a" / "seed0"
    run.mkdir(parents=True, exist_ok=True)
    corpus.tokenizer.save(run / "tokenizer.json")
    return run


def test_another_text_is_cut_into_the_same_ids(tmp_path: Path) -> None:
    """The run's ids and fingerprint; the text comes back to the byte."""
    run = made(tmp_path, BPE(vocabulary=270))
    (tmp_path / "other.txt").write_text(OTHER, encoding="utf-8")
    corpus = prepare(Text(str(tmp_path / "other.txt"), tokenizer=TokenizerOf(run=str(run))))
    first = prepare(Text(str(tmp_path / "first.txt"), vocabulary=270))
    own = prepare(Text(str(tmp_path / "other.txt"), vocabulary=270))
    assert corpus.tokenizer_fingerprint == first.tokenizer_fingerprint != own.tokenizer_fingerprint
    assert corpus.vocabulary == 270 == TokenizerOf(run=str(run)).known_vocabulary
    assert "quagga number" in corpus.tokenizer.decode(corpus.split("train").tokens[:60])


def test_another_tokenizer_at_the_same_place_is_another_corpus(tmp_path: Path) -> None:
    """By its content; one that is gone, and a character that the run does not know, are said in words."""
    run = made(tmp_path, BPE(vocabulary=270))
    (tmp_path / "other.txt").write_text(OTHER, encoding="utf-8")
    source = Text(str(tmp_path / "other.txt"), tokenizer=TokenizerOf(run=str(run)))
    before = prepare(source)
    assert prepare(source).fingerprint == before.fingerprint
    made(tmp_path, BPE(vocabulary=275))
    after = prepare(source)
    assert after.fingerprint != before.fingerprint
    assert after.vocabulary == 275
    made(tmp_path, Characters())
    with pytest.raises(Exception, match="the character 'z' at 0 does not occur"):
        prepare(source)
    (run / "tokenizer.json").unlink()
    with pytest.raises(SpecError, match=r"data\.tokenizer\.run: .*no tokenizer of a run"):
        prepare(source)
    assert TokenizerOf(run=str(tmp_path / "none")).known_vocabulary is None
