"""Commands about how fast this machine trains: machine, bench."""

import sys
from pathlib import Path

from vslm.cli.arguments import Count, Json, Shapes
from vslm.cli.printing import print_json


def machine(*, json_: Json = False) -> None:
    """Say what is known of this machine's speed: products, what studies timed, and what compiling gained and took.

    Nothing is measured but two products; all else was seen by studies that ran here.

    Args:
        json_: Print JSON and nothing else.
    """
    from vslm.lab.machine_card import card_path, seen_here, timed_here
    from vslm.lab.machine_card import machine as machine_here
    from vslm.report.terminal import machine_tables, show
    from vslm.runs.timing import products_per_second

    gflops = {precision: products_per_second(precision) / 1e9 for precision in ("fp32", "bf16")}
    card = {"machine": machine_here(), "gflops_of_a_thread": gflops, "timed": timed_here(), "compiled": seen_here()}
    if json_:
        print_json(card)
        return
    for table in machine_tables(card):
        show(table)
    print(f"card  {card_path()}")


def bench(
    *,
    shapes: Shapes = (),
    threads: Count | None = None,
    turns: Count = 9,
    against: str | None = None,
    json_: Json = False,
) -> None:
    """Time whole training steps on this CPU, every way in turns: eager, compiled, with either attention.

    Args:
        shapes: DEPTHxWIDTHxHEADSxCONTEXTxVOCABULARYxWINDOWS of a step. Default: three of them; minutes each.
        threads: Of every step. Default: one per core.
        turns: How often each is timed, for a second or more.
        against: nanogpt=FOLDER, a copy of nanoGPT: also its own model and optimizer.
        json_: Print JSON and nothing else.
    """
    from vslm.core.errors import SpecError
    from vslm.core.machine import available_cores
    from vslm.report.terminal import bench_table, show
    from vslm.runs.bench import SHAPES, Shape
    from vslm.runs.bench import bench as timed

    name, _, folder = (against or "").partition("=")
    if against is not None and (name != "nanogpt" or not folder):
        raise SpecError("--against", f"found {against!r}", "nanogpt=FOLDER is needed, a copy of nanoGPT")
    found = {}
    for text in shapes or SHAPES:
        shape = Shape.of(text)
        found[text] = timed(
            shape,
            threads=threads or available_cores(),
            turns=turns,
            nanogpt=Path(folder) if folder else None,
            say=lambda words, text=text: print(f"{text}: {words}", file=sys.stderr),
        )
        if not json_:
            show(bench_table(text, found[text]))
    if json_:
        print_json({text: [vars(row) for row in rows] for text, rows in found.items()})
