"""A typed text as the token view draws it, from what stored models said of it.

The models are the lab's, and a server needs them only once somebody types; here is what it takes of them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vslm.data.tokenizers import FittedTokenizer
from vslm.report.numbers.token_view import numbers, words

# What the models of a run said of the N tokens of a text after S of its steps: its tokenizer, `ids_N`, `steps_S`,
# `loss_nats_SN`, `rank_SN`, `entropy_nats_SN`, `top_ids_SNK` and `top_p_SNK`, and a remark on how it was read.
Reading = tuple[FittedTokenizer, Mapping[str, np.ndarray], str]
LOADED = ", with the store"  # behind the name of an arm that reads with passages in front
ReadText = Callable[[Path, str], Reading]  # a run's folder and a text; raises VslmError in words


def view_of(readings: Sequence[tuple[str, int, Reading]], baseline: str) -> dict[str, Any]:
    """What the token view draws, see `report/numbers/token_view.py`; runs that cut the text alike share it.

    Args:
        readings: arm, seed and what its models said.
        baseline: which arm comes first.
    """
    texts: list[dict[str, Any]] = []
    places: dict[tuple[str, bytes], int] = {}
    runs = []
    for arm, seed, (tokenizer, said, remark) in readings:
        place = places.setdefault((tokenizer.fingerprint, said["ids_N"].tobytes()), len(texts))
        if place == len(texts):
            piece = {"ids": said["ids_N"].tolist(), "note": remark}
            texts.append({"vocabulary": tokenizer.vocabulary, "words": {}, "pieces": [piece]})
        used = {*said["ids_N"].tolist(), *said["top_ids_SNK"].ravel().tolist()} - {-1}
        texts[place]["words"] |= words(tokenizer, used)
        shown = ("loss_nats_SN", "rank_SN", "entropy_nats_SN", "top_ids_SNK", "top_p_SNK")
        piece = numbers(*(said[name] for name in shown))
        runs.append({"arm": arm, "seed": seed, "text": place, "steps": said["steps_S"].tolist(), "pieces": [piece]})
    return {"texts": texts, "runs": runs, "baseline": baseline, "remark": ""}
