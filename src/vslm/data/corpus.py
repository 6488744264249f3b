"""From a source to flat token files, once: cached under `VSLM_HOME` by content, built under a temporary name.

    $VSLM_HOME/corpora/<fingerprint>/{train,select,val}.bin   ids, uint16 up to 65,536 of them, else uint32
                                     {train,select,val}.weights   fp32 of each id, where a source says what counts
                                     tokenizer.json
                                     meta.json                what it is, how it was made, sizes and checksums
    $VSLM_HOME/corpora/read/<key>.json                        sources already read: identity -> content, and how

Two processes that ask for the same corpus build it once; the second says that it waits. The lock is the operating
system's, taken through `filelock`, so a killed process leaves none behind. Files that are open are never written to.

Not for: corpora that do not fit into memory as text while they are built.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import DataError, ResultError, RunError, SpecError
from vslm.core.own_code import parts_of_class
from vslm.core.specs import to_plain
from vslm.core.system import refused
from vslm.core.user_modules import is_own
from vslm.data.documents import Document, Scored, token_weights
from vslm.data.reading.notes import Notes
from vslm.data.sources.source import Source
from vslm.data.splits import SPLITS, SplitName, split_documents
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.results.files import read_json, sha256, sync_folder, write_json
from vslm.results.locks import lock
from vslm.results.seals import sealed, was_changed

FORMAT = 2  # of the folder; part of the fingerprint, so another format is another corpus
_READING = 1  # of the rules by which files become documents; other rules read known files again
_NUM_UINT16_IDS = 65_536
_TEXTS_AT_A_TIME = 512  # encoded together; ids of the library take much more memory than ours
_ROOM = "make room, or set VSLM_HOME to another folder"

Say = Callable[[str], None]


def home() -> Path:
    """Where vslm keeps what it can make again: `VSLM_HOME`, or `~/.cache/vslm`.

    Raises: RunError for a user without a home where `VSLM_HOME` is not set.
    """
    if named := os.environ.get("VSLM_HOME"):
        return Path(named)
    try:
        return Path.home() / ".cache" / "vslm"
    except RuntimeError:  # no HOME, and nobody of this number in the list of users
        do = "set VSLM_HOME to a folder that you may write in"
        raise RunError("VSLM_HOME", "this user has no home, so there is no place for corpora", "", do) from None


@dataclass(frozen=True)
class TokenFile:
    """The tokens of one split, documents in a row, a separator after each where the tokenizer has one."""

    path: Path
    dtype: str
    num_tokens: int
    num_bytes: int
    num_documents: int
    has_weights: bool = False

    @cached_property
    def weights(self) -> np.ndarray | None:
        """How much each token counts as a target, fp32, 1-D beside `tokens`; None: all the same."""
        if not self.has_weights:
            return None
        return np.memmap(self.path.with_suffix(".weights"), dtype="<f4", mode="r", shape=(self.num_tokens,))

    @cached_property
    def tokens(self) -> np.ndarray:
        """1-D, read from the file as needed."""
        return np.memmap(self.path, dtype=_on_disk(self.dtype), mode="r", shape=(self.num_tokens,))

    def __reduce__(self) -> tuple[Any, ...]:
        sizes = (self.num_tokens, self.num_bytes, self.num_documents)
        return TokenFile, (self.path, self.dtype, *sizes, self.has_weights)


@dataclass(frozen=True)
class Corpus:
    """A corpus that is ready to train on. Cheap to open and to send to another process."""

    folder: Path
    meta: dict[str, Any]
    evaluated_split: SplitName = "val"  # "select" for a run that is made to choose

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the text, the tokenizer and the splits."""
        return self.meta["fingerprint"]

    @property
    def tokenizer_fingerprint(self) -> str:
        """12 hex digits of what every id means."""
        return self.meta["tokenizer_fingerprint"]

    @property
    def vocabulary(self) -> int:
        """Number of ids."""
        return self.meta["vocabulary"]

    @property
    def align_tokens(self) -> int:
        """Windows start at multiples of this."""
        return self.meta.get("align_tokens", 1)  # a corpus that was built before there was anything to align

    @cached_property
    def tokenizer(self) -> FittedTokenizer:
        """Text to ids and back."""
        return load_tokenizer(self.folder / "tokenizer.json")

    @cached_property
    def train(self) -> TokenFile:
        """For training."""
        return self.split("train")

    @cached_property
    def select(self) -> TokenFile:
        """For choices made during a study."""
        return self.split("select")

    @cached_property
    def val(self) -> TokenFile:
        """For verdicts only."""
        return self.split("val")

    @property
    def evaluated(self) -> TokenFile:
        """What a model is evaluated on: `val` for verdicts, `select` where something is chosen."""
        return self.split(self.evaluated_split)

    def split(self, name: SplitName) -> TokenFile:
        """The tokens of a split."""
        part = self.meta["splits"][name]
        sizes = (part["num_tokens"], part["num_bytes"], part["num_documents"])
        return TokenFile(self.folder / f"{name}.bin", self.meta["dtype"], *sizes, self.has_weights)

    @property
    def has_weights(self) -> bool:
        """Whether its source says how much each token counts."""
        return self.meta.get("has_weights", False)  # not in a corpus from before any did

    def bytes_per_token(self, name: SplitName) -> float:
        """Bytes of text per token, separators counted as tokens of no bytes: `bpb = loss_nats / ln 2 / this`.

        Exact over the whole split; `windows.num_target_bytes` is exact for the windows that were scored.
        """
        part = self.meta["splits"][name]
        return part["num_bytes"] / part["num_tokens"]

    def verify(self) -> None:
        """Read every file and compare its checksum again, as opening did.

        Raises: DataError naming the file that is not as it was written.
        """
        if (damage := _damage(self.folder)) is not None:
            do = f"delete the folder {self.folder}; it is built again when needed"
            raise DataError(str(self.folder), damage, "", do)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.folder, self.meta, self.evaluated_split)


