"""A model as a table: one row per visit, computed from the spec without building anything."""

from dataclasses import dataclass, replace

from vslm.models.language_model import Model


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


def block_table(model: Model) -> tuple[BlockRow, ...]:
    """One row per visit. Parameters add up to the model's without root, final norm and readout."""
    rows, counted = [], set()
    for place, visit in enumerate(model.visits()):
        sizes = visit.element.sizes(visit.around.width)
        window = sizes["window_tokens"] or model.context_tokens if "window_tokens" in sizes else None
        name = visit.where.removeprefix("blocks.")
        rows.append(
            BlockRow(
                visits=(place, place),
                element=type(visit.element).__name__,
                weights=(name, name),
                width=visit.element.width_out(visit.around.width),
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
