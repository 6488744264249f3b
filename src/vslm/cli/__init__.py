"""The command line, one file per group of verbs. It parses, calls the other rooms, and prints what they return.

command_line.py   every command, and what is said when one cannot go on
studies.py        run, plan, rematch, train, noise
models.py         sample, route, measure, prompts
reading.py        report, ls, compare, serve, send, merge, pack
data.py           data show, data prepare, data ls
store.py          store build, store search, store recall
worlds.py         worlds write, worlds check
arguments.py      how options are read; printing.py: what several commands print
"""

from vslm.cli.command_line import app, main

__all__ = ["app", "main"]
