"""What adapters of parts of a world know, and whether a router puts the right one on.

right      with the adapter that was trained on the part that a question is about
routed     with the one that the router chooses for the question
another    with the one of the next part
none       with the model alone
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vslm.after.routing import opened_router
from vslm.after.sampling import Draws, open_run
from vslm.core.errors import SpecError
from vslm.data.sources.worlds import Worlds
from vslm.data.tokenizers import FittedTokenizer
from vslm.data.worlds.examples import Example, Examples
from vslm.data.worlds.facts import facts_of
from vslm.data.worlds.plans import SPLITS, first_seed
from vslm.knowledge.routing import Router
from vslm.lab.checks import finished
from vslm.measure.answer_accuracy import answers_of_rows
from vslm.measure.measure import evaluating
from vslm.measure.worlds_asked import facts_asked, tokens_of
from vslm.models.adapters.adapter import AdapterModule, attached
from vslm.models.language_model import LanguageModel
from vslm.runs.adapted import modules_of
from vslm.runs.stored_run import StoredRun

_SPLIT = "S1"  # closed book, fixed world
_MOST_QUESTIONS = 10_000


def routed_answers(
    folder: Path, adapters: Sequence[Path], *, by: str, questions: int, trust: bool = False
) -> dict[str, Any]:
    """Shares of right answers by adapter and in the mean, and how often the router is right.

    Args:
        folder: of the run whose model it is.
        adapters: folders of runs that trained an adapter beside it, each with `Worlds(world="fixed", some=...)`.
        by: how the router compares: "bm25", "states" (of the run's model) or "random".
        questions: about each part.
        trust: whether code in the folders is run even if this user did not run it before.
    Raises: SpecError for adapters of other data, or of the same part; as `with_route`.
    """
    if not 1 <= questions <= _MOST_QUESTIONS:
        raise SpecError("--questions", f"found {questions}", f"1 to {_MOST_QUESTIONS:,} can be asked")
    writer = open_run(folder, Draws(tokens=1, temperature=0, top_k=None, seed=0), trust=trust)
    for adapter in adapters:
        finished(adapter)
    runs = [StoredRun(adapter, trust=trust) for adapter in adapters]
    parts = [_part(run) for run in runs]
    names = [str(adapter) for adapter in adapters]
    for place, part in enumerate(parts):
        is_again = part.some in [other.some for other in parts[:place]]
        if is_again or part.universe != parts[0].universe:
            found = "a part that another one has, too" if is_again else "another universe"
            raise SpecError(names[place], found, "parts of one world are needed, each once", "leave it out")
    modules = modules_of(writer.model, writer.run, adapters, trust=trust)
    router = opened_router(writer, runs, names, by)
    tokenizer = writer.tokenizer
    asked = [_asked(part, questions) for part in parts]
    routes = [_chosen(router, its) for its in asked]
    with evaluating(writer.model):
        rows = [
            _about(writer.model, tokenizer, asked[place], place, routes[place], modules, parts[place])
            for place in range(len(parts))
        ]
    columns = ("right", "routed", "another", "none", "router", "bits", "bits_per_parameter")
    means = {name: float(np.mean([row[name] for row in rows])) for name in columns}
    return {"by": by, "adapters": dict(zip(names, rows, strict=True)), "mean": means}


def _part(run: StoredRun) -> Worlds:
    """The data of an adapter, as far as it says which facts it is about. Raises: SpecError for other data."""
    data = run.job.experiment.data
    if not isinstance(data, Worlds) or data.world != "fixed" or data.some is None:
        found = f"trained on {data.describe()}"
        allowed = 'what is asked are facts of a part of a fixed world: Worlds(world="fixed", some=SomeFacts(...))'
        raise SpecError(str(run.path), found, allowed, "vslm sample --route chooses among any adapters")
    return data


def _asked(part: Worlds, count: int) -> list[Example]:
    plan = replace(SPLITS[_SPLIT], types=("one_hop",), some=part.some)
    return list(Examples(part.universe, plan).many(first_seed(0, _SPLIT), count))


def _chosen(router: Router, asked: Sequence[Example]) -> list[int | None]:
    found = router.choose_many([example.question for example in asked])
    return [None if route is None else route.adapter for route in found]


def _about(
    model: LanguageModel,
    tokenizer: FittedTokenizer,
    asked: Sequence[Example],
    place: int,
    routes: Sequence[int | None],
    modules: Sequence[AdapterModule],
    part: Worlds,
) -> dict[str, float]:
    """Of the questions about one part."""
    rows = [
        tokens_of(one.text, (one.answer_span[0] - 1, one.answer_span[1] + 1), tokenizer)  # its full stop among it
        for one in asked
    ]

    def right_with(adapter: int | None, some: Sequence[int]) -> np.ndarray:
        on = () if adapter is None else (modules[adapter],)
        with attached(model, *on):
            return answers_of_rows(model, [rows[number] for number in some])[0]

    everyone = range(len(rows))
    routed_N = np.zeros(len(rows), dtype=bool)
    for adapter in sorted(set(routes), key=str):
        some = [number for number in everyone if routes[number] == adapter]
        routed_N[some] = right_with(adapter, some)
    with attached(model, modules[place]):
        bits = _bits(model, tokenizer, part)
    return {
        "right": float(right_with(place, everyone).mean()),
        "routed": float(routed_N.mean()),
        "another": float(right_with((place + 1) % len(modules), everyone).mean()),
        "none": float(right_with(None, everyone).mean()),
        "router": float(np.mean([route == place for route in routes])),
        "bits": bits,
        "bits_per_parameter": bits / sum(parameter.numel() for parameter in modules[place].parameters()),
    }


def _bits(model: LanguageModel, tokenizer: FittedTokenizer, part: Worlds) -> float:
    """Of the facts of a part, when asked for: sum of max(0, log2 of the number of values - bits of the value)."""
    count = len(facts_of(part.universe, part.some))
    stored = facts_asked(part.universe, tokenizer, count=count, seed=0, pool="test", some=part.some)
    facts = [one for one in stored if one.is_known and one.is_asked]
    _, nats, _ = answers_of_rows(model, [(one.ids, one.is_value) for one in facts])
    return float(np.maximum(0, np.array([one.bits for one in facts]) - nats / np.log(2)).sum())
