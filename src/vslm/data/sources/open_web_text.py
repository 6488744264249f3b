"""OpenWebText from the hub."""

from dataclasses import dataclass

from vslm.data.sources.from_hub import FromHub, Place


@dataclass(frozen=True, kw_only=True)
class OpenWebText(FromHub):
    """Web pages that were linked to on Reddit: an open copy of what GPT-2 was trained on.

    Source: OpenWebText Corpus, Gokaslan and Cohen, 2019. License: CC0 for the collection, not for its pages.
    Args: see `FromHub`.
    """

    @property
    def place(self) -> Place:
        return Place("Skylion007/openwebtext", None, "text")
