"""From a source to flat token files, once: cached under `VSLM_HOME` by content, built under a temporary name.

    $VSLM_HOME/corpora/<fingerprint>/{train,select,val}.bin   ids, uint16 up to 65,536 of them, else uint32
                                     {train,select,val}.weights   fp32 of each id, where a source says what counts
                                     tokenizer.json
                                     meta.json                what it is, how it was made, sizes and checksums
    $VSLM_HOME/corpora/read/<key>.json                        sources already read: identity -> content, and how

Two processes that ask for the same corpus build it once; the second says that it waits. The lock is the operating
system's, taken through `filelock`, so a killed process leaves none behind. Files that are open are never written to.

A corpus may be larger than memory: its documents are gone through several times and written as they come
(`readings.py`, `splits.py`, `split_writer.py`). What grows with it are some sixty bytes a document while it is made. A
single document is held whole, and so is a file that is one JSON value, or a packed table.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vslm.core.errors import DataError, ResultError, RunError, SpecError
from vslm.core.numbers import plural
from vslm.core.own_code import parts_of_class
from vslm.core.specs import to_plain
from vslm.core.system import refused
from vslm.core.user_modules import is_own
from vslm.data.reading.notes import Notes
from vslm.data.readings import Readings
from vslm.data.sources.source import OpenModel, Source
from vslm.data.split_writer import SplitWriter
from vslm.data.splits import SPLITS, SplitDocuments, SplitName, split_documents
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.results.files import read_json, sha256, sync_folder, write_json
from vslm.results.locks import lock
from vslm.results.seals import sealed, was_changed

FORMAT = 2  # of the folder; part of the fingerprint, so another format is another corpus
_READING = 1  # of the rules by which files become documents; other rules read known files again
_NUM_UINT16_IDS = 65_536
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
    """A corpus that is ready to train on. Cheap to open and to send to another process.

    Args:
        folder: where it lies.
        meta: its record.
        evaluated_split: "val", or "select" for a run that is made to choose.
        further: other corpora with the same ids that training reads beside it, by name.
    """

    folder: Path
    meta: dict[str, Any]
    evaluated_split: SplitName = "val"
    further: Mapping[str, "Corpus"] = field(default_factory=dict)

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
        return Corpus, (self.folder, self.meta, self.evaluated_split, dict(self.further))


def prepare(
    source: Source,
    *,
    say: Say | None = None,
    models: OpenModel | None = None,
    tokenizer: FittedTokenizer | None = None,
) -> Corpus:
    """The corpus of a source: from the cache, or built now.

    Args:
        source: of the text.
        say: told in words what is done, what was found, and what is waited for.
        models: opens the runs that a source reads with.
        tokenizer: of another corpus, whose ids this one gets; None: the source's own, fitted to it.
    Raises: DataError or SpecError, with a place in the source, for a corpus that cannot be used; RunError when the
        cache cannot be written.
    """
    say = say or (lambda words: None)
    notes = Notes()
    try:
        key = _identity_key(source)
    except DataError as gone:
        if (corpus := _prepared_before(source, tokenizer)) is None:
            raise
        say(f"{gone.where}: {gone.found}; the corpus that was prepared from it before is used")
        return corpus
    try:
        known = _already_read(key)
        corpus, documents = _opened(_folder(source, known, tokenizer)) if known else None, None
        if corpus is None:
            # Read anew, whatever was noted of them: a note that is damaged would give the corpus another name.
            documents = Readings(source, notes, models)
            known = _Known(documents.content, documents.num_bytes, notes.lines())
            for words in known.read:
                say(words)
            folder = _folder(source, known, tokenizer)
            corpus = _opened(folder) or _built_once(source, documents, folder, say, tokenizer)
    except OSError as error:
        found = "the cache of corpora cannot be used"
        raise refused(error, home(), found=found, do=_ROOM) from error
    assert known is not None
    if documents is not None and not notes.lacks_packages:
        with suppress(RunError):  # it spares a reading next time, no more
            for name in (key, _name_of(source)):
                if name is not None:
                    write_json(_read_record(name), known._asdict())
    # One corpus may be read from several places: what is said is how it was read now, not how it was built.
    read = [*known.read, *_fewer_ids(source, corpus.vocabulary, tokenizer)]
    return Corpus(corpus.folder, {**corpus.meta, "read": read})


class _Known(NamedTuple):
    """What reading a source tells of it.

    Args:
        content: as `Readings` has it.
        num_bytes: of all its texts.
        read: in words, what was read, as what, and what was passed over.
    """

    content: str
    num_bytes: int
    read: list[str]


def _prepared_before(source: Source, tokenizer: FittedTokenizer | None) -> Corpus | None:
    """The corpus of what was last found in a source that is gone; None where none was prepared with this tokenizer."""
    known = _already_read(_name_of(source))
    corpus = _opened(_folder(source, known, tokenizer)) if known else None
    return None if corpus is None or known is None else Corpus(corpus.folder, {**corpus.meta, "read": known.read})


def _fewer_ids(source: Source, vocabulary: int, tokenizer: FittedTokenizer | None) -> Iterator[str]:
    """What is said where a text supports fewer ids than the default."""
    wanted = None if tokenizer is not None else source.tokenizer.known_vocabulary
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


def _folder(source: Source, known: _Known, tokenizer: FittedTokenizer | None) -> Path:
    """Where the corpus of a source lies once it is made: its name is the fingerprint."""
    made_by = [FORMAT, known.content, to_plain(source.tokenizer), to_plain(source.splits)]
    if source.align_tokens != 1:  # left out otherwise, so that corpora keep their names
        made_by.append({"align_tokens": source.align_tokens})
    if source.own_row_tokens is not None:
        made_by.append({"own_row_tokens": source.own_row_tokens})
    if source.row_tokens is not None:
        made_by.append({"row_tokens": source.row_tokens})
    if tokenizer is not None:
        return _named_folder([*made_by, {"ids_of": tokenizer.fingerprint}])
    most = source.tokenizer.most_train_bytes
    if most is not None and known.num_bytes > most:  # as well
        made_by.append({"most_train_bytes": most})
    try:
        made_of = source.tokenizer.content
    except SpecError as error:
        raise error.within("data.tokenizer") from None
    if made_of is not None:
        made_by.append({"tokenizer": made_of})
    if is_own(type(source.tokenizer)):
        made_by.append({"own_code": parts_of_class(type(source.tokenizer))})
    return _named_folder(made_by)


def _named_folder(made_by: list[Any]) -> Path:
    return home() / "corpora" / hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:12]


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


def _already_read(key: str | None) -> _Known | None:
    """What files in this state hold; None where they were not read."""
    if key is None:
        return None
    try:
        record = read_json(_read_record(key))
        # A record from before tokenizers saw a part alone names the corpus that saw all.
        return _Known(str(record["content"]), int(record.get("num_bytes", 0)), [str(words) for words in record["read"]])
    except (ResultError, KeyError, TypeError, ValueError, AttributeError):
        return None


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


def _built_once(
    source: Source, documents: Readings, folder: Path, say: Say, tokenizer: FittedTokenizer | None
) -> Corpus:
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder.with_name(f"{folder.name}.lock")
    taken = lock(place, wait=False)
    if taken is None:
        say(f"another process is preparing {source.describe()}; waiting for it")
        taken = lock(place, wait=True)
    try:
        # Another process may have built it while we waited.
        return _opened(folder, say) or _built(source, documents, folder, say, tokenizer)
    finally:
        if taken is not None:
            taken.release()


def _built(source: Source, documents: Readings, folder: Path, say: Say, given: FittedTokenizer | None) -> Corpus:
    started = time.perf_counter()
    say(f"preparing {source.describe()}")
    parts = split_documents(
        documents,
        source.splits,
        bytes_per_token=source.tokenizer.usual_bytes_per_token,
        where=source.describe(),
        whole=source.own_row_tokens is not None,
    )
    for words in _remarks(parts.num_documents, parts.num_repeats, parts.block_characters):
        say(words)
    tokenizer = _fitted(source, documents, parts, say) if given is None else given
    _clear(folder)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        dtype = "uint16" if tokenizer.vocabulary <= _NUM_UINT16_IDS else "uint32"
        has_weights = parts.has_scored or source.row_tokens is not None  # padding counts nothing
        written = _write_splits(temporary, parts, tokenizer, dtype, source, has_weights=has_weights)
        splits = {name: written[name].sizes() for name in SPLITS}
        weights = {name: written[name].weight for name in SPLITS}
        if source.row_tokens is not None:
            say(_rows_words(source.row_tokens, splits))
        if has_weights:
            for name in SPLITS:
                _check_weight(weights[name], name, source)
        tokenizer.save(temporary / "tokenizer.json")
        digests = {path: digest for one in written.values() for path, digest in one.digests().items()}
        digests["tokenizer.json"] = sha256(temporary / "tokenizer.json")
        names = _names_of_files(has_weights)
        meta: dict[str, Any] = {
            "format": FORMAT,
            "fingerprint": folder.name,
            "description": source.describe(),
            "vocabulary": tokenizer.vocabulary,
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "tokenizer": to_plain(source.tokenizer) if given is None else {"ids_of": given.fingerprint},
            "shares": to_plain(source.splits),
            "dtype": dtype,
            **({"has_weights": True, "weights": weights} if has_weights else {}),
            **_own_rows_record(written, source.own_row_tokens),
            **({} if source.row_tokens is None else {"row_tokens": source.row_tokens}),
            "align_tokens": source.align_tokens,
            "num_documents": parts.num_documents,
            "num_repeats": parts.num_repeats,
            "cut_into_blocks": parts.cut_into_blocks,
            "block_characters": parts.block_characters,
            "splits": splits,
            "sizes": {name: (temporary / name).stat().st_size for name in names},
            "sha256": {name: digests[name] for name in names},
        }
        meta = sealed(meta)
        write_json(temporary / "meta.json", meta)
        temporary.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for words in _own_rows_words(written, source.own_row_tokens):
        say(words)
    counts = ", ".join(f"{name} {splits[name]['num_tokens']:,}" for name in SPLITS)
    for words in _fewer_ids(source, tokenizer.vocabulary, given):
        say(words)
    say(f"tokens: {counts}; {tokenizer.vocabulary:,} ids; {time.perf_counter() - started:.1f} s")
    return Corpus(folder, meta)


def _fitted(source: Source, documents: Readings, parts: SplitDocuments, say: Say) -> FittedTokenizer:
    """The tokenizer of a source, made from its training split."""
    most = source.tokenizer.most_train_bytes
    if most is not None and documents.num_bytes > most:
        say(f"the tokenizer is made from at most {most / 2**20:,.0f} MB of train, chosen by hash")
    try:
        return source.tokenizer.fit(
            parts.train_texts(most),
            held_out=_held_out(parts, source.own_row_tokens),
            separated=parts.num_documents > 1,
        )
    except SpecError as error:
        raise error.within("data.tokenizer") from None


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


def _rows_words(row_tokens: int, splits: Mapping[Any, Mapping[str, int]]) -> str:
    share = padding_share(splits)
    words = f"whole documents in rows of {row_tokens:,} tokens, {100 * share:.1f}% of them padding that does not count"
    num_too_long = sum(part["num_too_long"] for part in splits.values())
    if num_too_long:
        words += f"; {num_too_long:,} that no row holds are left out"
    return words


def padding_share(splits: Mapping[Any, Mapping[str, int]]) -> float:
    """The share of tokens that are padding, over all splits of a record; 0 where documents are not laid in rows."""
    total = sum(part["num_tokens"] for part in splits.values())
    return sum(part.get("num_padding", 0) for part in splits.values()) / max(1, total)


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


def _held_out(parts: SplitDocuments, own_row_tokens: int | None) -> Iterable[str]:
    """Texts that no tokenizer is trained on, and whose characters it has to know."""
    held_out = parts.texts("select", "val")
    return held_out if own_row_tokens is None else _Chained(held_out, parts.fronts())


class _Chained:
    """Texts of several kinds, gone through as often as wanted."""

    def __init__(self, *texts: Iterable[str]) -> None:
        self._texts = texts

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(*self._texts)


def _own_rows_record(written: dict[SplitName, SplitWriter], own_row_tokens: int | None) -> dict[str, Any]:
    """What a corpus of rows records beside any other's; empty for one that has none."""
    if own_row_tokens is None:
        return {}
    judged = {name: writer.judged for name, writer in written.items()}
    rows = {name: dataclasses.asdict(writer.own_rows) for name, writer in written.items()}
    return {"own_row_tokens": own_row_tokens, "own_rows": rows, "judged": judged}


