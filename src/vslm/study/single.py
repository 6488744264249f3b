"""One model, no question: `vslm train` as a study of one arm."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError, VslmError
from vslm.core.specs import from_plain
from vslm.data.reading.plain import DocumentIs
from vslm.data.sources import Text
from vslm.data.tokenizers import BPE
from vslm.models.elements.blocks import Block
from vslm.models.layouts.plain import uniform
from vslm.results.folder import StudyFolder
from vslm.study.catalog import KINDS
from vslm.study.experiment import Budget, Experiment
from vslm.study.study import Study

ARM = "model"
# Of what is refused: how its path ends, and the options that it may come from, the likeliest first.
_OPTIONS = (
    (("heads", "positions"), ("--heads", "--width")),
    (("width",), ("--width", "--heads")),
    (("context_tokens", "batch_tokens"), ("--context-tokens",)),
    (("vocabulary",), ("--vocabulary",)),
    (("depth",), ("--depth",)),
    *(((name,), (f"--{name}",)) for name in ("field", "document", "separator", "encoding")),
    (("more_tokens",), ("--more-tokens",)),
    (("tokens",), ("--tokens",)),
    (("minutes",), ("--minutes",)),
)
_WORDS = {"smaller context_tokens": "smaller --context-tokens", "model.context_tokens": "--context-tokens"}
_NO_OPTION = "or give head_width"  # what a study could do
_MINUTES = 15.0
_HOW_READ: dict[str, Any] = {"field": "text", "document": "auto", "separator": None, "encoding": None}
_SIZES = {"depth": 4, "width": 128, "heads": 4, "context_tokens": 256, "vocabulary": 2048}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for, None where nothing is: then as it was in the folder, or the default in a new one."""

    tokens: int | None = None
    minutes: float | None = None
    depth: int | None = None
    width: int | None = None
    heads: int | None = None
    context_tokens: int | None = None
    vocabulary: int | None = None
    field: str | None = None
    document: DocumentIs | None = None
    separator: str | None = None
    encoding: str | None = None


@contextmanager
def at_options(wanted: Wanted) -> Iterator[None]:
    """Within it, what is refused is named by the option that was typed, and not by the path of a spec."""
    try:
        yield
    except SpecError as error:
        raise _at_option(error, wanted) from None


def _at_option(error: SpecError, wanted: Wanted) -> SpecError:
    last = error.where.rpartition(".")[2]
    for endings, options in _OPTIONS:
        if last in endings and not error.where.startswith("--"):
            typed = [one for one in options if getattr(wanted, one[2:].replace("-", "_"), None) is not None]
            texts = [error.found, error.allowed, "" if error.do == _NO_OPTION else error.do]
            for old, new in _WORDS.items():
                texts = [text.replace(old, new) for text in texts]
            return SpecError((typed or list(options))[0], *texts)
    return error


def study_of(path: str | tuple[str, ...], out: Path, wanted: Wanted) -> Study:
    """The study of one arm that trains a model of a text.

    Where the folder holds one already, what is not asked for stays as it was, so that a short command goes on with it.

    Raises: SpecError for numbers that do not fit each other.
    """
    if wanted.tokens is not None and wanted.minutes is not None:
        raise SpecError("--tokens", "--minutes is given, too", "one of them says how long the run is")
    before, budget = _before(out), _budget(wanted)
    if before is not None:
        _check_as_before(before, budget, wanted, out)
    sizes = {**_SIZES, **(_sizes_of(before) if before else {})}
    sizes |= {name: value for name in sizes if (value := getattr(wanted, name)) is not None}
    how_read = {name: getattr(before.data, name) for name in _HOW_READ} if before else dict(_HOW_READ)
    how_read |= {name: value for name in how_read if (value := getattr(wanted, name)) is not None}
    data = Text(path, vocabulary=sizes["vocabulary"], **how_read)
    experiment = Experiment(
        model=uniform(
            depth=sizes["depth"],
            width=sizes["width"],
            heads=sizes["heads"],
            context_tokens=sizes["context_tokens"],
        ),
        data=data,
        budget=budget or (before.budget if before else Budget(minutes=_MINUTES)),
    )
    return Study(
        question=f"A model of {data.describe().removeprefix('text of ')}", baseline=ARM, arms={ARM: experiment}, seeds=1
    )


def _check_as_before(before: Experiment, budget: Budget | None, wanted: Wanted, out: Path) -> None:
    """Refuse another model or budget in a folder that has one."""
    do = "leave it out to go on with that one, or choose another place with --out"
    for name, value in _sizes_of(before).items():
        asked = getattr(wanted, name)
        if asked not in (None, value):
            found = f"found {asked:,}, and the model in {out} has {value:,}"
            raise SpecError(f"--{name.replace('_', '-')}", found, "a model that was begun does not change", do)
    if budget is not None and budget != before.budget:
        name = "tokens" if budget.tokens else "minutes"
        begun = f"{before.budget.tokens:,} tokens" if before.budget.tokens else f"{before.budget.minutes:g} minutes"
        found = f"found {getattr(budget, name):,g}" if name == "minutes" else f"found {budget.tokens:,}"
        do = f"give --more-tokens for a longer training once it is finished, or {do}"
        raise SpecError(f"--{name}", f"{found}, and the model in {out} was begun with {begun}", "", do)


def _budget(wanted: Wanted) -> Budget | None:
    if wanted.tokens is not None:
        return Budget(tokens=wanted.tokens)
    return Budget(minutes=wanted.minutes) if wanted.minutes is not None else None


def _sizes_of(experiment: Experiment) -> dict[str, int]:
    model, tokenizer = experiment.model, experiment.data.tokenizer
    block = next(iter(model.blocks.values()))
    assert isinstance(block, Block)
    assert isinstance(tokenizer, BPE)
    return {
        "depth": len(model.path),
        "width": model.root.stream_width,
        "heads": block.attention.heads,
        "context_tokens": model.context_tokens,
        "vocabulary": tokenizer.vocabulary,
    }


def _before(out: Path) -> Experiment | None:
    if not (out / "study.json").is_file():
        return None
    arms = StudyFolder(out).study.arms
    try:
        experiment = from_plain(arms[ARM].experiment, KINDS)
    except (KeyError, VslmError):
        experiment = None
    if not isinstance(experiment, Experiment) or not isinstance(experiment.data, Text) or len(arms) > 1:
        found, do = "this folder holds a study, not a model of `vslm train`", "choose another place with --out"
        raise SpecError(str(out), found, "", do)
    return experiment
