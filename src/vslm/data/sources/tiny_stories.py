"""TinyStories from the hub."""

from dataclasses import dataclass

from vslm.data.sources.from_hub import FromHub, Place


@dataclass(frozen=True, kw_only=True)
class TinyStories(FromHub):
    """Short stories in the words of a small child, written by larger models.

    Paper: TinyStories: How Small Can Language Models Be and Still Speak Coherent English?, Eldan and Li, 2023,
    https://arxiv.org/abs/2305.07759. License: CDLA-Sharing-1.0.
    Args: see `FromHub`.
    """

    @property
    def place(self) -> Place:
        return Place("roneneldan/TinyStories", None, "text")
