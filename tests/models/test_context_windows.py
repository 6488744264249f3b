"""Windows through the depth: matched sums, reach, and what is refused."""

import pytest
import torch

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.models.initialization import Init
from vslm.models.layouts.patterns import ahead, shifted
from vslm.models.layouts.plain import uniform
from vslm.models.layouts.roots import shared_two_streams, two_streams
from vslm.models.layouts.shapes import decreasing, increasing, knots, permuted
from vslm.models.layouts.windows import every_full, matched_windows, reach, visible_keys, window_patterns, windowed
from vslm.models.parts.kernels import mean_visible_keys

PLAIN = uniform(depth=4, width=12, heads=2, context_tokens=97)
PATTERNS = ((1, 1, 1, 1), tuple(knots(8, 64, depth=4)), (1, 3, 3, 1), (1, 5, 1, 5))


@pytest.mark.parametrize(
    ("pattern", "share"),
    [
        (pattern, share)
        for pattern in (*PATTERNS, every_full(4, depth=4), every_full(3, depth=4))
        for share in (0.3, 0.5, 0.9)
        if pattern.count(None) / 4 < share  # what the full blocks alone see is the least
    ],
)
def test_every_pattern_comes_near_the_sum_and_says_by_how_much(pattern, share: float) -> None:
    """Within 0.5%; the miss is the truth; equal numbers get equal windows."""
    wanted = share * 4 * mean_visible_keys(509, None)
    found = matched_windows(pattern, visible_keys=wanted, context_tokens=509)
    total = visible_keys(windowed(vary(PLAIN, {"context_tokens": 509}), found.windows))
    assert found.visible_keys == pytest.approx(total, rel=1e-12)
    assert found.miss_fraction == pytest.approx(total / wanted - 1, abs=1e-12)
    assert abs(found.miss_fraction) < 0.005
    assert [w is None for w in found.windows] == [size is None for size in pattern]
    pairs = dict(zip(pattern, found.windows, strict=True))
    assert [pairs[size] for size in pattern] == list(found.windows)


def test_every_order_of_the_same_windows_costs_the_same() -> None:
    """So that the order is the only variable."""
    windows = (3, 11, 50, 97)
    sums = {visible_keys(windowed(PLAIN, order(windows))) for order in (increasing, decreasing, permuted)}
    flops = {windowed(PLAIN, order(windows)).flops_per_token(53) for order in (increasing, decreasing, permuted)}
    assert max(sums) - min(sums) < 1e-9
    assert max(flops) - min(flops) < 1e-3
    assert matched_windows((3, 11, 50, 97), visible_keys=sums.pop(), context_tokens=97).windows == windows


def test_the_named_patterns_cost_the_same_but_for_full() -> None:
    """Within what whole windows allow, here 1%; the orders hold the same windows."""
    windows = (5, 5, 13, 13, 61, 61)
    found = window_patterns(windows, context_tokens=97)
    model = uniform(depth=len(windows), width=8, heads=1, context_tokens=97)
    keys = {name: visible_keys(windowed(model, pattern)) for name, pattern in found.items()}
    wanted = sum(mean_visible_keys(97, window) for window in windows)
    assert keys.pop("full") > 1.5 * wanted
    assert keys == {name: pytest.approx(wanted, rel=0.01) for name in keys}
    orders = {"increasing", "decreasing", "small-large-small", "large-small-large", "permuted"}
    assert {tuple(sorted(found[name])) for name in orders} == {windows}
    assert len({found[name] for name in orders}) == len(orders)
    assert len(set(found["uniform"])) == 1
    assert [window is None for window in found["third-full"]] == [False, False, True, False, False, True]


def test_the_reach_is_what_a_change_reaches() -> None:
    """By changing one token: the last logits move exactly if it is within the reach."""
    for windows in ((1, 1, 1, 1), (3, 1, 5, 2), (None, 1, 1, 1), (60, 60, 1, 1)):
        model = windowed(PLAIN, windows)
        module = model.build(vocabulary=11, init=Init(0)).eval()
        tokens_BT = torch.zeros(1, 97, dtype=torch.long)
        before = module(tokens_BT)[0, -1]
        moved, last = {}, reach(model)
        for back in {1, 2, *range(3, 98, 11), *range(max(last - 2, 1), min(last + 3, 98)), 97}:
            changed_BT = tokens_BT.clone()
            changed_BT[0, -back] = 5
            moved[back] = not torch.equal(module(changed_BT)[0, -1], before)
        assert moved == {back: back <= last for back in moved}


def test_a_visit_reaches_as_often_as_it_is_made() -> None:
    """A loop over a short window sees far; the context is the end."""
    looped = vary(windowed(PLAIN, (5, 1, 1, 1)), {"path": ("0", "0", "0", "1", "2", "3")})
    assert reach(looped) == 13
    assert reach(windowed(PLAIN, (5, None, 1, 1))) == 97


def test_windows_of_two_streams_count_in_both() -> None:
    """The content stream's attentions cost keys too; and the last prediction sees through all of them."""
    short = windowed(PLAIN, (3, 3, 3, 3))
    one = mean_visible_keys(97, 3)
    for layout in (two_streams, shared_two_streams):
        assert visible_keys(layout(short)) == pytest.approx(7 * one)
        assert reach(layout(short), at_least=9) == 9


def test_a_reach_is_that_of_what_is_read_out() -> None:
    """A shifted state adds a position; loops whose stream is left behind add none."""
    short = windowed(PLAIN, (3, 3, 3, 3))
    assert reach(shifted(short, passes=3)) == 3 * 8 + 2 + 1
    assert reach(ahead(short, tokens=3)) == 9
    with pytest.raises(SpecError, match="reach 9 positions back"):
        reach(ahead(short, tokens=3), at_least=10)


def test_a_reach_that_is_too_short_is_refused() -> None:
    """With the windows and what they reach."""
    windowed(PLAIN, (3, 3, 3, 3), at_least=9)
    with pytest.raises(
        SpecError, match=r"windows \(3, 3, 3, 3\) reach 9 positions back in a context of 97; 10 are needed"
    ):
        windowed(PLAIN, (3, 3, 3, 3), at_least=10)
    with pytest.raises(SpecError, match="98 are needed"):
        reach(PLAIN, at_least=98)


def test_what_cannot_be_is_refused() -> None:
    """Windows below 1, another number of them, sums out of range, patterns of nothing."""
    with pytest.raises(SpecError, match=r"blocks\.1\.attention\.window_tokens: found 0"):
        windowed(PLAIN, (3, 0, 3, 3))
    with pytest.raises(SpecError, match="2 windows for 4 blocks"):
        windowed(PLAIN, (3, 3))
    for keys in (3.9, 4 * 49.01):
        with pytest.raises(SpecError, match="4 to 196 can be had"):
            matched_windows((1, 1, 1, 1), visible_keys=keys, context_tokens=97)
    with pytest.raises(SpecError, match="visible_keys: 40 for the pattern"):
        matched_windows((None, 1), visible_keys=40, context_tokens=97)
    for pattern in ((), (0, 1)):
        with pytest.raises(SpecError, match="above 0"):
            matched_windows(pattern, visible_keys=10, context_tokens=97)
    with pytest.raises(SpecError, match="every_full"):
        every_full(0, depth=4)
