"""An objective with numbers of loops that are drawn at every step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vslm.core.errors import SpecError
from vslm.core.seeds import derive_seed
from vslm.data.batches import Batch
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.declared import Number
from vslm.measure.token_loss import token_loss
from vslm.models.language_model import LanguageModel, Model
from vslm.models.path.repeats import count_at
from vslm.objectives.arm import Arm
from vslm.objectives.exits import Exits
from vslm.objectives.next_token import NextToken
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes

_SEEDS = 2**63  # one more than the largest seed


@dataclass(frozen=True, kw_only=True)
class DrawnLoops(Objective):
    """Another objective, of the model with as many loops as are drawn.

        r ~ `Repeat.training` of each repeated part, anew at every step;  lowered = objective(model with r loops)

    The numbers of a step are a pure function of the data seed and the step, so arms of a seed draw the same ones and a
    run that was interrupted goes on with them. Evaluation passes the declared number.
    Cost: compiled, one graph for every number of loops that is drawn.

    Args:
        objective: what is lowered.
    """

    objective: Objective = NextToken()

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """One function for every number that is drawn, made when it is drawn first."""
        built: dict[tuple[int, ...], Lowers] = {}
        probabilities = [repeat.probabilities() for repeat in passes.spec.repeats]

        def lowers(batch: Batch, step: int) -> Lowered:
            times = drawn(probabilities, passes.data_seed, step)
            if times not in built:
                built[times] = self._of(model.with_loops(*times), passes)
            return built[times](batch, step)

        return lowers

    def _of(self, looped: LanguageModel, passes: Passes) -> Lowers:
        loss = passes.made(lambda tokens_BT, targets_BT: token_loss(looped, tokens_BT, targets_BT), looped)
        return self.objective.build(looped, replace(passes, token_loss=loss))

    def check_fits(self, model: Model) -> None:
        """Nothing is drawn where no part of the path is repeated a drawn number of times."""
        if not any(repeat.training for repeat in model.repeats):
            found = "DrawnLoops for a model without Repeat(training=...)"
            raise SpecError("objective", found, "its loops have one number", "leave it out")
        self.objective.check_fits(model)

    def runs(self) -> tuple[str | Arm, ...]:
        """Those of the objective."""
        return self.objective.runs()

    def numbers(self) -> Mapping[str, Number]:
        """Those of the objective."""
        return self.objective.numbers()

    def sources(self) -> Mapping[str, Source]:
        """Those of the objective."""
        return self.objective.sources()

    def check_corpora(self, corpus: Corpus) -> None:
        """As the other objective does."""
        self.objective.check_corpora(corpus)

    @property
    def reads_start(self) -> bool:
        """Whether the other objective does."""
        return self.objective.reads_start

    def files(self) -> tuple[Path, ...]:
        """Those of the other objective."""
        return self.objective.files()

    def check_files(self) -> None:
        """Those of the other objective."""
        self.objective.check_files()


def drawn(probabilities: Sequence[Mapping[int, float]], data_seed: int, step: int) -> tuple[int, ...]:
    """The number of loops of each repeated part at a step.

    Args:
        probabilities: of each number, by part.
        data_seed: of the run.
        step: from 0.
    """
    units = (derive_seed("loops", data_seed, step, number) / _SEEDS for number in range(len(probabilities)))
    return tuple(count_at(counts, unit) for counts, unit in zip(probabilities, units, strict=True))


def own_objective(model: Model) -> Objective:
    """What a model asks for by itself: its exits are trained and its loops drawn, if it has any."""
    objective = Exits() if model.num_exits else NextToken()
    return DrawnLoops(objective=objective) if any(repeat.training for repeat in model.repeats) else objective
