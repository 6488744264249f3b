"""Send runs to a tracker: what it was not sent yet, once, or until every run is over."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from vslm.core.errors import ResultError
from vslm.trackers.feed import Feed, feeds
from vslm.trackers.tensorboard import TensorBoard
from vslm.trackers.wandb_like import trackio_tracker, wandb_tracker

_EVERY_SECONDS = 2.0


class Opened(Protocol):
    """A run that a tracker takes numbers for."""

    def log(self, step: int, numbers: dict[str, float]) -> None:
        """Take the numbers of a step; steps never fall."""
        ...

    def end(self, step: int, numbers: dict[str, float]) -> None:
        """Take the numbers that the run ended with, at its last step, which may have been sent before."""
        ...

    def close(self) -> None:
        """No more numbers come for now."""
        ...


class Tracker(Protocol):
    """A place that runs are sent to."""

    @property
    def place(self) -> str:
        """A name of it, so that the same place is not sent the same twice."""
        ...

    def open(self, feed: Feed, config: dict[str, Any]) -> Opened:
        """Begin a run, or go on with it."""
        ...


TRACKERS: dict[str, Callable[[str, Path], Tracker]] = {
    "wandb": wandb_tracker,
    "trackio": trackio_tracker,
    "tensorboard": TensorBoard,
}


def send(
    path: Path,
    tracker: Tracker,
    *,
    follow: bool = False,
    say: Callable[[str], None] = print,
    every_seconds: float = _EVERY_SECONDS,
) -> list[str]:
    """Send the runs that a path means, one after the other, because wandb has one open at a time.

    A run that cannot be read, or began anew after a part of it was sent, is named and passed over.

    Args:
        path: of a run, an arm or a study.
        tracker: where to.
        follow: go on with each run until it is over.
        say: called with a sentence for each run that was sent.
        every_seconds: how often a run that is followed is looked at.
    Returns: the names of the runs that were passed over.
    Raises: ResultError if there is nothing to send.
    """
    passed_over = []
    for feed in feeds(path):
        try:
            _send_one(feed, tracker, follow, say, every_seconds)
        except ResultError as error:
            say(f"{feed.name}: passed over, {error}")
            passed_over.append(feed.name)
    return passed_over


def _send_one(feed: Feed, tracker: Tracker, follow: bool, say: Callable[[str], None], every_seconds: float) -> None:
    count = before = feed.num_sent(tracker.place)
    opened: Opened | None = None
    try:
        while True:
            final = feed.final()  # first, so that the rows of a run that is over are all there
            rows = feed.rows()
            if count > len(rows) + (final is not None):
                found, do = "it began anew after it was sent", "delete sent.json beside it to send it as it is now"
                raise ResultError(str(feed.run.path), found, "", do)
            new = rows[count:]
            is_last = final is not None and count <= len(rows)
            if (new or is_last) and opened is None:
                opened = tracker.open(feed, feed.config())
            if opened is not None:
                for step, numbers in new:
                    opened.log(step, numbers)
                if is_last:
                    opened.end(rows[-1][0] if rows else 0, final or {})
            total = len(rows) + (final is not None)
            if total != count:
                count = total
                feed.note_sent(tracker.place, count)
            if final is not None or not follow:
                what = "nothing new" if count == before else f"{count - before} rows"
                say(f"{feed.name}: {what}{'' if final is not None else ', and it goes on'}")
                return
            time.sleep(every_seconds)
    finally:
        if opened is not None:
            opened.close()
