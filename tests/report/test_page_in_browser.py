"""The page in a browser: nothing goes wrong, nothing goes out, a click moves the slices, and no text of others runs."""

from pathlib import Path

import numpy as np
import pytest
from measured_study import ARMS, write_measured_study
from opened import Opener
from synthetic_study import STEPS, T_QUANTILE, write_study

from vslm.report.figures.surface import step_edges
from vslm.report.pages.study import write_report
from vslm.results.folder import StudyFolder

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<svg onload=window.hacked=1>",
    "<a href='javascript:window.hacked=1'>x</a>",
    "{{ 7 * 7 }}%{y}$\\href{javascript:window.hacked=1}{x}$\u2028&lt;b&gt;",
)


@pytest.fixture(scope="module")
def report(study_dir: Path) -> Path:
    """The page of the finished study."""
    return write_report(study_dir)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_opens_without_error_and_without_a_request(
    open_page: Opener, report: Path, width: int, scheme: str
) -> None:
    """On a phone and on a desktop, in both themes: all figures drawn, nothing wider than the window."""
    opened = open_page(report, width, scheme)
    assert opened.complaints == []
    assert opened.requests == [report.as_uri()]
    assert opened.page.evaluate("document.documentElement.dataset.theme") == scheme
    assert opened.page.locator(".js-plotly-plot").count() == 7
    heat = opened.page.locator("#plot-heat .heatmaplayer image")
    assert heat.count() == 2, "the cells, and grey over what is not resolved"
    assert heat.first.bounding_box()["height"] > 200
    assert opened.fits


def test_a_click_on_the_heat_map_moves_both_slices(open_page: Opener, report: Path, study: StudyFolder) -> None:
    """The slices show, to the digit, the runs' numbers at the step and the position that were clicked."""
    opened = open_page(report)
    opened.press("heat_view", "loss")
    opened.page.locator('button[data-choice="heat_arm"][value="all-visible"]').click()
    before = opened.line("along-position", "window-4")["y"]
    area = opened.page.locator("#plot-heat .nsewdrag")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    step_row = 6
    edges = np.log(step_edges(np.array(STEPS)))
    from_below = (edges[step_row : step_row + 2].mean() - edges[0]) / (edges[-1] - edges[0])
    # The row's middle on the logarithmic axis, counted from below; the last column but a few.
    area.click(position={"x": box["width"] * 0.97, "y": box["height"] * (1 - from_below)})
    opened.page.wait_for_function("document.getElementById('step-value').textContent === '12'")
    assert opened.text("#along-position-caption") == "Along the window, at step 12"

    runs = [study.run("window-4", seed).arrays for seed in range(3)]
    first_position = np.mean([arrays["val_loss_nats_ST"][step_row, 0] for arrays in runs])
    along_position = opened.line("along-position", "window-4")["y"]
    assert along_position != before
    assert along_position[0] == pytest.approx(first_position, abs=1e-4)

    start, _, end = opened.text("#position-value").partition(" to ")
    assert int(start) > 200
    window = slice(int(start) - 1, int(end))
    along_training = opened.line("along-training", "window-4")
    expected = np.mean([arrays["val_loss_nats_ST"][-1, window].mean() for arrays in runs])
    assert along_training["y"][-1] == pytest.approx(expected, abs=1e-4)
    assert along_training["x"][-1] == 1750


def test_the_difference_is_what_the_heat_map_shows_first(open_page: Opener, report: Path, study: StudyFolder) -> None:
    """Paired by seed, even around zero, on the same scale for every arm; what is not resolved is grey."""
    opened = open_page(report)
    limits = set()
    for arm in study.arms[1:]:
        opened.press("heat_arm", arm)
        heat, grey = opened.page.evaluate(
            "document.getElementById('plot-heat').data.map(({z, zmin, zmax}) => ({z, zmin, zmax}))"
        )
        limits.add((heat["zmin"], heat["zmax"]))
        losses = [
            np.stack([study.run(name, seed).arrays["val_loss_nats_ST"][:, :11] for seed in range(3)])
            for name in (arm, study.arms[0])
        ]
        differences_NSP = losses[0] - losses[1]
        mean_SP, half_SP = differences_NSP.mean(0), T_QUANTILE * differences_NSP.std(0, ddof=1) / 3**0.5
        is_sure_SP = np.abs(np.abs(mean_SP) - half_SP) > 2e-4  # numbers on the page are rounded
        for s, p in np.argwhere(is_sure_SP):
            is_resolved = abs(mean_SP[s, p]) > half_SP[s, p]
            assert grey["z"][s][p] == (None if is_resolved else 1)
            assert heat["z"][s][p] == (pytest.approx(mean_SP[s, p], abs=1e-4) if is_resolved else None)
        assert 0.02 < np.mean([[z is None for z in row] for row in heat["z"]]) < 0.98
    ((low, high),) = limits
    assert low == -high


