"""Any data set of the hub that has its text in a column."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from vslm.core.errors import SpecError
from vslm.data.sources.from_hub import FromHub, Place

_BY_CONTENT: dict[str, Any] = {"in_fingerprint": False}


@dataclass(frozen=True, kw_only=True)
class Hub(FromHub):
    """A data set of the hub by its id: `Hub(id="roneneldan/TinyStories", max_bytes=20_000_000)`. A row is a document.

    Args:
        id: OWNER/NAME, or a folder in the layout of the hub.
        config: of those that it has; None: its only one, or its default.
        column: that holds the text.
        max_bytes, split, revision, tokenizer, vocabulary, splits: see `FromHub`.
    """

    id: str = dataclasses.field(metadata=_BY_CONTENT)
    config: str | None = dataclasses.field(default=None, metadata=_BY_CONTENT)
    column: str = dataclasses.field(default="text", metadata=_BY_CONTENT)

    def check(self) -> None:
        """Refuse what names nothing."""
        super().check()
        for name in ("id", "column", "split"):
            if not getattr(self, name).strip():
                raise SpecError(name, "an empty text", "a name is needed")

    @property
    def place(self) -> Place:
        return Place(self.id, self.config, self.column)
