"""Tokenizers of whole words, for text of few different ones: made-up worlds, templates, tables."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from vslm.core.bounds import Vocabulary
from vslm.core.errors import SpecError
from vslm.data.tokenizers import END_OF_TEXT, FittedBPE, Tokenizer, byte_of_letter
from vslm.data.worlds.universe import Universe
from vslm.data.worlds.wording import words_of
from vslm.data.worlds.words import NO, NUMBERS, UNKNOWN, YES, first_names, last_names

_NUM_BYTES = 256
# What a word is, as the `tokenizers` library reads it and as Python does. Where they differ (digits of rare scripts) a
# word that was counted is never met, or one that is met has no id: it is written in bytes.
_PATTERN = r" ?<[a-z]+>| ?\p{L}{1,128}| ?\p{N}{1,128}| ?[^\s\p{L}\p{N}<]{1,128}| ?<|\s{1,128}"
_COUNTED = re.compile(r" ?<[a-z]+>| ?[^\W\d_]{1,128}| ?\d{1,128}| ?(?:[^\w\s<]|_){1,128}| ?<|\s{1,128}")


@dataclass(frozen=True, kw_only=True)
class Words(Tokenizer):
    """One id for each word that occurs in training, the commonest first; any other is written in its bytes.

    A word is a run of letters, of digits or of signs, with the space before it, or a marker such as ` <q>`, which other
    tokenizers take to pieces. A value of a made-up world is then one token, and so are most names, so that an answer is
    right or wrong at one place. Ids: the separator, 256 bytes, and words.

    Saved as byte-level BPE without merges, whose words are taken whole, so that other programs read it, too.

    Args:
        vocabulary: at most so many ids; a text of fewer words has fewer.
    Raises: SpecError for a vocabulary without words.
    """

    vocabulary: Vocabulary = 4096

    def check(self) -> None:
        """Refuse a vocabulary too small for the bytes."""
        if self.vocabulary < _NUM_BYTES + 2:
            allowed = f"{_NUM_BYTES + 2} or more is needed: the separator, every byte, and words"
            raise SpecError("vocabulary", f"found {self.vocabulary}", allowed)

    @property
    def usual_bytes_per_token(self) -> float:
        """Measured 4.3 on worlds."""
        return 4.3

    def fit(self, train: Iterable[str], *, held_out: Iterable[str] = (), separated: bool = True) -> FittedBPE:
        """Count the words of `train` alone; of equally common ones the first in the order of their bytes."""
        counts: Counter[str] = Counter()
        for text in train:
            counts.update(_COUNTED.findall(text))
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0].encode()))
        return _of_words((word for word, _ in ordered), most=self.vocabulary)


@dataclass(frozen=True, kw_only=True)
class WorldWords(Tokenizer):
    """One id for each word of a universe, whatever a corpus shows of it; any other word is written in its bytes.

    So all arms of a study about one universe have the same ids, whichever world they see. Names that training never
    shows, and `e1`, `e2` in place of names, are written in bytes.

    Args:
        universe: whose words they are; `Worlds` fills in its own.
    """

    universe: Universe = Universe()

    @property
    def usual_bytes_per_token(self) -> float:
        """Measured 4.3 on worlds."""
        return 4.3

    @property
    def known_vocabulary(self) -> int:
        """Settled by the universe."""
        return 1 + _NUM_BYTES + len([word for word in self.words() if len(word) > 1])

    def words(self) -> list[str]:
        """In the order of their ids; each but signs with the space before it."""
        universe = self.universe
        values = {value for relation in universe.used() for value in universe.values(relation)}
        names = {*first_names(universe.first_names), *last_names(universe.last_names)}
        spoken = [*words_of(universe.used()), *NUMBERS, UNKNOWN, YES, NO, "he", "she", "it", "and"]
        plain = [f" {word}" for word in dict.fromkeys([*spoken, *sorted(values), *sorted(names)])]
        return ["<ctx>", " <q>", " <a>", *plain]

    def fit(self, train: Iterable[str], *, held_out: Iterable[str] = (), separated: bool = True) -> FittedBPE:
        """The same for every text."""
        return _of_words(self.words())


def _of_words(words: Iterable[str], most: int | None = None) -> FittedBPE:
    """The separator, every byte, and words, up to `most` ids: byte-level BPE that takes known words whole."""
    letter_of = {byte: letter for letter, byte in byte_of_letter().items()}
    ids = {END_OF_TEXT: 0} | {letter_of[byte]: 1 + byte for byte in range(_NUM_BYTES)}
    for word in words:
        if len(ids) == most:
            break
        ids.setdefault("".join(letter_of[byte] for byte in word.encode()), len(ids))
    backend = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=[], ignore_merges=True))
    split = pre_tokenizers.Split(tokenizers.Regex(_PATTERN), behavior="isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([END_OF_TEXT])
    return FittedBPE(backend.to_str())