def test_the_map_of_the_training_loss_has_rows_of_its_own(open_page: Opener, report: Path, study: StudyFolder) -> None:
    """Step 0 has none; the slices and the sliders follow, and the axes of both maps are logarithmic."""
    opened = open_page(report)
    opened.press("heat_view", "loss")
    opened.press("heat_split", "train")
    heat = opened.page.evaluate("(({z, y}) => ({z, y}))(document.getElementById('plot-heat').data[0])")
    runs = [study.run(study.arms[1], seed).arrays["train_loss_nats_ST"] for seed in range(3)]
    assert len(heat["z"]) == len(STEPS) - 1
    assert heat["z"][0][0] == pytest.approx(np.mean([loss_ST[1, 0] for loss_ST in runs]), abs=1e-4)
    assert opened.page.locator("#step-slider").get_attribute("max") == str(len(STEPS) - 2)
    assert opened.line("along-training", study.arms[1])["x"] == list(STEPS[1:])
    types = "(({xaxis, yaxis}) => [xaxis.type, yaxis.type])(document.getElementById('plot-heat').layout)"
    assert opened.page.evaluate(types) == ["log", "log"]
    assert opened.complaints == []


def test_the_sliders_reach_every_cell_from_the_keyboard(open_page: Opener, report: Path) -> None:
    """Who cannot click can still cut."""
    opened = open_page(report)
    assert opened.text("#step-value") == "1,750"
    opened.page.locator("#step-slider").focus()
    opened.page.keyboard.press("ArrowLeft")
    assert opened.text("#step-value") == "957"
    assert opened.text("#along-position-caption") == "Along the window, at step 957"


@pytest.mark.parametrize(("axis", "last"), [("tokens", 1750 * 2048), ("flops", 1750 * 2048 * 3.1e6 * 1.25)])
def test_the_curves_change_their_axis(open_page: Opener, report: Path, axis: str, last: float) -> None:
    """The same losses, against what was spent."""
    opened = open_page(report)
    by_steps = opened.line("training", "all-visible")
    opened.press("axis", axis)
    line = opened.line("training", "all-visible")
    assert line["x"][-1] == pytest.approx(last)
    assert line["y"] == by_steps["y"]
    assert opened.page.locator(f'button[data-choice="axis"][value="{axis}"]').get_attribute("aria-pressed") == "true"


def test_the_curves_show_the_difference_from_the_baseline(open_page: Opener, report: Path) -> None:
    """The baseline has none, so its line is gone."""
    opened = open_page(report)
    opened.press("view", "difference")
    opened.press("scale", "log")
    arms = {trace["meta"]["arm"] for trace in opened.data("training")}
    assert arms == {"window-32", "window-4"}
    assert min(opened.line("training", "window-4")["x"]) > 0
    assert opened.complaints == []


def test_an_arm_can_be_hidden_and_comes_back(open_page: Opener, report: Path) -> None:
    """In every figure with lines at once."""
    opened = open_page(report)
    button = opened.page.locator('button[data-arm="2"]').first
    button.click()
    for plot in ("training", "by-position", "along-position"):
        assert "window-4" not in {trace["meta"]["arm"] for trace in opened.data(plot)}
    button.press("Enter")
    assert "window-4" in {trace["meta"]["arm"] for trace in opened.data("training")}


def test_the_theme_can_be_switched_and_figures_follow(open_page: Opener, report: Path) -> None:
    """Lines are drawn in colors that can be read on the new ground."""
    opened = open_page(report)
    light = opened.line("training", "window-4")["color"]
    opened.page.locator("#theme").click()
    assert opened.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert opened.line("training", "window-4")["color"] != light


