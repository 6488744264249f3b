"""From a source to the token files of a corpus, once: found by content, built under a temporary name.

    $VSLM_HOME/corpora/<fingerprint>/    the corpus, see `corpus.py`
    $VSLM_HOME/corpora/read/<key>.json   sources that were read before: identity -> content, and how they were read

Two processes that want the same corpus build it once; the second says that it waits. The lock is the operating
system's, taken through `filelock`, so a killed process leaves none behind.

A corpus may be larger than memory: its documents are gone through several times and written as they come
(`readings.py`, `splits.py`, `split_writer.py`). What grows with it are some sixty bytes a document while it is made. A
single document is held whole, and so is a file that is one JSON value, or a packed table.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from vslm.core.errors import DataError, ResultError, RunError, SpecError
from vslm.core.numbers import plural
from vslm.core.own_code import parts_of_class
from vslm.core.specs import to_plain
from vslm.core.system import refused
from vslm.core.user_modules import is_own
from vslm.data.corpus import Corpus, Say, home, names_of_files, on_disk, opened, padding_share
from vslm.data.reading.notes import Notes
from vslm.data.readings import Readings
from vslm.data.sources.source import OpenModel, Source
from vslm.data.split_writer import SplitWriter
from vslm.data.splits import SPLITS, SplitDocuments, SplitName, split_documents
from vslm.data.tokenizers import FittedTokenizer
from vslm.results.files import read_json, sha256, sync_folder, write_json
from vslm.results.locks import lock
from vslm.results.seals import sealed

FORMAT = 2  # of the folder; part of the fingerprint, so another format is another corpus
_READING = 1  # of the rules by which files become documents; other rules read known files again
_NUM_UINT16_IDS = 65_536
_ROOM = "make room, or set VSLM_HOME to another folder"


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
        say: gets, in words, what is done, what was found, and what is waited for.
        models: opens the finished runs that a source reads with.
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
        corpus, documents = opened(_folder(source, known, tokenizer)) if known else None, None
        if corpus is None:
            # Read anew, whatever was noted of them: a note that is damaged would give the corpus another name.
            documents = Readings(source, notes, models)
            known = _Known(documents.content, documents.num_bytes, notes.lines())
            for words in known.read:
                say(words)
            folder = _folder(source, known, tokenizer)
            corpus = opened(folder) or _built_once(source, documents, folder, say, tokenizer)
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
    """What is known of a source once it was read.

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
    corpus = opened(_folder(source, known, tokenizer)) if known else None
    return None if corpus is None or known is None else Corpus(corpus.folder, {**corpus.meta, "read": known.read})


def _fewer_ids(source: Source, vocabulary: int, tokenizer: FittedTokenizer | None) -> Iterator[str]:
    """A remark where a text supports fewer ids than the default."""
    wanted = None if tokenizer is not None else source.tokenizer.known_vocabulary
    if wanted is not None and vocabulary < wanted:
        yield f"the text is too small for {wanted:,} ids, the default: the tokenizer has the {vocabulary:,} it supports"


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
    """A key of what decides a source's documents, known without reading them; None where they must be read for it.

    Raises: DataError where the source is gone.
    """
    identity = source.identity()
    return None if identity is None else _named([_kind_of(source), identity])


def _name_of(source: Source) -> str:
    """A key of a source whatever is in it now: what was last found there is noted under it."""
    return f"last-{_named([_kind_of(source), getattr(source, 'path', None)])}"


def _kind_of(source: Source) -> list[Any]:
    """What names the kind of a source: its class, its code if it is the user's, its fields except its place."""
    kind = type(source)
    how = {name: value for name, value in to_plain(source).items() if name not in ("path", "tokenizer", "splits")}
    return [FORMAT, _READING, how, parts_of_class(kind) if is_own(kind) else None]


def _named(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, default=list).encode()).hexdigest()[:32]


def _read_record(key: str) -> Path:
    return home() / "corpora" / "read" / f"{key}.json"


def _already_read(key: str | None) -> _Known | None:
    """What was noted of a source under this key; None where it was not read before."""
    if key is None:
        return None
    try:
        record = read_json(_read_record(key))
        # A record from before tokenizers saw a part alone names the corpus that saw all.
        return _Known(str(record["content"]), int(record.get("num_bytes", 0)), [str(words) for words in record["read"]])
    except (ResultError, KeyError, TypeError, ValueError, AttributeError):
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
        return opened(folder, say) or _built(source, documents, folder, say, tokenizer)
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
        names = names_of_files(has_weights)
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


def _clear(folder: Path) -> None:
    """Make room for a new folder. A torn one is moved aside, since other processes may still read it."""
    for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):  # of builds that were killed; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists():
        aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


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
                    on_disk(dtype),
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
