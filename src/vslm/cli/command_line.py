"""The command line: every command, and what is said when one cannot go on.

Imports stand inside the commands on purpose: `--help` and `ls` must not wait a second for torch.
"""

import contextlib
import inspect
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from cyclopts import App, CycloptsError, MissingArgumentError

import vslm
from vslm.cli import data, evals, hub, models, reading, speed, store, studies, worlds
from vslm.cli.arguments import in_words, study_first
from vslm.core.errors import DataError, ResultError, SpecError, TooEarlyError, VslmError
from vslm.core.machine import available_cores, cpu_quota
from vslm.core.system import ELSEWHERE, refused
from vslm.core.visible import visible, visible_streams

if TYPE_CHECKING:
    from rich.console import Console

app = App(
    name="vslm",
    help="A laboratory for ideas about very small language models. `vslm COMMAND --help` says more.",
    version=vslm.__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says what it means for the run
)
app.command(data.app)
app.command(store.app)
app.command(worlds.app)
app.command(studies.run_command, name="run")
app.command(evals.evaluate, name="eval")
app.command(hub.import_, name="import")
for _command_function in (
    studies.plan,
    studies.rematch,
    studies.train,
    reading.report,
    reading.ls,
    reading.compare,
    reading.send,
    reading.serve,
    models.sample,
    models.route,
    models.measure,
    models.prompts,
    hub.export,
    studies.noise,
    speed.machine,
    speed.bench,
    reading.merge,
    reading.pack,
):
    app.command(_command_function)
_GO_ON = ("run", "rematch", "train", "noise")  # commands that begin where they were stopped
_INTERRUPTED = 130  # as a shell says it
_TOO_EARLY = 3  # nothing went wrong, and there is no verdict


def main() -> None:
    """Run a command; what vslm has to say about a mistake goes to standard error, without a traceback.

    The exit status is 2 for what was asked wrongly, 1 for what went wrong, 3 for a study that stopped after its pilot,
    130 after Ctrl-C.
    """
    _open_streams()
    try:
        _command()
    except CycloptsError as error:
        _end(str(in_words(error)), 2)
    except (SpecError, DataError, ResultError) as error:
        _end(str(error), 2)
    except TooEarlyError as error:
        _end(str(error), _TOO_EARLY)
    except VslmError as error:
        _end(str(_with_out(error)), 1)
    except BrokenPipeError:  # `vslm plan ... | head`: whoever read has read enough
        _forget_output()
    except OSError as error:  # what nobody nearer could say more about
        _forget_output()
        _end(str(_with_out(refused(error))), 1)
    except MemoryError:
        _end("memory ran out; give it a smaller model, batch or text, or end other programs.", 1)
    except RecursionError:
        _end("something in what was given is nested too deeply; at most some hundred levels are read.", 2)
    except KeyboardInterrupt:
        goes_on = sys.argv[1:2] and sys.argv[1] in _GO_ON
        words = "; what was done is kept, and the same command goes on from here" if goes_on else ""
        _end(f"stopped{words}", 130)


def _with_out(error: VslmError) -> VslmError:
    """The same, with the way out that this command has where nothing may be written: `--out`, if it takes one."""
    if error.do != ELSEWHERE or "out" not in _taken_by(sys.argv[1:]):
        return error
    return type(error)(error.where, error.found, error.allowed, f"choose another place with --out, or {ELSEWHERE}")


def _taken_by(typed: Sequence[str]) -> Mapping[str, Any]:
    function = app[typed[0]].default_command if typed and typed[0] in app else None
    return inspect.signature(function).parameters if function else {}


def _command() -> None:
    if cpu_quota() is not None:  # torch would begin a thread for every core that it sees
        os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))
    drawn: Console | None = None
    if sys.stdout.isatty():  # where help is drawn with what `visible_streams` would not let through
        from vslm.results.console import console

        drawn = console()
    with visible_streams():
        try:
            _called(sys.argv[1:], drawn)
        except MissingArgumentError:
            again = study_first(sys.argv[1:])
            if again == sys.argv[1:]:
                raise
            _called(again, drawn)
    sys.stdout.flush()


def _called(words: Sequence[str], drawn: "Console | None") -> None:
    # The console is given for this call alone: kept in `app`, it would outlive the stream that it draws on.
    app(words, console=drawn, result_action="return_value", exit_on_error=False, print_error=False)


def _open_streams() -> None:
    """See to it that everything can be printed: a stream that whoever started this had closed leads nowhere, and a
    terminal that lacks a character is no reason to stop.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:  # else the next file that is opened would be the one that is printed to
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _forget_output() -> None:
    """Let go of what cannot be printed, or it is tried once more when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(words: str, status: int) -> NoReturn:
    with contextlib.suppress(OSError):
        print(f"{chr(10) if status == _INTERRUPTED else ''}vslm: {visible(words)}", file=sys.stderr)
    sys.exit(status)
