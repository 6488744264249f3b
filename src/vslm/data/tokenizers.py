"""Tokenizers: byte-level pairs trained on the corpus, or its characters.

A spec (`BPE`, `Characters`) is fitted once per corpus; what comes out is a `FittedTokenizer`, saved as `tokenizer.json`
in the format of the `tokenizers` library for both, so that other programs read it too.

A text can never ask for the separator: `<|endoftext|>` inside a document is thirteen letters like any others.
"""

import codecs
import hashlib
import json
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from vslm.core.bounds import Vocabulary
from vslm.core.errors import DataError, ResultError, SpecError
from vslm.core.machine import available_cores
from vslm.core.specs import Spec
from vslm.results.files import read_json, write_text
from vslm.results.places import read_bytes

# The library's threads would take the cores that a study keeps busy, and warn when the process forks afterwards. The
# library reads this when it starts to work, not when it is imported.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

END_OF_TEXT = "<|endoftext|>"
_NUM_BYTES = 256
_MIN_PAIR_COUNT = 2  # a pair seen once is no pattern
_ANY_CHARACTER = r"[\s\S]"
_DEFAULT_VOCABULARY = 2048

# Training takes time with the square of a word's length, and a word is whatever has no space or sign in it: a genome,
# Chinese, base64. A corpus with a run so long is cut into words of at most so many characters; no other one is, so that
# tokenizers stay what they were.
_LONG_RUN = re.compile(r"\S{500}|\s{500}")
_WORD = 128
_SHORT_WORDS = (  # the words of GPT-2, bounded
    rf"'(?:[sdmt]|ll|ve|re)| ?\p{{L}}{{1,{_WORD}}}| ?\p{{N}}{{1,{_WORD}}}| ?[^\s\p{{L}}\p{{N}}]{{1,{_WORD}}}"
    rf"|\s{{1,{_WORD}}}(?!\S)|\s{{1,{_WORD}}}"
)
_LONG_TEXT = 1_000_000  # characters; below, the library is done before anybody presses Ctrl-C
_PART_CHARACTERS = 2**16
_GROUP_CHARACTERS = 2**18  # encoded in one call: the library takes some hundred bytes for every id
_MOST_TRAIN_BYTES = 2**28
# A word of either pattern begins at a space or a line end that stands behind a letter, digit or sign: no word holds
# one but at its start, and what is behind it does not count for the words before.
_BETWEEN_WORDS = re.compile(r"[!-~](?=[ \n])")
T = TypeVar("T")
R = TypeVar("R")


class StreamingDecoder:
    """Text from ids that come one by one. A character is shown when its last byte is there.

    >>> decoder = StreamingDecoder([b"a", b"\\xc3", b"\\xa9"])
    >>> [decoder.push(token) for token in (0, 1, 2)]
    ['a', '', 'é']
    """

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """What can be shown now that `token` has come."""
        return self._decoder.decode(self._token_bytes[int(token)])

    def finish(self) -> str:
        """What is left: a replacement character if the text stopped in the middle of one."""
        return self._decoder.decode(b"", final=True)


