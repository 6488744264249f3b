"""Questions and answers, from JSON lines."""

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

_NEEDED = 'lines such as {"question": "...", "answer": "..."} are needed'


@dataclass(frozen=True, kw_only=True)
class Questions(Source):
    """Questions and answers with nothing in front, whole in rows of the model's context.

        {"question": "Who came?", "answer": "Ann."}      <ctx> <q> Who came? <a> Ann.

    A line end stands behind the answer and counts with it. As `Squad` writes them without a paragraph; the format is
    that of TOFU (Maini et al., 2024, https://arxiv.org/abs/2401.06121), whose other fields are not read here. Questions
    are split by hash, so some are left for validation: what is known of a file is told by `LikelierAnswers`.

    Args:
        path: of JSON lines, compressed or not; a folder or a pattern for several files.
        counts: "answer" alone, or "all".
        context_tokens: of a row: the model's context. Longer examples are left out and counted.
        tokenizer, vocabulary, splits: see `Source`.
    Raises: DataError, when read, naming the line that is not as it should be.
    """

    path: str = dataclasses.field(metadata={"in_fingerprint": False})
    counts: Literal["answer", "all"] = "answer"
    context_tokens: Context = 256

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
        return f"questions of {self.path}"

    def files(self) -> Sequence[Path]:
        """The files. Raises: DataError where there are none."""
        return [found.file for found in listing(self.path).files]

    def documents(self) -> Iterator[Document]:
        """Every question, in the order of the files."""
        for file in self.files():
            for where, line in read_question_lines(file):
                asked = Asked(where, 0, "", line["question"], (line["answer"],))
                text, first = written(asked, "")
                yield Document(where, text, (Scored(first if self.counts == "answer" else 0, len(text)),))


def read_question_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and the record of each line, with its question and its answer as texts.

    Raises: DataError naming the line that is none.
    """
    number = 0
    text = b"".join(opened(file).parts()).decode("utf-8", errors="replace")
    for place, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file}: line {place}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(where, f"no JSON ({error})", _NEEDED, "mend the line") from None
        for name in ("question", "answer"):
            if not isinstance(record, dict) or not isinstance(record.get(name), str) or not record[name].strip():
                raise DataError(where, f"no text {name!r}", _NEEDED, "mend the line")
        number += 1
        yield where, record
    if not number:
        raise DataError(str(file), "there is no question in it", _NEEDED)
