"""Tokenizers: byte-level BPE trained on the corpus, or its characters. Fitted on the train split alone."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vslm.core.errors import DataError, ResultError, SpecError
from vslm.core.specs import Spec
from vslm.results.files import read_json, write_text

# The library's own threads would oversubscribe the cores that runs of a study keep busy, and warn when a process forks.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer as BackendTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
_NUM_BYTES = 256


class FittedTokenizer:
    """A tokenizer that is ready: text to ids and back. Made by `BPE.fit`, `Characters.fit` or `load_tokenizer`.

    Args:
        plain: what `tokenizer.json` holds.
    """

    def __init__(self, plain: str) -> None:
        self.plain = plain
        content = json.loads(plain)
        self._characters: list[str] | None = content.get("characters")
        if self._characters is None:
            self._backend = BackendTokenizer.from_str(plain)
            # The corpus separator is put in by id. In a text its letters are letters.
            self.vocabulary = self._backend.get_vocab_size()
            self.end_of_text: int | None = self._backend.token_to_id(END_OF_TEXT)
            self._ordinary = BackendTokenizer.from_str(_without_special(content))
        else:
            self.end_of_text = content["end_of_text"]
            self._ids = {character: i for i, character in enumerate(self._characters)}
            self.vocabulary = len(self._characters) + (self.end_of_text is not None)

    def encode(self, text: str) -> np.ndarray:
        """Ids of a text.

        Raises: DataError for a character that a character tokenizer never saw in training.
        """
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text."""
        if self._characters is None:
            encoded = self._ordinary.encode_batch(list(texts), add_special_tokens=False)
            return [np.array(item.ids, dtype=np.int64) for item in encoded]
        try:
            return [np.array([self._ids[character] for character in text], dtype=np.int64) for text in texts]
        except KeyError as error:
            found = f"the character {error.args[0]!r} does not occur in the training split"
            raise DataError("tokenizer", found, f"one of {len(self._ids)} characters", "use BPE(...)") from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; bytes that are no UTF-8 show as the replacement character."""
        kept = [int(i) for i in ids if int(i) != self.end_of_text]
        if self._characters is None:
            return self._backend.decode(kept, skip_special_tokens=True)
        return "".join(self._characters[i] for i in kept)

    @property
    def fingerprint(self) -> str:
        """12 hex digits of what the tokenizer is."""
        return hashlib.sha256(self.plain.encode()).hexdigest()[:12]

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        write_text(path, self.plain)


def _without_special(content: dict) -> str:
    return json.dumps({**content, "added_tokens": []})


def load_tokenizer(path: Path) -> FittedTokenizer:
    """Read a `tokenizer.json` of either kind.

    Raises: ResultError if it is missing or torn.
    """
    read_json(path)
    try:
        return FittedTokenizer(path.read_text(encoding="utf-8"))
    except Exception as error:
        raise ResultError(str(path), f"no tokenizer can be read from it ({error})") from None


@dataclass(frozen=True, kw_only=True)
class BPE(Spec):
    """Byte-level byte-pair encoding with `<|endoftext|>` as token 0.

    Paper: Neural Machine Translation of Rare Words with Subword Units, Sennrich et al., 2016,
    https://arxiv.org/abs/1508.07909; on bytes, as GPT-2 does it.

    Args:
        vocabulary: number of tokens: the separator, 256 bytes, and merges.
    """

    vocabulary: int = 2048

    def check(self) -> None:
        """Refuse a vocabulary too small for the bytes."""
        if self.vocabulary < _NUM_BYTES + 1:
            raise SpecError("vocabulary", f"found {self.vocabulary}", f"{_NUM_BYTES + 1} or more is needed")

    def fit(self, texts: Callable[[], Iterable[str]], *, separated: bool) -> FittedTokenizer:
        """Train on texts. Deterministic.

        Raises: SpecError if the texts do not hold enough pairs for the vocabulary.
        """
        backend = BackendTokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
        )
        backend.train_from_iterator(texts(), trainer)
        if backend.get_vocab_size() < self.vocabulary:
            found = f"{self.vocabulary} tokens, but the corpus supports {backend.get_vocab_size()}"
            raise SpecError("vocabulary", found, "", "give a smaller vocabulary, or more text")
        return FittedTokenizer(backend.to_str())


@dataclass(frozen=True, kw_only=True)
class Characters(Spec):
    """One token per character that occurs, sorted; and a separator where the corpus has more than one document."""

    def fit(self, texts: Callable[[], Iterable[str]], *, separated: bool) -> FittedTokenizer:
        """Collect the characters."""
        characters = sorted({character for text in texts() for character in text})
        end_of_text = len(characters) if separated else None
        return FittedTokenizer(json.dumps({"characters": characters, "end_of_text": end_of_text}))


Tokenizer = BPE | Characters
