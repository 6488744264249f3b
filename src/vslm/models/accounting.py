"""What a model has and costs: parameters, useful and executed FLOPs, and the table of its blocks.

Parameters are those that building makes (`without_storage.py`), FLOPs what elements say of their visits. All of it is
read from the path as it was followed, and nothing of a model's size is allocated.
"""

import functools
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.parts.kernels import ON_A_CPU, Where, executed_mixing_flops_per_token
from vslm.models.parts.readouts import Readout, readout_shapes
from vslm.models.parts.roots import Root, root_shapes
from vslm.models.path.repeats import Repeat
from vslm.models.path.stack import Followed, Visit, seen_from_the_model
from vslm.models.without_storage import Shapes, shapes_of

TRAINING_PER_FORWARD = 3  # the backward pass computes two products for every one of the forward pass


class Counted(Spec):
    """Interface: a root, a path that was followed, and a readout, which can be counted."""

    root: Root
    readout: Readout
    context_tokens: int

    @abstractmethod
    def follow(self, times: tuple[int, ...] | None = None) -> Followed:
        """The path, followed and checked; `times` replaces the number of loops of each repeated part, in order."""

    @property
    @abstractmethod
    def repeats(self) -> tuple[Repeat, ...]:
        """The repeated parts of the path, in order."""

    @functools.cached_property
    def followed(self) -> Followed:
        """A whole pass: loops as often as is declared."""
        return self.follow()

    @functools.cached_property
    def longest(self) -> Followed:
        """The longest pass, of any step of training or of a whole pass. It visits every element."""
        if not any(repeat.training for repeat in self.repeats):
            return self.followed
        return self.follow(tuple(max(repeat.times, *repeat.probabilities()) for repeat in self.repeats))

    def kernels(self, where: Where = ON_A_CPU) -> dict[str, str]:
        """The attention kernel of every element that has one, there.

        Named by the block (`core`), or by its place for an element of the path (`path.3`).
        """
        chosen = {}
        for visit in self.followed.visits:
            kernel = visit.element.kernel(context_tokens=self.context_tokens, where=where)
            if kernel is not None:
                chosen[visit.where.removeprefix("blocks.")] = kernel
        return chosen

    def shapes(self, vocabulary: int) -> dict[str, Shapes]:
        """The parameters of the three parts that are no element: `root`, `readout.norm` and `readout`."""
        last_width = self.followed.last_width
        if vocabulary < 1:
            raise SpecError("vocabulary", f"found {vocabulary}", "1 or more is needed")
        widths = {"width": last_width, "memory_width": self.root.memory_width}
        with seen_from_the_model("root"):
            root = root_shapes(self.root, vocabulary=vocabulary, context_tokens=self.context_tokens)
        with seen_from_the_model("readout"):
            norm = shapes_of(self.readout.norm, width=last_width)
            readout = readout_shapes(self.readout, **widths, vocabulary=vocabulary)
        return {"root": root, "readout.norm": norm, "readout": readout}

    def num_parameters(self, vocabulary: int) -> int:
        """All parameters; a shared one counts once."""
        ends = sum(shapes.num_parameters for shapes in self.shapes(vocabulary).values())
        once = {visit.where: visit for visit in self.followed.visits}
        return ends + sum(visit.num_parameters() for visit in once.values())

    def num_parameters_without_embeddings(self, vocabulary: int) -> int:
        """All but the tables of root and readout with one row per token or position: what they name as their
        `lookup_tables`.
        """
        tables = sum(shapes.num_table_parameters for shapes in self.shapes(vocabulary).values())
        return self.num_parameters(vocabulary) - tables

    def flops_per_token(self, vocabulary: int) -> float:
        """Useful FLOPs of training, per token, at full context.

        3 * (sum over visits of (2 * weights + 4 * attention width * mean visible keys) + 2 * weights of the readout),
        the embedding counting as the readout's where that is tied; and 2 per weight of a root that is not looked up

        An exit is one more readout. Loops count as often as they are passed on average where their number is drawn, and
        once instead of three times where no gradient goes back through them.
        """
        self.shapes(vocabulary)  # refuses what cannot be built
        readout = self.readout.forward_flops_per_token(
            width=self.longest.last_width, memory_width=self.root.memory_width, vocabulary=vocabulary
        )
        visits = self.longest.visits
        ends = self.root.forward_flops_per_token() + readout
        exits = sum(visit.element.num_exits() * self.in_training(visit, readout, readout) for visit in visits)
        return TRAINING_PER_FORWARD * ends + exits + sum(self.training_flops_per_token(visit) for visit in visits)

    def training_flops_per_token(self, visit: Visit) -> float:
        """Useful FLOPs of training of one visit, per token, without its exits."""
        forward = visit.forward_flops_per_token()
        return self.in_training(visit, forward, forward)

    def executed_flops_per_token(self, vocabulary: int, kernels: Mapping[str, str] | None = None) -> float:
        """FLOPs of training that are really computed, per token, at full context: the masked scores of kernels, too.

        Args:
            vocabulary: number of tokens.
            kernels: attention kernel by block, as `kernels(where)` gives; None: those of a CPU.
        """
        executed, chosen = self.flops_per_token(vocabulary), kernels or self.kernels()
        for visit in self.longest.visits:
            for mixing in visit.element.mixings():
                useful = mixing.useful_flops_per_token(self.context_tokens)
                flops = executed_mixing_flops_per_token(
                    chosen[visit.where.removeprefix("blocks.")],
                    attention_width=mixing.attention_width,
                    context_tokens=self.context_tokens,
                    window_tokens=mixing.window_tokens,
                )
                executed += self.in_training(visit, flops.forward - useful, flops.backward / 2 - useful)
        return executed

    def weight_gradient_flops_per_token(self, vocabulary: int) -> float:
        """What of the useful FLOPs of training goes into gradients of weights: one of the three products of each. Where
        the weights are frozen it is not computed.
        """
        readout = self.readout.forward_flops_per_token(
            width=self.longest.last_width, memory_width=self.root.memory_width, vocabulary=vocabulary
        )
        found = self.root.forward_flops_per_token() + readout
        for visit in self.longest.visits:
            mixed = sum(mixing.useful_flops_per_token(self.context_tokens) for mixing in visit.element.mixings())
            products = visit.forward_flops_per_token() - mixed + visit.element.num_exits() * readout
            found += self.in_training(visit, 0.0, products) / (TRAINING_PER_FORWARD - 1)
        return found

    def in_training(self, visit: Visit, forward: float, per_product: float) -> float:
        """What a visit costs on average: loops as often as they are drawn, and backwards only where gradients go.

        Args:
            visit: of the path.
            forward: FLOPs forward.
            per_product: FLOPs backward, by half: the backward pass computes two products for every one of the forward.
        """
        number, loop = visit.step.repeat, visit.step.loop
        mean_forward, mean_backward = (1.0, 1.0) if number is None else self.repeats[number].mean_visits(loop)
        return mean_forward * forward + (TRAINING_PER_FORWARD - 1) * mean_backward * per_product