def prepare(source: Source, *, say: Say | None = None) -> Corpus:
    """The corpus of a source: from the cache, or built now.

    Args:
        say: told in words what is done, what was found, and what is waited for.
    Raises: DataError or SpecError, with a place in the source, for a corpus that cannot be used; RunError when the
        cache cannot be written.
    """
    say = say or (lambda words: None)
    notes = Notes()
    try:
        key = _identity_key(source)
    except DataError as gone:
        if (corpus := _prepared_before(source)) is None:
            raise
        say(f"{gone.where}: {gone.found}; the corpus that was prepared from it before is used")
        return corpus
    try:
        content, how_read = _already_read(key)
        corpus, documents = _opened(home() / "corpora" / _fingerprint(source, content)) if content else None, None
        if corpus is None:
            # Read anew, whatever was noted of them: a note that is damaged would give the corpus another name.
            documents = list(source.read(notes))
            how_read = notes.lines()
            for words in how_read:
                say(words)
            content = content_hash(documents)
            folder = home() / "corpora" / _fingerprint(source, content)
            corpus = _opened(folder) or _built_once(source, documents, folder, say)
    except OSError as error:
        found = "the cache of corpora cannot be used"
        raise refused(error, home(), found=found, do=_ROOM) from error
    if documents is not None and not notes.lacks_packages:
        with suppress(RunError):  # it spares a reading next time, no more
            for name in (key, _name_of(source)):
                if name is not None:
                    write_json(_read_record(name), {"content": content, "read": how_read})
    # One corpus may be read from several places: what is said is how it was read now, not how it was built.
    return Corpus(corpus.folder, {**corpus.meta, "read": [*how_read, *_fewer_ids(source, corpus.vocabulary)]})


