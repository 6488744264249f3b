"""The plan of a study for a terminal: one table first, what it could resolve, and what more would cost; then the rest.

show_plan(planned, baseline)                 a row per arm or factor, the smallest effect, the pilot, prices, notes
show_plan(planned, baseline, in_full=True)   and below it every difference and block, stages, corpora and checks
"""

import shutil
import sys
import textwrap
from typing import Any

from vslm.core.numbers import passes_words, plural, short_count
from vslm.report.numbers.formatting import count, joined_differences

_NARROWEST, _WIDEST = 60, 120  # columns of the table
_LONGEST_NAME = 22  # of an arm, beside its row; a longer one has a line of its own
_NARROWEST_TEXT = 16
_MOST_DIFFERENCES = 3  # lines of an arm in the table
_MOST_EARLIER = 3  # earlier pilots that are listed
_NUMBERS = ("parameters", "FLOPs a run", "minutes")


def show_plan(planned: dict[str, Any], baseline: str, *, in_full: bool = False) -> None:
    """Print what a study would cost, from the plain values that `--json` prints."""
    is_terminal = sys.stdout.isatty()
    width = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size().columns)) if is_terminal else _WIDEST
    sentences = [*_answer(planned, baseline), *_prices(planned)]
    sentences += _forked(planned)
    if planned["tokens_from"]:
        sentences.append(f"tokens of the arms: {planned['tokens_from']}")
    sentences += [f"note: {lint}" for lint in planned["lints"]]
    print(_folded(planned["question"], width, is_terminal))
    print("\n".join(["", *_table(planned, baseline, width), ""]))
    for words in sentences:
        print(_folded(words, width, is_terminal))
    if in_full:
        _show_arms(planned, baseline)
        _show_rest(planned)
    else:
        print(_folded("--full shows every difference and block, stages, corpora and checks", width, is_terminal))


def _forked(planned: dict[str, Any]) -> list[str]:
    """What is trained for others to start from, and whether it is in what the arms have equal."""
    lines = []
    for name, row in planned["trunks"].items():
        size = f"{short_count(row['tokens'])} tokens a run, {passes_words(row['passes'])}, {_time(row['minutes'])} each"
        lines.append(f"trunk {name}, read by {', '.join(row['read_by'])}: {size}; trained with every seed, not judged")
    if planned["trunks"]:
        lines.append(f"trunks take {_time(planned['trunk_minutes'])} of the study")
    if planned["matched_after"]:
        lines.append(planned["matched_after"])
    if planned["of_one_model"]:
        lines.append(
            "every seed goes on from one and the same run, so intervals are of continuations of that one model"
        )
    return lines


def _folded(words: str, width: int, is_terminal: bool) -> str:
    """A sentence between words on a terminal; on one line in a file, where a program may look for it."""
    return textwrap.fill(words, width, subsequent_indent="  ") if is_terminal else words


def _table(planned: dict[str, Any], baseline: str, width: int) -> list[str]:
    """A row per arm: what differs, parameters, FLOPs and minutes of a run. Of factors a row for each of them alone."""
    arms, of_factors = planned["arms"], planned.get("factors")
    if of_factors:
        arms = {baseline: arms[baseline], **of_factors["rows"]}
    numbers = {
        arm: (_parameters(row), count(row["flops_per_token"] * row["tokens"]), _minutes(row["minutes"]))
        for arm, row in arms.items()
    }
    sizes = [max(len(head), *(len(row[i]) for row in numbers.values())) for i, head in enumerate(_NUMBERS)]
    heading = "factor" if of_factors else "arm"
    names = min(_LONGEST_NAME, max(len(arm) for arm in (heading, *arms)))
    room = max(_NARROWEST_TEXT, width - names - sum(sizes) - 2 * (1 + len(sizes)))

    def line(name: str, text: str, cells: tuple[str, ...]) -> str:
        right = "".join(f"  {cell:>{size}}" for cell, size in zip(cells, sizes, strict=True))
        return f"{name:<{names}}  {text:<{room}}{right}".rstrip()

    lines = [line(heading, "changes" if of_factors else "differs in", _NUMBERS)]
    for arm, row in arms.items():
        differs = ["(baseline)"] if arm == baseline else _differences(row["differences"], room)
        if len(arm) > names:
            lines.append(arm)
        lines.append(line(arm if len(arm) <= names else "", differs[0], numbers[arm]))
        lines += [line("", text, ("",) * len(sizes)) for text in differs[1:]]
    return lines


def _parameters(row: dict[str, Any]) -> str:
    """Those of the arm, and how many of them are trained where that is an adapter.

    >>> _parameters({"num_parameters": 1_213_000, "num_trained_parameters": 13_000})
    '1.21M (13.0k trained)'
    """
    trained = row["num_trained_parameters"]
    words = "" if trained == row["num_parameters"] else f" ({count(trained)} trained)"
    return f"{count(row['num_parameters'])}{words}"


