"""Items of a benchmark, from JSON lines: minimal pairs, last words, questions with choices. By their fields.

    sentence_good, sentence_bad                          a minimal pair (BLiMP, and whatever has these two)
    text                                                 its last word is to be said (LAMBADA)
    ctx, endings, label                                  choices (HellaSwag)
    question, choices: {text, label}, answerKey          choices (ARC)
    goal, sol1, sol2, label                              choices (PIQA)
    query, choices, gold                                 choices (any: `context` or `question`, `label` or `answer`)

Questions of ARC and PIQA are put as "Question: ...\\nAnswer:", all others as they stand, and a space stands before a
choice. A label is a number from 0 on. Not for: what a model makes of an item, see `vslm.measure.item_scores`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vslm.core.errors import DataError, nearest
from vslm.data.corpus import home
from vslm.data.reading import records
from vslm.data.reading.contents import opened, text_of
from vslm.data.reading.folders import listing, unpacked_ending

Form = Literal["pairs", "last word", "choices"]
PARADIGM = "UID"  # the field in which BLiMP says what an item is about
_LINES = "JSON lines"
_LEAST_CHOICES = 2


class Item(NamedTuple):
    """One thing to be asked.

    Args:
        where: its place in the file.
        group: what it is about, such as a paradigm of grammar; empty where nothing says.
        context: what stands before every choice; empty for a minimal pair.
        choices: what is compared, in the words that follow the context; one alone for a last word.
        right: which of them is.
    """

    where: str
    group: str
    context: str
    choices: tuple[str, ...]
    right: int


@dataclass(frozen=True)
class Items:
    """The items of a benchmark.

    Args:
        name: of the benchmark: its file or folder without endings.
        form: of all of them.
        items: in the order of the files.
    """

    name: str
    form: Form
    items: tuple[Item, ...]

    @property
    def digest(self) -> str:
        """12 hex digits of what is asked, however it is grouped."""
        plain = [self.form, [[item.context, item.choices, item.right] for item in self.items]]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]

    @property
    def groups(self) -> tuple[str, ...]:
        """What items are about, in the order of the files; empty where there is one group or none."""
        found = tuple(dict.fromkeys(item.group for item in self.items))
        return found if len(found) > 1 else ()

    @property
    def chance(self) -> float:
        """The share that is right by a guess: one over the choices, in the mean. Of last words the share of the
        commonest one, which is what always saying that one would get.
        """
        if self.form == "last word":
            return _commonest([item.choices[0] for item in self.items])
        return sum(1 / len(item.choices) for item in self.items) / len(self.items)

    def some(self, most: int, *, between: bool = False) -> "Items":
        """At most so many, spread evenly over the file.

        Args:
            most: 1 or more.
            between: take those that lie half a step further on: none of the others, where less than half are taken.
        """
        step = max(1.0, len(self.items) / most)
        places = sorted({int((number + 0.5 * between) * step) for number in range(min(most, len(self.items)))})
        return replace(self, items=tuple(self.items[place] for place in places if place < len(self.items)))


def _commonest(words: Sequence[str]) -> float:
    return max(Counter(words).values()) / len(words)


class Benchmark(NamedTuple):
    """A benchmark that is asked for by its name.

    Args:
        hub: where it can be had, by its id on the Hugging Face hub.
        what: is in it.
    """

    hub: str
    what: str


BENCHMARKS: Mapping[str, Benchmark] = {
    "blimp": Benchmark("nyu-mll/blimp", "67 paradigms of English grammar, 1,000 minimal pairs each"),
    "lambada": Benchmark("EleutherAI/lambada_openai", "5,153 passages whose last word is to be said"),
    "hellaswag": Benchmark("Rowan/hellaswag", "10,042 beginnings with four endings (validation)"),
    "arc_easy": Benchmark("allenai/ai2_arc, ARC-Easy", "2,376 questions with four choices (test)"),
    "piqa": Benchmark("ybisk/piqa", "1,838 goals with two solutions (validation)"),
}


def read_items(named: str, *, by: str | None = None) -> Items:
    """The items of a benchmark.

    Args:
        named: a file, a folder or a glob of JSON lines, packed or not; or a name of `BENCHMARKS` whose files lie in
            `VSLM_HOME/evals`.
        by: the field that says what an item is about; None: `UID` where items have it, else the file where there are
            several.
    Raises: DataError for what is not there, is empty or torn, or has an item that lacks a field, naming file and line.
    """
    files = [found.file for found in listing(_place(named)).files]
    items: list[Item] = []
    form: Form | None = None
    for file in files:
        group = _stem(file) if len(files) > 1 else ""
        for entry in _entries(file):
            form = form or _form_of(entry)
            items.append(_item(entry, form, by, group))
    if form is None:
        raise DataError(named, "there is no item in it", "JSON lines are needed, an item a line", "is the file whole?")
    return Items(_name(named), form, tuple(items))


def _place(named: str) -> str:
    """The path that is meant. Raises: DataError for a name whose files are not there."""
    if named not in BENCHMARKS or Path(named).exists():
        return named
    folder = home() / "evals"
    found = [path for ending in (".jsonl", ".jsonl.gz", "") if (path := folder / f"{named}{ending}").exists()]
    if not found:
        known = BENCHMARKS[named]
        do = f"bring it from the hub ({known.hub}) as JSON lines, and put it there; or name a file in its place"
        raise DataError(named, f"{known.what}: no {named}.jsonl in {folder}", "", do)
    return str(found[0])


def _name(named: str) -> str:
    """How a benchmark is called: the file without its endings.

    >>> _name("data/blimp.jsonl.gz"), _name("data/arc_easy/"), _name("items/*.jsonl")
    ('blimp', 'arc_easy', 'items')
    """
    path = Path(named)
    return _stem(path.parent if "*" in path.name else path)


def _stem(file: Path) -> str:
    name = file.name or "items"
    ending = unpacked_ending(name)
    return name[: name.lower().rindex(ending)] if ending else name


def _entries(file: Path) -> Iterator[records.Entry]:
    """The records of a file, whichever layout of JSON they have. Raises: DataError at the line that is none."""
    content = opened(file)
    if content.table:
        do = "write it as JSON lines, an item a line"
        raise DataError(str(file), f"a {content.table} file", "JSON lines are needed", do)
    text, _ = text_of(content, None)
    if text.is_blank:
        raise DataError(str(file), "the file is empty", "JSON lines are needed, an item a line")
    form = records.layout(text.head, declared=True, field="text") or _LINES
    for entry in records.entries(str(file), text, form):
        if not isinstance(entry.value, dict):
            found = f"found {type(entry.value).__name__}"
            raise DataError(entry.where, found, 'an item such as {"sentence_good": "...", "sentence_bad": "..."}')
        yield entry


# ---- by form ---------------------------------------------------------------------------------------------------------
def _pair(entry: records.Entry) -> tuple[str, tuple[str, ...], int]:
    return "", (_text(entry, "sentence_good"), _text(entry, "sentence_bad")), 0


def _last_word(entry: records.Entry) -> tuple[str, tuple[str, ...], int]:
    context, space, word = _text(entry, "text").rstrip().rpartition(" ")
    if not space or not context.strip():
        raise DataError(f"{entry.where}: text", "one word alone", "a text and its last word are needed")
    return context, (f" {word}",), 0


def _hellaswag(entry: records.Entry) -> tuple[str, tuple[str, ...], int]:
    endings = _texts(entry, "endings")
    return _text(entry, "ctx"), endings, _number(entry, "label", len(endings))


def _arc(entry: records.Entry) -> tuple[str, tuple[str, ...], int]:
    choices, letters = entry.value["choices"], entry.value["choices"].get("label")
    inner = records.Entry(f"{entry.where}: choices", choices)
    texts, right = _texts(inner, "text"), entry.value.get("answerKey")
    if not isinstance(letters, list) or len(letters) != len(texts) or right not in letters:
        raise DataError(f"{entry.where}: answerKey", f"found {right!r}", f"one of {letters!r} is needed")
    return f"Question: {_text(entry, 'question')}\nAnswer:", texts, letters.index(right)


def _piqa(entry: records.Entry) -> tuple[str, tuple[str, ...], int]:
    choices = tuple(f" {_text(entry, name)}" for name in ("sol1", "sol2"))
    return f"Question: {_text(entry, 'goal')}\nAnswer:", choices, _number(entry, "label", 2)


def _any_choices(entry: records.Entry) -> tuple[str, tuple[str, ...], int]:
    choices = _texts(entry, "choices")
    context = next((name for name in _CONTEXTS if name in entry.value), _CONTEXTS[0])
    right = next((name for name in _RIGHTS if name in entry.value), _RIGHTS[0])
    return _text(entry, context), choices, _number(entry, right, len(choices))


_CONTEXTS, _RIGHTS = ("query", "context", "question"), ("gold", "label", "answer")
_READERS: Sequence[tuple[tuple[str, ...], Form, Callable[[records.Entry], tuple[str, tuple[str, ...], int]]]] = (
    (("sentence_good", "sentence_bad"), "pairs", _pair),
    (("ctx", "endings"), "choices", _hellaswag),
    (("goal", "sol1", "sol2"), "choices", _piqa),
    (("choices",), "choices", _any_choices),
    (("text",), "last word", _last_word),
)


def _form_of(entry: records.Entry) -> Form:
    """By the fields of the first item: those of one form, or at least some of them. Raises: DataError."""
    has = entry.value
    whole: Form | None = next((form for needed, form, _ in _READERS if all(name in has for name in needed)), None)
    if whole is not None:
        return whole
    begun: Form | None = next((form for needed, form, _ in _READERS if any(name in has for name in needed)), None)
    if begun is None:
        known = "; ".join(", ".join(needed) for needed, _, _ in _READERS)
        raise DataError(entry.where, f"no item: its fields are {', '.join(has) or 'none'}", f"known are {known}")
    return begun


def _item(entry: records.Entry, form: Form, by: str | None, group: str) -> Item:
    """Raises: DataError naming the field that is missing, or holds something else."""
    of_form = [(needed, read) for needed, its, read in _READERS if its == form]
    reader = next((read for needed, read in of_form if all(name in entry.value for name in needed)), None)
    if reader is None:
        needed = max((names for names, _ in of_form), key=lambda names: sum(name in entry.value for name in names))
        missing = next(name for name in needed if name not in entry.value)
        found = f"no field `{missing}`"
        raise DataError(entry.where, found, nearest(missing, entry.value), f"items before it are of the form {form}")
    if reader is _any_choices and isinstance(entry.value["choices"], dict):
        reader = _arc
    context, choices, right = reader(entry)
    named = entry.value.get(by or PARADIGM, group)
    if by is not None and by not in entry.value:
        raise DataError(entry.where, f"no field `{by}`", nearest(by, entry.value), "--by names the field of groups")
    return Item(entry.where, str(named), context, choices, right)


def _text(entry: records.Entry, name: str) -> str:
    value = entry.value.get(name)
    if not isinstance(value, str) or not value.strip():
        found = f"no field `{name}`" if name not in entry.value else f"found {value!r}"
        raise DataError(f"{entry.where}: {name}", found, "text is needed", "mend the line, or leave it out")
    return records.whole(entry.where, value, f"`{name}`")


def _texts(entry: records.Entry, name: str) -> tuple[str, ...]:
    value = entry.value.get(name)
    is_list = isinstance(value, list) and len(value) >= _LEAST_CHOICES
    if not is_list or not all(isinstance(one, str) and one.strip() for one in value):
        raise DataError(f"{entry.where}: {name}", f"found {value!r}", "a list of two texts or more is needed")
    return tuple(f" {records.whole(entry.where, one, f'`{name}`')}" for one in value)


def _number(entry: records.Entry, name: str, count: int) -> int:
    value: Any = entry.value.get(name)
    number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
        found = f"no field `{name}`" if name not in entry.value else f"found {value!r}"
        do = "a test set without labels cannot be scored" if value in ("", -1) else "mend the line"
        raise DataError(f"{entry.where}: {name}", found, f"a number from 0 to {count - 1} is needed", do)
    return number
