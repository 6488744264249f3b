"""A study of two arms on made-up words that trains in a second, and a worker without a process.

It has no pilot: in eleven steps no model begins to use its context.
"""

import errno
from dataclasses import dataclass
from typing import Any

import numpy as np

from vslm.core.errors import VslmError
from vslm.runs.pool import OnMessage, Order
from vslm.runs.run import run_job
from vslm.runs.timing import choose_settings, time_side_by_side

STUDY = """
from vslm import AdamW, Budget, Experiment, LossByPosition, Primary, Study, Text, uniform, vary

full = Experiment(
    model=uniform(depth=1, width=16, heads=2, context_tokens=17),
    data=Text("corpus.txt", vocabulary=270),
    budget=Budget(tokens=17 * 7 * 11),
    batch_tokens=17 * 7,
    optimizer=AdamW(learning_rate=0.01, clip_norm=None),
    measures=(LossByPosition(num_evaluations=3, num_tokens=170, num_final_tokens=340),),
)
STUDY = Study(
    question="Does a short window cost anything?",
    baseline="full",
    arms={"full": full, "short": vary(full, {"model.blocks.*.attention.window_tokens": 3})},
    seeds=2,
    primary=Primary("val_loss", smallest_effect=0.01), pilot=None,
)
"""


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def made_up_text(num_documents: int = 150) -> str:
    """Documents of made-up words."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(60)]
    return "\n<|endoftext|>\n".join(" ".join(rng.choice(words, 40)) for _ in range(num_documents))


def carry_out(order: Order, on_message: OnMessage) -> None:
    """What a worker does with an order, in this process."""
    order.folder.mkdir(parents=True, exist_ok=True)
    (order.folder / "worker.log").touch()
    try:
        if order.task == "settings":
            asked = {
                "cores": order.cores,
                "workers": order.workers,
                "precision": order.precision,
                "compiling": order.compiling,
                "known": order.known,
            }
            found = choose_settings(order.job, order.extent, **asked)
            on_message(order, {"timing": found})
        elif order.task == "rates":
            on_message(order, {"rates": time_side_by_side([order.job, *order.beside])})
        else:
            on_message(
                order, {"done": run_job(order.job, order.folder, lambda message: on_message(order, message)).plain()}
            )
    except (VslmError, MemoryError) as error:
        full = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC
        on_message(order, {"failed": str(error), "disk_full": full})


def made_up_timing() -> dict[str, Any]:
    """What a worker answers when it is asked for settings, without the seconds that it takes: eager, 1000 tokens/s."""
    return {
        "settings": {"device": "cpu", "precision": "fp32", "compiled": False, "threads": 1},
        "workers": 1,
        "tokens_per_second": 1000.0,
        "compile_seconds": 0.0,
        "compiled_from_tokens": 0,
        "rates": {},
        "remarks": [],
        "is_busy": False,
    }
