"""The pages of the server as text: the list, a study, and words where there is nothing to show.

What others wrote (questions, names, samples) is escaped by the templates. No script stands in a page: all of them are
files of this package, and the policy allows scripts of this server alone, so text that became markup could still not
run.

Not for: numbers. They come from the report.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from vslm.live.growing import FIELDS, cursor_of, results_of
from vslm.live.guard import MOST_TEXT_CHARACTERS
from vslm.live.progress import Progress
from vslm.live.shelf import Entry, Shelf
from vslm.report.figures.style import styles
from vslm.report.numbers.runs import Run
from vslm.report.numbers.tables import VERDICT_WORDS
from vslm.report.pages import content
from vslm.report.pages.study import Live, asset, json_in_page, render, template
from vslm.report.sections.factors import effect_styles

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_OWN = Path(__file__).parent / "assets"
_SHARED = ("page.css", "token_view.css", "token_view.js", "theme.js", "plotly-cartesian.min.js", "page.js")
ASSETS = (*_SHARED, "live.css", "list.js", "live.js", "typed.js")
_MOST_ARMS = 5  # of a card; the page has all
MOST_READERS = 4  # runs that read a typed text at once


@functools.cache
def asset_text(name: str) -> str:
    """A file of `ASSETS`, as text."""
    return asset(name) if name in _SHARED else (_OWN / name).read_text(encoding="utf-8")


@functools.cache
def asset_address(name: str) -> str:
    """Where a page finds it: the content's hash is in the address, so a browser keeps it for good."""
    return f"/assets/{hashlib.sha256(asset_text(name).encode()).hexdigest()[:12]}/{name}"


def address(name: str, kind: str = "/study/") -> str:
    """Where a study's page, or what it asks for, is."""
    return f"{kind}{quote(name, safe='/')}"


def list_page(shelf: Shelf) -> str:
    """Every study of a folder."""
    entries = shelf.entries()
    return _template("list.html.j2").render(
        root=shelf.root.resolve().name,
        cards=[_card_context(entry) for entry in entries],
        num_running=sum(entry.progress is not None and entry.progress.is_running for entry in entries),
    )


def card(entry: Entry) -> str:
    """One study of the list."""
    return _template("card.html.j2").render(card=_card_context(entry))


def tag_of(entry: Entry) -> str:
    """Another one whenever the card is another one."""
    return hashlib.sha256(repr((entry.stamp, entry.progress, entry.problem)).encode()).hexdigest()[:12]


def _card_context(entry: Entry) -> dict[str, Any]:
    study, progress = entry.study, entry.progress
    arms = list(study.arms)
    style_of = styles(arms, study.baseline)
    style_of |= effect_styles(entry.rows) if study.factorial is not None else {}
    rows = content.cards(study.primary, [row for row in entry.rows if row.arm in style_of], style_of)
    verdicts = {row["verdict"] for row in rows}
    words = [entry.name, study.question or "", *arms, *(VERDICT_WORDS[verdict] for verdict in verdicts)]
    return {
        "name": entry.name,
        "tag": tag_of(entry),
        "href": address(entry.name),
        "question": study.question or entry.name,
        "date": str(study.created or "")[:10],
        "baseline": study.baseline,
        "arms": rows[:_MOST_ARMS],
        "num_more": max(0, len(rows) - _MOST_ARMS),
        "num_arms": len(arms),
        "problem": entry.problem,
        "progress": progress,
        "kinds": " ".join(
            kind
            for kind, is_so in {
                "running": progress is not None and progress.is_running,
                "decided": bool(verdicts) and "unresolved" not in verdicts,
                "open": "unresolved" in verdicts or (len(arms) > 1 and not rows),
                "broken": entry.problem is not None,
            }.items()
            if is_so
        ),
        "search": " ".join(str(word) for word in words).lower(),
    }


def study_page(entry: Entry, runs: dict[str, list[Run]]) -> str:
    """The report of a study, with what comes while it runs and a place to type a text."""
    assert entry.progress is not None
    style_of = styles(list(runs), entry.study.baseline)
    readers: dict[int, list[str]] = {}  # seed -> arms whose run has stored weights
    for run in (run for found in runs.values() for run in found if _can_read(entry, run)):
        readers.setdefault(run.seed, []).append(run.arm)
    num_readers = sum(len(arms) for arms in readers.values())
    state = {
        "rows": address(entry.name, "/api/rows/"),
        "tokens": address(entry.name, "/api/tokens/"),
        "since": cursor_of(runs),
        "results": results_of(runs, entry.results_stamp),
        "fields": FIELDS,
        "colors": {arm: style.color for arm, style in style_of.items()},
        "progress": progress_for_script(entry.progress),
        "readers": readers,
        "most_readers": MOST_READERS,
    }
    context = {
        "entry": entry,
        "progress": entry.progress,
        "style_of": style_of,
        "readers": dict(sorted(readers.items())),
        "arms": [arm for arm in runs if any(arm in found for found in readers.values())],
        "most_readers": MOST_READERS,
        "num_without": sum(len(found) for found in runs.values()) - num_readers,
        "state": json_in_page(state),
        "most_characters": MOST_TEXT_CHARACTERS,
    }
    parts = {name: Markup(_template(f"study-{name}.html.j2").render(**context)) for name in ("head", "top", "section")}
    scripts = [*(name for name in _SHARED if name.endswith(".js")), "live.js", "typed.js"]
    return render(
        entry.folder,
        runs=runs,
        live=Live(
            policy=POLICY,
            nav=Markup('<a href="#typed">Your text</a>'),
            scripts=Markup("\n".join(f'<script src="{asset_address(name)}"></script>' for name in scripts)),
            **parts,
        ),
    )


def _can_read(entry: Entry, run: Run) -> bool:
    """Whether weights are there: those that a run ended with, or some that it kept on its way."""
    folder = entry.folder.run(run.arm, run.seed)
    is_whole = run.state == "done" and (folder.path / "weights.safetensors").is_file()
    return is_whole or bool(folder.kept_weights)


def progress_for_script(progress: Progress) -> dict[str, Any]:
    """How far it is, for the strip at the top of the page."""
    return {"words": progress.words, "share": round(progress.share, 4), "state": progress.state}


def unreadable_page(entry: Entry) -> str:
    """The page of a study whose declaration cannot be read."""
    return words_page(f"{entry.name} cannot be read", entry.problem or "")


def words_page(title: str, words: str) -> str:
    """A page that only says something."""
    return _template("words.html.j2").render(title=title, words=words)


@functools.cache
def _template(name: str) -> Any:
    found = template(name, _OWN)
    found.globals.update(asset_address=asset_address, policy=POLICY)
    return found
