"""How a study shows itself while it runs: one live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vslm.core.visible import visible
from vslm.lab.options import Watcher
from vslm.results.console import console as console_to
from vslm.results.records import RunEnd

_LINE_EVERY_SECONDS = 15.0
_SAMPLE_EVERY_SECONDS = 15.0
_LINES_BESIDE = 4  # title, headings, and room for the prompt of the shell
_MOST_SAMPLE_LINES = 8


class _Lines:
    """Plain lines: starts, ends, and now and then how far a run is."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self.runs: dict[tuple[str, int], dict[str, Any]] = {}
        self.tokens: dict[tuple[str, int], int] = {}
        self._printed: dict[tuple[str, int], float] = {}
        self.begun = time.monotonic()
        self.first_step: tuple[float, float] | None = None  # when, and how many tokens were done
        self._sampled = -_SAMPLE_EVERY_SECONDS

    def say(self, text: str) -> None:
        if not self.quiet:
            # A line of a file stays one line; on a terminal it is folded between words.
            self.console.print(Text(visible(text)), soft_wrap=not self.console.is_terminal)

    def started(self, tokens: Mapping[tuple[str, int], int]) -> None:
        self.tokens, self.runs = dict(tokens), {run: {} for run in tokens}
        self.begun = time.monotonic()  # what came before ran at other lengths, so it says nothing about these
        self.first_step = None

    def on_message(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        self.runs.setdefault((arm, seed), {}).update(message)
        if "step" in message and self.first_step is None:
            self.first_step = time.monotonic(), self._done()
        if "done" in message and not message.get("was_there"):
            done: RunEnd = message["done"]
            if done.ended_well:
                name, loss = _final_loss(done)
                self.say(f"{arm} seed {seed}: done, {name} {loss:.4f} in {done.seconds:.0f} s")
            else:
                self.say(f"{arm} seed {seed}: diverged at step {done.diverged_step}; the others go on")
        elif "failed" in message:
            # With a full disk the study stops, and says so itself.
            if not message.get("disk_full"):
                self.say(f"{arm} seed {seed}: failed; the others go on\n{message['failed']}")
        elif "say" in message:
            self.say(message["say"])
        elif "sample" in message:
            self.sampled(arm, seed, message)
        elif "step" in message:
            self.moved(arm, seed, message)

    def moved(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._printed.get((arm, seed), 0.0) > _LINE_EVERY_SECONDS:
            self._printed[arm, seed] = now
            share = message["step"] / message["num_steps"]
            rate = f"{message['tokens_per_second']:,.0f} tokens/s"
            self.say(f"{arm} seed {seed}: {share:.0%}, loss {message['loss']:.3f}, {rate}, {self.left()}")

    def sampled(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        """A sample and how far the run is, not more often than lines of progress: a short run has many in a second."""
        now = time.monotonic()
        if now - self._sampled >= _SAMPLE_EVERY_SECONDS:
            self._sampled = now
            self.say(f"{arm} seed {seed}: {message['step'] / message['num_steps']:.0%}, it writes:")
            self.say(f"\n{message['sample'].strip()}\n")

    def _fresh(self) -> Mapping[tuple[str, int], Mapping[str, Any]]:
        return {name: run for name, run in self.runs.items() if not run.get("was_there")}

    def _done(self) -> float:
        return sum(self.tokens.get(name, 0) * _share_done(run) for name, run in self._fresh().items())

    def left(self) -> str:
        """Time left of the runs that are under way, by their tokens since the first step of any.

        Not since they were started: to load and compile takes longer than a short run, and happens once.
        """
        total, done = sum(self.tokens.get(name, 0) for name in self._fresh()), self._done()
        since, before = self.first_step or (self.begun, 0.0)
        if done - before <= 0.02 * total:
            return "time left unknown yet"
        seconds = (time.monotonic() - since) / (done - before) * (total - done)
        return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"


def _share_done(run: Mapping[str, Any]) -> float:
    return 1.0 if "done" in run or "failed" in run else run.get("step", 0) / run.get("num_steps", 1)


class _Table(_Lines):
    """One live table: arm by seed."""

    def __init__(self, console: Console, live: Live) -> None:
        super().__init__(console, quiet=False)
        self.live = live
        self.sample = ""

    def on_message(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        if "sample" in message:  # the latest stands below the table, so that none pushes it off the screen
            self.sample = message["sample"]
        else:
            super().on_message(arm, seed, message)
        self.live.update(self.shown())

    def moved(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        pass

    def shown(self) -> Group:
        """The table, and below it as much of the latest sample as the screen has lines for."""
        table = self.table()
        lines = max(0, self.console.height - table.row_count - _LINES_BESIDE)
        words = Text("".join(c if c.isprintable() or c == "\n" else "?" for c in self.sample.strip()), style="dim")
        return Group(table, *words.wrap(self.console, self.console.width)[: min(lines, _MOST_SAMPLE_LINES)])

    def table(self) -> Table:
        table = Table(title=self.left(), box=None)
        for heading in ("arm", "seed", "done", "loss", "tokens/s"):
            table.add_column(heading, justify="left" if heading == "arm" else "right")
        for (arm, seed), run in self.runs.items():
            share = "done" if "done" in run else "failed" if "failed" in run else ""
            if not share and "step" in run:
                share = f"{run['step'] / run['num_steps']:.0%}"
            loss = _final_loss(run["done"])[1] if "done" in run else run.get("loss")
            rate = run.get("tokens_per_second")
            table.add_row(
                Text(visible(arm)),
                str(seed),
                share or "waiting",
                f"{loss:.3f}" if loss else "",
                f"{rate:,.0f}" if rate else "",
            )
        return table


def _final_loss(done: RunEnd) -> tuple[str, float | None]:
    """The name and the value of a run's final loss: `val_loss`, or `select_loss` where it was made to choose."""
    return ("val_loss", done.val_loss) if done.select_loss is None else ("select_loss", done.select_loss)


@contextmanager
def progress_for(*, quiet: bool) -> Iterator[Watcher]:
    """Who watches a study: a live table on a terminal, lines when the output is a file or a pipe."""
    console = console_to(to_errors=quiet)
    if quiet or not console.is_terminal:
        yield _Lines(console, quiet=quiet)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield _Table(console, live)
