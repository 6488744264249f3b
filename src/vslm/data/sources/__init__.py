"""One file per dataset: a frozen spec that yields documents."""

from vslm.data.sources.standard_library import StandardLibrary
from vslm.data.sources.text import Text

Source = Text | StandardLibrary

__all__ = ["Source", "StandardLibrary", "Text"]
