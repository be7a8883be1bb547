"""The interval of a second's index: people are resampled, never frames; few widen it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.engagement import interval
from tests import factories
from tests.factories import examples

# 97.5 % quantiles of Student's t with n - 1 degrees of freedom, from tables.
T = {5: 2.776, 6: 2.571, 10: 2.262, 12: 2.201, 20: 2.093, 24: 2.069, 25: 2.064, 96: 1.985}
SETTINGS = factories.settings(engagement={"replicates": 2000}).engagement


def ends(index: np.ndarray, settings=SETTINGS) -> tuple[np.ndarray, np.ndarray]:
    low, high, _ = interval(index.astype(np.float32), np.isfinite(index).any(axis=0), settings)
    return low, high


def slow_ends(values: list[float], replicates: int) -> tuple[float, float]:
    """Draw people with replacement, one by one: the percentile bootstrap, widened for few."""
    random = np.random.default_rng(99)
    means = sorted(
        sum(values[k] for k in random.integers(0, len(values), len(values))) / len(values)
        for _ in range(replicates)
    )
    n, mean = len(values), sum(values) / len(values)
    factor = T[n] / 1.96 * (n / (n - 1)) ** 0.5
    low, high = means[int(0.025 * replicates)], means[int(0.975 * replicates)]
    return max(0, mean + factor * (low - mean)), min(1, mean + factor * (high - mean))


@pytest.mark.parametrize("people", [5, 10, 25])
def test_it_is_the_bootstrap_over_people_widened_for_few(people):
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
        values = np.linspace(0.4, 0.8, people)
        low, high = ends(values[:, None])
        widths.append(high[0] - low[0])
        # Student's.
        half = T[people] * values.std(ddof=1) / people**0.5
        assert widths[-1] == pytest.approx(2 * half, rel=0.1)
    assert widths[0] > widths[1] > widths[2]


@examples(25)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_it_lies_between_0_and_1_and_around_the_mean(seed, people):
    values = np.random.default_rng(seed).uniform(0, 1, people)
    low, high = ends(values[:, None], factories.settings(engagement={"replicates": 500}).engagement)
    assert 0 <= low[0] <= values.mean() + 1e-5
    assert values.mean() - 1e-5 <= high[0] <= 1


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


def test_of_one_person_nothing_is_known():
    low, high, whole = interval(np.full((1, 3), 0.7, np.float32), np.ones(3, bool), SETTINGS)
    assert low.tolist() == [0, 0, 0]
    assert high.tolist() == [1, 1, 1]
    assert whole == (0, 1)


@pytest.mark.parametrize(("people", "pieces"), [(5, 1), (16, 1), (16, 6), (16, 12)])
def test_nineteen_of_twenty_hold_the_truth(people, pieces):
    settings = factories.settings(engagement={"replicates": 500}).engagement
    random = np.random.default_rng(people + pieces)
    held = {"second": 0, "lecture": 0}
    for _ in range(200):
        # Everybody has an own level around 0.6. Where all are rearranged, all tracks begin anew.
        index = np.full((people * pieces, 24), np.nan, np.float32)
        levels = 0.6 + random.uniform(-0.3, 0.3, people)
        for piece, columns in enumerate(np.array_split(np.arange(24), pieces)):
            noise = random.normal(0, 0.03, (people, len(columns)))
            index[piece * people : (piece + 1) * people, columns] = levels[:, None] + noise
        low, high, whole = interval(index, np.ones(24, bool), settings)
        held["second"] += low[7] <= 0.6 <= high[7]
        held["lecture"] += whole[0] <= 0.6 <= whole[1]
    # 190 are expected; fewer than 180 of 200 would come once in a thousand times.
    assert min(held.values()) >= 180


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


def test_two_people_have_an_interval_of_their_own():
    low, high = ends(np.array([[0.5], [0.5]]))
    assert (low[0], high[0]) == pytest.approx((0.5, 0.5), abs=1e-6)


def test_a_draw_that_misses_a_second_says_nothing_of_it():
    # One of four alone is seen in nine seconds of ten: three draws in ten miss those seconds.
    index = np.full((4, 100), np.nan, np.float32)
    index[0] = 0.8
    index[1:, :10] = 0.8
    _, _, whole = interval(index, np.ones(100, bool), SETTINGS)
    assert whole == (0, 1)  # of one person and a bit nothing is known
    index[1, :] = 0.8
    _, _, whole = interval(index, np.ones(100, bool), SETTINGS)
    # Everybody always showed the same: whoever is drawn, the mean is that.
    assert whole == pytest.approx((0.8, 0.8), abs=1e-6)
