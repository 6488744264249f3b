"""`transformers`: an extra, needed to write a checkpoint and to prove that it is the same model."""

import importlib
from typing import Any

from vslm.core.errors import SpecError


def transformers(needed_by: str) -> Any:
    """The package, silent: without bars, and with errors alone in its log.

    Args:
        needed_by: the command, for the message.
    Raises: SpecError where it is not installed.
    """
    try:
        found = importlib.import_module("transformers")
    except ImportError:
        do = "pip install 'vslm[hub]'"
        raise SpecError(needed_by, "the package transformers is not installed", "", do) from None
    found.utils.logging.set_verbosity_error()
    found.utils.logging.disable_progress_bar()
    return found