def _own_rows_words(written: dict[SplitName, SplitWriter], own_row_tokens: int | None) -> Iterator[str]:
    if own_row_tokens is None:
        return
    writers = written.values()
    padding = sum(writer.own_rows.num_padding for writer in writers) / sum(writer.num_tokens for writer in writers)
    yield f"a row of {own_row_tokens:,} tokens for each document; {padding:.0%} of all tokens fill up and count nothing"
    cut, scored = (sum(getattr(w.own_rows, name) for w in writers) for name in ("num_cut", "num_scored_cut"))
    if cut:
        yield f"{plural(cut, 'document')} longer than a row, cut off at the beginning"
    if scored:
        yield f"{plural(scored, 'document')} of these lost a part that counts: take longer rows, or shorter stretches"


def _write_splits(
    folder: Path,
    parts: SplitDocuments,
    tokenizer: FittedTokenizer,
    dtype: str,
    source: Source,
    *,
    has_weights: bool,
) -> dict[SplitName, SplitWriter]:
    """Write the ids of all splits, and beside them how much each counts where a document says so."""
    with contextlib.ExitStack() as open_files:
        writers: dict[SplitName, SplitWriter] = {
            name: open_files.enter_context(
                SplitWriter(
                    folder / f"{name}.bin",
                    tokenizer,
                    _on_disk(dtype),
                    has_weights=has_weights,
                    own_row_tokens=source.own_row_tokens,
                    row_tokens=source.row_tokens,
                )
            )
            for name in SPLITS
        }
        for part in parts.parts(*SPLITS):
            writers[part.split].add(part)
    return writers


def _check_weight(total: float, name: SplitName, source: Source) -> None:
    if not total > 0:
        found = f"no token of {name} counts"
        do = "score a part of more documents (Document.scored), or give more text"
        if source.row_tokens is not None:
            do += f"; or longer rows, if documents have more than {source.row_tokens:,} tokens"
        raise DataError(source.describe(), found, "a loss is the mean over tokens that count", do)
