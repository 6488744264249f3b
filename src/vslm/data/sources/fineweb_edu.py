"""FineWeb-Edu from the hub."""

from dataclasses import dataclass

from vslm.data.sources.from_hub import FromHub, Place


@dataclass(frozen=True, kw_only=True)
class FineWebEdu(FromHub):
    """Web pages that a classifier found educational; its sample of ten billion tokens, of which the cap takes some.

    Paper: The FineWeb Datasets, Penedo et al., 2024, https://arxiv.org/abs/2406.17557. License: ODC-BY.
    Args: see `FromHub`.
    """

    @property
    def place(self) -> Place:
        return Place("HuggingFaceFW/fineweb-edu", "sample-10BT", "text")