class FittedTokenizer(ABC):
    """A tokenizer that is ready: text to ids and back. Made by the `fit` of a spec, or by `load_tokenizer`.

    Args:
        plain: what `tokenizer.json` holds.
        token_bytes: the bytes of text that every id stands for; the separator stands for none.
        end_of_text: the id between documents, or None.
    """

    def __init__(self, plain: str, token_bytes: Sequence[bytes], end_of_text: int | None) -> None:
        self._plain = plain
        self.token_bytes = tuple(token_bytes)
        self.end_of_text = end_of_text
        self.vocabulary = len(self.token_bytes)
        # Exact for every token, so bits per byte can be had for any set of targets.
        self.token_num_bytes = np.array([len(item) for item in self.token_bytes], dtype=np.int64)

    @abstractmethod
    def encode_many(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Ids (int64) of each text, without separators. Raises as `encode` does."""

    def encode(self, text: str) -> np.ndarray:
        """Ids (int64) of a text, without a separator.

        Raises: DataError for text that UTF-8 cannot hold, or for a character that `Characters` does not know.
        """
        return self.encode_many([text])[0]

    def decode_bytes(self, ids: Iterable[int], *, separator: bytes = b"") -> bytes:
        """The bytes of ids, with `separator` for every end of text."""
        return b"".join(separator if token == self.end_of_text else self.token_bytes[token] for token in map(int, ids))

    def decode(self, ids: Iterable[int], *, separator: str = "") -> str:
        """The text of ids, with `separator` for every end of text; what is not UTF-8 shows as `\ufffd`."""
        return self.decode_bytes(ids, separator=separator.encode()).decode("utf-8", errors="replace")

    def streaming_decoder(self) -> StreamingDecoder:
        """For ids that come one by one."""
        return StreamingDecoder(self.token_bytes)

    @property
    def fingerprint(self) -> str:
        """12 hex digits of what every id means, whatever version of the library wrote it."""
        meaning = [type(self).__name__, self.end_of_text, [item.hex() for item in self.token_bytes]]
        return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()[:12]

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        write_text(path, self._plain)


class Tokenizer(Spec, ABC):
    """What every tokenizer spec is."""

    @property
    @abstractmethod
    def usual_bytes_per_token(self) -> float:
        """A guess before there is a corpus, never used for a result."""

    @property
    def known_vocabulary(self) -> int | None:
        """Number of ids where that is settled before there is a corpus; None where the text decides."""
        return None

    @property
    def content(self) -> str | None:
        """What it is made of beside the texts, by a digest, which names the corpus, too; None: of nothing else."""
        return None

    @property
    def most_train_bytes(self) -> int | None:
        """How much of the training split it is fitted on at most; of more, documents are chosen by hash. None: all."""
        return None

    @abstractmethod
    def fit(self, train: Iterable[str], *, held_out: Iterable[str] = (), separated: bool = True) -> FittedTokenizer:
        """A tokenizer for these texts, which may be more than memory holds: go through them, as often as you like.

        Args:
            train: the training split.
            held_out: all other text, for what must exist and never for what is frequent.
            separated: whether there is more than one document to keep apart.
        Raises: SpecError when the text does not support the spec.
        """


class FittedBPE(FittedTokenizer):
    """A trained `BPE`. Any text can be encoded."""

    def __init__(self, plain: str) -> None:
        self._backend = tokenizers.Tokenizer.from_str(plain)
        self._backend.encode_special_tokens = True  # the letters of the separator are letters
        end_of_text = self._backend.token_to_id(END_OF_TEXT)
        bytes_by_letter = byte_of_letter()
        names = [self._backend.id_to_token(token) for token in range(self._backend.get_vocab_size())]
        token_bytes = [
            b"" if token == end_of_text else bytes(bytes_by_letter[letter] for letter in name or "")
            for token, name in enumerate(names)
        ]
        super().__init__(plain, token_bytes, end_of_text)

    def encode_many(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Ids of each text."""
        checked = [_whole(text) for text in texts]
        if sum(map(len, checked)) <= _LONG_TEXT:
            return self._encoded(checked)
        # Parts of each text, so that what the library needs for ids is bounded, and all cores have some.
        parts = [(number, part) for number, text in enumerate(checked) for part in parts_at_words(text)]
        groups = list(_in_groups(parts))
        ids = _in_threads(lambda group: self._encoded([part for _, part in group]), groups, num_threads())
        rows: list[list[np.ndarray]] = [[] for _ in checked]
        for group, found in zip(groups, ids, strict=True):
            for (number, _), row in zip(group, found, strict=True):
                rows[number].append(row)
        return [row[0] if len(row) == 1 else np.concatenate(row) for row in rows]

    def _encoded(self, texts: list[str]) -> list[np.ndarray]:
        encoded = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(item.ids, dtype=np.int64) for item in encoded]


def parts_at_words(text: str) -> Iterator[str]:
    """A long text in parts of some 65,000 characters, cut where no word of a `BPE` goes on: its parts have the ids that
    it has. Where no space or line end follows a visible ASCII letter, a part is as long as it has to be.
    """
    start = 0
    while len(text) - start > _PART_CHARACTERS and (cut := _BETWEEN_WORDS.search(text, start + _PART_CHARACTERS)):
        yield text[start : cut.end()]
        start = cut.end()
    yield text[start:]


