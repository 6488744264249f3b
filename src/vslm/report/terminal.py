"""The tables of `tables.py` for a terminal: colored where there is one, plain lines where there is none.

Not for: deciding what is in them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.table import Table
from rich.text import Text

from vslm.core.numbers import plural
from vslm.core.visible import visible
from vslm.report.numbers.compare import Comparison
from vslm.report.numbers.formatting import count, decimals_for, duration, ends, is_number, signed, span
from vslm.report.numbers.tables import VERDICT_WORDS, effect_word, judged_arms, judged_effects, sides_of
from vslm.results.console import console
from vslm.results.folder import StudyFolder
from vslm.results.forks import Forks
from vslm.results.primary import VAL_LOSS
from vslm.results.records import Verdict

_STYLES = {"better": "bold green", "worse": "bold red", "equivalent": "bold cyan", "unresolved": "bold yellow"}
_WIDEST = 1000  # columns of a table on a terminal that is narrower
_PLAIN_WIDTH = 160  # columns when the output is a file or a pipe, so that no row is folded


def verdict_table(folder: StudyFolder) -> Table:
    """The verdict of a study, one row per arm."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (
        ("arm", "left"),
        ("verdict", "left"),
        ("difference", "right"),
        ("interval", "right"),
        ("seeds", "right"),
        ("tokens", "right"),
        ("parameters", "right"),
        ("time", "right"),
        ("minutes to decide", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=heading != "arm")  # type: ignore[arg-type]
    for row in judged_arms(folder):
        at, decimals = row.at, decimals_for(row.at.smallest_effect)
        table.add_row(
            _named(row.arm),
            _verdict_text(at.verdict),
            _plain(signed(at.delta, decimals)),
            _plain(_interval(at.interval, decimals)),
            str(len(at.seeds)),
            count(at.tokens),
            count(at.num_parameters),
            duration(at.seconds),
            _more_minutes(at.minutes_to_resolve, at.minutes_to_resolve_nine_in_ten),
        )
    return table


