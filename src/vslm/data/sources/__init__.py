"""One file per dataset: a frozen spec that yields documents."""

from vslm.data.sources.source import Source
from vslm.data.sources.standard_library import StandardLibrary
from vslm.data.sources.text import Text

__all__ = ["Source", "StandardLibrary", "Text"]
