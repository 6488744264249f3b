"""The token view in a browser: keyboard, pointer, slider and the other arm; a hostile text is shown and never runs."""

from pathlib import Path

import numpy as np
import pytest
from opened import Opened, Opener
from token_study import HOSTILE, TEXTS, token_arrays, tokenizer, write_token_study

from vslm.report.pages.study import write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with two arms, two seeds and two texts."""
    return write_report(write_token_study(tmp_path_factory.mktemp("runs") / "s"))


def choose(opened: Opened, label: str, value: str) -> None:
    """One of the lists to choose from."""
    opened.page.locator(f'#token-view label:has(> span:text-is("{label}")) select').select_option(value)


def level(opened: Opened, n: int, side: int = 0) -> float:
    """How strongly a token is colored."""
    token = opened.page.locator(".token-text").nth(side).locator(".token").nth(n)
    return float(token.evaluate("found => found.style.getPropertyValue('--level')"))


def chosen(opened: Opened) -> str:
    """What is said of the chosen token."""
    return opened.text(".token-details")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_hostile_text_is_shown_as_it_is_and_never_runs(
    open_page: Opener, report: Path, width: int, scheme: str
) -> None:
    """Tags, quotes, text that runs the other way, control characters; nothing is wider than the window."""
    opened = open_page(report, width, scheme)
    choose(opened, "Beside", "window-4")
    opened.page.evaluate("document.querySelectorAll('.token-text .token').forEach((token) => token.click())")
    shown = opened.page.locator(".token-text").first.evaluate("found => found.textContent")
    assert all(text in shown for text in HOSTILE[:3])
    for mark in (
        "U+202E",
        "U+202C",
        "U+001B",
        "U+0000",
        "U+2028",
        "↵",
        "⋯\u05e9⋯\u05dc⋯\u05d5⋯\u05dd",
        "caf⋯é",
        "⋯⋯⋯\U0001f600",
    ):
        assert mark in shown, mark
    opened.page.locator(".token-text").nth(1).locator(".token").last.click()
    assert "80\nends\n\U0001f600" in chosen(opened)
    assert "\u202e" not in shown
    assert "\x00" not in shown
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("#token-view img, #token-view script, #token-view [onfocus]").count() == 0
    assert opened.complaints == []
    assert opened.requests == [report.as_uri()]
    assert opened.fits


def test_the_slider_colors_the_text_as_it_was_then(open_page: Opener, report: Path) -> None:
    """From an untrained model, which is a blind guess everywhere, to the end; from the keyboard."""
    opened = open_page(report)
    own = token_arrays(256, 0)["token_view.loss_nats_SN"]
    assert opened.text(".token-slider output") == "1,750"
    assert level(opened, 7) == pytest.approx(own[-1, 7] / np.log(270), abs=2e-3)
    slider = opened.page.locator(".token-slider input")
    slider.focus()
    for step, row in (("10", 1), ("0", 0)):
        opened.page.keyboard.press("ArrowLeft")
        assert opened.text(".token-slider output") == step
        assert level(opened, 7) == pytest.approx(own[row, 7] / np.log(270), abs=2e-3)
    assert slider.get_attribute("aria-valuetext") == f"step 0, mean loss {np.log(270):.2f} nats"
    assert level(opened, 7) == 1


def test_arrow_keys_move_between_tokens_and_say_where_they_are(open_page: Opener, report: Path) -> None:
    """One token is reached by the tabulator; right, down, end and home go on from there."""
    opened = open_page(report)
    tokens = opened.page.locator(".token-text .token")
    count = len(tokenizer().encode(TEXTS[0]))
    assert tokens.count() == count
    assert opened.page.locator(".token-text .token[tabindex='0']").count() == 1
    tokens.nth(0).click()
    first = opened.page.evaluate("document.activeElement.getAttribute('aria-label')")
    loss = token_arrays(256, 0)["token_view.loss_nats_SN"][-1, 0]
    assert f"loss {loss:.2f} nats, rank 1" in first
    assert "token 1," in chosen(opened)
    opened.page.keyboard.press("ArrowRight")
    assert "token 2," in chosen(opened)
    top = "document.activeElement.getBoundingClientRect().top"
    before = opened.page.evaluate(top)
    opened.page.keyboard.press("ArrowDown")
    assert opened.page.evaluate(top) > before
    opened.page.keyboard.press("ArrowUp")
    assert opened.page.evaluate(top) == pytest.approx(before, abs=2)
    opened.page.keyboard.press("End")
    assert f"token {count}," in chosen(opened)
    opened.page.keyboard.press("ArrowRight")
    assert f"token {count}," in chosen(opened)
    opened.page.keyboard.press("Home")
    assert "token 1," in chosen(opened)
    assert opened.page.locator(".token[aria-selected='true']").count() == 1


def test_a_pointer_shows_a_token_and_leaves_the_choice(open_page: Opener, report: Path) -> None:
    """Its numbers are the run's, with what they were before; away from the text the chosen token is back."""
    opened = open_page(report)
    tokens = opened.page.locator(".token-text .token")
    tokens.nth(0).click()
    tokens.nth(5).hover()
    loss_S = token_arrays(256, 0)["token_view.loss_nats_SN"][:, 5]
    said = chosen(opened)
    assert "token 6," in said
    assert f"{100 * np.exp(-loss_S[2]):.2f} %" in said
    assert f"was {loss_S[1]:.2f}" in said
    opened.page.mouse.move(0, 0)
    choose(opened, "Change", "0")
    assert "token 1," in chosen(opened)
    assert f"was {np.log(270):.2f}" in chosen(opened)


