"""A finished run as something that writes."""

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from vslm.core.errors import DataError, ResultError, SpecError
from vslm.core.types import describe
from vslm.data.tokenizers import FittedTokenizer
from vslm.lab.checks import finished
from vslm.models.generation import generate
from vslm.models.language_model import LanguageModel
from vslm.results.naming import Named, named, study_around
from vslm.runs.adapted import put_on
from vslm.runs.stored_run import StoredRun

_MOST_TOKENS = 1_000_000  # days of writing


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How tokens are drawn.

    Args:
        tokens: how many to write.
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k: only the k likeliest tokens can be drawn; None: all.
        seed: of the draws.

    Raises: SpecError, at the option's name on the command line.
    """

    tokens: int
    temperature: float
    top_k: int | None
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= _MOST_TOKENS:
            raise SpecError("--tokens", f"found {describe(self.tokens)}", f"1 to {_MOST_TOKENS:,} can be written")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise SpecError("--temperature", f"found {self.temperature}", "0 or more is needed")
        if self.top_k is not None and self.top_k < 1:
            raise SpecError("--top-k", f"found {describe(self.top_k)}", "1 or more is needed")
        if not 0 <= self.seed < 2**63:
            raise SpecError("--seed", f"found {describe(self.seed)}", "a whole number from 0 on, of at most 63 bits")


@dataclass(frozen=True)
class Writer:
    """A trained model with its tokenizer, on the CPU."""

    model: LanguageModel
    tokenizer: FittedTokenizer
    draws: Draws
    run: StoredRun

    def cut_words(self, prompt: str) -> str:
        """What of a prompt the model does not see, in words; empty where it sees all of it.

        Raises: DataError for a prompt that the tokenizer cannot encode.
        """
        num_tokens, context = len(self.tokenizer.encode(prompt)), self.model.context_tokens
        if num_tokens <= context:
            return ""
        return f"the prompt has {num_tokens:,} tokens, and the model sees the last {context:,}, its context"

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the prompt and what follows, in pieces that never break inside a character.

        Raises: DataError, before anything is yielded, for a prompt that the tokenizer cannot encode.
        """
        ids = self.tokenizer.encode(prompt).tolist() if prompt else []
        yield prompt
        decoder = self.tokenizer.streaming_decoder()
        tokens = generate(
            self.model,
            torch.tensor(ids or [self.tokenizer.end_of_text or 0]),
            num_tokens=self.draws.tokens,
            temperature=self.draws.temperature,
            top_k=self.draws.top_k,
            generator=torch.Generator().manual_seed(self.draws.seed),
        )
        for token in tokens:
            if piece := decoder.push(token):
                yield piece
        yield decoder.finish()


class Writes(Protocol):
    """What goes on from a prompt: a `Writer`, or one with a store."""

    def cut_words(self, prompt: str) -> str: ...
    def stream(self, prompt: str) -> Iterator[str]: ...


def converse(writer: Writes) -> None:
    """Read prompts, one a line, and write what follows, until an empty line or the end of the input.

    An interruption ends what is being written and the conversation. What the tokenizer does not know is said, and the
    next prompt is asked for.
    """
    try:
        while line := input("> "):
            try:
                if words := writer.cut_words(line):
                    print(f"vslm: {words}", file=sys.stderr)
                for piece in writer.stream(line):
                    print(piece, end="", flush=True)
                print()
            except DataError as error:
                print(f"vslm: {error.within('the prompt')}", file=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        print()


def _first_finished(named: Named) -> Path:
    """The first run of an arm, or of the baseline, that ended well."""
    arm, study, torn = named.arms[0], named.folder, None
    for run in named.runs(arm):
        try:
            if run.done and run.done.ended_well:
                return run.path
        except ResultError as error:  # another seed may be whole
            torn = torn or error
    raise torn or ResultError(str(study.path), f"no finished run of {arm!r}", "", "the command that began it goes on")


def open_run(folder: Path, draws: Draws, *, adapters: Iterable[Path] = (), trust: bool = False) -> Writer:
    """The model of a run's folder, or of the first finished seed of an arm's folder, or of a study's baseline.

    Args:
        folder: of the run, the arm or the study.
        draws: how it writes.
        adapters: folders of runs that trained an adapter beside the same weights; together they add up.
        trust: whether code in the folder is run even if this user did not run it before.
    Raises: ResultError if there is no finished run, or only code that may not be run can read it; as `put_on`.
    """
    around = study_around(folder)
    if around is not None and not (folder / "experiment.json").is_file():
        folder = _first_finished(named(folder))
    finished(folder)
    run = StoredRun(folder, trust=trust)
    model = run.model()
    for adapter in adapters:
        finished(adapter)
    put_on(model, run, adapters, trust=trust)
    return Writer(model, run.tokenizer, draws, run)
