"""TensorBoard's event files, one folder per run: `tensorboard --logdir DIR` shows them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError
from vslm.trackers.feed import Feed


@dataclass(frozen=True)
class OpenedFolder:
    """A run's folder of event files."""

    writer: Any

    def log(self, step: int, numbers: dict[str, float]) -> None:
        """Take the numbers of a step, whole: event files hold single precision unless asked otherwise, in new style."""
        for name, value in numbers.items():
            self.writer.add_scalar(name.replace(".", "/"), value, step, new_style=True, double_precision=True)
        self.writer.flush()

    def end(self, step: int, numbers: dict[str, float]) -> None:
        """As any other step: event files have no place for a run as a whole."""
        self.log(step, numbers)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class TensorBoard:
    """A folder of event files.

    Args:
        project: not used: TensorBoard has folders only.
        out: the folder.
        writer_class: SummaryWriter, or a class with its interface; None: PyTorch's, which needs tensorboard.
    Raises: SpecError that names the command which installs it.
    """

    def __init__(self, project: str, out: Path, writer_class: Any = None) -> None:
        self.out = out
        self.writer_class = writer_class or _summary_writer()

    @property
    def place(self) -> str:
        """See `Tracker`."""
        return f"tensorboard:{self.out.resolve()}"

    def open(self, feed: Feed, config: dict[str, Any]) -> OpenedFolder:
        """One more event file in the run's folder, the first with its declaration."""
        folder = self.out / feed.name
        is_new = not folder.is_dir()
        writer = self.writer_class(log_dir=str(folder))
        if is_new:
            declared = json.dumps(config, indent=1, ensure_ascii=False)
            writer.add_text("config", "\n".join(f"    {line}" for line in declared.splitlines()))  # Markdown's verbatim
        return OpenedFolder(writer)


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "tensorboard":
            raise
        do = "pip install 'vslm[tensorboard]'"
        raise SpecError("--to tensorboard", "tensorboard is not installed", "", do) from None
    return SummaryWriter