def _differences(differences: list[Any], room: int) -> list[str]:
    """What differs in a few short lines: as much of the end of each path as fits, and what stands there."""
    lines = [_shortened(path.split("."), f"{old} -> {new}", room) for path, old, new in joined_differences(differences)]
    if len(lines) > _MOST_DIFFERENCES:
        more = len(lines) - _MOST_DIFFERENCES + 1
        lines = [*lines[: _MOST_DIFFERENCES - 1], f"and {more} more (--full)"]
    return lines or ["nothing"]


def _shortened(names: list[str], change: str, room: int) -> str:
    """A change at the end of its path.

    >>> path = ["model", "blocks", "{0, 1}", "attention", "window_tokens"]
    >>> _shortened(path, "None -> 32", 60), _shortened(path, "None -> 32", 40)
    ('model.blocks.{0, 1}.attention.window_tokens: None -> 32', 'attention.window_tokens: None -> 32')
    >>> _shortened(path, "None -> 32", 16)
    'window_tokens...'
    """
    line = ""
    for first in range(len(names)):
        line = f"{'.'.join(names[first:])}: {change}"
        if len(line) <= room:
            return line
    return f"{line[: room - 3].rstrip(' :')}..."


def _minutes(minutes: float) -> str:
    """Of one run.

    >>> _minutes(0.04), _minutes(2.345), _minutes(1234.0)
    ('< 0.1', '2.3', '1,234')
    """
    if minutes < 0.1:
        return "< 0.1"
    return f"{minutes:.1f}" if minutes < 100 else f"{minutes:,.0f}"


def _answer(planned: dict[str, Any], baseline: str) -> list[str]:
    """How large the study is, what it could tell, and what is asked first."""
    of_baseline = planned["arms"][baseline]
    tokens = f"{short_count(of_baseline['tokens'])} tokens a run, {passes_words(of_baseline['passes'])}"
    lines = [
        f"{_size(planned)}, {plural(planned['seeds'], 'seed')}, {tokens}: "
        f"{_time(planned['minutes'])} in all (speed: {planned['speed_from']})",
        *_design(planned),
        *_noise(planned),
    ]
    if (race := planned["race"]) is not None:
        runs = f"{race['least_runs']:,} to {race['most_runs']:,} runs"
        minutes = f"{_price(race['least_minutes'])} to {_price(race['most_minutes'])} minutes"
        lines.append(
            f"race: {runs}, {minutes}: every arm gets {plural(race['first'], 'seed')}, then those that are not behind"
        )
    pilot, earlier = planned["pilot"], planned["earlier_pilots"]
    if pilot is not None:
        first = f"pilot: {baseline} with {plural(pilot['seeds'], 'seed')} first"
        lines.append(f"{first}; the rest is run if its context is worth {pilot['gain_nats']:g} nats to it by then")
    lines += [planned["transition"]] if pilot is not None and planned["transition"] else []
    lines += [f"seen on this machine ({one['date']}): {one['words']}" for one in earlier[-_MOST_EARLIER:]]
    return lines


def _size(planned: dict[str, Any]) -> str:
    arms, factors = plural(len(planned["arms"]), "arm"), planned.get("factors")
    return f"{plural(len(factors['rows']), 'factor')} in {arms}" if factors else arms


def _design(planned: dict[str, Any]) -> list[str]:
    """Which combinations of factors are run, and why, and what is judged."""
    factors = planned.get("factors")
    if not factors:
        return []
    lines = ["; ".join(factors["words"]), f"judged together: {', '.join(factors['judged'])}"]
    lines += [f"one number: {' = '.join([name, *others])}" for name, others in _shown_mixed(factors)]
    if with_arms := factors["with_arms"]:
        runs = planned["seeds"] * factors["runs_per_seed"]
        lines.append(
            f"an arm for each factor would need {plural(with_arms['seeds'], 'seed')}, {with_arms['runs']:,} runs, to "
            f"resolve as much of every factor as {runs:,} runs do here"
        )
    return lines


_MOST_MIXED = 4  # groups of interactions that are named


def _shown_mixed(factors: dict[str, Any]) -> list[tuple[str, list[str]]]:
    mixed = list(factors["mixed"].items())
    return mixed if len(mixed) <= _MOST_MIXED else []


def _noise(planned: dict[str, Any]) -> list[str]:
    if planned["noise_sd"] is None:
        return [f"judged by: {planned['judged_by']}", f"noise, and what this resolves: {planned['noise_from']}"]
    effect = planned["resolvable_effect"]
    none = f"none, with {plural(planned['seeds'], 'seed')}"
    needed, seeds = planned["minutes_for_smallest_effect"], planned["seeds_for_smallest_effect"]
    words = "more than is in reach" if needed is None else f"{plural(seeds, 'seed')}, {_time(needed)}"
    return [
        f"smallest effect that this resolves: {none if effect is None else f'{effect:.4f}'}; "
        f"the declared one of {planned['smallest_effect']:g} needs {words}",
        *_of_interactions(planned),
        f"noise SD {planned['noise_sd']:.4f} ({planned['noise_from']})",
    ]


