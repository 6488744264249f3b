"""The live page in a browser: looks right, asks only this server, grows by new rows, and no text of others runs."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_in import STEPS, read_text
from synthetic_study import write_study

from vslm.live.app import App
from vslm.results.files import read_json, read_rows, write_json, write_rows

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = "</script><img src=x onerror=window.hacked=1><svg onload=window.hacked=1>"


class Visit:
    """A page, what it complained about, and what it asked for."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def go(self, path: str) -> None:
        """Open an address of the server."""
        self.page.goto(self.address.rstrip("/") + path)

    def until(self, condition: str) -> None:
        """Wait for something to be so. (Playwright's own way needs `eval`, which the page's policy forbids.)"""
        end = time.monotonic() + 30
        while not self._is_so(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(50)

    def _is_so(self, condition: str) -> bool:
        try:
            return self.page.evaluate(condition)
        except Exception as error:
            if "context was destroyed" in str(error):  # the page was just loaded anew
                return False
            raise

    def fits(self) -> bool:
        """Whether nothing is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    def line(self, arm: str, seed: int) -> dict[str, Any]:
        """The line of one run in the figure of training."""
        pick = f"t.meta.part === 'seed' && t.meta.arm === '{arm}' && t.meta.seed === {seed}"
        return self.page.evaluate(
            f"(({{x, y}}) => ({{x, y}}))(document.getElementById('plot-training').data.find((t) => {pick}))"
        )


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visitor]:
    """Open an address in a window of its own."""
    contexts = []

    def opener(path: str, width: int = 1280, scheme: str = "light") -> Visit:
        size = {"width": width, "height": 900}
        context = browser.new_context(
            viewport=size, color_scheme=scheme, is_mobile=width < 500, has_touch=width < 500, reduced_motion="reduce"
        )
        contexts.append(context)
        visit = Visit(context.new_page(), address)
        visit.go(path)
        return visit

    yield opener
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_list_opens_and_leads_to_a_study(visit: Visitor, width: int, scheme: str) -> None:
    """On a phone and on a desktop, in both themes, from this server alone; a tap on a card opens the page."""
    there = visit("/", width, scheme)
    assert there.page.locator("h1").inner_text() == "2 studies"
    assert there.page.evaluate("document.documentElement.dataset.theme") == scheme
    assert there.fits()
    there.page.locator("article", has_text="Is a better than b?").click(position={"x": 30, "y": 20})
    there.page.wait_for_selector("#plot-training .main-svg")
    assert there.page.locator("h1").inner_text() == "Is a better than b?"
    assert there.fits()
    assert there.complaints == []
    assert all(url.startswith(there.address) for url in there.requests)


def test_search_and_filter_show_what_matches(visit: Visitor) -> None:
    """Words in any order; the key / goes there; nothing that matches is said."""
    there = visit("/")
    shown = there.page.locator("article:visible")
    there.page.keyboard.press("/")
    there.page.keyboard.type("BETTER first")
    assert shown.count() == 1
    assert there.page.locator("h1").inner_text() == "1 of 2 studies"
    there.page.locator("#search").fill("no such thing")
    assert shown.count() == 0
    assert there.page.locator("#none").is_visible()
    there.page.locator("#search").fill("")
    there.page.locator('[data-kind="running"]').click()
    assert shown.count() == 0
    there.page.locator('[data-kind=""]').click()
    assert shown.count() == 2
    assert there.complaints == []


def test_the_list_follows_what_happens(visit: Visitor, runs: Path) -> None:
    """A new study appears, a verdict changes, one that is gone goes: only cards that changed are asked for."""
    there = visit("/")
    verdict = read_json(runs / "first" / "verdict.json")
    verdict["arms"]["b"]["verdict"] = "equivalent"
    write_json(runs / "first" / "verdict.json", verdict)
    write_study(runs / "third", {"x": (5, 0.3, 101)}, seeds=(0,), num_positions=11, steps=STEPS, question=EVIL)
    there.until("document.querySelectorAll('article').length === 3")
    there.until("document.querySelector('[data-name=first]').innerText.includes('equivalent')")
    assert there.page.locator("h1").inner_text() == "3 studies"
    asked = [url.removeprefix(there.address) for url in there.requests if "/api/card/" in url]
    assert sorted(asked) == ["api/card/first", "api/card/third"]
    assert there.page.evaluate("window.hacked") is None
    assert EVIL in there.page.locator("[data-name=third] h2").inner_text()
    (runs / "third").rename(runs.parent / "gone")
    there.until("document.querySelectorAll('article').length === 2")
    assert there.complaints == []


def test_curves_grow_by_the_rows_that_are_new(visit: Visitor, runs: Path) -> None:
    """A run that is not finished goes on under an open page: its line grows, nothing is loaded anew."""
    run = runs / "first" / "b" / "seed1"
    (run / "done.json").unlink()
    there = visit("/study/first")
    there.page.wait_for_selector("#plot-training .main-svg")
    before = there.line("b", 1)
    there.page.evaluate("window.untouched = true")
    rows = read_rows(run / "measures.jsonl")
    write_rows(run / "measures.jsonl", [*rows, {**rows[-1], "step": 21, "val_loss": 2.125}])
    there.until("document.getElementById('plot-training').data.some((t) => t.y.includes(2.125))")
    after = there.line("b", 1)
    assert after["y"] == [*before["y"], 2.125]
    assert after["x"] == [*before["x"], 21]
    assert there.page.evaluate("window.untouched")
    assert there.complaints == []


def test_new_results_wait_for_who_is_reading(visit: Visitor, runs: Path) -> None:
    """A run ends while somebody types: a button says so. Nobody is there: the page shows them by itself."""
    done = runs / "first" / "b" / "seed1" / "done.json"
    kept = done.read_text()
    done.unlink()
    there = visit("/study/first")
    assert "5 of 6 runs" in there.page.locator("#strip-words").inner_text()
    there.page.locator("#typed-text").fill("a text")
    done.write_text(kept)
    there.page.wait_for_selector("#strip-reload:visible")
    assert there.page.locator("#typed-text").input_value() == "a text"
    there.page.locator("#strip-reload").click()
    there.until("document.getElementById('strip-words').textContent === '6 of 6 runs'")

    done.unlink()
    other = visit("/study/first")
    other.page.wait_for_selector("#strip")
    done.write_text(kept)
    other.until("document.getElementById('live-data')?.textContent.includes('6 of 6')")


def test_a_server_that_is_gone_is_said_and_the_page_stays(browser: Any, runs: Path) -> None:
    """In words; nothing that was there goes away."""
    app = App(runs, read_text)
    context = browser.new_context()
    page = context.new_page()

    def answer(route: Any) -> None:
        path = "/" + route.request.url.split("/", 3)[3]
        if "/api/rows/" in path:
            route.abort()
            return
        found = app.answer("GET", path, {"Host": "127.0.0.1"})
        route.fulfill(status=found.status, body=found.body, content_type=found.kind)

    page.route("**/*", answer)
    page.goto("http://127.0.0.1/study/first")
    page.wait_for_selector("#strip-lost:visible")
    assert page.locator("#plot-training .main-svg").count() > 0
    assert page.locator("h1").inner_text() == "Is a better than b?"
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_typed_text_is_drawn_token_by_token(visit: Visitor, width: int, scheme: str) -> None:
    """In the report's token view, through the stored steps; a second text takes the place of the first."""
    there = visit("/study/first", width, scheme)
    there.page.locator("#typed-text").fill("heat é")
    there.page.locator("#typed-go").click()
    there.page.wait_for_selector("#typed-view .token")
    tokens = there.page.locator("#typed-view .token-text").first.locator(".token")
    assert "".join(tokens.all_inner_texts()).replace("\xa0", " ") == "heat é"
    assert "a" in there.page.locator("#typed-view figcaption").inner_text()
    level = "document.querySelectorAll('#typed-view .token-text .token')[{}].style.getPropertyValue('--level')"
    assert float(there.page.evaluate(level.format(5))) > float(there.page.evaluate(level.format(1))) > 0
    assert "step 13" in there.page.locator("#typed-view input[type=range]").get_attribute("aria-valuetext")
    tokens.nth(2).click()
    assert "2.00" in there.page.locator("#typed-view .token-details").inner_text()
    there.page.locator("#typed-text").fill("ab")
    there.page.locator("#typed-text").press("Control+Enter")
    there.until("document.querySelectorAll('#typed-view .token-text .token').length === 2")
    assert there.fits()
    assert there.complaints == []


def test_arms_that_read_are_chosen(visit: Visitor) -> None:
    """None, and there is nothing to press; two, and one can be put beside the other."""
    there = visit("/study/first")
    there.page.locator("#typed-text").fill("ab")
    for arm in ("a", "b"):
        there.page.locator(f'[data-reader="{arm}"]').click()
    assert there.page.locator("#typed-go").is_disabled()
    for arm in ("a", "b"):
        there.page.locator(f'[data-reader="{arm}"]').click()
    there.page.locator("#typed-go").click()
    there.page.wait_for_selector("#typed-view .token")
    there.page.locator("#typed-view select").nth(2).select_option("b")
    assert there.page.locator("#typed-view figure").count() == 2
    assert there.complaints == []


def test_a_run_that_cannot_read_is_said_beside_the_others(visit: Visitor) -> None:
    """One arm is drawn, and a sentence says why the other is not; the next text that both can read takes it away."""
    there = visit("/study/first")
    there.page.locator("#typed-text").fill("half")
    there.page.locator("#typed-go").click()
    there.page.wait_for_selector("#typed-view .token")
    words = there.page.locator("#typed-words")
    assert words.is_visible()
    assert "b/seed0: its weights are torn" in words.inner_text()
    there.page.locator("#typed-text").fill("ab")
    there.page.locator("#typed-go").click()
    there.until("document.querySelectorAll('#typed-view .token-text .token').length === 2")
    assert not words.is_visible()
    assert there.complaints == []


def test_typed_text_and_refusals_are_text(visit: Visitor) -> None:
    """Markup that is typed is shown as it is; an error is a sentence, and the text stays."""
    there = visit("/study/first")
    there.page.locator("#typed-text").fill(EVIL)
    there.page.locator("#typed-go").click()
    there.page.wait_for_selector("#typed-view .token")
    assert "".join(there.page.locator("#typed-view .token-text .token").all_inner_texts()) == EVIL
    there.page.locator("#typed-text").fill("boom")
    there.page.locator("#typed-go").click()
    there.until("document.getElementById('typed-words').textContent.includes('weights are torn')")
    assert there.page.locator("#typed-text").input_value() == "boom"
    there.page.locator("#typed-text").evaluate("e => e.removeAttribute('maxlength')")
    there.page.locator("#typed-text").fill("x" * 20_001)
    there.page.locator("#typed-go").click()
    there.until("document.getElementById('typed-words').textContent.includes('20,001 characters')")
    assert there.page.evaluate("window.hacked") is None
    assert there.page.locator("#typed-view img").count() == 0
    assert all("status of 4" in complaint for complaint in there.complaints)


def test_no_script_in_markup_runs(visit: Visitor) -> None:
    """Not even if markup got in: the policy knows this server's files alone."""
    there = visit("/study/first")
    there.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">')")
    there.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked=1'}))"
    )
    there.page.wait_for_timeout(50)
    assert there.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in complaint for complaint in there.complaints)
