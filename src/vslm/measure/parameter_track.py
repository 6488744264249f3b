"""Parameters by name through training: what a learned number became, and when."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Some
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.names import matching
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ParameterTrack(Measure):
    """The values of some parameters at log-spaced steps.

        ParameterTrack(names=("blocks.*.attention.normalizer.exponent",))

    Cost: none; what is stored is `num_evaluations` times the numbers tracked.

    Args:
        names: of parameters, as the weights file has them; `*` stands for anything within one part. A shared parameter
            has one name. Each must match at least one.
        num_evaluations: how many steps are looked at, log-spaced, the first (step 0) and the last among them.
        most_numbers: of one parameter; a larger one is refused, because a weight matrix belongs into the weights file.
    Arrays, N numbers of the parameter in its own order: one per parameter, `NAME_N`, so that it is recorded as
        `parameters.NAME_SN`.
    Raises: SpecError, when built, for a name that matches nothing, with the nearest, or one that is too large.
    """

    recorded_as: ClassVar[str] = "parameters"
    names: tuple[str, ...]
    num_evaluations: Some = 24
    most_numbers: Some = 1024

    def check(self) -> None:
        """Refuse no name at all, and counts that leave nothing."""
        if not self.names:
            raise SpecError("names", "no name is given", "one or more is needed")
        if self.num_evaluations < 2:
            raise SpecError("num_evaluations", f"found {self.num_evaluations}", "2 or more are needed")
        if self.most_numbers < 1:
            raise SpecError("most_numbers", f"found {self.most_numbers}", "1 or more is needed")

    def steps(self, num_steps: int) -> list[int]:
        """Log-spaced, with both ends."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        parameters = dict(model.named_parameters())
        found = matching(self.names, parameters, where="ParameterTrack.names")
        for name in found:
            if parameters[name].numel() > self.most_numbers:
                raise SpecError(
                    "ParameterTrack.names",
                    f"{name} has {parameters[name].numel():,} numbers",
                    f"at most most_numbers={self.most_numbers:,}",
                    "name a smaller one, or raise most_numbers",
                )
        return ParameterTrackEvaluator(found)


class ParameterTrackEvaluator(Evaluator):
    """See `ParameterTrack`."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """The values, flat, in fp32."""
        parameters = dict(model.named_parameters())
        return {f"{name}_N": parameters[name].detach().float().cpu().numpy().flatten() for name in self.names}
