"""A process that carries out orders, one after another: `python -m vslm.runs.worker`.

A line on its standard input is the path of an order, as JSON; it answers with JSON lines on its standard output, the
last of every order `{"free": true}`; `{"alive": true}` stands between them every few seconds. When its standard input
closes, whoever started it is gone or has no more orders, and it ends at once: what it had is in its checkpoint.
"""

import contextlib
import gc
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from vslm.core.errors import VslmError
from vslm.core.specs import from_plain
from vslm.core.system import is_full, refused
from vslm.results.files import read_json
from vslm.results.places import log_descriptor
from vslm.runs.run import run_job
from vslm.runs.timing import Compiling, Extent, choose_settings, time_side_by_side
from vslm.study.study_file import kinds_with

_BEAT_SECONDS = 5.0
_one_line = threading.Lock()


def main() -> None:
    """Carry out every order, until one fails in a way that may have left something behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C in a terminal its parent hears, too, and ends it
    paths: queue.Queue[Path] = queue.Queue()
    threading.Thread(target=_read_paths, args=(paths,), daemon=True).start()
    threading.Thread(target=_live, daemon=True).start()
    while carry_out(paths.get()):
        _forget()
        _say({"free": True})


def carry_out(path: Path) -> bool:
    """Read the order, run it, say how it ended; whether this process is fit for another one."""
    _log_to(path.parent / "worker.log")
    order = read_json(path)
    try:
        kinds = kinds_with(Path(order["study_file"]) if order["study_file"] else None)
        job = from_plain(order["job"], kinds)
        if order["task"] == "settings":
            extent = Extent(**order["extent"])
            asked = {key: order[key] for key in ("cores", "workers", "precision", "known")}
            compiling, has_own = Compiling(**order["compiling"]), order["study_file"] is not None
            _say({"timing": choose_settings(job, extent, **asked, compiling=compiling, has_own_code=has_own)})
        elif order["task"] == "rates":
            beside = [from_plain(plain, kinds) for plain in order["beside"]]
            _say({"rates": time_side_by_side([job, *beside])})
        else:
            _say({"done": run_job(job, Path(order["folder"]), _say, samples=order["samples"]).plain()})
    except VslmError as error:
        # With a full disk no other run could do better, so the study stops.
        _say({"failed": str(error), "disk_full": is_full(error.__cause__)})
    except OSError as error:
        _say({"failed": str(refused(error)), "disk_full": is_full(error)})
    except Exception:
        _say({"failed": traceback.format_exc(limit=-3)})
        return False
    return True


def _forget() -> None:
    """Give back what the order held, but for compiled graphs: the next run of the arm finds them."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _log_to(path: Path) -> None:
    """Let everything that is written to the standard error, torch's C++ included, go into the log of this order."""
    sys.stderr.flush()
    # Its parent has begun the log of the first order with what went wrong before.
    log = log_descriptor(path, anew=False)
    os.dup2(log, 2)
    os.close(log)


def _say(message: dict[str, Any]) -> None:
    with _one_line:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def _live() -> None:
    """Say that this process lives, whatever it computes: who hears nothing for a minute ends it."""
    with contextlib.suppress(OSError):  # nobody listens any more
        while True:
            with _one_line:  # not through sys.stdout: its lock would be held when the interpreter ends
                os.write(1, b'{"alive": true}\n')
            time.sleep(_BEAT_SECONDS)


def _read_paths(paths: "queue.Queue[Path]") -> None:
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    unread = b""
    while read := os.read(0, 4096):
        *lines, unread = (unread + read).split(b"\n")
        for line in lines:
            paths.put(Path(json.loads(line)))
    os._exit(3)


if __name__ == "__main__":
    main()
