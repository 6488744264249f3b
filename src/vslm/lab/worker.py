"""A process that runs jobs: `python -m vslm.lab.worker JOB.json`. Speaks JSON lines on its standard output.

When its standard input closes, whoever started it is gone, and it ends at once: what it had is in its checkpoint.
"""

import errno
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from vslm.core.errors import VslmError
from vslm.core.specs import from_plain
from vslm.lab.run import run_job
from vslm.lab.study_file import kinds_with
from vslm.lab.timing import choose_settings, time_side_by_side


def main() -> None:
    """Read the order, run it, say how it ended."""
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        kinds = kinds_with(Path(order["study_file"]) if order["study_file"] else None)
        job = from_plain(order["job"], kinds)
        if order["task"] == "settings":
            sizes = {name: order[name] for name in ("num_runs", "cores", "workers")}
            _say({"timing": choose_settings(job, **sizes)})
        elif order["task"] == "rates":
            beside = [from_plain(plain, kinds) for plain in order["beside"]]
            _say({"rates": time_side_by_side([job, *beside])})
        else:
            _say({"done": run_job(job, Path(order["folder"]), _say, samples=order["samples"])})
    except VslmError as error:
        # With a full disk no other run could do better, so the study stops.
        full = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC
        _say({"failed": str(error), "disk_full": full})
    except Exception:
        _say({"failed": traceback.format_exc(limit=-3)})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    while os.read(0, 1):  # not through sys.stdin: its lock would be held when the interpreter ends
        pass
    os._exit(3)


if __name__ == "__main__":
    main()
