"""WikiText from the hub, its articles put together again."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from vslm.data.sources.from_hub import FromHub, Place

_TITLE = re.compile(r" ?= [^=].* = *\n?")  # of an article; those of its sections have two signs or more


@dataclass(frozen=True, kw_only=True)
class WikiText(FromHub):
    """Good and featured articles of Wikipedia. A row of the data set is a line; a document is an article.

    An article begins at a line with its title between single signs (` = Title = `) behind an empty line.

    Paper: Pointer Sentinel Mixture Models, Merity et al., 2016, https://arxiv.org/abs/1609.07843. License: CC BY-SA.

    Args:
        size: "2" has 11 MB, "103" 540 MB, both raw.
        others: see `FromHub`.
    """

    size: Literal["2", "103"] = dataclasses.field(default="2", metadata={"in_fingerprint": False})

    @property
    def place(self) -> Place:
        return Place("Salesforce/wikitext", f"wikitext-{self.size}-raw-v1", "text")

    def texts(self, rows: Iterable[str]) -> Iterator[str]:
        """Lines joined into articles."""
        article: list[str] = []
        is_after_blank = True
        for row in rows:
            if is_after_blank and _TITLE.fullmatch(row) and article:
                yield "".join(article)
                article = []
            is_after_blank = not row.strip()
            if article or row.strip():
                article.append(row or "\n")
        if article:
            yield "".join(article)
