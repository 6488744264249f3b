"""Valid studies with something odd in them, each made anew from a seed and its number."""

import dataclasses
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vslm import (
    AdamW,
    AssociativeRecall,
    Averaging,
    BeyondContext,
    Budget,
    ContextCurve,
    EarlyDays,
    Experiment,
    LossByPosition,
    PositionProfile,
    Primary,
    Study,
    Text,
    TokenView,
    learned_root,
    looped,
    mixed_root,
    two_streams,
    uniform,
    vary,
)
from vslm.core.errors import SpecError
from vslm.core.specs import Spec, field_types
from vslm.lab.options import Options
from vslm.models.language_model import Model
from vslm.models.layouts.plain import gpt2
from vslm.study.catalog import KINDS

NUMBERS = (
    *(0, 1, -1, 2, 3, 5, 7, 17, 255, 1000, 1024, 1025, 65_536, 10**6, 2**20, 2**31 - 1, 2**31, 2**62, 2**63, 10**400),
    *(-(10**30), 0.5, 0.1, 1.5, -0.5, 1e-6, 1e-30, 5e-324, -0.0, 1e3, 1e6, 1e7, 1e39, 1e200, 1.7e308),
    *(float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    "",
    "auto",
    "3-5",
    "0-9999",
    "val_bpb",
    "val_loss",
    "full",
    "other",
    "0",
    "\0",
    "\ud800",
    "x" * 300,
    "corpus.txt",
)
ODD: tuple[Any, ...] = (None, True, False, (), [], {}, b"x", {1}, 1j, Budget, range(3), object(), float)
MEASURES = (TokenView(), ContextCurve(), EarlyDays(), PositionProfile(), BeyondContext())


def write_corpus(place: Path) -> None:
    """The text that the studies name, 60,000 characters of made-up words."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(1, 7))) for _ in range(300)]
    documents = (" ".join(draw.choices(words, k=60)) for _ in range(240))
    (place / "corpus.txt").write_text("\n<|endoftext|>\n".join(documents), encoding="utf-8")


def valid_studies() -> list[Study]:
    """Studies that plan: layouts, loops, roots, made-up data, every measure."""
    plain = uniform(depth=2, width=16, heads=2, context_tokens=17)
    models: list[Model] = [
        plain,
        gpt2(depth=2, width=16, heads=2, context_tokens=17),
        looped(uniform(depth=3, width=16, heads=2, context_tokens=17), times=3),
        learned_root(plain),
        mixed_root(plain),
        two_streams(plain),
    ]
    text = Text("corpus.txt", vocabulary=270)
    full = Experiment(
        model=plain, data=text, budget=Budget(tokens=17 * 7 * 11), batch_tokens=17 * 7, measures=(LossByPosition(),)
    )
    experiments = [dataclasses.replace(full, model=model) for model in models]
    experiments.append(dataclasses.replace(full, averaging=Averaging()))
    experiments += [dataclasses.replace(full, measures=(LossByPosition(), measure)) for measure in MEASURES]
    recall = AssociativeRecall(num_pairs=3, document_tokens=34, num_letters=5, num_documents=200)
    experiments.append(
        dataclasses.replace(full, model=uniform(depth=1, width=8, heads=2, context_tokens=34), data=recall)
    )
    return [
        Study(
            question="Which?",
            baseline="full",
            arms={"full": one, "other": vary(one, {"optimizer.learning_rate": 0.003})},
            primary=Primary("val_loss"),
            pilot=None,
        )
        for one in experiments
    ]


def mutant(studies: list[Study], seed: int, number: int) -> tuple[str, Any, Options]:
    """What was done, and the study, made by a function that may refuse it.

    Returns: words; a function without arguments that makes the study; options of the command line.
    """
    draw = random.Random(f"{seed}:{number}")
    study = draw.choice(studies)
    changes = [_change(draw, study) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
    options = {name: draw.choice(NUMBERS + TEXTS) for name in _option_names(draw)}
    words = "; ".join(f"{path} = {short(value)}" for path, value in changes) + (f"; {options}" if options else "")

    def make() -> Study:
        found = study
        for path, value in changes:
            found = _with(found, path, value)
        return found

    return words, make, Options(**_typed(options))  # type: ignore[arg-type]


def _option_names(draw: random.Random) -> list[str]:
    if draw.random() < 0.9:
        return []
    return draw.sample(["seeds", "tokens", "minutes", "workers"], k=draw.choice((1, 2)))


def _typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """As the command line makes them: whole numbers, and a number of minutes; what it cannot read it refuses."""
    typed: dict[str, Any] = {}
    for name, value in options.items():
        if name == "seeds" and isinstance(value, str):
            typed[name] = value
        elif name == "minutes" and isinstance(value, int | float) and abs(value) < 1e300:
            typed[name] = float(value)
        elif name != "seeds" and isinstance(value, int):
            typed[name] = value
    return typed


def _with(study: Study, path: str, value: Any) -> Study:
    if path.startswith("study."):
        return dataclasses.replace(study, **{path.removeprefix("study."): value})
    arms = {**study.arms, "other": vary(study.arms["other"], {path: value})}
    return dataclasses.replace(study, arms=arms)


def _change(draw: random.Random, study: Study) -> tuple[str, Any]:
    """A path and what is put there: a number at most places, a part of a study at others, an odd thing at some."""
    if draw.random() < 0.12:
        name = draw.choice([field.name for field in dataclasses.fields(Study)])
        return f"study.{name}", _value(draw, getattr(study, name), study)
    places = dict(places_of(study.arms["other"]))
    path = draw.choice(sorted(places))
    return path, _value(draw, places[path], study)


def _value(draw: random.Random, old: Any, study: Study) -> Any:
    kind = draw.random()
    if draw.random() < 0.6 and (found := _fitting(draw, old)) is not None:  # so that some get past the first door
        return found
    if isinstance(old, tuple) and kind < 0.3:  # doubled, turned, shortened, lengthened a lot
        return draw.choice((old * 2, old[::-1], old[1:], old[:1] * 2000, (*old, draw.choice(NUMBERS)), (old,)))
    if isinstance(old, Mapping) and kind < 0.3:
        return draw.choice(({}, {**old, "new": next(iter(old.values()), None)}, {str(i): 1 for i in range(3)}))
    if kind < 0.5:
        return draw.choice(NUMBERS)
    if kind < 0.75:
        return draw.choice([part for _, part in places_of(draw.choice([*study.arms.values()]))])
    if kind < 0.85:
        return _made(draw)
    return draw.choice(draw.choice((TEXTS, ODD)))


def _fitting(draw: random.Random, old: Any) -> Any:
    """A number near the one that is there, or a spec that may stand where this one stands; None where there is none."""
    if isinstance(old, int | float):
        near = (old + 1, old * 2, old * 3, old * 10, old * 100, old / 2, old - 1, not old)
        number = draw.choice(near)
        return type(old)(number) if draw.random() < 0.8 else number
    if not isinstance(old, Spec):
        return None
    alike = [cls for cls in KINDS.values() if set(_bases(cls)) & set(_bases(type(old)))]
    return _made(draw, draw.choice(alike)) if alike else None


def _bases(cls: type) -> tuple[type, ...]:
    return tuple(base for base in cls.__mro__ if base not in (Spec, object) and base is not cls)


def _made(draw: random.Random, cls: type | None = None) -> Any:
    """A spec of any kind, with numbers that it may take; a text where it takes none."""
    cls = cls or draw.choice([*KINDS.values()])
    hints = field_types(cls)
    try:
        return cls(**{name: draw.choice((1, 2, 3, 0.5, 8)) for name in hints if draw.random() < 0.5})
    except (SpecError, TypeError):  # of Python, where nothing was given and something is needed
        return AdamW(learning_rate=draw.choice((1e-3, 1.0, 1e5)))


def places_of(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted path of a spec, with what stands there."""
    if isinstance(node, Spec):
        parts = {name: getattr(node, name) for name in field_types(type(node))}
    elif isinstance(node, Mapping):
        parts = dict(node)
    elif isinstance(node, tuple):
        parts = {str(place): part for place, part in enumerate(node)}
    else:
        return
    for name, part in parts.items():
        yield f"{path}{name}", part
        yield from places_of(part, f"{path}{name}.")


def short(value: Any) -> str:
    """For a line of a list."""
    try:
        text = repr(value)
    except ValueError:
        text = "a number of more digits than are written"
    return text if len(text) <= 70 else f"{text[:67]}..."
