"""A document: a name and its text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """A piece of text that stands by itself. `name` is for messages; only `text` counts."""

    name: str
    text: str
