"""A question with its answers, and how it is written: what sources of questions share."""

from typing import NamedTuple


class Asked(NamedTuple):
    """A question of a file.

    Args:
        where: its place in the file.
        article: number of its article.
        paragraph, question, answers: as they stand there; no answer where there is none.
    """

    where: str
    article: int
    paragraph: str
    question: str
    answers: tuple[str, ...]


def written(asked: Asked, paragraph: str) -> tuple[str, int]:
    """An example as text, and where the space before its answer stands."""
    context = f"<ctx> {_line(paragraph)}" if paragraph else "<ctx>"
    text = f"{context} <q> {_line(asked.question)} <a>"
    return f"{text} {_line(asked.answers[0] if asked.answers else 'unknown')}\n", len(text)


def _line(text: str) -> str:
    return " ".join(text.split())