def _prepared_before(source: Source) -> Corpus | None:
    """The corpus of what was last found in a source that is gone; None where none was prepared with this tokenizer."""
    content, how_read = _already_read(_name_of(source))
    corpus = _opened(home() / "corpora" / _fingerprint(source, content)) if content else None
    return None if corpus is None else Corpus(corpus.folder, {**corpus.meta, "read": how_read})


def _fewer_ids(source: Source, vocabulary: int) -> Iterator[str]:
    """What is said where a text supports fewer ids than the default."""
    wanted = source.tokenizer.known_vocabulary
    if wanted is not None and vocabulary < wanted:
        yield f"the text is too small for {wanted:,} ids, the default: the tokenizer has the {vocabulary:,} it supports"


def open_corpus(fingerprint: str) -> Corpus:
    """A corpus that was prepared on this machine; its source is not touched.

    Raises: DataError if it is not there, or damaged.
    """
    folder = home() / "corpora" / fingerprint
    found: list[str] = []
    corpus = _opened(folder, found.append)
    if corpus is None:
        do = "run the study again: it prepares its corpus from the text, which must be there"
        why = f"damaged ({_damage(folder)})" if found else f"not there, in {folder.parent}"
        raise DataError(f"corpus {fingerprint}", why, "", do)
    return corpus


def content_hash(documents: Iterable[Document]) -> str:
    """SHA-256 of the texts in their order, and of what counts in them. Names are left out, so a corpus may move."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(hashlib.sha256(document.text.encode()).digest())
        if document.scored is not None:
            digest.update(repr([tuple(one) for one in document.scored]).encode())
    return digest.hexdigest()


def _fingerprint(source: Source, content: str) -> str:
    made_by = [FORMAT, content, to_plain(source.tokenizer), to_plain(source.splits)]
    if source.align_tokens != 1:  # left out otherwise, so that corpora keep their names
        made_by.append({"align_tokens": source.align_tokens})
    if is_own(type(source.tokenizer)):
        made_by.append({"own_code": parts_of_class(type(source.tokenizer))})
    return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:12]


def _identity_key(source: Source) -> str | None:
    """A name for what decides a source's documents, known without reading them; None where only reading tells.

    Raises: DataError where the source is gone.
    """
    identity = source.identity()
    return None if identity is None else _named([_kind_of(source), identity])


def _name_of(source: Source) -> str:
    """A name for a source whatever is in it now, under which what was last found there is noted."""
    return f"last-{_named([_kind_of(source), getattr(source, 'path', None)])}"


def _kind_of(source: Source) -> list[Any]:
    """The class of a source, the code of one that is the user's, and its fields but for where it lies."""
    kind = type(source)
    how = {name: value for name, value in to_plain(source).items() if name not in ("path", "tokenizer", "splits")}
    return [FORMAT, _READING, how, parts_of_class(kind) if is_own(kind) else None]


def _named(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, default=list).encode()).hexdigest()[:32]


def _read_record(key: str) -> Path:
    return home() / "corpora" / "read" / f"{key}.json"


def _already_read(key: str | None) -> tuple[str | None, list[str]]:
    """The content of files in this state, and how they were read; None where they were not."""
    if key is None:
        return None, []
    try:
        record = read_json(_read_record(key))
        return str(record["content"]), [str(words) for words in record["read"]]
    except (ResultError, KeyError, TypeError):
        return None, []


