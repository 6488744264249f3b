"""The commands `vslm store ...`: make a store of passages or facts, and look what is found in it."""

from pathlib import Path
from typing import Literal

from cyclopts import App

from vslm.cli.arguments import Count, DocumentIs, Few, Json, RetrieverName
from vslm.cli.printing import print_json
from vslm.core.errors import SpecError
from vslm.core.numbers import plural

app = App(name="store", help="Passages or facts that a model reads from outside its weights.", help_format="plaintext")

_MOST_FOUND = 1_000


@app.command
def build(
    source: str,
    out: Path,
    /,
    *,
    passage_tokens: Count = 50,
    contradictions: Literal["refuse", "leave-out", "keep"] = "refuse",
    field: str = "text",
    document: DocumentIs = "auto",
    separator: str | None = None,
    encoding: str | None = None,
    json_: Json = False,
) -> None:
    """Make a store of a text: passages cut at sentences, or facts from JSON lines.

    JSON lines whose records have `subject`, `relation` and `value` beside their text are facts, a passage each.

    Args:
        source: A file, folder or glob of text.
        out: The folder of the store; a new one.
        passage_tokens: Words and marks of a passage at most. A tokenizer makes somewhat more tokens of them.
        contradictions: What is done with facts of one subject and relation that have several values: refuse the store,
            leave all of them out, or keep them where a relation may have several.
        field: Where a record of JSON, CSV or Parquet has its text.
        document: What a document of a plain text is.
        separator: Cut plain text wherever this stands. Default: <|endoftext|> on a line of its own.
        encoding: Of files that are not UTF-8, such as cp1252.
        json_: Print JSON and nothing else.
    """
    from vslm.data.reading.notes import Notes
    from vslm.data.sources import Text
    from vslm.knowledge.building import passages_of
    from vslm.knowledge.store import build_store

    text = Text(source, field=field, document=document, separator=separator, encoding=encoding)
    notes = Notes()
    made, counts = build_store(
        passages_of(text, passage_tokens, notes), out, description=text.describe(), contradictions=contradictions
    )
    row = {
        "folder": str(out),
        "fingerprint": made.fingerprint,
        "passages": counts.kept,
        "documents": len(counts.documents),
        "repeats_left_out": counts.repeats,
        "contradicting_left_out": counts.contradicting,
        "read": notes.lines(),
    }
    if json_:
        print_json(row)
        return
    for words in notes.lines():
        print(words)
    left_out = [
        f"{plural(count, 'passage')} left out that {why}"
        for count, why in ((counts.repeats, "repeat another"), (counts.contradicting, "contradict each other"))
        if count
    ]
    said = [f"{made.fingerprint}  {plural(counts.kept, 'passage')} of {plural(len(counts.documents), 'document')}"]
    print("; ".join([*said, *left_out]))
    print(f"folder  {out}")


@app.command
def search(
    folder: Path,
    query: str,
    /,
    *,
    k: Few = 3,
    by: RetrieverName = "bm25",
    run: Path | None = None,
    layer: str | None = None,
    seed: Count = 0,
    json_: Json = False,
) -> None:
    """Show the passages of a store that are found for a query, with their scores.

    Args:
        folder: Of the store.
        query: What is searched for.
        k: How many passages.
        by: bm25 finds shared words; states compares what the model of --run makes of both; random is a control.
        run: Of states: the folder of a finished run (runs/NAME/ARM/seed0).
        layer: Of states: whose output is compared, such as path.2. Default: that of the last visit.
        seed: Of random.
        json_: Print JSON and nothing else.
    """
    from vslm.knowledge.choosing import chosen
    from vslm.knowledge.retriever import Query
    from vslm.knowledge.store import open_store
    from vslm.runs.ready_models import ready_model

    if not 1 <= k <= _MOST_FOUND:
        raise SpecError("-k", f"found {k}", f"1 to {_MOST_FOUND:,} passages can be found")
    if not query.strip():
        raise SpecError("QUERY", "an empty text", "a word or more is needed")
    retriever = chosen(by, run=None if run is None else str(run), layer=layer, seed=seed)
    store = open_store(folder)
    found = retriever.open(store, ready_model).find(Query(query), k)
    rows = [{"passage": one.passage, "score": one.score, "text": store.passages[one.passage].text} for one in found]
    if json_:
        print_json(rows)
        return
    if not rows:
        print(f"none of the {plural(len(store), 'passage')} shares a word with the query")
    for row in rows:
        print(f"{row['score']:8.3f}  [{row['passage']}]  {' '.join(row['text'].split())}")
