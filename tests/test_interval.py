"""The interval of a second's index: people are resampled, never frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.engagement import interval
from tests import factories
from tests.factories import examples

SETTINGS = factories.settings(engagement={"replicates": 2000}).engagement


def ends(index: np.ndarray, settings=SETTINGS) -> tuple[np.ndarray, np.ndarray]:
    low, high, _ = interval(index.astype(np.float32), np.isfinite(index).any(axis=0), settings)
    return low, high


def slow_ends(values: list[float], replicates: int) -> tuple[float, float]:
    """Draw people with replacement, one by one; the plain percentile bootstrap."""
    random = np.random.default_rng(99)
    means = sorted(
        sum(values[k] for k in random.integers(0, len(values), len(values))) / len(values)
        for _ in range(replicates)
    )
    return means[int(0.025 * replicates)], means[int(0.975 * replicates)]


@pytest.mark.parametrize("people", [5, 10, 25])
def test_it_is_the_plain_bootstrap_over_people(people):
    values = np.random.default_rng(people).uniform(0.2, 1, people)
    low, high = ends(values[:, None])
    assert (low[0], high[0]) == pytest.approx(slow_ends(values.tolist(), 3000), abs=0.03)


def test_who_is_not_seen_in_a_second_does_not_count_there():
    values = np.random.default_rng(1).uniform(0.2, 1, 20)
    index = np.full((60, 2), np.nan)
    index[:20, 0] = values
    index[:, 1] = 0.5
    low, high = ends(index)
    assert (low[0], high[0]) == pytest.approx(slow_ends(values.tolist(), 3000), abs=0.03)
    assert (low[1], high[1]) == pytest.approx((0.5, 0.5), abs=1e-6)


def test_it_widens_with_fewer_people_as_the_root_of_their_number():
    widths = []
    for people in (6, 24, 96):
        values = np.tile([0.2, 1.0], people // 2)
        low, high = ends(values[:, None])
        widths.append(high[0] - low[0])
        # Normal theory: 2 · 1.96 · 0.4 / √n.
        assert widths[-1] == pytest.approx(2 * 1.96 * 0.4 / people**0.5, rel=0.2)
    assert widths[0] > widths[1] > widths[2]


@examples(25)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_it_lies_within_what_people_showed_and_around_the_mean(seed, people):
    values = np.random.default_rng(seed).uniform(0, 1, people)
    low, high = ends(values[:, None], factories.settings(engagement={"replicates": 500}).engagement)
    assert values.min() - 1e-5 <= low[0] <= values.mean() + 1e-5
    assert values.mean() - 1e-5 <= high[0] <= values.max() + 1e-5


def test_agreement_leaves_no_width_and_seconds_not_wanted_no_interval():
    index = np.full((8, 3), 0.7, np.float32)
    low, high, _ = interval(index, np.array([True, False, True]), SETTINGS)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [False, True, False]
    assert low[0] == high[0] == pytest.approx(0.7, abs=1e-6)


def test_long_lectures_are_worked_through_in_pieces_without_a_seam():
    column = np.random.default_rng(2).uniform(0, 1, (6, 1))
    settings = factories.settings(engagement={"replicates": 100}).engagement
    low, high = ends(np.tile(column, (1, 9000)), settings)
    assert len(set(low.tolist())) == len(set(high.tolist())) == 1


@pytest.mark.parametrize("seconds", [1, 40, 9000])
def test_the_whole_lecture_has_an_interval_of_its_own(seconds):
    values = np.random.default_rng(5).uniform(0.2, 1, 12)
    index = np.repeat(values[:, None], seconds, axis=1).astype(np.float32)

    low, high, whole = interval(index, np.ones(seconds, bool), SETTINGS)

    # Everybody shows the same all the time: then the lecture is as uncertain as any second of it.
    assert whole == pytest.approx((low[0], high[0]), abs=0.01)
    assert whole == pytest.approx(slow_ends(values.tolist(), 3000), abs=0.03)


def test_seconds_without_values_do_not_count_in_the_whole():
    values = np.random.default_rng(6).uniform(0.2, 1, 12)
    index = np.full((12, 30), 0.0, np.float32)
    index[:, 10:] = values[:, None]
    wanted = np.arange(30) >= 10

    _, _, whole = interval(index, wanted, SETTINGS)

    assert whole == pytest.approx(slow_ends(values.tolist(), 3000), abs=0.03)


def test_nobody_at_all():
    low, high, whole = interval(np.zeros((0, 4), np.float32), np.zeros(4, bool), SETTINGS)
    assert np.isnan(whole).all()
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    assert len(low) == 4


def test_the_seed_decides_and_nothing_else():
    index = np.random.default_rng(3).uniform(0, 1, (12, 5))
    other = factories.settings(engagement={"replicates": 2000, "seed": 1}).engagement
    assert np.array_equal(ends(index), ends(index))
    assert not np.array_equal(ends(index), ends(index, other))
