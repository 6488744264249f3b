"""What was read, as what, and what was passed over and why: a line per kind."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vslm.core.numbers import plural

_NAMES_SHOWN = 2
_MOST_REMARKS = 12  # of a folder whose files all have the same trouble, the first say it


def shown(text: str) -> str:
    r"""A name as a line can show it: control characters written out, so that no terminal obeys them.

    >>> shown("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


@dataclass
class _Tally:
    files: list[str] = field(default_factory=list)
    num_documents: int = 0
    num_bytes: int = 0
    num_blank: int = 0


class Notes:
    """Filled while a source is read."""

    def __init__(self) -> None:
        self._read: dict[str, _Tally] = {}
        self._passed_over: dict[tuple[str, str], list[str]] = {}
        self._remarks: dict[str, None] = {}

    def file(self, kind: str, name: str) -> None:
        """A file is read as this kind."""
        self._read.setdefault(kind, _Tally()).files.append(name)

    def document(self, kind: str, text: str) -> None:
        """A document was found in a file of this kind."""
        tally = self._read.setdefault(kind, _Tally())
        tally.num_documents += 1
        tally.num_bytes += len(text.encode("utf-8", "surrogatepass"))

    def blank(self, kind: str) -> None:
        """A record or a row without text was left out."""
        self._read.setdefault(kind, _Tally()).num_blank += 1

    def passed_over(self, kind: str, why: str, name: str) -> None:
        """A file is not read."""
        self._passed_over.setdefault((kind, why), []).append(name)

    @property
    def lacks_packages(self) -> bool:
        """Whether a package that is installed later would change what is read."""
        return any(why.startswith("pip install") for _, why in self._passed_over)

    def remark(self, words: str) -> None:
        """Something that a reader may not have meant. The same words are kept once."""
        self._remarks.setdefault(words)

    def lines(self) -> list[str]:
        """What there is to say, a line each: what was read, what was not, remarks."""
        remarks = list(self._remarks)
        if len(remarks) > _MOST_REMARKS:
            left_out = len(remarks) - _MOST_REMARKS
            remarks = [*remarks[:_MOST_REMARKS], f"and {plural(left_out, 'remark')} more of this sort"]
        return [*self._lines_read(), *self._lines_passed_over(), *remarks]

    def _lines_read(self) -> Iterator[str]:
        for kind, tally in self._read.items():
            blank = f", {plural(tally.num_blank, 'entry', 'entries')} without text" if tally.num_blank else ""
            documents = f"{plural(tally.num_documents, 'document')}, {tally.num_bytes:,} bytes of text"
            yield f"read: {plural(len(tally.files), 'file')}{_named(tally.files)} as {kind}: {documents}{blank}"

    def _lines_passed_over(self) -> Iterator[str]:
        for (kind, why), names in self._passed_over.items():
            yield f"{plural(len(names), kind)}, not read{_named(names)}: {why}"


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f" ({', '.join(map(shown, names[:_NAMES_SHOWN]))}{more})"
