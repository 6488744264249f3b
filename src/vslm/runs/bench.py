"""How fast a whole training step is here, beside nanoGPT's: forward, backward and optimizer, on random tokens.

All take turns in one process, and what counts is the median over turns of the ratio within a turn: what else the
machine does changes from second to second. nanoGPT is its own `model.py` and AdamW, read from where a copy of it lies.

Not for: which settings a study gets; `timing.py` chooses those.
"""

import contextlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vslm.core.errors import SpecError
from vslm.data.batches import Batch
from vslm.data.sources import StandardLibrary
from vslm.models.layouts.plain import uniform
from vslm.runs.objects import build_loss, build_model, build_objective
from vslm.runs.timing import has_compiler, may_gain_from_bf16, reading_of
from vslm.study.experiment import Budget, Experiment
from vslm.study.job import Job, Settings
from vslm.training.loop import Objects, Training
from vslm.training.precision import autocast

_SECONDS_PER_TURN, _FEWEST_TURNS = 1.0, 3
_BUDGET = 2_000_000  # of the run that a step belongs to; says its learning rate and nothing else here
_CLIP = 1.0  # as nanoGPT's train.py
SHAPES = ("4x64x4x256x1024x4", "4x128x4x128x1024x32", "6x384x6x256x4096x16")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Shape:
    """What a step computes.

    Args:
        depth: blocks. width: of the stream. heads: of a block. context_tokens: of a window.
        vocabulary: number of tokens. windows: in a batch.
    """

    depth: int
    width: int
    heads: int
    context_tokens: int
    vocabulary: int
    windows: int

    @classmethod
    def of(cls, text: str) -> "Shape":
        """As it is typed: DEPTHxWIDTHxHEADSxCONTEXTxVOCABULARYxWINDOWS.

        >>> Shape.of("4x64x4x256x1024x4").tokens_per_step
        1024
        """
        parts = text.split("x")
        if len(parts) != 6 or not all(part.isascii() and part.isdigit() and 0 < int(part) < 10**6 for part in parts):
            allowed = "DEPTHxWIDTHxHEADSxCONTEXTxVOCABULARYxWINDOWS is needed, such as 4x64x4x256x1024x4"
            raise SpecError("--shapes", f"found {text!r}", allowed)
        return cls(*map(int, parts))

    @property
    def tokens_per_step(self) -> int:
        """Of whole windows."""
        return self.context_tokens * self.windows

    def tokens(self) -> torch.Tensor:
        """Random windows, [windows, context + 1]."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(self.vocabulary, (self.windows, self.context_tokens + 1), generator=generator)


@dataclass
class Timed:
    """One way to take the step.

    Args:
        name: for people.
        tokens_per_second: the median of its turns.
        ratios: over each of the others, the median of ratios within a turn.
        first_seconds: of its first step, which compiles.
    """

    name: str
    tokens_per_second: float
    ratios: dict[str, float]
    first_seconds: float


def bench(shape: Shape, *, threads: int, turns: int, nanogpt: Path | None, say: Say) -> list[Timed]:
    """Every way to take a step of that shape on this CPU, in turns.

    Args:
        shape: of the step.
        threads: of all of them.
        turns: of at least a second each.
        nanogpt: the folder of a copy of nanoGPT; None: without it.
        say: called with a sentence for each thing that is made.
    """
    if turns < _FEWEST_TURNS:
        raise SpecError("--turns", f"found {turns}", f"{_FEWEST_TURNS} or more have a median")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps: dict[str, Callable[[], None]] = {}
        first: dict[str, float] = {}
        for name, step in _ways(shape, threads, nanogpt):
            say(f"making {name}")
            start = time.perf_counter()
            step()
            first[name] = time.perf_counter() - start
            step()
            steps[name] = step
        rounds = []
        for turn in range(turns):
            say(f"turn {turn + 1} of {turns}")
            rounds.append({name: _rate(step, shape.tokens_per_step) for name, step in steps.items()})
    finally:
        torch.set_num_threads(before)
        torch._dynamo.reset()
    return [
        Timed(
            name=name,
            tokens_per_second=statistics.median(row[name] for row in rounds),
            ratios={other: statistics.median(row[name] / row[other] for row in rounds) for other in steps},
            first_seconds=first[name],
        )
        for name in steps
    ]


def _rate(step: Callable[[], None], tokens: int) -> float:
    start, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - start < _SECONDS_PER_TURN:
        step()
        count += 1
    return count * tokens / (time.perf_counter() - start)


def _ways(shape: Shape, threads: int, nanogpt: Path | None) -> Iterator[tuple[str, Callable[[], None]]]:
    precisions = ("fp32", "bf16") if may_gain_from_bf16("cpu") else ("fp32",)
    compiles = has_compiler()
    if nanogpt is not None:
        yield "nanoGPT as shipped (fp32, eager)", _nanogpt_step(nanogpt, shape, "fp32", compiled=False)
        if compiles:
            name = f"nanoGPT, {precisions[-1]}, compiled"
            yield name, _nanogpt_step(nanogpt, shape, precisions[-1], compiled=True)
    for compiled in (False, True)[: 1 + compiles]:
        for precision in precisions:
            for fused in (False, True):
                settings = Settings(
                    device="cpu", precision=precision, compiled=compiled, threads=threads, fused_attention=fused
                )
                name = reading_of(settings).rpartition(", ")[0]
                yield f"vslm, {name}, {'compiled' if compiled else 'eager'}", own_step(shape, settings)


def own_step(shape: Shape, settings: Settings) -> Callable[[], None]:
    """The step of a run with the defaults of an experiment, on one random batch."""
    experiment = Experiment(
        model=uniform(depth=shape.depth, width=shape.width, heads=shape.heads, context_tokens=shape.context_tokens),
        data=StandardLibrary(vocabulary=shape.vocabulary),
        budget=Budget(tokens=_BUDGET),
        batch_tokens=shape.tokens_per_step,
    )
    job = Job(
        arm="bench",
        experiment=experiment,
        stages_tokens=(_BUDGET,),
        init_seed=0,
        data_seed=0,
        settings=settings,
        corpus="none",
    )
    model = build_model(job, shape.vocabulary)
    loss = build_loss(model, settings)
    tokens_BT1 = shape.tokens()
    batch = Batch(tokens_BT=tokens_BT1[:, :-1].contiguous(), targets_BT=tokens_BT1[:, 1:].contiguous())
    assert experiment.optimizer is not None  # filled in when the experiment was made
    training = Training(
        Objects(
            model=model,
            token_loss=loss,
            is_compiled=settings.compiled,
            objective=build_objective(model, job, loss),
            optimizer=experiment.optimizer.build(model),
            rate_factor=lambda step: 0.1,
            batch=lambda step: batch,
            num_steps=10**9,
            clip_norm=experiment.optimizer.clip_norm,
        )
    )
    return training.train_step


def _nanogpt_step(folder: Path, shape: Shape, precision: Any, *, compiled: bool) -> Callable[[], None]:
    """nanoGPT's model, its AdamW and what its training script does in a step, with its defaults."""
    module = _module(folder / "model.py")
    config = module.GPTConfig(
        block_size=shape.context_tokens,
        vocab_size=shape.vocabulary,
        n_layer=shape.depth,
        n_head=shape.heads,
        n_embd=shape.width,
        dropout=0.0,
        bias=False,
    )
    with contextlib.redirect_stdout(None):  # it prints its size
        model = module.GPT(config)
        optimizer = model.configure_optimizers(0.1, 6e-4, (0.9, 0.95), "cpu")
    forward = torch.compile(model) if compiled else model
    tokens_BT1 = shape.tokens()
    tokens_BT, targets_BT = tokens_BT1[:, :-1].contiguous(), tokens_BT1[:, 1:].contiguous()

    def step() -> None:
        with autocast(precision, "cpu"):
            _, loss = forward(tokens_BT, targets_BT)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _module(path: Path) -> Any:
    if not path.is_file():
        raise SpecError("--against", f"no {path}", "nanogpt=FOLDER is needed, a copy of nanoGPT with its model.py")
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module
