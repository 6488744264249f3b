"""Questions about paragraphs, from a file in the format of SQuAD."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vslm.core.bounds import Context
from vslm.core.errors import DataError, SpecError
from vslm.data.documents import Document, Scored
from vslm.data.reading.contents import opened
from vslm.data.reading.folders import listing
from vslm.data.sources.asked import Asked, written
from vslm.data.sources.source import Source

Paragraph = Literal["own", "shuffled", "none"]
_BY_CONTENT: dict[str, Any] = {"in_fingerprint": False}


@dataclass(frozen=True, kw_only=True)
class Squad(Source):
    """Paragraph, question and answer, whole in rows of the model's context.

        <ctx> paragraph <q> question <a> answer

    A line end stands behind the answer and counts with it. The answer is the first that is given; a question without
    one (SQuAD 2.0) has the answer "unknown". Of the controls, "none" asks without the paragraph, and "shuffled" with a
    paragraph of the next article, in which the answer mostly does not stand. Questions are split by hash, so train and
    val ask about the same paragraphs: for other ones train on one file and measure on another.

    Paper: SQuAD: 100,000+ Questions for Machine Comprehension of Text, Rajpurkar et al., 2016,
    https://arxiv.org/abs/1606.05250.

    Args:
        path: of the JSON file, compressed or not.
        paragraph: which one stands in front: its "own", a "shuffled" one, or "none".
        counts: "answer" alone, or "all".
        context_tokens: of a row: the model's context. Longer examples are left out and counted.
        tokenizer, vocabulary, splits: see `Source`.
    Raises: DataError, when read, naming the place in the file that is not as it should be.
    """

    path: str = dataclasses.field(metadata=_BY_CONTENT)
    paragraph: Paragraph = "own"
    counts: Literal["answer", "all"] = "answer"
    context_tokens: Context = 512

    def check(self) -> None:
        """Refuse a row without room."""
        if self.context_tokens < 2:
            raise SpecError("context_tokens", f"found {self.context_tokens}", "2 or more are needed")

    @property
    def row_tokens(self) -> int:
        """Examples are never cut."""
        return self.context_tokens

    def describe(self) -> str:
        """What a person calls this corpus."""
        has = {"own": "with their paragraph", "shuffled": "with another paragraph", "none": "without a paragraph"}
        return f"questions of {self.path} {has[self.paragraph]}"

    def files(self) -> Sequence[Path]:
        """The file. Raises: DataError where there is none."""
        return [found.file for found in listing(self.path).files]

    def documents(self) -> Iterator[Document]:
        """Every question, in the order of the file."""
        asked = [one for file in self.files() for one in read_squad(file)]
        others = _of_the_next_article(asked) if self.paragraph == "shuffled" else asked
        for one, other in zip(asked, others, strict=True):
            text, first = written(one, "" if self.paragraph == "none" else other.paragraph)
            yield Document(one.where, text, (Scored(first if self.counts == "answer" else 0, len(text)),))


def _of_the_next_article(asked: Sequence[Asked]) -> list[Asked]:
    """For each question one of the next article, as far from its beginning; of the last article, of the first."""
    by_article: dict[int, list[Asked]] = {}
    for one in asked:
        by_article.setdefault(one.article, []).append(one)
    if len(by_article) < 2:
        found = "questions about one article alone"
        raise DataError("paragraph", found, "another article is needed for its paragraphs", 'leave "shuffled" out')
    articles = list(by_article.values())
    found = []
    for here, there in zip(articles, [*articles[1:], articles[0]], strict=True):
        found += [there[place % len(there)] for place in range(len(here))]
    return found


def read_squad(file: Path) -> Iterator[Asked]:
    """The questions of a file.

    Raises: DataError naming the place that is not as in SQuAD.
    """
    content = b"".join(opened(file).parts())
    try:
        found = json.loads(content)
    except ValueError as error:
        raise DataError(str(file), f"no JSON ({error})", "a file in the format of SQuAD is needed") from None
    number = 0
    for i, article in enumerate(_of(found, "data", list, f"{file}: ")):
        for j, paragraph in enumerate(_of(article, "paragraphs", list, f"{file}: data.{i}.")):
            place = f"{file}: data.{i}.paragraphs.{j}."
            text = _of(paragraph, "context", str, place)
            for k, question in enumerate(_of(paragraph, "qas", list, place)):
                where = f"{place}qas.{k}."
                answers = _of(question, "answers", list, where)
                texts = [_of(one, "text", str, f"{where}answers.{n}.") for n, one in enumerate(answers)]
                if not texts and question.get("is_impossible") is not True:
                    do = 'give one, or say "is_impossible": true'
                    raise DataError(f"{where}answers", "none is given", "one or more are needed", do)
                yield Asked(where.rstrip("."), i, text, _of(question, "question", str, where), tuple(texts))
                number += 1
    if not number:
        raise DataError(str(file), "there is no question in it", "a file in the format of SQuAD is needed")


def _of(record: Any, name: str, kind: type, where: str) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get(name), kind):
        has = type(record).__name__ if not isinstance(record, dict) else type(record.get(name)).__name__
        found = f"no field {name!r}" if isinstance(record, dict) and name not in record else f"found {has}"
        words = {list: "a list", str: "text"}[kind]
        raise DataError(f"{where}{name}", found, f"{words} is needed, as in the format of SQuAD 1.1", "mend the file")
    return record[name]
