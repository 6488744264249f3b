"""What stands for a study of two arms and for its models, without training any."""

from pathlib import Path
from typing import Any

from vslm.core.errors import ResultError

ARMS = {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}
STEPS = (0, 1, 2, 3, 5, 8, 13)


def read_text(folder: Path, text: str) -> dict[str, Any]:
    """What a model would say, if characters were tokens and losses their place. `boom` is more than it can read."""
    if "boom" in text:
        raise ResultError(f"{folder.parent.name}/{folder.name}", "its weights are torn", "", "run it again")
    top = [{"text": "é", "p": 0.5}, {"text": "<b>", "p": 0.25}]
    tokens = [
        {"text": c, "from": i, "to": i + 1, "loss_nats": float(i), "p": 0.1, "rank": 3, "entropy_nats": 1.0, "top": top}
        for i, c in enumerate(text)
    ]
    return {"step": 13, "vocabulary": 7, "context_tokens": 11, "remark": "", "tokens": tokens}
