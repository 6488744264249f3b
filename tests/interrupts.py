"""Processes that tests interrupt with Ctrl-C."""

import os
import signal
from typing import Any

# A shell may have started the tests in the background, where Ctrl-C is ignored, and a child inherits that.
HEARING: dict[str, Any] = (
    {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
)
"""Arguments of `subprocess.Popen` for one that hears it."""