def _of_interactions(planned: dict[str, Any]) -> list[str]:
    effect = (planned.get("factors") or {}).get("resolvable_interaction")
    return [] if effect is None else [f"of an interaction it is twice that, {effect:.4f}"]


def _prices(planned: dict[str, Any]) -> list[str]:
    """What each arm, seed and budget costs; nothing of a study without a comparison."""
    prices = planned["prices"]
    if len(planned["arms"]) < 2:
        return []
    words = [
        f"a run {_price(prices['arm'] / planned['seeds'])}"
        if planned.get("factors")
        else f"an arm {_price(prices['arm'])}"
    ]
    words.append(f"a seed {_price(prices['seed'])}")
    words += [f"a budget of {name} {_price(minutes)}" for name, minutes in prices["budgets"].items()]
    return [f"each costs, in minutes: {', '.join(words)}"]


def _price(minutes: float) -> str:
    """Rounded minutes.

    >>> _price(0.2), _price(1.26), _price(14.6)
    ('less than 1', '1.3', '15')
    """
    return "less than 1" if minutes < 0.95 else f"{minutes:.1f}" if minutes < 9.95 else f"{minutes:,.0f}"


def _show_arms(planned: dict[str, Any], baseline: str) -> None:
    shown: dict[str, str] = {}
    for arm, row in planned["arms"].items():
        print(f"\n{arm}{'  (baseline)' if arm == baseline else ''}")
        for path, old, new in joined_differences(row["differences"]):
            print(f"  {path}: {old} -> {new}")
        without = row["num_parameters_without_embeddings"]
        trained = row["num_trained_parameters"]
        words = "" if trained == row["num_parameters"] else f"; {trained:,} of the adapter are trained"
        print(f"  {row['num_parameters']:,} parameters ({without:,} without embeddings{words})")
        print(
            f"  {row['flops_per_token']:,.0f} FLOPs per token, {row['tokens']:,} tokens, {passes_words(row['passes'])}"
        )
        table = "\n".join(_block_lines(row["blocks"]))
        print(f"  blocks as in {shown[table]}" if table in shown else table)
        shown.setdefault(table, arm)
        if executed := row.get("executed_flops_per_token"):
            print(f"  {executed:,.0f} FLOPs per token are executed, masked scores included")
        if arm != baseline:
            sizes = (f"{name.replace('_', ' ')} {more:+.1%}" for name, more in row["relative_sizes"].items())
            print(f"  beside {baseline}: {', '.join(sizes)}")
        kept = (
            f", {row['kept_mb']:.0f} of them weights kept at {row['kept_weights']} steps" if row["kept_weights"] else ""
        )
        of_seeds = plural(planned["seeds"], "seed")
        print(f"  {_time(row['minutes'])} a run, {row['disk_mb']:.0f} MB for {of_seeds}{kept}")


def _show_rest(planned: dict[str, Any]) -> None:
    print()
    for words in planned["read"]:
        print(words)
    if planned["equal"]:
        off = f", but for {', '.join(planned['unequal'])}" if planned["unequal"] else ""
        print(f"equal within 0.5%: {planned['equal'].replace('_', ' ')}{off}")
    for stage in planned["stages"]:
        runs = f"{plural(stage['num_runs'], 'run')} of {stage['budget']:g} of the budget"
        is_most = stage["stage"] == "tuning" or (stage["stage"] == "judged" and planned["race"] is not None)
        limit = "at most " if is_most else ""
        print(f"{stage['stage']}: {limit}{runs}, {_time(stage['minutes'], limit or 'about ')}")
    print(f"precision: {planned['precision']}")
    print(planned["checked"])


def _time(minutes: float, about: str = "about ") -> str:
    """Minutes in words.

    >>> _time(0.3), _time(1.2), _time(1234.0)
    ('less than a minute', 'about 1 minute', 'about 1,234 minutes')
    """
    return "less than a minute" if minutes < 1 else f"{about}{plural(round(minutes), 'minute')}"


def _block_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table of blocks of an arm; visits in a row that are alike are one line."""

    def span(first: object, last: object) -> str:
        return str(first) if first == last else f"{first} to {last}"

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}"

    lines: list[tuple[str, ...]] = [
        ("visit", "element", "weights", "width", "heads", "hidden", "window", "parameters", "FLOPs per token")
    ]
    for row in rows:
        counts = (row["width"], row["heads"], row["hidden"], row["window_tokens"], row["num_parameters"])
        names = (span(*row["visits"]), row["element"], span(*row["weights"]))
        lines.append((*names, *map(number, counts), number(row["flops_per_token"])))
    sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = 3  # columns of words; numbers are set to the right
    return [
        "  "
        + "  ".join(
            cell.ljust(size) if i < left else cell.rjust(size)
            for i, (cell, size) in enumerate(zip(line, sizes, strict=True))
        )
        for line in lines
    ]