def test_no_text_of_others_runs(open_page: Opener, tmp_path: Path) -> None:
    """A hostile question, hostile names of arms, hostile samples and machines are shown as they are, and inert."""
    # A name of an arm is a folder, so it holds neither slash; both stand in the question and the samples.
    separators = str.maketrans({"/": "\N{FRACTION SLASH}", "\\": "\N{SET MINUS}"})
    arms = {name.translate(separators): (3 + 2 * i, 0.3, 101) for i, name in enumerate(HOSTILE)}
    folder = write_study(
        tmp_path / "s", arms, seeds=(0, 1), num_positions=13, question=HOSTILE[0], sample="\n".join(HOSTILE)
    )
    opened = open_page(write_report(folder))
    for name in arms:
        opened.page.locator('button[data-choice="heat_arm"]').nth(list(arms).index(name)).click()
    opened.page.locator("#plot-training .nsewdrag").hover()
    opened.page.locator("summary").last.click()
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("main img, main a[href^='javascript']").count() == 0
    assert opened.complaints == []
    assert opened.requests == [(folder / "report.html").as_uri()]
    assert opened.text("h1") == HOSTILE[0]
    assert HOSTILE[1] in opened.text("details pre >> nth=0")
    assert opened.fits


def test_the_policy_stops_what_would_get_through(open_page: Opener, report: Path) -> None:
    """A handler and a script put into the page do not run, and an address outside cannot be reached."""
    opened = open_page(report)
    opened.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">')")
    opened.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked=1'}))"
    )
    fetched = opened.page.evaluate("fetch('http://localhost:9/').then(() => 'went out', () => 'stopped')")
    opened.page.wait_for_timeout(50)
    assert fetched == "stopped"
    assert opened.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in complaint for complaint in opened.complaints)


def test_no_button_sends_a_figure_away(open_page: Opener, report: Path) -> None:
    """plotly.js brings one that uploads; only the picture and the way back are offered."""
    opened = open_page(report)
    titles = opened.page.locator("#plot-training .modebar-btn").evaluate_all("found => found.map(b => b.dataset.title)")
    assert titles == ["Download plot as a PNG", "Reset axes"]
    assert "cloud" not in str(opened.page.evaluate("document.getElementById('plot-training')._context.plotlyServerURL"))


def test_a_page_with_almost_nothing_on_it_opens(open_page: Opener, tmp_path: Path) -> None:
    """One run that is not finished: no grid, no verdict, no error."""
    folder = write_study(tmp_path / "s", {"only": (3, 0.3, 101)}, seeds=(0,), num_positions=13)
    for name in ("done.json", "arrays.npz", "sample.txt"):
        (folder / "only" / "seed0" / name).unlink()
    opened = open_page(write_report(folder), width=390)
    assert opened.complaints == []
    assert "It has not finished yet." in opened.text("#verdict")
    assert opened.page.locator(".js-plotly-plot").count() == 1
    assert opened.fits


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_what_was_measured_is_drawn_and_can_be_switched(
    open_page: Opener, tmp_path: Path, width: int, scheme: str
) -> None:
    """All of it, on a desktop and on a phone; a button shows another number, and a hidden arm is hidden there too."""
    report = write_report(write_measured_study(tmp_path / "s"))
    opened = open_page(report, width, scheme)
    assert opened.page.locator("section[id^=measured-] .js-plotly-plot").count() == 14 + 13
    assert opened.fits
    assert {trace["meta"]["view"] for trace in opened.data("logit_lens.lines")} == {"p_current"}
    opened.press("logit_lens.lines", "loss_nats")
    assert {trace["meta"]["view"] for trace in opened.data("logit_lens.lines")} == {"loss_nats"}
    assert {trace["meta"]["view"] for trace in opened.data("attention_distance.lines")} == {"distance_tokens"}
    opened.page.locator('button[data-arm="2"]').first.click()
    for plot in ("logit_lens.lines", "recall", "costs"):
        assert list(ARMS)[2] not in {trace["meta"]["arm"] for trace in opened.data(plot)}
    opened.press("classes-part", "difference")
    assert next(iter(ARMS)) not in {trace["meta"]["arm"] for trace in opened.data("classes-part")}
    text = opened.page.evaluate("document.getElementById('plot-maps-0').data[0].text[1][0]")
    assert text.startswith("visit 1, head 0<br>1: &lt;b&gt;x&lt;/b&gt; looks at 0: end of text<br>")
    left = "Math.min(...[...document.querySelectorAll('#plot-forest .ytick')].map(t => t.getBoundingClientRect().left))"
    assert opened.page.evaluate(left) >= opened.page.locator("#plot-forest").bounding_box()["x"], "names are cut"
    assert opened.complaints == []
    assert opened.requests == [report.as_uri()]