def _in_groups(parts: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Parts of texts, so many that a group is worth a call."""
    group: list[tuple[int, str]] = []
    num_characters = 0
    for part in parts:
        group.append(part)
        num_characters += len(part[1])
        if num_characters >= _GROUP_CHARACTERS:
            yield group
            group, num_characters = [], 0
    if group:
        yield group


def num_threads() -> int:
    """Threads to encode with: the cores that this process may use, or fewer where the environment says so.

    `RAYON_NUM_THREADS` is how programs that use the library say it, `OMP_NUM_THREADS` how those that use torch do.
    """
    told = [os.environ.get(name, "") for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS")]
    return min([available_cores(), *(int(word) for word in told if word.isdigit() and int(word) > 0)])


def _in_threads(work: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """Do what stays inside the library for long on all items, some at the same time, so that Ctrl-C is heard at once:
    Python hands it to the main thread, which must not be the one in there. After Ctrl-C what is begun is left alone and
    ends with the process, and nothing else is begun.
    """
    waiting = enumerate(items)
    taking, is_over = threading.Lock(), threading.Event()
    results: dict[int, R] = {}
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while not is_over.is_set():
                with taking:
                    numbered = next(waiting, None)
                if numbered is None:
                    return
                results[numbered[0]] = work(numbered[1])
        except BaseException as error:
            errors.append(error)
            is_over.set()

    running = [threading.Thread(target=run, daemon=True, name="tokenizer") for _ in range(threads)]
    try:
        for thread in running:
            thread.start()
        for thread in running:
            while thread.is_alive():
                thread.join(0.1)
    finally:
        is_over.set()
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(results))]


def byte_of_letter() -> dict[str, int]:
    """How byte-level BPE writes bytes as letters: those that print in Latin-1 as themselves, the rest from 256 on."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(_NUM_BYTES) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(_NUM_BYTES + i): byte for i, byte in enumerate(rest)}


def _whole(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair ({text[error.start]!r}) at character {error.start}"
        raise DataError("text", found, "text that UTF-8 can hold is needed") from None
    return text


@dataclass(frozen=True, kw_only=True)
class BPE(Tokenizer):
    """Byte-level byte-pair encoding, trained on the train split; `<|endoftext|>` is id 0.

    Paper: Neural Machine Translation of Rare Words with Subword Units, Sennrich et al., 2016,
    https://arxiv.org/abs/1508.07909; on bytes, and with the word pattern of GPT-2. A pair must occur twice. Where
    a text runs on for 500 characters without a space (or of spaces alone), its words are cut at 128 characters. Of a
    training split of more than 256 MB it sees as much, the same documents in any order.

    Cost: 12 MB of text in about 10 seconds on one core, with its encoding; encoding takes all cores.

    Args:
        vocabulary: number of ids: the separator, 256 bytes, and merges. 257 or more. The default, 2,048, is as many as
            that at most: a text that supports fewer gets fewer.
    Raises: SpecError, when fitted, if the text has fewer pairs than this needs, and it is not the default.
    """

    vocabulary: Vocabulary = _DEFAULT_VOCABULARY

    def check(self) -> None:
        """Refuse a vocabulary too small for the bytes."""
        if self.vocabulary < _NUM_BYTES + 1:
            allowed = f"{_NUM_BYTES + 1} or more is needed: the separator and every byte"
            raise SpecError("vocabulary", f"found {self.vocabulary}", allowed)

    @property
    def usual_bytes_per_token(self) -> float:
        """Measured 3.1 to 4.2 on stories, articles and source code at 1,024 to 4,096 ids; the upper end."""
        return 4.25

    @property
    def most_train_bytes(self) -> int:
        """256 MB, which show every pair of letters that is worth an id; the library holds every word that it saw."""
        return _MOST_TRAIN_BYTES

    @property
    def known_vocabulary(self) -> int | None:
        """As declared: text that supports fewer ids is refused, or, at the default number, gets fewer in words."""
        return self.vocabulary

    def fit(self, train: Iterable[str], *, held_out: Iterable[str] = (), separated: bool = True) -> FittedBPE:
        """Train on `train` alone. Deterministic: the same text gives the same ids in every process."""
        backend = tokenizers.Tokenizer(models.BPE())
        if any(_LONG_RUN.search(text) for texts in (train, held_out) for text in texts):
            split = pre_tokenizers.Split(tokenizers.Regex(_SHORT_WORDS), behavior="isolated")
            letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            backend.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
        else:
            backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary,
            min_frequency=_MIN_PAIR_COUNT,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        parts = (part for text in train for part in parts_at_words(text))
        _in_threads(lambda texts: backend.train_from_iterator(texts, trainer), [parts], 1)
        supported = backend.get_vocab_size()
        if supported < self.vocabulary and self.vocabulary != _DEFAULT_VOCABULARY:
            found = f"{self.vocabulary:,} ids are more than this corpus supports"
            raise SpecError("vocabulary", found, f"at most {supported:,}", "give a smaller vocabulary or more text")
        return FittedBPE(backend.to_str())


class FittedCharacters(FittedTokenizer):
    """Fitted `Characters`. Text with other characters cannot be encoded."""

    def __init__(self, plain: str) -> None:
        content = json.loads(plain)
        ids: dict[str, int] = content["model"]["vocab"]
        names = sorted(ids, key=ids.__getitem__)
        end_of_text = ids.get(END_OF_TEXT)
        super().__init__(plain, [b"" if name == END_OF_TEXT else name.encode() for name in names], end_of_text)
        characters = [name for name in names if name != END_OF_TEXT]
        self._first = 0 if end_of_text is None else 1
        self._code_points = np.array([ord(character) for character in characters], dtype=np.uint32)  # ascending

    def encode_many(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Ids of each text."""
        return [self._encoded(_whole(text)) for text in texts]

    def _encoded(self, text: str) -> np.ndarray:
        code_points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        places = np.searchsorted(self._code_points, code_points).clip(max=len(self._code_points) - 1)
        unknown = np.flatnonzero(self._code_points[places] != code_points)
        if len(unknown):
            at = int(unknown[0])
            found = f"the character {text[at]!r} at {at} does not occur in the corpus"
            allowed = f"the {len(self._code_points)} characters of the corpus can be encoded"
            raise DataError("text", found, allowed, "leave it out, or train with BPE(...), which takes any text")
        return places.astype(np.int64) + self._first


@dataclass(frozen=True, kw_only=True)
class Characters(Tokenizer):
    """One id per character that occurs in the corpus, in the order of code points.

    A corpus of one document has no separator, so its ids are its characters alone; else `<|endoftext|>` is id 0.

    The alphabet is that of the whole corpus, held-out text included: which characters there are, not how often. So
    everything can be encoded, bits per byte are exact, and a character that training never showed costs what the
    model makes of an id it never saw.
    """

    @property
    def usual_bytes_per_token(self) -> float:
        """One, for text that is mostly ASCII."""
        return 1.0

    def fit(self, train: Iterable[str], *, held_out: Iterable[str] = (), separated: bool = True) -> FittedCharacters:
        """Collect the characters."""
        found: set[str] = set()
        for texts in (train, held_out):
            for text in texts:
                found.update(text)
        characters = sorted(found)
        names = [END_OF_TEXT, *characters] if separated else characters
        backend = tokenizers.Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(_ANY_CHARACTER), behavior="isolated")
        backend.decoder = decoders.Fuse()
        if separated:
            backend.add_special_tokens([END_OF_TEXT])
        return FittedCharacters(backend.to_str())


_FITTED: dict[str, type[FittedBPE] | type[FittedCharacters]] = {"BPE": FittedBPE, "WordLevel": FittedCharacters}


def load_tokenizer(path: Path) -> FittedTokenizer:
    """Read a `tokenizer.json` that `save` wrote, of either kind.

    Raises: ResultError if it is missing, torn, or of another kind.
    """
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    kind = model.get("type") if isinstance(model, dict) else None
    if kind not in _FITTED:
        raise ResultError(str(path), f"a tokenizer of kind {kind!r}", f"{' and '.join(_FITTED)} can be read")
    try:
        return _FITTED[kind](read_bytes(path).decode())
    except Exception as error:  # the library raises bare Exception
        raise ResultError(str(path), f"no tokenizer can be made of it ({error})", "", "the file is torn") from None
