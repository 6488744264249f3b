"""Numbers of a benchmark, over its items and by what they are about, and what is declared of them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vslm.core.errors import DataError
from vslm.data.eval_items import Form, Items
from vslm.measure.declared import Array, Axis, Declared, Number, Shown
from vslm.measure.item_scores import ItemScores, LaidOut
from vslm.stats.shares import standard_error

_MOST_GROUPS = 100  # that a figure has a row for
_MARGIN_UNIT = "nats per token"
_OF = {"pairs": "of the pairs", "choices": "of the questions", "last word": "of the last words"}
_RIGHT = {
    "pairs": "pairs whose right sentence is the likelier one",
    "choices": "questions whose right choice is the likeliest",
    "last word": "last words said token by token",
}
_READ = {
    "pairs": "Two sentences that differ in what makes one of them right; the model is right where it finds that one "
    "likelier. ",
    "choices": "The right choice against the others, by how likely each is behind its question. ",
    "last word": "The last word of a text, right where each of its tokens is the likeliest one. Chance is what always "
    "saying the commonest of the words would get. ",
}
_ABOUT_MARGINS = (
    "The margin is how much likelier what is right is per token than what is wrong; it tells models apart where "
    "accuracy is still at chance."
)


def margin_name(form: Form) -> str:
    """What is recorded of an item beside its being right: its margin, or the loss of a last word."""
    return "loss" if form == "last word" else "margin"


def numbers_of(form: Form) -> Mapping[str, Number]:
    """The numbers without axes of a benchmark of this form."""
    of = _OF[form]
    found = {
        "accuracy": Number.share(unit=of, higher_is_better=True, title=_RIGHT[form]),
        "accuracy_error": Number(unit=of, higher_is_better=None, title="standard error of that, over items"),
        "chance": Number(unit=of, higher_is_better=None, title="right by a guess"),
    }
    if form == "last word":
        found["loss"] = Number(unit=_MARGIN_UNIT, higher_is_better=False, title="loss of the last word")
    else:
        found["margin"] = Number(
            unit=_MARGIN_UNIT, higher_is_better=True, title="how much likelier what is right is than what is wrong"
        )
    if form == "choices":
        title = "questions whose right choice is the likeliest per letter"
        found["accuracy_by_length"] = Number.share(unit=of, higher_is_better=True, title=title)
    margin = margin_name(form)
    return found | {
        f"{margin}_error": Number(unit=_MARGIN_UNIT, higher_is_better=None, title=f"standard error of the {margin}"),
        "num_items": Number(unit="items", higher_is_better=None, title="items that were scored"),
        "num_left_out": Number(unit="items", higher_is_better=None, title="items that the context does not hold"),
        "num_cut": Number(unit="items", higher_is_better=None, title="items whose beginning the context does not hold"),
    }


def arrays_of(items: Items) -> Mapping[str, Array]:
    """What is drawn by what items are about; nothing where they are about one thing, or about too many."""
    if not 1 < len(items.groups) <= _MOST_GROUPS:
        return {}
    axis, margin = Axis(title="what items are about", names=items.groups), margin_name(items.form)
    of, title = _OF[items.form], numbers_of(items.form)[margin].title
    return {
        f"{margin}_G": Array(axes=(axis,), unit=_MARGIN_UNIT, title=title, button=margin, level=0.0),
        "accuracy_G": Array(axes=(axis,), unit=of, title=_RIGHT[items.form], button="accuracy", level="chance"),
    }


def shown_of(form: Form, title: str, short: str) -> Shown:
    """The section of a page."""
    return Shown(title=title, short=short, read=_READ[form] + ("" if form == "last word" else _ABOUT_MARGINS))


def declared_of(items: Items) -> Declared:
    """What is said of the numbers of a whole benchmark."""
    shown = shown_of(items.form, f"Benchmark: {items.name}", items.name)
    return Declared(shown=shown, arrays=arrays_of(items), numbers=numbers_of(items.form))


def item_numbers(items: Items, laid_out: LaidOut, scores: ItemScores) -> dict[str, np.ndarray | float]:
    """The numbers, and the arrays over G groups if there are several.

    Raises: DataError where no item could be scored.
    """
    is_scored_N = np.isfinite(scores.right_N)
    if not is_scored_N.any():
        words = f"none of its {len(items.items):,} items fits into the context and the tokenizer"
        raise DataError(items.name, words, "", "take a model with a longer context")
    right, margins = scores.right_N[is_scored_N], scores.margin_N[is_scored_N]
    asked = replace(items, items=tuple(one for one, is_in in zip(items.items, is_scored_N, strict=True) if is_in))
    margin = margin_name(items.form)
    found: dict[str, np.ndarray | float] = {
        "accuracy": float(right.mean()),
        "accuracy_error": standard_error(right),
        "chance": asked.chance,
        margin: float(margins.mean()),
        f"{margin}_error": standard_error(margins),
        "num_items": float(is_scored_N.sum()),
        "num_left_out": float(laid_out.num_left_out),
        "num_cut": float(laid_out.num_cut),
    }
    if items.form == "choices":
        found["accuracy_by_length"] = float(scores.by_length_N[is_scored_N].mean())
    if arrays_of(items):
        place_of = {name: place for place, name in enumerate(items.groups)}
        group_N = np.array([place_of[item.group] for item in asked.items])
        count_G = np.bincount(group_N, minlength=len(place_of))
        for name, values in (("accuracy_G", right), (f"{margin}_G", margins)):
            sum_G = np.bincount(group_N, weights=values, minlength=len(place_of))
            found[name] = np.divide(sum_G, count_G, out=np.full(len(count_G), np.nan), where=count_G > 0)
        found["num_items_G"] = count_G
    return found
