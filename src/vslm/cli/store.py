"""The commands `vslm store ...`: make a store of passages or facts, look what is found in it, and how often rightly."""

from pathlib import Path
from typing import Literal

from cyclopts import App

from vslm.cli.arguments import Count, DocumentIs, Few, Json, RetrieverName, Texts
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
    hops: Count = 1,
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
        hops: Searches: each has what the one before found best behind its query.
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
    retriever = chosen(by, run=None if run is None else str(run), layer=layer, seed=seed, hops=hops)
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


@app.command
def recall(
    folder: Path,
    questions: Path,
    /,
    *,
    k: Texts = ("1", "3", "10"),
    by: RetrieverName = "bm25",
    run: Path | None = None,
    layer: str | None = None,
    seed: Count = 0,
    hops: Count = 1,
    most: Count | None = None,
    json_: Json = False,
) -> None:
    """Say how often the facts that answer questions are among the first k that are found for them.

    Args:
        folder: Of a store of facts.
        questions: JSON lines with `question`, `facts` and `gold`, as `vslm worlds write` makes them.
        k: How many passages may be loaded; one number or more.
        by: As of search.
        run: As of search.
        layer: As of search.
        seed: As of search.
        hops: As of search.
        most: Ask so many questions at most. Default: all.
        json_: Print JSON and nothing else.
    """
    from vslm.core.numbers import whole_number
    from vslm.knowledge.choosing import chosen
    from vslm.knowledge.recall import read_questions
    from vslm.knowledge.recall import recall as recall_of
    from vslm.knowledge.store import open_store
    from vslm.runs.ready_models import ready_model

    ks = sorted({whole_number(one, "--k") for one in k})
    if not ks or not 1 <= ks[0] <= ks[-1] <= _MOST_FOUND:
        raise SpecError("--k", f"found {' '.join(k)}", f"1 to {_MOST_FOUND:,} passages can be found")
    if most is not None and most < 1:
        raise SpecError("--most", f"found {most}", "1 or more is needed")
    retriever = chosen(by, run=None if run is None else str(run), layer=layer, seed=seed, hops=hops)
    finder = retriever.open(open_store(folder), ready_model)
    by_hops, num_not_there, num_without = recall_of(finder, read_questions(questions), ks, most=most)
    rows = {"any" if hops is None else str(hops): found.plain() for hops, found in by_hops.items()}
    if json_:
        print_json({"hops": rows, "facts_not_in_store": num_not_there, "without_facts": num_without})
        return
    for name, row in rows.items():
        said = ", ".join(f"{row['recall'][str(n)]:.3f} ({row['whole'][str(n)]:.3f} whole) at {n}" for n in ks)
        print(f"{name} hops, {plural(row['questions'], 'question')}: recall {said}")
    for count, why in ((num_not_there, "whose facts are not in the store"), (num_without, "that no fact answers")):
        if count:
            print(f"left out: {plural(count, 'question')} {why}")
