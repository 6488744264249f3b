"""Designs of factors: balanced, the baseline first, and nothing that is judged mixed with what it must not be."""

import itertools

import numpy as np
import pytest

from vslm.stats.designs import MOST_FACTORS, choose_design

RUNS = {2: 4, 3: 8, 4: 8, 5: 16, 6: 16, 7: 16, 8: 16, 9: 24, 10: 24, 11: 24, 12: 24, 13: 32, 16: 32}


@pytest.mark.parametrize("num_factors", range(2, MOST_FACTORS + 1))
def test_every_factor_is_apart_from_all_others_and_from_interactions_of_two(num_factors: int) -> None:
    """By the columns themselves, which share nothing."""
    design = choose_design(num_factors)
    assert design is not None
    assert not design.on_RF[0].any()
    assert len(np.unique(design.on_RF, axis=0)) == design.num_runs
    assert design.num_runs == RUNS.get(num_factors, design.num_runs)
    columns = np.stack([design.signs([i]) for i in range(num_factors)])
    assert not columns.sum(axis=1).any()
    assert (columns @ columns.T == design.num_runs * np.eye(num_factors)).all()
    pairs = np.stack([columns[a] * columns[b] for a, b in itertools.combinations(range(num_factors), 2)])
    assert not (columns @ pairs.T).any()
    assert not design.mixed([num_factors - 1], 2)


@pytest.mark.parametrize(
    ("num_factors", "interactions", "num_runs"),
    [
        (3, ((1, 2),), 8),
        (4, ((0, 3),), 16),
        (5, ((0, 1), (2, 3)), 16),
        (6, ((4, 5),), 32),
        (7, ((0, 6), (1, 6)), 32),
        (8, ((0, 1), (2, 3), (4, 5)), 64),
        (10, ((3, 7),), 64),
    ],
)
def test_declared_interactions_are_apart_from_everything_of_two(
    num_factors: int, interactions: tuple[tuple[int, int], ...], num_runs: int
) -> None:
    """Whatever else the factors do to each other, two at a time, is not in them."""
    design = choose_design(num_factors, interactions)
    assert design is not None
    assert design.num_runs == num_runs
    for pair in interactions:
        assert not design.mixed(pair, 1)
        assert not design.mixed(pair, 2)
    assert not set(design.other_pairs(interactions)) & set(interactions)


def test_a_design_of_four_in_eight_runs_is_the_textbooks() -> None:
    """I = ABCD, turned so that no factor is on in the first run: every run has an even number of them."""
    design = choose_design(4)
    assert design is not None
    assert (design.kind, design.resolution) == ("fraction", 4)
    assert sorted(map(tuple, design.on_RF.astype(int))) == [
        levels for levels in itertools.product((0, 1), repeat=4) if sum(levels) % 2 == 0
    ]
    assert design.mixed([0], 3) == [(1, 2, 3)]
    assert design.mixed([0, 1], 2) == [(2, 3)]
    assert design.other_pairs([]) == {(0, 1): [(2, 3)], (0, 2): [(1, 3)], (0, 3): [(1, 2)]}


def test_a_design_of_five_in_sixteen_runs_tells_interactions_apart() -> None:
    """Resolution V, though nobody asked for it: it costs no more runs."""
    design = choose_design(5)
    assert design is not None
    assert design.resolution == 5
    assert all(not mixed for mixed in design.other_pairs([]).values())


def test_plackett_and_burmans_runs_with_their_mirror_image() -> None:
    """Twelve of the runs are theirs; each has its opposite, so that products of two cancel in every column."""
    design = choose_design(12)
    assert design is not None
    assert design.kind == "plackett-burman"
    rows = {tuple(row) for row in design.on_RF.tolist()}
    assert {tuple(not on for on in row) for row in rows} == rows
    own = design.on_RF[~design.on_RF[:, 11]][:, :11]
    assert own.shape == (12, 11)
    columns = np.where(own, 1, -1)
    assert (columns.T @ columns == 12 * np.eye(11)).all()
    # An interaction is mixed with others in part.
    assert {abs(int(design.signs([0, 1]) @ design.signs(one))) for one in design.mixed([0, 1], 2)} == {8}


def test_what_no_design_keeps_apart_is_none() -> None:
    """Half of three factors, a quarter of five, and an interaction in the smallest design of six."""
    assert choose_design(3, (), 4) is None
    assert choose_design(5, (), 8) is None
    assert choose_design(6, ((0, 1),), 16) is None
    assert choose_design(4, (), 1) is None
    assert choose_design(4, (), 32) is None
    assert choose_design(16, tuple(itertools.combinations(range(16), 2))) is None
