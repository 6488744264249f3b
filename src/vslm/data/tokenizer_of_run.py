"""The tokenizer of a finished run, for another text."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vslm.core.errors import ResultError, SpecError
from vslm.data.tokenizers import FittedTokenizer, Tokenizer, load_tokenizer
from vslm.results.files import sha256

_FILE = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class TokenizerOf(Tokenizer):
    """The tokenizer that a finished run has, as it is: an id means the same in both.

    For what begins with another run's weights on a text of its own: an adapter for new facts, training that goes on,
    a student on the text of its teacher's questions. Nothing is fitted, so the text may be of any length; a character
    that a run with `Characters()` never saw is refused.

    Args:
        run: its folder.

    Raises: SpecError, when a corpus is prepared, for a folder without a tokenizer.
    """

    run: str

    @property
    def usual_bytes_per_token(self) -> float:
        """Of byte pairs, at the upper end; see `BPE`."""
        return 4.25

    @property
    def known_vocabulary(self) -> int | None:
        """The run's; None where there is none to ask."""
        try:
            return self._load().vocabulary
        except SpecError:
            return None

    @property
    def content(self) -> str:
        """SHA-256 of the file: another one at the same place makes another corpus."""
        self._load()
        return sha256(Path(self.run) / _FILE)

    def fit(self, train: Iterable[str], *, held_out: Iterable[str] = (), separated: bool = True) -> FittedTokenizer:
        """The run's, whatever the texts."""
        del train, held_out, separated
        return self._load()

    def _load(self) -> FittedTokenizer:
        path = Path(self.run) / _FILE
        if not path.is_file():
            found = "no tokenizer of a run" if Path(self.run).is_dir() else "no such folder"
            do = "runs/NAME/ARM/seed0 is one, once it is begun"
            raise SpecError("run", f"{self.run}: {found}", "the folder of a run is needed", do)
        try:
            return load_tokenizer(path)
        except ResultError as error:
            raise SpecError("run", f"{error.where}: {error.found}", error.allowed, error.do) from None
