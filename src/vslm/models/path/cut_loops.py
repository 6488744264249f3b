"""Whether what stands before loops learns, where gradients go back through the last of them only.

At the cut nothing goes back but to what is as it was when the loops began: a stream that was kept before them, or the
token memory. Whether it is looked at from there on is asked of the elements' `reach`, with what a part of the model
made as the one thing to be seen. Not for: the cut itself, see `LanguageModel`.
"""

from collections.abc import Iterable

from vslm.models.elements.element import Reach
from vslm.models.path.stack import Visit

_ROOT = -1  # the place of the root among visits


def unlearned(visits: tuple[Visit, ...], *, root_is_read_out: bool) -> tuple[str, int] | None:
    """(what, the number of the repeated part behind it) of one that no gradient reaches; None if all are reached.

    What is visited again behind the cut, or lends weights to what is, learns there; and the table of a root does so
    from a readout that is tied to it. A start of the state that looks at nothing is where it is cut off, and may be.
    """
    for cut, visit in enumerate(visits):
        if not visit.step.is_cut:
            continue
        number = visit.step.repeat
        assert number is not None
        begin = next(i for i, v in enumerate(visits) if v.step.enters and v.step.repeat == number)
        behind = {v.where for v in visits[cut:]} | {f"blocks.{v.shares.of}" for v in visits[cut:] if v.shares}
        places: dict[str, list[int]] = {} if root_is_read_out else {"root": [_ROOT]}
        for place, before in enumerate(visits[:begin]):
            if before.num_parameters() and before.where not in behind and _after(before).stream:
                places.setdefault(before.where, []).append(place)
        # The last first: it stands next to the loops that the message is about.
        for where in reversed(places):
            if not any(_is_seen(visits, place) for place in places[where]):
                return where, number
    return None


def _is_seen(visits: tuple[Visit, ...], place: int) -> bool:
    """Whether a loss sees what that visit made, the cuts behind it taken into account."""
    made_memory = place == _ROOT or _makes_memory(visits[place])
    following = visits[place + 1 :]
    known = following[0].around.saved_widths if following else ()
    seen = Reach(stream=1, memory=int(made_memory), saved=dict.fromkeys(known, 0))
    changed: set[str] = set()
    has_new_memory = False
    for visit in following:
        if visit.step.enters:
            changed, has_new_memory = set(), False
        if visit.step.is_cut:
            seen = Reach(0, 0 if has_new_memory else seen.memory, _without(seen, changed))
        if visit.element.num_exits() and seen.stream:
            return True
        seen = visit.element.reach(seen, visit.around)
        changed |= set(visit.element.saves(visit.around))
        has_new_memory = has_new_memory or _makes_memory(visit)
    return seen.stream > 0


def _without(seen: Reach, changed: Iterable[str]) -> dict[str, int]:
    return {**seen.saved, **dict.fromkeys(changed, 0)}


def _makes_memory(visit: Visit) -> bool:
    """Whether the memory is another one after the visit."""
    return _after(visit).memory != 1


def _after(visit: Visit) -> Reach:
    """What is seen after a visit if a token is seen in everything before it."""
    return visit.element.reach(Reach(1, 1, dict.fromkeys(visit.around.saved_widths, 1)), visit.around)