def effects_table(folder: StudyFolder) -> Table:
    """The verdict of a study with factors, one row per factor and declared interaction."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (
        ("factor", "left"),
        ("verdict", "left"),
        ("without", "right"),
        ("with", "right"),
        ("effect", "right"),
        ("interval", "right"),
        ("seeds", "right"),
        ("minutes to decide", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=heading != "factor")  # type: ignore[arg-type]
    for row in judged_effects(folder):
        at, decimals = row.at, decimals_for(row.at.smallest_effect)
        without, with_it = sides_of(at)
        table.add_row(
            _named(row.arm),
            Text(effect_word(row), style=_STYLES.get(row.verdict, "")),
            *(_plain(_side(value, row.arm, decimals)) for value in (without, with_it)),
            _plain(signed(at.delta, decimals)),
            _plain(_interval(at.interval, decimals)),
            str(len(at.seeds)),
            _more_minutes(at.minutes_to_resolve, at.minutes_to_resolve_nine_in_ten),
        )
    return table


def _side(value: float | None, effect: str, decimals: int) -> str:
    """A loss of runs with or without a factor, or, of an interaction, the effect of its first factor."""
    if value is None:
        return ""
    return signed(value, decimals) if " x " in effect else f"{value:.{max(3, decimals)}f}"


def _more_minutes(half: float | None, most: float | None) -> str:
    """Minutes after which half of such studies are decided, and nine in ten.

    >>> _more_minutes(9.2, 30.4), _more_minutes(0.2, None), _more_minutes(None, None)
    ('9 to 30', '1 or more', '')
    """
    if half is None:
        return ""
    least = f"{max(1, round(half)):,}"
    return f"{least} or more" if most is None else f"{least} to {max(1, round(most)):,}"


def machine_tables(card: Mapping[str, Any]) -> list[Table]:
    """What is known of a machine: itself, what studies timed there, and what compiling gained and took."""
    machine = card["machine"]
    here = Table(box=None, show_header=False, pad_edge=False)
    memory, quota = machine["memory_limit"], machine["quota"]
    for name, value in (
        ("processor", f"{machine['cpu']}, {plural(machine['cores'], 'core')}, {machine['instructions']}"),
        ("quota", "none" if quota is None else f"{quota:g} cores' time"),
        ("memory", "no limit" if memory is None else f"{memory / 1e9:.1f} GB may be used"),
        ("GPU", str(machine["gpu"] or "none was used")),
        ("versions", f"torch {machine['torch']}, vslm {machine['vslm']}"),
        ("compiler", "there" if machine["has_compiler"] else "none: runs are eager"),
        *(
            (f"products in {precision}", f"{gflops:,.0f} GFLOP/s a thread")
            for precision, gflops in card["gflops_of_a_thread"].items()
        ),
    ):
        here.add_row(name, visible(value))
    tables = [here]
    if card["timed"]:
        timed = Table(title="timed by studies: tokens/s of eager steps", box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("on", "context", "tokens a step", "steps", "tokens/s", "chosen"):
            timed.add_column(heading, justify="left" if heading in ("on", "steps", "chosen") else "right")
        for row in card["timed"]:
            about = row["about"]
            for name, speed in row["rates"].items():
                timed.add_row(
                    row["measured"],
                    str(about["model"]["context_tokens"]),
                    f"{about['batch_tokens']:,}",
                    name,
                    f"{speed:,.0f}",
                    ("compiled" if row["settings"]["compiled"] else "eager") if name == row["chosen"] else "",
                )
        tables.append(timed)
    if card["compiled"]:
        compiled = Table(title="compiled runs that were seen", box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("on", "parameters", "context", "steps", "eager", "compiled", "gain", "to compile"):
            compiled.add_column(heading, justify="left" if heading in ("on", "steps") else "right")
        for row in card["compiled"]:
            compiled.add_row(
                str(row.get("measured", "")),
                count(row.get("parameters")),
                str(row.get("context_tokens", "")),
                f"{row.get('precision')}{', fused attention' * bool(row.get('fused_attention'))}",
                f"{row['eager']:,.0f}",
                f"{row['compiled']:,.0f}",
                f"{row['compiled'] / row['eager']:.2f}",
                "in torch's cache" if row["compile_seconds"] is None else duration(row["compile_seconds"]),
            )
        tables.append(compiled)
    return tables


def bench_table(shape: str, rows: Sequence[Any]) -> Table:
    """Ways to take a training step; ratios are over the first of them, and over the second where that is nanoGPT's."""
    table = Table(title=shape, box=box.SIMPLE_HEAD, pad_edge=False)
    references = [row.name for row in rows if row.name.startswith("nanoGPT")] or [rows[0].name]
    for heading in ("step", "tokens/s", "first step", *(f"over {name}" for name in references)):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for row in rows:
        ratios = (f"{row.ratios[name]:.2f}" for name in references)
        table.add_row(row.name, f"{row.tokens_per_second:,.0f}", duration(row.first_seconds), *ratios)
    return table


def arms_table(rows: list[dict[str, Any]]) -> Table:
    """Every arm ever run, from `list_arms`; with units where not all differences are of nats per token."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    has_units = {row["unit"] for row in rows} - {VAL_LOSS.unit}
    units = ["unit"] if has_units else []
    for heading in (
        "study",
        "arm",
        "verdict",
        "difference",
        "interval",
        *units,
        "seeds",
        "tokens",
        "parameters",
        "date",
    ):
        right = heading in ("difference", "interval", "seeds", "tokens", "parameters")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading not in ("study", "arm"))
    for row in rows:
        forked = f" ({row['forked']})" if row.get("forked") else ""
        arm = Text("cannot be read") if row["arm"] is None else _named(f"{row['arm']}{forked}")
        table.add_row(
            _named(_with_folder(row)),
            arm,
            _verdict_text(row["verdict"]).append(" (early)" if row["is_early"] else ""),
            _plain(signed(row["delta"])) if is_number(row["delta"]) else "",
            _plain(_interval(row["interval"])) if row["interval"] else "",
            *([_named(row["unit"])] if has_units else []),
            str(row["seeds"]),
            count(row["tokens"]) if is_number(row["tokens"]) else "",
            count(row["parameters"]) if is_number(row["parameters"]) else "",
            str(row["date"] or "")[:10],
        )
    return table


def _with_folder(row: Mapping[str, Any]) -> str:
    """A study as `ls` names it: with its folder where that is called otherwise, as other commands need it.

    >>> _with_folder({"study": "windows", "folder": "runs/windows"})
    'windows'
    >>> _with_folder({"study": "windows", "folder": "runs/on-books"})
    'windows (on-books)'
    """
    folder = Path(row["folder"]).name
    return row["study"] if folder == row["study"] else f"{row['study']} ({folder})"


def comparison_table(found: Comparison) -> Table:
    """Sides beside each other, one row each, the first without a difference."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("side", found.measure, "seeds", "tokens", "parameters", "difference", "interval", "paired", ""):
        right = heading in (found.measure, "seeds", "tokens", "parameters", "difference", "interval")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "side")
    for side in found.sides:
        one = next((one for one in found.differences if one.side is side), None)
        ends = (one.interval.low, one.interval.high) if one else (None, None)
        table.add_row(
            _named(side.name),
            f"{side.values(found.primary).mean():.4f}" if side.runs else "missing",
            str(len(side.runs)),
            count(side.tokens),
            count(side.arm.num_parameters),
            _plain(signed(one.interval.mean, 4)) if one and is_number(one.interval.mean) else "",
            _plain(span(*ends, 4)) if one else "",
            ("by seed" if one.paired_seeds else "no") if one else "",
            Text(one.relation if one else "the first", style="bold" if one else "dim"),
        )
    return table


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Rows of text; the first column names the row, the others are numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(_named(heading), justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_named(_plain(cell)) for cell in row))
    return table


