"""Values as JSON that every reader takes: without NaN and infinities, which are no JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: Any) -> str:
    """Readable JSON of a value; a number that is not finite is null, since nothing is known of it.

    >>> print(json_text({"loss": float("nan"), "place": (1, 2.5)}))
    {
     "loss": null,
     "place": [
      1,
      2.5
     ]
    }
    """
    return json.dumps(_finite(value), indent=1, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
