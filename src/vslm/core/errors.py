"""The errors of vslm, in one tree, and the four parts of every message.

    VslmError
    ├── SpecError     a declaration that cannot be meant; raised before any compute
    ├── DataError     a corpus, tokenizer or batch that cannot be used
    ├── RunError      a run that cannot start or go on (held folder, torn checkpoint, full disk)
    │   └── TooEarlyError  a study that stopped because its runs are too short to mean something
    └── ResultError   a run folder that cannot be read or joined

A message says where, what was found, what is allowed, and what to do:

    blocks.3: width 96 follows width 64; neighbors need equal widths; insert Resize(...) or set equal widths.
"""

import difflib
from collections.abc import Iterable


class VslmError(Exception):
    """Anything that vslm reports in one message, without a traceback.

    Args:
        where: a dotted path (`model.blocks.0.width`), or a file with a line or an offset (`data.txt:12`).
        found: what stands there.
        allowed: what may stand there; empty if `found` says it all.
        do: what the reader can do about it; empty if it is plain.
    """

    def __init__(self, where: str, found: str, allowed: str = "", do: str = "") -> None:
        super().__init__(where, found, allowed, do)
        self.where, self.found, self.allowed, self.do = where, found, allowed, do

    def within(self, prefix: str) -> "VslmError":
        """The same error, seen from further out: `heads` within `model.blocks.0` is `model.blocks.0.heads`.

        An option is followed by what stands behind it: `heads` within `--set` is `--set heads`.
        """
        is_option = prefix.startswith("--") and " " not in prefix
        where = (" " if is_option else ".").join(part for part in (prefix, self.where) if part)
        return type(self)(where, self.found, self.allowed, self.do)

    def __str__(self) -> str:
        parts = "; ".join(part.rstrip(".;") for part in (self.found, self.allowed, self.do) if part)
        parts = parts.replace("?; ", "? ")
        end = "" if parts.endswith("?") else "."
        return f"{self.where}: {parts}{end}" if self.where else f"{parts}{end}"


class SpecError(VslmError):
    """A declaration that cannot be meant. Always raised before any compute is spent."""


class DataError(VslmError):
    """A corpus, a tokenizer or a batch that cannot be used."""


class RunError(VslmError):
    """A run that cannot start or cannot go on."""


class TooEarlyError(RunError):
    """A study that stopped after its pilot: the baseline has not begun to use its context. Nothing is wrong or lost."""


class ResultError(VslmError):
    """A run folder that cannot be read, compared or joined."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Offer the nearest known names, for the third part of a message.

    >>> nearest("hedas", ["heads", "window_tokens"])
    'did you mean heads?'
    >>> nearest("zzz", ["heads", "window_tokens"])
    'known: heads, window_tokens'
    """
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names)}" if names else "there is nothing here to name"
