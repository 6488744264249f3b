"""Another arm of the same study, where a finished run is needed: to start from, or to learn from."""

from dataclasses import dataclass

from vslm.core.errors import SpecError
from vslm.core.specs import Spec


@dataclass(frozen=True)
class Arm(Spec):
    """The run of another arm, or of a trunk, of the same study: seed k of this arm reads seed k of that one.

        Experiment(start_from=Arm("knows"), ...)                   its training begins with the last weights there
        Experiment(objective=Distillation(teacher=Arm("fresh")))   it learns what that run predicts

    That run is trained first, always to its whole budget, and its weights are held to their checksum when this one
    starts. What is read of it are the weights alone: the learning rate goes through its whole schedule again, and the
    optimizer begins with nothing.

    Not for: runs of another study. Their folder is named: "runs/X/ARM" for its seed k, "runs/X/ARM/seed0" for that one
    run whatever the seed.

    Args:
        name: of the arm, or of the trunk.
    """

    name: str

    def check(self) -> None:
        """Refuse a name that is none."""
        if not self.name:
            raise SpecError("name", "an empty name", "the name of another arm, or of a trunk, is needed")

    def __str__(self) -> str:
        """For messages."""
        return f"arm {self.name!r}"
