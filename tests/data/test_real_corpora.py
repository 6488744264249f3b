"""Facts about well-known texts. They skip where the texts are not there; nothing in the package needs them."""

import os
from pathlib import Path

import numpy as np
import pytest

from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.data.tokenizers import Characters

_FOLDER = Path(os.environ.get("VSLM_TEST_CORPORA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def corpus_path(name: str) -> str:
    """The path of a text, or a skip with the reason."""
    if not (_FOLDER / name).exists():
        pytest.skip(f"no {name} in {_FOLDER}; set VSLM_TEST_CORPORA to a folder that has it")
    return str(_FOLDER / name)


def test_tinyshakespeare_has_its_65_characters() -> None:
    """One file, cut into blocks, no separator: the alphabet that published results on it use."""
    corpus = prepare(Text(corpus_path("tinyshakespeare/input.txt.gz"), tokenizer=Characters()))
    alphabet = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert corpus.vocabulary == 65
    assert corpus.tokenizer.encode(alphabet).tolist() == list(range(65))
    assert corpus.meta["cut_into_blocks"]
    assert sum(len(corpus.split(name).tokens) for name in ("train", "select", "val")) == 1_115_394
    assert len(corpus.val.tokens) >= 200_000


@pytest.mark.slow
def test_tinystories_has_enough_for_validation() -> None:
    """Whole documents, and at least 200,000 tokens that verdicts are read from."""
    corpus = prepare(Text(corpus_path("tinystories/train.txt.gz"), vocabulary=2048))
    assert corpus.meta["num_documents"] == 9_668
    assert not corpus.meta["cut_into_blocks"]
    assert len(corpus.val.tokens) >= 200_000
    assert np.asarray(corpus.train.tokens).max() < 2048