def _damage(folder: Path) -> str | None:
    """What of a corpus' folder is not as it was written, in words; None where all is well.

    Every file is read and its checksum compared, each time: a bit that flips on a disk changes no time and no size.
    Cost: 0.15 s for 100 MB (two cores of 2026), once a command and once a run.
    """
    try:
        meta = read_json(folder / "meta.json")
        if was_changed(meta) or not _is_consistent(meta, folder.name):
            return "meta.json is not as it was written"
        for name, recorded in meta["sha256"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != meta["sizes"][name]:
                return f"{name} is missing or cut short"
            if sha256(path) != recorded:
                return f"{name}: its bytes are not those that were written"
    except ResultError as error:
        return f"meta.json: {error.found}"
    except (KeyError, TypeError, AttributeError, ValueError):
        return "meta.json is not what a corpus has"
    return None


def _is_consistent(meta: dict[str, Any], name: str) -> bool:
    """Whether what a record says of its files fits together; also told of one from before it had a digest."""
    width = _on_disk(meta["dtype"]).itemsize
    return (
        meta["fingerprint"] == name
        and meta["dtype"] in ("uint16", "uint32")
        and {*meta["sha256"], *meta["sizes"]} == {*_names_of_files(meta.get("has_weights", False))}
        and all(meta["sizes"][f"{split}.bin"] == width * meta["splits"][split]["num_tokens"] for split in SPLITS)
        and all(meta["splits"][split]["num_bytes"] > 0 for split in SPLITS if meta["splits"][split]["num_tokens"] > 1)
    )


def _names_of_files(has_weights: bool) -> list[str]:
    """Of a corpus, without meta.json."""
    endings = ("bin", "weights") if has_weights else ("bin",)
    return [*(f"{split}.{ending}" for split in SPLITS for ending in endings), "tokenizer.json"]


def _opened(folder: Path, say: Say | None = None) -> Corpus | None:
    """The corpus in a folder, or None if there is none or it is damaged; that is said."""
    if not folder.is_dir():
        return None
    damage = _damage(folder)
    if damage is None:
        return Corpus(folder, read_json(folder / "meta.json"))
    if say is not None:
        say(f"{folder}: {damage}; the corpus is built again")
    return None


def _built_once(source: Source, documents: list[Document] | None, folder: Path, say: Say) -> Corpus:
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder.with_name(f"{folder.name}.lock")
    taken = lock(place, wait=False)
    if taken is None:
        say(f"another process is preparing {source.describe()}; waiting for it")
        taken = lock(place, wait=True)
    try:
        # Another process may have built it while we waited.
        return _opened(folder, say) or _built(source, documents, folder, say)
    finally:
        if taken is not None:
            taken.release()


def _built(source: Source, documents: list[Document] | None, folder: Path, say: Say) -> Corpus:
    started = time.perf_counter()
    say(f"preparing {source.describe()}")
    documents = list(source.documents()) if documents is None else documents
    parts = split_documents(
        documents,
        source.splits,
        bytes_per_token=source.tokenizer.usual_bytes_per_token,
        where=source.describe(),
    )
    del documents
    for words in _remarks(parts.num_documents, parts.num_repeats, parts.block_characters):
        say(words)
    texts = parts.by_split
    try:
        tokenizer = source.tokenizer.fit(
            texts["train"], held_out=[*texts["select"], *texts["val"]], separated=parts.num_documents > 1
        )
    except SpecError as error:
        raise error.within("data.tokenizer") from None
    _clear(folder)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        dtype = "uint16" if tokenizer.vocabulary <= _NUM_UINT16_IDS else "uint32"
        has_weights = any(one is not None for scored in parts.scored_by_split.values() for one in scored)
        splits: dict[SplitName, dict[str, int]] = {}
        weights: dict[SplitName, float] = {}
        for name in SPLITS:
            scored = parts.scored_by_split[name] if has_weights else None
            splits[name], weights[name] = _write_split(temporary / f"{name}.bin", texts[name], scored, tokenizer, dtype)
            if has_weights:
                _check_weight(weights[name], name, source)
        tokenizer.save(temporary / "tokenizer.json")
        names = _names_of_files(has_weights)
        meta: dict[str, Any] = {
            "format": FORMAT,
            "fingerprint": folder.name,
            "description": source.describe(),
            "vocabulary": tokenizer.vocabulary,
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "tokenizer": to_plain(source.tokenizer),
            "shares": to_plain(source.splits),
            "dtype": dtype,
            **({"has_weights": True, "weights": weights} if has_weights else {}),
            "align_tokens": source.align_tokens,
            "num_documents": parts.num_documents,
            "num_repeats": parts.num_repeats,
            "cut_into_blocks": parts.cut_into_blocks,
            "block_characters": parts.block_characters,
            "splits": splits,
            "sizes": {name: (temporary / name).stat().st_size for name in names},
            "sha256": {name: sha256(temporary / name) for name in names},
        }
        meta = sealed(meta)
        write_json(temporary / "meta.json", meta)
        temporary.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = ", ".join(f"{name} {splits[name]['num_tokens']:,}" for name in SPLITS)
    for words in _fewer_ids(source, tokenizer.vocabulary):
        say(words)
    say(f"tokens: {counts}; {tokenizer.vocabulary:,} ids; {time.perf_counter() - started:.1f} s")
    return Corpus(folder, meta)


def _remarks(num_documents: int, num_repeats: int, block_characters: int | None) -> Iterator[str]:
    documents = "1 document" if num_documents == 1 else f"{num_documents:,} different documents"
    if num_repeats:
        yield "1 repeat is left out" if num_repeats == 1 else f"{num_repeats:,} repeats are left out"
    if block_characters is None:
        yield f"{documents}, split by hash"
    else:
        yield (
            f"{documents}: few or very uneven, so they are cut at blank lines into blocks of about "
            f"{block_characters / 1024:.0f} KB, and train, select and val get blocks of the same documents"
        )


def _clear(folder: Path) -> None:
    """Make room for a new folder: what is torn is moved aside, since other processes may still read it."""
    for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):  # of builds that were killed; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists():
        aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _on_disk(dtype: str) -> np.dtype:
    return np.dtype(dtype).newbyteorder("<")