@dataclass(frozen=True)
class BlockRow:
    """One visit of a path, or several in a row that are alike.

    Args:
        visits: first and last place in the path, from 0; the same twice for one visit.
        element: the name of its class.
        weights: names of the bank that it uses, first and last; a place of the path (`path.3`) for a nameless one.
        width: of the stream afterwards.
        heads: of its attention; None: it has none.
        hidden: numbers in the middle of its feedforward; None: it has none.
        window_tokens: of its attention, never more than the context; None: it has none.
        num_parameters: of each; 0 where the weights were counted at an earlier visit.
        flops_per_token: useful FLOPs of training, of each: on average over the loops that training draws, and less
            where no gradient goes back. Loops that only training passes, and readouts of exits, have no row.
    """

    visits: tuple[int, int]
    element: str
    weights: tuple[str, str]
    width: int
    heads: int | None
    hidden: int | None
    window_tokens: int | None
    num_parameters: int
    flops_per_token: float


def block_table(model: Counted) -> tuple[BlockRow, ...]:
    """One row per visit. Parameters add up to the model's without root, final norm and readout."""
    rows, counted = [], set()
    for place, visit in enumerate(model.followed.visits):
        sizes = visit.element.sizes(visit.around.width)
        window = sizes["window_tokens"] or model.context_tokens if "window_tokens" in sizes else None
        name = visit.where.removeprefix("blocks.")
        rows.append(
            BlockRow(
                visits=(place, place),
                element=type(visit.element).__name__,
                weights=(name, name),
                width=visit.width_out,
                heads=sizes.get("heads"),
                hidden=sizes.get("hidden"),
                window_tokens=None if window is None else min(window, model.context_tokens),
                num_parameters=0 if visit.where in counted else visit.num_parameters(),
                flops_per_token=model.training_flops_per_token(visit),
            )
        )
        counted.add(visit.where)
    return tuple(rows)


def folded(rows: tuple[BlockRow, ...]) -> tuple[BlockRow, ...]:
    """The same table, with visits in a row that are alike in all but their weights as one row."""
    found: list[BlockRow] = []
    for row in rows:
        last = found[-1] if found else None
        if last and replace(row, visits=last.visits, weights=last.weights) == last:
            visits, weights = (last.visits[0], row.visits[1]), (last.weights[0], row.weights[1])
            found[-1] = replace(last, visits=visits, weights=weights)
        else:
            found.append(row)
    return tuple(found)
