"""wandb, and trackio, which has the same interface: `init`, `log` and `finish`; wandb's runs have a `summary`, too.

Nothing here prompts, and nothing needs the network: without WANDB_API_KEY or WANDB_MODE, wandb writes to its folder
alone (`wandb sync` sends that later). trackio keeps its own file on this machine.
"""

import hashlib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError
from vslm.trackers.feed import Feed


def imported(package: str) -> Any:
    """The tracker's package.

    Raises: SpecError that names the command which installs it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        do = f"pip install 'vslm[{package}]'"
        raise SpecError(f"--to {package}", f"{package} is not installed", "", do) from None


@dataclass(frozen=True)
class OpenedRun:
    """A run of wandb or trackio."""

    run: Any

    def log(self, step: int, numbers: dict[str, float]) -> None:
        """Take the numbers of a step."""
        self.run.log(dict(numbers), step=step)

    def end(self, step: int, numbers: dict[str, float]) -> None:
        """Put the final numbers where they hold for the whole run, if there is such a place.

        wandb drops what is logged at a step that an earlier session has closed, and a run that ended after it was last
        sent has no later step.
        """
        summary = getattr(self.run, "summary", None)
        if summary is None:
            self.log(step, numbers)
        else:
            summary.update(dict(numbers))

    def close(self) -> None:
        """Write what is left."""
        self.run.finish()


@dataclass(frozen=True)
class WandbLike:
    """A project of wandb or trackio.

    Args:
        module: the package, or one with its interface.
        package: its name.
        project: a run is sent there under the name of its study, arm and seed.
    """

    module: Any
    package: str
    project: str

    @property
    def place(self) -> str:
        """See `Tracker`."""
        return f"{self.package}:{self.project}"

    def open(self, feed: Feed, config: dict[str, Any]) -> OpenedRun:
        """Begin the run, or go on with the one of that name."""
        more = _wandb_only(self.project, feed) if self.package == "wandb" else {}
        run = self.module.init(project=self.project, name=feed.name, config=config, resume="allow", **more)
        return OpenedRun(run)


def _wandb_only(project: str, feed: Feed) -> dict[str, Any]:
    """wandb knows a run by an id, shows groups, and is kept from asking who one is."""
    digest = hashlib.sha256(f"{project}/{feed.name}/{feed.run.path.resolve()}".encode()).hexdigest()[:16]
    is_settled = bool(os.environ.get("WANDB_MODE") or os.environ.get("WANDB_API_KEY"))
    return {"id": digest, "group": feed.group, **({} if is_settled else {"mode": "offline"})}


def wandb_tracker(project: str, out: Path) -> WandbLike:
    """wandb. It has a folder of its own (WANDB_DIR), so `out` is not used."""
    return WandbLike(imported("wandb"), "wandb", project)


def trackio_tracker(project: str, out: Path) -> WandbLike:
    """trackio. It has a folder of its own (TRACKIO_DIR), so `out` is not used."""
    return WandbLike(imported("trackio"), "trackio", project)
