"""A page that is open in a browser, with all that it complained about and asked for."""

from collections.abc import Callable
from typing import Any


class Opened:
    """A page with everything that it complained about and asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def data(self, plot: str) -> list[dict[str, Any]]:
        """The traces that are drawn in a figure."""
        pick = "({x, y, z, meta, name, line}) => ({x, y, z, meta, name, color: line && line.color})"
        return self.page.evaluate(f"document.getElementById('plot-{plot}').data.map({pick})")

    def line(self, plot: str, arm: str) -> dict[str, Any]:
        """The mean line of an arm in a figure."""
        return next(t for t in self.data(plot) if t["meta"]["arm"] == arm and t["meta"]["part"] == "mean")

    def press(self, choice: str, value: str) -> None:
        """Press one of the buttons of a choice."""
        self.page.locator(f'button[data-choice="{choice}"][value="{value}"]').first.click()

    def text(self, selector: str) -> str:
        """What stands in an element."""
        return self.page.locator(selector).inner_text()

    @property
    def fits(self) -> bool:
        """Whether nothing is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


Opener = Callable[..., Opened]
