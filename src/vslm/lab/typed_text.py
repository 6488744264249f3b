"""A text that somebody typed, as stored models see it: numbers of every token, ready for JSON."""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import ResultError
from vslm.data.tokenizers import FittedTokenizer
from vslm.lab.sampling import Draws, Writer, open_run
from vslm.measure.token_table import TokenTable, token_table
from vslm.results.folder import RunFolder

_MOST_OPEN = 4  # models kept in memory
_TOP = 5


class TextReader:
    """Opens the models of runs when a text is to be read by them, and keeps the latest few open.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Path, tuple[tuple[int, int], Writer]] = OrderedDict()

    def __call__(self, folder: Path, text: str) -> dict[str, Any]:
        """What the finished model of a run says of every token of a text.

        Args:
            folder: of the run.
            text: one character or more.
        Returns: `step`, `vocabulary`, `context_tokens`, `remark` (in words, if the text did not fit the context), and
            `tokens`: `text`, `from` and `to` (bytes of the text in UTF-8), `loss_nats`, `p`, `rank`, `entropy_nats` and
            `top`, the five likeliest with `text` and `p`. Numbers are None for a first token with nothing before it.
        Raises: ResultError for a run without weights, DataError for a character that its tokenizer does not know.
        """
        writer = self._writer(folder)
        table = token_table(writer.model, writer.tokenizer, text, top=_TOP)
        done = RunFolder(folder, folder.parent.name, 0).done or {}
        return {
            "step": done.get("step", 0),
            "vocabulary": writer.tokenizer.vocabulary,
            "context_tokens": table.context_tokens,
            "remark": table.remark,
            "tokens": [_plain_row(table, writer.tokenizer, n) for n in range(len(table))],
        }

    def _writer(self, folder: Path) -> Writer:
        weights = folder / "weights.safetensors"
        if not weights.is_file():
            raise ResultError(f"{folder.parent.name}/{folder.name}", "its weights are not stored", "", "run it again")
        stamp = weights.stat().st_mtime_ns, weights.stat().st_size
        kept = self._open.get(folder)
        if kept is None or kept[0] != stamp:
            kept = stamp, open_run(folder, Draws(tokens=1, temperature=0.0, top_k=None, seed=0))
            self._open[folder] = kept
        self._open.move_to_end(folder)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return kept[1]


def _plain_row(table: TokenTable, tokenizer: FittedTokenizer, n: int) -> dict[str, Any]:
    top = [
        (int(token), float(p)) for token, p in zip(table.top_ids_NK[n], table.top_p_NK[n], strict=True) if token >= 0
    ]
    return {
        "text": token_text(tokenizer, int(table.ids_N[n])),
        "from": int(table.from_byte_N[n]),
        "to": int(table.to_byte_N[n]),
        "loss_nats": _number(table.loss_nats_N[n]),
        "p": _number(table.p_N[n]),
        "rank": int(table.rank_N[n]),
        "entropy_nats": _number(table.entropy_nats_N[n]),
        "top": [{"text": token_text(tokenizer, token), "p": p} for token, p in top],
    }


def token_text(tokenizer: FittedTokenizer, token: int) -> str:
    """What a token stands for, for people: its text, its bytes where they are a part of a character, or a word for the
    separator.
    """
    if token == tokenizer.end_of_text:
        return "⟨end of text⟩"
    content = tokenizer.token_bytes[token]
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"⟨{content.hex(' ')}⟩"


def _number(value: np.floating[Any]) -> float | None:
    return float(value) if math.isfinite(value) else None
