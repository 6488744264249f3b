"""The plan of a study for a terminal: what each arm is, what it costs, and what the study could resolve."""

from typing import Any

from vslm.core.numbers import passes_words, plural
from vslm.report.numbers.formatting import joined_differences


def show_plan(planned: dict[str, Any], baseline: str) -> None:
    """Print what a study would cost, from the plain values that `--json` prints."""
    print(planned["question"])
    for words in planned["read"]:
        print(f"  {words}")
    shown: dict[str, str] = {}
    for arm, row in planned["arms"].items():
        print(f"\n{arm}{'  (baseline)' if arm == baseline else ''}")
        for path, old, new in joined_differences(row["differences"]):
            print(f"  {path}: {old} -> {new}")
        without = row["num_parameters_without_embeddings"]
        print(f"  {row['num_parameters']:,} parameters ({without:,} without embeddings)")
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
    if planned["equal"]:
        off = f", but for {', '.join(planned['unequal'])}" if planned["unequal"] else ""
        print(f"\nequal within 0.5%: {planned['equal'].replace('_', ' ')}{off}")
    print(f"\n{plural(planned['seeds'], 'seed')}, {_time(planned['minutes'])} in all")
    if len(planned["stages"]) > 1:
        for stage in planned["stages"]:
            runs = f"{plural(stage['num_runs'], 'run')} of {stage['budget']:g} of the budget"
            limit = "at most " if stage["stage"] == "tuning" else ""
            print(f"  {stage['stage']}: {limit}{runs}, {_time(stage['minutes'], limit or 'about ')}")
    print(f"speed: {planned['speed_from']}; precision: {planned['precision']}")
    if planned["tokens_from"]:
        print(f"tokens of the arms: {planned['tokens_from']}")
    _print_noise(planned)
    print(planned["checked"])
    for lint in planned["lints"]:
        print(f"note: {lint}")


def _print_noise(planned: dict[str, Any]) -> None:
    if planned["noise_sd"] is None:
        print(f"judged by: {planned['judged_by']}")
        print(f"noise, and what this resolves: {planned['noise_from']}")
        return
    print(f"noise SD {planned['noise_sd']:.4f} ({planned['noise_from']})")
    effect = planned["resolvable_effect"]
    none = f"none, with {plural(planned['seeds'], 'seed')}"
    print(f"smallest effect that this resolves: {none if effect is None else f'{effect:.4f}'}")
    needed, seeds = planned["minutes_for_smallest_effect"], planned["seeds_for_smallest_effect"]
    words = "more than is in reach" if needed is None else f"{plural(seeds, 'seed')}, {_time(needed)}"
    print(f"the declared effect needs {words}")


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
