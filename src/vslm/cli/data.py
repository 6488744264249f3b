"""The commands `vslm data ...`: look at a text as a corpus before anything is trained on it."""

import json
import sys
from typing import TYPE_CHECKING, Any

from cyclopts import App

from vslm.cli.arguments import Count, DocumentIs, Json, Size, Some
from vslm.core.errors import DataError, ResultError, SpecError

if TYPE_CHECKING:
    from vslm.data.corpus import Corpus

app = App(name="data", help="Look at a text as a corpus: what is read of it, and as what.", help_format="plaintext")
_SHOWN_CHARACTERS = 400


@app.command
def show(
    *paths: Some,
    field: str = "text",
    document: DocumentIs = "auto",
    separator: str | None = None,
    encoding: str | None = None,
    documents: Count = 3,
    json_: Json = False,
) -> None:
    """Show what is read, what is passed over, and the first documents.

    Args:
        paths: Files, folders or globs of text.
        field: Where a record of JSON, CSV or Parquet has its text.
        document: What a document of a plain text is.
        separator: Cut plain text wherever this stands. Default: <|endoftext|> on a line of its own.
        encoding: Of files that are not UTF-8, such as cp1252.
        documents: How many to show.
        json_: Print JSON and nothing else.
    """
    from vslm.data.reading.notes import Notes
    from vslm.data.sources import Text

    if documents < 0:
        raise SpecError("--documents", f"found {documents}", "0 or more are shown")
    path = paths[0] if len(paths) == 1 else paths
    source = Text(path, field=field, document=document, separator=separator, encoding=encoding)
    notes, first, lengths = Notes(), [], []
    try:
        for each in source.read(notes):
            lengths.append(len(each.text))
            if len(first) < documents:
                first.append(each)
    except DataError:
        for words in notes.lines():
            print(words, file=sys.stderr)
        raise
    if not lengths:
        raise SpecError(" ".join(paths), "there is no text in it", "", "; ".join(notes.lines()))
    if json_:
        shown = [{"name": each.name, "text": each.text} for each in first]
        print(json.dumps({"read": notes.lines(), "lengths": _lengths(lengths), "documents": shown}, indent=1))
        return
    for words in notes.lines():
        print(words)
    print(_lengths_words(_lengths(lengths)))
    for number, each in enumerate(first, start=1):
        cut = f", its first {_SHOWN_CHARACTERS} of {len(each.text):,} characters"
        print(f"\n--- document {number}{cut if len(each.text) > _SHOWN_CHARACTERS else ''}: {_shown(each.name)}")
        print(_shown(each.text[:_SHOWN_CHARACTERS]))


def _lengths(lengths: list[int]) -> dict[str, int]:
    """In characters."""
    ordered = sorted(lengths)
    return {
        "documents": len(ordered),
        "shortest": ordered[0],
        "middle": ordered[(len(ordered) - 1) // 2],
        "longest": ordered[-1],
        "characters": sum(ordered),
    }


def _lengths_words(sizes: dict[str, int]) -> str:
    if sizes["documents"] == 1:
        return f"1 document of {sizes['characters']:,} characters"
    ends = f"of {sizes['shortest']:,} to {sizes['longest']:,} characters, half of them up to {sizes['middle']:,}"
    return f"{sizes['documents']:,} documents {ends}; {sizes['characters']:,} characters in all"


def _shown(text: str) -> str:
    """Text for a terminal: what it would obey, and carriage returns, are written out."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in text)


@app.command
def prepare(
    path: str,
    /,
    *,
    vocabulary: Size | None = None,
    field: str = "text",
    document: DocumentIs = "auto",
    separator: str | None = None,
    encoding: str | None = None,
) -> None:
    """Make the corpus of a text now: split it, train the tokenizer, write the tokens. Runs find it there.

    Args:
        path: A file, folder or glob of text.
        vocabulary: Number of tokens that the tokenizer has. Default: 2048, or fewer where the text is small.
        field: Where a record of JSON, CSV or Parquet has its text.
        document: What a document of a plain text is.
        separator: Cut plain text wherever this stands. Default: <|endoftext|> on a line of its own.
        encoding: Of files that are not UTF-8, such as cp1252.
    """
    from vslm.data.preparing import prepare as prepare_corpus
    from vslm.data.sources import Text

    source = Text(path, vocabulary=vocabulary, field=field, document=document, separator=separator, encoding=encoding)
    said: list[str] = []

    def say(words: str) -> None:
        said.append(words)
        print(words, flush=True)

    corpus = prepare_corpus(source, say=say)
    for words in corpus.meta["read"]:
        if words not in said:
            print(words)
    print(f"{_row_words(_row(corpus))}\nfolder  {corpus.folder}")


@app.command
def ls(*, json_: Json = False) -> None:
    """List the corpora that were made on this machine.

    Args:
        json_: Print JSON and nothing else.
    """
    from vslm.data.corpus import home, open_corpus

    folder = home() / "corpora"
    names = sorted(path.parent.name for path in folder.glob("[!.]*/meta.json")) if folder.is_dir() else []
    rows, torn = [], []
    for name in names:
        try:
            rows.append(_row(open_corpus(name)))
        except (DataError, ResultError, KeyError, TypeError, AttributeError):
            torn.append(name)
    if json_:
        print(json.dumps(rows, indent=1))
        return
    if not rows and not torn:
        print(f"no corpora in {folder} yet; vslm data prepare PATH makes one")
    for row in rows:
        print(_row_words(row))
    for name in torn:
        print(f"{name}  not whole; it is built again when it is needed")


def _row(corpus: "Corpus") -> dict[str, Any]:
    """What there is to say of a corpus, in numbers."""
    from vslm.data.corpus import padding_share

    splits = corpus.meta["splits"]
    return {
        "fingerprint": corpus.fingerprint,
        "description": str(corpus.meta["description"]),
        "vocabulary": corpus.vocabulary,
        "documents": corpus.meta["num_documents"],
        "tokens": {name: part["num_tokens"] for name, part in splits.items()},
        **({"padding": padding_share(splits)} if "row_tokens" in corpus.meta else {}),
        "megabytes": sum(corpus.meta["sizes"].values()) / 1e6,
    }


def _row_words(row: dict[str, Any]) -> str:
    tokens = ", ".join(f"{name} {count:,}" for name, count in row["tokens"].items())
    sizes = f"{row['documents']:,} documents, {row['vocabulary']:,} ids, tokens: {tokens}; {row['megabytes']:.1f} MB"
    if "padding" in row:
        sizes += f"; {100 * row['padding']:.1f}% padding"
    return f"{row['fingerprint']}  {_shown(row['description'])}: {sizes}"
