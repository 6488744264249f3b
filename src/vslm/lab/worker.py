"""A process that runs jobs: `python -m vslm.lab.worker JOB.json`. Speaks JSON lines on its standard output.

When its standard input closes, whoever started it is gone, and it ends at once: what it had is in its checkpoint.
"""

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
from vslm.lab.timing import time_job


def main() -> None:
    """Read the order, run it, say how it ended."""
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        kinds = kinds_with(Path(order["study_file"]) if order["study_file"] else None)
        job = from_plain(order["job"], kinds)
        if order["task"] == "time":
            _say({"timing": time_job(job, order["num_runs"], order["cores"])})
        else:
            _say({"done": run_job(job, Path(order["folder"]), _say, samples=order["samples"])})
    except VslmError as error:
        _say({"failed": str(error)})
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
