"""A small study's sizes, and what reads a typed text in place of models."""

from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import ResultError

ARMS = {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}
STEPS = (0, 1, 2, 3, 5, 8, 13)


class Characters:
    """A tokenizer whose ids are code points; 0 is the separator."""

    vocabulary = 0x10FFFF
    end_of_text = 0
    fingerprint = "characters"

    class token_bytes:  # noqa: N801 (stands in for a tuple)
        """Bytes by id."""

        def __class_getitem__(cls, token: int) -> bytes:
            return chr(token).encode()


def read_text(folder: Path, text: str) -> Any:
    """What a model would say after steps 3 and 13, if characters were tokens and losses their place, and twice that
    before. `boom` is more than it can read, and `half` more than arm b can.
    """
    if "boom" in text or ("half" in text and folder.parent.name == "b"):
        raise ResultError(f"{folder.parent.name}/{folder.name}", "its weights are torn", "", "run it again")
    num, first = len(text), np.arange(len(text), dtype=float)
    arrays = {
        "ids_N": np.array([ord(c) for c in text]),
        "steps_S": np.array([3, 13]),
        "loss_nats_SN": np.stack([2 * first, first]),
        "rank_SN": np.full((2, num), 3),
        "entropy_nats_SN": np.ones((2, num)),
        "top_ids_SNK": np.tile([ord("é"), ord("<")], (2, num, 1)),
        "top_p_SNK": np.tile([0.5, 0.25], (2, num, 1)),
    }
    return Characters, arrays, "read in a test"
