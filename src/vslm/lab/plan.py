"""What a study would cost and could resolve, before a second is spent."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vslm.core.errors import ResultError
from vslm.core.machine import available_cores
from vslm.core.numbers import plural
from vslm.core.paths import vary
from vslm.core.specs import differences, to_plain
from vslm.data.corpus import Corpus, home
from vslm.lab.budgets import (
    Timed,
    baseline_tokens,
    device,
    minutes_of_rounds,
    relative_cost,
    seconds_whatever_the_tokens,
    slowed,
    tokens_of_arm,
)
from vslm.lab.checks import check_study
from vslm.lab.further import further_rows, words_of_further
from vslm.lab.machine_card import shape_of, speed_seen
from vslm.lab.memory import state_numbers
from vslm.lab.options import Options
from vslm.lab.passes import lints_of_passes, passes
from vslm.lab.pilot import earlier_pilots, transition_in_words
from vslm.lab.stages import num_rounds, stage_sizes
from vslm.lab.trunks import seconds_of_trunks, seeds_to_choose, tokens_of_trunk
from vslm.lab.verdict import num_comparisons
from vslm.models.accounting import block_table, folded
from vslm.models.parts.kernels import Where
from vslm.results.files import read_json
from vslm.results.folder import budget_name
from vslm.results.forks import Forks
from vslm.results.primary import PrimaryNumber
from vslm.results.records import NoiseCard
from vslm.results.shapes import first_odd
from vslm.stats.intervals import per_arm_error
from vslm.stats.looks import fixed_plan, sequential_plan
from vslm.stats.power import resolvable_effect, seeds_to_resolve
from vslm.study.experiment import Experiment, FreshStart
from vslm.study.forks import arms_read
from vslm.study.matching import relative_sizes
from vslm.study.own_classes import own_code
from vslm.study.pilot import asked_seeds
from vslm.study.primary import primary_number
from vslm.study.study import Study, auto_looks, parse_seeds

# Nats, between two arms of the same seed at about 2M tokens; a guess until this machine has a noise card.
_GUESSED_SD = 0.01
# Training FLOP/s of one core; a guess until a study was timed here.
_GUESSED_FLOPS_PER_SECOND = 6e10
_BYTES_PER_NUMBER = 4
_NUM_CHECKPOINTS = 2
_BYTES_PER_KEPT_PARAMETER = 2  # matrices in fp16, and little else

_FEWEST_SEEDS = 3
_MOST_ARMS_UNSCREENED = 4
_TOLERANCE = 1.05  # arms that differ by less are called matched


def noise_card_path() -> Path:
    """Where `vslm noise` keeps what it found about this machine."""
    return home() / "noise.json"


def noise_card() -> NoiseCard | None:
    """This machine's noise card, or None before `vslm noise`.

    Raises: ResultError if it is torn, or not what `vslm noise` writes.
    """
    path = noise_card_path()
    if not path.exists():
        return None
    card = read_json(path)
    if odd := first_odd(card, NoiseCard.rules(), to="judge"):
        raise ResultError(str(path), odd.found, odd.allowed, "delete it, or let `vslm noise` write it anew")
    return NoiseCard.from_plain(card)


def plan_study(study: Study, options: Options | None = None) -> dict[str, Any]:
    """Per arm: differences, parameters, FLOPs, tokens, minutes, disk; what can be resolved; and lints.

    Raises: whatever running the study would raise before its first run.
    """
    options = options or Options()
    own_code(study)
    checked = check_study(study)
    every = checked.corpora
    corpora = {arm: every[arm] for arm in study.arms}
    vocabularies = {arm: corpus.vocabulary for arm, corpus in corpora.items()}
    card = noise_card()
    asked = options.seeds if options.seeds is not None else study.seeds
    looks = auto_looks(study) if asked == "auto" else ()
    seeds = tuple(range(looks[0])) if looks else parse_seeds(asked)
    sizes = stage_sizes(study, len(seeds))
    workers = options.workers or min(available_cores(), max(size.num_runs for size in sizes))
    flops = {arm: experiment.flops_per_token(corpora[arm].vocabulary) for arm, experiment in study.arms.items()}
    shape = shape_of(study.arms[study.baseline], corpora[study.baseline].vocabulary, 1)
    base_rate, speed_from = _speed(speed_seen(shape, device(options.device)), card, flops[study.baseline])
    flops_rate = base_rate * flops[study.baseline]
    trunks = _trunks(study, every, flops_rate)
    sizes_of_trunks = {name: (row["tokens"], row["flops_per_token"]) for name, row in trunks.items()}
    of_trunks = seconds_of_trunks(study, len(seeds), sizes_of_trunks, flops_rate, workers)
    fixed = [
        seconds_whatever_the_tokens(study, [size], workers=workers, rate=base_rate, compile_seconds=0) for size in sizes
    ]
    base_tokens = baseline_tokens(
        study,
        flops[study.baseline],
        options,
        rate=base_rate,
        fixed_seconds=sum(fixed) + of_trunks,
        rounds=slowed(num_rounds(sizes, workers), workers, threads=1) * relative_cost(study, flops),
    )
    baseline, device_type = study.arms[study.baseline], device(options.device)
    relative = relative_sizes(study.arms, study.baseline, vocabularies)
    arms = {}
    for arm, experiment in study.arms.items():
        tokens = _tokens(study, arm, base_tokens, flops, flops_rate)
        vocabulary = corpora[arm].vocabulary
        trained = experiment.num_trained_parameters(vocabulary)
        arms[arm] = {
            "differences": [list(one) for one in differences(baseline, experiment)],
            "num_parameters": experiment.num_parameters(vocabulary),
            "num_trained_parameters": trained,
            "num_parameters_without_embeddings": experiment.model.num_parameters_without_embeddings(vocabulary),
            "flops_per_token": flops[arm],
            "executed_flops_per_token": experiment.executed_flops_per_token(
                vocabulary, experiment.model.kernels(Where(device_type))
            ),
            "relative_sizes": relative[arm],
            "tokens": tokens,
            "passes": passes(tokens, corpora[arm]),
            "further": further_rows(tokens, corpora[arm]),
            "minutes": tokens * flops[arm] / flops_rate / 60,
            "blocks": [to_plain(row) for row in folded(block_table(experiment.model))],
            "disk_mb": _disk_bytes(study, experiment, vocabulary, len(seeds)) / 1e6,
        }
        num_kept = _num_kept(study, experiment, tokens, len(seeds))
        arms[arm] |= {"kept_weights": num_kept, "kept_mb": trained * _BYTES_PER_KEPT_PARAMETER * num_kept / 1e6}
        arms[arm]["disk_mb"] += arms[arm]["kept_mb"]
    plan = sequential_plan(looks) if looks else fixed_plan(len(seeds))
    error = per_arm_error(plan.errors[0], _num_comparisons(study))
    sd = _noise_sd(study, card)
    effect_sd = _effect_sd(study, sd)
    resolvable = None if effect_sd is None else resolvable_effect(effect_sd, len(seeds), error)
    # More runs at once than there are cores make none of them faster.
    at_once = min(workers, available_cores())
    # Which arms are judged is open while a screening is to come, so a stage counts runs of an average arm.
    average = sum(arm["minutes"] for arm in arms.values()) / len(arms)
    stages = [
        {**size.plain(), "minutes": minutes_of_rounds(num_rounds([size], at_once), average, seconds)}
        for size, seconds in zip(sizes, fixed, strict=True)
    ]
    per_seed_of_trunks = of_trunks / 60 / (len(seeds) + len(seeds_to_choose(study)))
    minutes_to_choose = sum(stage["minutes"] for stage in stages if stage["stage"] != "judged")
    minutes_to_choose += per_seed_of_trunks * len(seeds_to_choose(study))
    judged = sum(stage["minutes"] for stage in stages if stage["stage"] == "judged")
    minutes_per_seed = judged / len(seeds) + per_seed_of_trunks
    forks = _forks(study, {name: row["tokens"] for name, row in {**trunks, **arms}.items()})
    needed = math.inf if effect_sd is None else seeds_to_resolve(study.primary.smallest_effect, effect_sd, error)
    primary = primary_number(study.primary, study.arms[study.baseline])
    earlier = earlier_pilots(baseline, corpora[study.baseline])
    return {
        "question": study.question,
        "judged_by": primary.compared,
        "smallest_effect": study.primary.smallest_effect,
        "arms": arms,
        "trunks": trunks,
        "trunk_minutes": of_trunks / 60,
        "forked": {arm: told for arm in study.arms if (told := forks.in_words(arm)) is not None},
        "matched_after": forks.matched(study.arms),
        "of_one_model": forks.of_one_model,
        "seeds": len(seeds),
        "factors": _factors(study, arms, vocabularies, base_tokens, flops_rate, sd, len(seeds), error),
        "stages": stages,
        "equal": study.equal,
        "unequal": list(study.unequal),
        "minutes": sum(stage["minutes"] for stage in stages) + of_trunks / 60,
        "race": _race(study, stages, len(seeds)),
        "prices": _prices(study, stages, len(seeds), per_seed_of_trunks),
        "speed_from": speed_from,
        "precision": "the faster one, timed once by `vslm run`" if options.precision == "auto" else options.precision,
        "tokens_from": _origin_of_tokens(study),
        "noise_sd": sd,
        "noise_from": _noise_from(sd, primary, card),
        "resolvable_effect": resolvable if resolvable is not None and math.isfinite(resolvable) else None,
        "seeds_for_smallest_effect": round(needed) if math.isfinite(needed) else None,
        "minutes_for_smallest_effect": minutes_to_choose + needed * minutes_per_seed if math.isfinite(needed) else None,
        "pilot": _pilot(study, len(seeds)),
        "earlier_pilots": earlier,
        "transition": transition_in_words(earlier, base_tokens),
        "read": list(
            dict.fromkeys(
                words
                for corpus in every.values()
                for one in (corpus, *corpus.further.values())
                for words in one.meta.get("read", [])
            )
        ),
        "checked": checked.words,
        "lints": [
            *checked.lints,
            *_lints(study, arms, seeds, resolvable),
            *_lints_of_tokenizers(study, corpora),
            *words_of_further({arm: row["further"] for arm, row in arms.items()}),
            *lints_of_passes({arm: row["tokens"] for arm, row in arms.items()}, corpora),
        ],
    }


def _tokens(study: Study, arm: str, base_tokens: int, flops: Mapping[str, float], flops_rate: float) -> int:
    """Of a run of an arm. Before anything is timed, speed is guessed to go with FLOPs."""
    guess = Timed(flops_rate / flops[arm], flops_rate / flops[study.baseline])
    return tokens_of_arm(study, arm, base_tokens, flops, guess)


def _trunks(study: Study, corpora: Mapping[str, Corpus], flops_rate: float) -> dict[str, dict[str, Any]]:
    """Of every trunk what a run costs, and who reads it."""
    found = {}
    for name, trunk in study.trunks.items():
        vocabulary = corpora[name].vocabulary
        flops = trunk.flops_per_token(vocabulary)
        tokens = tokens_of_trunk(trunk, flops, flops_per_second=flops_rate)
        found[name] = {
            "num_parameters": trunk.num_parameters(vocabulary),
            "num_trained_parameters": trunk.num_trained_parameters(vocabulary),
            "flops_per_token": flops,
            "tokens": tokens,
            "passes": passes(tokens, corpora[name]),
            "minutes": tokens * flops / flops_rate / 60,
            "read_by": [other for other, one in study.experiments.items() if name in arms_read(one)],
        }
    return found


def _forks(study: Study, tokens: Mapping[str, int]) -> Forks:
    return Forks({name: to_plain(one.start_from) for name, one in study.experiments.items()}, tokens)


def _num_comparisons(study: Study) -> int:
    """Intervals that hold together: of arms, or of effects."""
    if (factorial := study.factorial) is not None:
        return len(factorial.effects)
    num_judged = study.screen.num_confirmed() if study.screen else len(study.arms)
    return num_comparisons(max(1, num_judged - 1), len(study.budgets))


def _factors(
    study: Study,
    arms: Mapping[str, Any],
    vocabularies: Mapping[str, int],
    base_tokens: int,
    flops_rate: float,
    sd: float | None,
    num_seeds: int,
    error: float,
) -> dict[str, Any] | None:
    """The design, and of every factor what it changes and what a run with it alone costs, be that an arm or not; None
    for a study of arms.
    """
    factorial = study.factorial
    if factorial is None:
        return None
    base, rows = study.arms[study.baseline], {}
    with_it = {name: vary(base, study.factors[name]) for name in factorial.factors}
    for name, experiment in with_it.items():
        vocabulary = next(vocabularies[arm] for arm, on in factorial.cells.items() if name in on)
        flops = {
            study.baseline: arms[study.baseline]["flops_per_token"],
            name: experiment.flops_per_token(vocabulary),
        }
        tokens = _tokens(study, name, base_tokens, flops, flops_rate)
        rows[name] = {
            "differences": [list(one) for one in differences(base, experiment)],
            "num_parameters": experiment.num_parameters(vocabulary),
            "num_trained_parameters": experiment.num_trained_parameters(vocabulary),
            "flops_per_token": flops[name],
            "tokens": tokens,
            "minutes": tokens * flops[name] / flops_rate / 60,
        }
    others = factorial.undeclared() if factorial.design.kind == "fraction" else {}
    mixed = {name: found for name, places in others.items() if (found := factorial.mixed_with(places))}
    return {
        "rows": rows,
        "words": factorial.words(),
        "judged": list(factorial.effects),
        "mixed": mixed,
        "runs_per_seed": factorial.design.num_runs,
        "resolvable_interaction": _resolvable(_effect_sd(study, sd, 2), num_seeds, error)
        if factorial.interactions
        else None,
        "with_arms": _with_arms(study, sd, num_seeds, error),
    }


def _effect_sd(study: Study, sd: float | None, num_factors: int = 1) -> float | None:
    """Of what a verdict is read from, from the SD of a paired difference: of an effect it is less, since it is a mean
    over half of a seed's runs minus one over the other half.
    """
    if sd is None or study.factorial is None:
        return sd
    return sd * 2 ** (num_factors - 1) * math.sqrt(2 / study.factorial.design.num_runs)


def _resolvable(sd: float | None, num_seeds: int, error: float) -> float | None:
    found = None if sd is None else resolvable_effect(sd, num_seeds, error)
    return found if found is not None and math.isfinite(found) else None


def _with_arms(study: Study, sd: float | None, num_seeds: int, error: float) -> dict[str, int] | None:
    """Seeds and runs that one arm for each factor would need for as small an effect; None where that is not known."""
    factorial = study.factorial
    effect = _resolvable(_effect_sd(study, sd), num_seeds, error)
    if factorial is None or effect is None or sd is None or not sd:
        return None
    needed = seeds_to_resolve(effect, sd, error * len(factorial.effects) / len(factorial.factors))
    if not math.isfinite(needed):
        return None
    seeds = round(needed)
    return {"seeds": seeds, "runs": seeds * (1 + len(factorial.factors))}


def _prices(
    study: Study, stages: Sequence[Mapping[str, Any]], num_seeds: int, per_seed_of_trunks: float
) -> dict[str, Any]:
    """Minutes of the study that an arm, a seed and each budget costs: with one more it takes as much longer, with one
    less as much less. An arm is searched and judged, or, where there is a screening that keeps as many, screened; a
    seed needs its trunks, too.
    """
    minutes = {
        name: sum(stage["minutes"] for stage in stages if stage["stage"] == name)
        for name in ("screen", "tuning", "judged")
    }
    an_arm = minutes["screen"] if study.screen else minutes["tuning"] + minutes["judged"]
    of_one = minutes["judged"] / sum(study.budgets)
    return {
        "arm": an_arm / len(study.arms),
        "seed": minutes["judged"] / num_seeds + per_seed_of_trunks,
        "budgets": {budget_name(budget): of_one * budget for budget in study.budgets},
    }


def _race(study: Study, stages: Sequence[Mapping[str, Any]], num_seeds: int) -> dict[str, Any] | None:
    """How few runs and minutes a race may come to, if all others are behind the baseline after the first seeds, and how
    many if nothing is dropped; None where there is none.
    """
    if study.race is None:
        return None
    minutes, most = sum(stage["minutes"] for stage in stages), len(study.arms) * num_seeds
    judged = sum(stage["minutes"] for stage in stages if stage["stage"] == "judged")
    first = min(study.race.first, num_seeds)
    least = len(study.arms) * first
    return {
        "first": first,
        "least_runs": least,
        "most_runs": most,
        "least_minutes": minutes - judged * (1 - least / most),
        "most_minutes": minutes,
    }


def _pilot(study: Study, num_seeds: int) -> dict[str, Any] | None:
    if study.pilot is None or not study.others:
        return None
    return {**to_plain(study.pilot), "seeds": asked_seeds(study.pilot.seeds, num_seeds)}


def _speed(seen: float | None, card: NoiseCard | None, flops_per_token: float) -> tuple[float, str]:
    """Tokens per second of a run of the baseline, and from where that is known."""
    if seen is not None:
        return seen, "as it was timed here"
    if card is not None:
        return card.flops_per_second / flops_per_token, "this machine's noise card"
    return _GUESSED_FLOPS_PER_SECOND / flops_per_token, "a guess; `vslm run` times it"


def _noise_sd(study: Study, card: NoiseCard | None) -> float | None:
    """SD of a paired difference of the primary number; None where nothing tells it: the noise card is of the loss."""
    if not study.primary.is_loss:
        return None
    return card.paired_sd if card else _GUESSED_SD


def _noise_from(sd: float | None, primary: PrimaryNumber, card: NoiseCard | None) -> str:
    if sd is None:
        return f"not known of {primary.name}: `vslm noise` measures that of the validation loss alone"
    return "this machine's noise card" if card else "a guess; `vslm noise` measures it"


def _disk_bytes(study: Study, experiment: Experiment, vocabulary: int, num_seeds: int) -> int:
    """Over all runs of an arm: weights once, and the checkpoints of a run that is judged, each of weights, the state of
    the optimizer, and the average if there is one.
    """
    num_choosing = (study.screen is not None) + (study.tune.most_runs() if study.tune else 0)
    num_judged = num_seeds * len(study.budgets)
    weights = experiment.num_trained_parameters(vocabulary)
    checkpoint = weights * (1 + (experiment.averaging is not None)) + state_numbers(experiment, vocabulary)
    return _BYTES_PER_NUMBER * (num_choosing * weights + num_judged * (weights + _NUM_CHECKPOINTS * checkpoint))


def _num_kept(study: Study, experiment: Experiment, tokens: int, num_seeds: int) -> int:
    """Files of weights that are kept along the judged runs of an arm; the last weights are counted elsewhere."""
    steps = (max(1, round(max(1, round(tokens * budget)) / experiment.tokens_per_step)) for budget in study.budgets)
    return num_seeds * sum(max(0, len(experiment.kept_steps((num_steps,))) - 1) for num_steps in steps)


def _origin_of_tokens(study: Study) -> str | None:
    if study.match == "time":
        return "a guess that speed goes with FLOPs; `vslm run` times every arm before it starts"
    return None


def _lints(study: Study, arms: Mapping[str, Any], seeds: Sequence[int], resolvable: float | None) -> Iterator[str]:
    if study.others and len(seeds) < _FEWEST_SEEDS:
        yield f"{plural(len(seeds), 'seed')}: fewer than {_FEWEST_SEEDS} rarely resolve anything"
    if study.others and resolvable is not None and resolvable > study.primary.smallest_effect:
        effect = f"{study.primary.smallest_effect:g}"
        yield f"an effect of {effect} is probably out of reach with {plural(len(seeds), 'seed')}"
    for arm in study.others:
        if study.arms[arm].budget != study.arms[study.baseline].budget:
            yield f"the budget of arm {arm!r} is not used: it derives from the baseline's (match={study.match!r})"
        if not arms[arm]["differences"]:
            yield f"arm {arm!r} equals the baseline"
    if len(arms) > _MOST_ARMS_UNSCREENED and study.screen is None and study.race is None and study.factorial is None:
        yield (
            f"{len(arms)} arms and no screen: Screen(...) runs each once and briefly, and judges the best of them; "
            "Race() runs all at full length, and gives those that are behind no further seeds"
        )
    if len(study.budgets) > 1 and study.tune is not None:
        yield "learning rates are searched at the budget of one and used at all of them"
    yield from _lints_of_starts(study, seeds)
    flops = [arm["flops_per_token"] * arm["tokens"] for arm in arms.values()]
    if max(flops) > _TOLERANCE * min(flops):
        yield f"unmatched budgets: arms differ in FLOPs by a factor of {max(flops) / min(flops):.2f} ({study.match!r})"
    parameters = [arm["num_parameters"] for arm in arms.values()]
    if max(parameters) > _TOLERANCE * min(parameters):
        yield f"arms differ in parameters by a factor of {max(parameters) / min(parameters):.2f}"
    contexts = {experiment.model.context_tokens for experiment in study.arms.values()}
    if len(contexts) > 1:
        yield "arms differ in context_tokens: they do not see the same windows"
    batches = {experiment.tokens_per_step for experiment in study.arms.values()}
    if len(batches) > 1:
        yield "arms differ in tokens per step: the same data comes in other batches"


def _lints_of_tokenizers(study: Study, corpora: Mapping[str, Corpus]) -> Iterator[str]:
    """Other tokenizers cut the validation text into other windows: only all of it is the same text."""
    if len({corpus.tokenizer_fingerprint for corpus in corpora.values()}) == 1:
        return
    for arm, corpus in corpora.items():
        scored, whole = study.arms[arm].loss_by_position.num_final_tokens, corpus.val.num_tokens
        if scored < whole - study.arms[arm].model.context_tokens:
            yield (
                f"arm {arm!r} is judged on {scored:,} of {whole:,} tokens, and arms with other tokenizers on other "
                f"parts of the text: LossByPosition(num_final_tokens={whole}) takes all of it"
            )


def _lints_of_starts(study: Study, seeds: Sequence[int]) -> Iterator[str]:
    """A seed used twice: an arm whose shifted initialization seeds are those of other seeds' runs."""
    for arm, experiment in study.arms.items():
        start = experiment.start_from
        offset = start.init_offset if isinstance(start, FreshStart) else 0
        twice = sorted({seed + offset for seed in seeds} & set(seeds)) if offset else []
        if twice:
            yield f"arm {arm!r}: init_offset {offset} uses initialization seed {twice[0]} twice in this study"
