"""One file per dataset: a frozen spec that yields documents."""

from vslm.data.sources.associative_recall import AssociativeRecall
from vslm.data.sources.fineweb_edu import FineWebEdu
from vslm.data.sources.hub import Hub
from vslm.data.sources.open_web_text import OpenWebText
from vslm.data.sources.questions import Questions
from vslm.data.sources.source import Source
from vslm.data.sources.squad import Squad
from vslm.data.sources.standard_library import StandardLibrary
from vslm.data.sources.text import Text
from vslm.data.sources.tiny_stories import TinyStories
from vslm.data.sources.wikitext import WikiText
from vslm.data.sources.worlds import Worlds

__all__ = [
    "AssociativeRecall",
    "FineWebEdu",
    "Hub",
    "OpenWebText",
    "Questions",
    "Source",
    "Squad",
    "StandardLibrary",
    "Text",
    "TinyStories",
    "WikiText",
    "Worlds",
]
