"""One file per dataset: a frozen spec that yields documents."""

from vslm.data.sources.associative_recall import AssociativeRecall
from vslm.data.sources.source import Source
from vslm.data.sources.standard_library import StandardLibrary
from vslm.data.sources.text import Text

__all__ = ["AssociativeRecall", "Source", "StandardLibrary", "Text"]