def test_beside_another_arm_the_difference_is_the_color(open_page: Opener, report: Path) -> None:
    """Paired by seed; the sign is told by the kind of line too; both arms have their numbers."""
    opened = open_page(report)
    choose(opened, "Seed", "1")
    choose(opened, "Beside", "window-4")
    gap_N = (token_arrays(4, 1)["token_view.loss_nats_SN"] - token_arrays(256, 1)["token_view.loss_nats_SN"])[-1]
    right = opened.page.locator(".token-text").nth(1).locator(".token")
    for n in (2, 3, 11):
        assert level(opened, n, side=1) == pytest.approx(min(1, abs(gap_N[n]) / 2), abs=2e-3)
        assert ("less" in right.nth(n).get_attribute("class").split()) == (gap_N[n] < 0)
        line = right.nth(n).evaluate("found => getComputedStyle(found).borderBottomStyle")
        assert line == ("dotted" if gap_N[n] < 0 else "solid")
    right.nth(11).click()
    assert "window-4, seed 1" in chosen(opened)
    assert "all-visible, seed 1" in chosen(opened)
    assert opened.page.locator(".token.chosen").count() == 2
    choose(opened, "Text", "1")
    assert (
        opened.page.locator(".token-text").first.evaluate("found => found.textContent").startswith("Once upon a time")
    )


def test_texts_in_other_tokens_have_no_difference(open_page: Opener, tmp_path: Path) -> None:
    """It is said, and the token of the other text is the one that stands at the same byte."""
    report = write_report(write_token_study(tmp_path / "s", seeds=(0,)))
    opened = open_page(report)
    opened.page.evaluate(
        """() => {
          const run = (arm, text) => ({arm, seed: 0, text, steps: [3], pieces: [{loss: [[1, 2, 3]], rank: [[1, 2, 3]],
            entropy: [[1, 1, 1]], top: [[[0], [0], [0]]], p: [[[0.5], [0.5], [0.5]]]}]});
          const words = [{0: "ab", 1: "c", 2: "d"}, {0: "a", 1: "bc", 2: "d"}];
          const texts = words.map((found) => ({vocabulary: 3, words: found, pieces: [{ids: [0, 1, 2], note: ""}]}));
          const place = document.getElementById("token-view");
          window.vslmTokenView(place, {texts, runs: [run("one", 0), run("two", 1)], baseline: "one", remark: ""});
        }"""
    )
    choose(opened, "Beside", "two")
    assert "two reads this text in other tokens" in opened.text(".token-note")
    opened.page.locator(".token-text").first.locator(".token").nth(1).click()
    marked = opened.page.locator(".token-text").nth(1).locator(".token.chosen")
    assert marked.evaluate_all("found => found.map((token) => token.textContent)") == ["bc"]
    assert opened.page.locator(".token.less, .token.more").count() == 0
    assert not opened.page.locator(".token-slider").is_visible()
    assert opened.complaints == []