def show(table: Table, file: TextIO | None = None) -> None:
    """Print a table: with color on a terminal (NO_COLOR is obeyed), as plain lines of any length elsewhere."""
    shown = console(file)
    if not shown.is_terminal:
        shown = console(file, width=_PLAIN_WIDTH, no_color=True)
        table.box = box.ASCII2
    elif (needed := shown.measure(table, options=shown.options.update(max_width=_WIDEST)).maximum) > shown.width:
        shown = console(file, width=needed)  # the terminal folds lines; a table that fits lacks names
    shown.print(table)


def _verdict_text(verdict: Any) -> Text:
    return Text(VERDICT_WORDS.get(str(verdict), "not judged"), style=_STYLES.get(str(verdict), ""))


def _interval(interval: Any, decimals: int = 3) -> str:
    return span(*ends(interval), decimals)


def _named(text: str) -> Text:
    """What somebody wrote, in letters: no markup, and no control character acts."""
    return Text(visible(text))


def _plain(text: str) -> str:
    """A true minus is not in every terminal's character set; a hyphen is."""
    return text.replace("−", "-")


def show_verdict(folder: StudyFolder) -> None:
    """Print a study's question, its verdict and every sentence that goes with it."""
    study, verdict = folder.study, folder.verdict or Verdict()
    print(f"\n{study.question}")
    if study.prediction:
        print(f"predicted: {study.prediction}")
    if study.pilot is not None and study.pilot.words:
        print(f"pilot: {study.pilot.words}")
    if (matched := Forks.of(study).matched(study.arms)) is not None:
        print(matched)
    if (verdict.arms or verdict.effects) and not study.primary.is_loss:
        print(f"judged by: {study.primary.compared}")
    _show_arms(folder, verdict)
    _show_effects(folder, verdict)
    for arm, row in verdict.trends.items():
        small, large = row.tokens
        print(f"{arm}: {row.words}, from {small:,} to {large:,} tokens with {row.num_parameters:,} parameters")
    for arm, row in (*verdict.screened_out.items(), *verdict.dropped.items()):
        print(f"{arm}: {row.words}")
    for answer in folder.answers:
        print(answer)
    for gone in verdict.missing:
        print(f"missing: {gone.arm} seed {gone.seed} {_last_line(gone.why)}")


def _show_arms(folder: StudyFolder, verdict: Verdict) -> None:
    if verdict.arms:
        show(verdict_table(folder))
    for arm, row in verdict.arms.items():
        print(f"{arm}: {row.words}")
    for name, at_budget in verdict.budgets.items():
        for arm, row in at_budget.arms.items():
            print(f"{arm} {name}: {row.words}")


def _show_effects(folder: StudyFolder, verdict: Verdict) -> None:
    """Of a study with factors."""
    if verdict.effects:
        show(effects_table(folder))
    for name, row in verdict.effects.items():
        print(f"{name}: {row.words}")
    for its in verdict.undeclared.values():
        if its.words:
            print(its.words)


def _last_line(why: str | None) -> str:
    """Of a message its line, of a traceback the last, which says what happened."""
    return f"failed: {why.strip().splitlines()[-1]}" if why and why.strip() else "is not finished"
