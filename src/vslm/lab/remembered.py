"""Settings that were chosen on this machine before: the same command gives the same numbers, however busy it is today.

    $VSLM_HOME/settings/<key>.json      one choice: for a kind of machine, of model and of study

Two commands at the same time may both find none and time; the first that is done is right for both. Delete a file, or
the folder, to have it timed again.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vslm.core.errors import VslmError
from vslm.core.specs import fingerprint
from vslm.data.corpus import home
from vslm.results.files import read_json, write_json

_FIELDS = {"settings", "workers", "tokens_per_second", "compile_seconds", "compiled_from_tokens", "rates"}


def settings_path(about: Mapping[str, Any]) -> Path:
    """Where the choice for a machine, a model and a study is kept."""
    return home() / "settings" / f"{fingerprint(dict(about))}.json"


def remembered(about: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was chosen for these before, with `measured`, the day; None for nothing that can be used."""
    try:
        kept = read_json(settings_path(about))
    except (VslmError, OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and _FIELDS | {"measured"} <= kept.keys() else None


def remember(about: Mapping[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a choice, and return the one that counts: another command's, where it was done before.

    A home that cannot be written is no reason to stop: then the choice holds for this study alone.
    """
    path, kept = settings_path(about), {**timing, "about": dict(about), "measured": time.strftime("%Y-%m-%d")}
    with contextlib.suppress(VslmError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as place:
            whole = Path(place) / path.name
            write_json(whole, kept)
            if remembered(about) is None:
                path.unlink(missing_ok=True)  # what cannot be read
            with contextlib.suppress(FileExistsError):
                os.link(whole, path)
    return remembered(about) or kept
