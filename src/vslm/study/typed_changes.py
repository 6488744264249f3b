"""A study changed from the command line: `--set PATH=VALUE` and `--data TEXTS`."""

import dataclasses
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError, nearest
from vslm.core.paths import parse_change, vary
from vslm.data.sources import Text
from vslm.study.study import Study
from vslm.study.study_file import kinds_with


def changed_as_typed(study: Study, set_: tuple[str, ...], data: tuple[str, ...], path: Path | None) -> Study:
    """The study with the changes of the command line."""
    arms: dict[str, Any] = dict(study.arms)
    if data:
        for arm, experiment in arms.items():
            source = Text(
                data[0] if len(data) == 1 else data, tokenizer=experiment.data.tokenizer, splits=experiment.data.splits
            )
            arms[arm] = dataclasses.replace(experiment, data=source)
    for text in set_:
        where, value = parse_change(text, kinds_with(path))
        if where.startswith("arms."):
            arms = _vary_arm(arms, where.removeprefix("arms."), value)
        else:
            try:
                arms = {arm: vary(experiment, {where: value}) for arm, experiment in arms.items()}
            except SpecError as error:
                raise error.within("--set") from None
    try:
        return dataclasses.replace(study, arms=arms) if set_ or data else study
    except SpecError as error:
        raise _as_typed(error, set_) from None


def _as_typed(error: SpecError, changes: tuple[str, ...]) -> SpecError:
    """A problem of a changed study, at the change that it most likely comes from: the one that goes nearest to it."""

    def shared(change: str) -> int:
        typed, found = (
            re.sub(r"^arms\.[^.]+\.", "", text).split(".") for text in (change.partition("=")[0], error.where)
        )
        alike = (one in ("*", other) for one, other in zip(typed, found, strict=False))
        return sum(1 for _ in itertools.takewhile(bool, alike))

    nearest_one = max(changes, key=shared, default="")
    if not nearest_one or not shared(nearest_one):
        return error
    return SpecError(f"--set {nearest_one}", f"{error.where}: {error.found}", error.allowed, error.do)


def _vary_arm(arms: Mapping[str, Any], where: str, value: Any) -> dict[str, Any]:
    # Names of arms may hold dots themselves, so the longest that fits is meant.
    named = [arm for arm in arms if where.startswith(f"{arm}.")]
    if not named:
        arm = where.partition(".")[0]
        raise SpecError(f"--set arms.{where}", f"no arm {arm!r} with a path behind it", nearest(arm, arms))
    arm = max(named, key=len)
    try:
        return {**arms, arm: vary(arms[arm], {where.removeprefix(f"{arm}."): value})}
    except SpecError as error:
        raise error.within(f"--set arms.{arm}") from None