def _write_split(
    path: Path,
    texts: Sequence[str],
    scored: Sequence[tuple[Scored, ...] | None] | None,
    tokenizer: FittedTokenizer,
    dtype: str,
) -> tuple[dict[str, int], float]:
    """Write the ids of a split, and beside them how much each counts; returns sizes, and the sum of what counts.

    Args:
        path: of the ids; weights get another ending.
        texts: of the split.
        scored: what counts in each; None: no source said so, and no weights are written.
        tokenizer: fitted.
        dtype: of the ids.
    """
    num_tokens, num_bytes, total = 0, 0, 0.0
    with contextlib.ExitStack() as files:
        ids_file = files.enter_context(path.open("wb"))
        weights_file = None if scored is None else files.enter_context(path.with_suffix(".weights").open("wb"))
        remaining = iter(zip(texts, scored or [None] * len(texts), strict=True))
        while some := list(islice(remaining, _TEXTS_AT_A_TIME)):
            for (text, parts), ids in zip(some, tokenizer.encode_many([text for text, _ in some]), strict=True):
                row = ids if tokenizer.end_of_text is None else np.append(ids, tokenizer.end_of_text)
                ids_file.write(row.astype(_on_disk(dtype)).tobytes())
                num_tokens += len(row)
                num_bytes += len(text.encode())
                if weights_file is not None:
                    weights = np.full(len(row), float(parts is None), dtype=np.float32)
                    if parts is not None:  # the separator behind it does not count
                        weights[: len(ids)] = token_weights(text, parts, tokenizer.token_num_bytes[ids])
                    weights_file.write(weights.astype("<f4").tobytes())
                    total += float(weights.sum(dtype=np.float64))
        for file in (ids_file, weights_file):
            if file is not None:
                file.flush()
                os.fsync(file.fileno())
    return {"num_tokens": num_tokens, "num_bytes": num_bytes, "num_documents": len(texts)}, total


def _check_weight(total: float, name: SplitName, source: Source) -> None:
    if not total > 0:
        found = f"no token of {name} counts"
        do = "score a part of more documents (Document.scored), or give more text"
        raise DataError(source.describe(), found, "a loss is the mean over tokens that count", do)
