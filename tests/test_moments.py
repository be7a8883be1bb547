"""Moments: what is found in generated classes, what is not, and what must make no difference."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fer_core import moments
from fer_core.moments import Moment
from fer_core.settings import Engagement

ENGAGEMENT = Engagement.model_validate({})
CLASS_S = 1800
PLANTED_S = 60
PLANTED_PEOPLE = 12
NEAR_S = 15


@dataclass(frozen=True)
class Recipe:
    """How a class is made.

    Attributes:
        people, seconds: its size.
        slowness_s: time constant of personal fluctuation; None: 5, 20 or 60 s, by person.
        change: mean change planted for a minute, up or down; a person's own is 0.5 to 1.5 times it.
        livelier: personal fluctuation of everybody is this many times as large after half time.
    """

    people: int = 25
    seconds: int = CLASS_S
    slowness_s: float | None = None
    change: float = 0.0
    livelier: float = 1.0


def make_class(recipe: Recipe, seed: int) -> tuple[NDArray[np.float32], int]:
    """Return a class's curves and the second at which the change was planted.

    Everybody has a level, fluctuation (sd 0.15, autoregressive), slow drift (sd 0.06, 15 min),
    reading noise (sd 0.08), smiles of some seconds every few minutes, gaps, late arrivals and
    early departures. All share a decline by 0.1 over the class, which is no moment.
    """
    rng = np.random.default_rng(seed)
    n, seconds = recipe.people, recipe.seconds
    slow = np.full(n, recipe.slowness_s) if recipe.slowness_s else rng.choice([5.0, 20, 60], n)
    own = _autoregressive(rng, slow, seconds) * 0.15
    own[:, seconds // 2 :] *= recipe.livelier
    index = rng.uniform(0.45, 0.8, (n, 1)) + own + rng.normal(0, 0.08, (n, seconds))
    index += _autoregressive(rng, np.full(n, 900.0), seconds) * 0.06
    index += np.linspace(0.05, -0.05, seconds)
    start = int(rng.integers(60, seconds - 60 - PLANTED_S))
    size = recipe.change * rng.choice([-1, 1]) * rng.uniform(0.5, 1.5, n)
    index[:, start : start + PLANTED_S] += size[:, None]
    for person in range(n):
        for at in rng.integers(seconds, size=rng.poisson(seconds / 190)):
            index[person, at : at + int(rng.exponential(12)) + 2] -= 0.3
    index = index.clip(0, 1)
    for person in range(n):
        for at in rng.integers(seconds, size=rng.poisson(seconds / 600)):
            index[person, at : at + int(rng.exponential(30))] = np.nan
        if rng.random() < 0.15:
            index[person, : int(rng.integers(seconds // 3))] = np.nan
        if rng.random() < 0.1:
            index[person, seconds - int(rng.integers(seconds // 3)) :] = np.nan
    index[rng.random(index.shape) < 0.05] = np.nan
    return index.astype(np.float32), start


def _autoregressive(
    rng: np.random.Generator, slowness_s: NDArray[np.float64], seconds: int
) -> NDArray[np.float64]:
    keep = np.exp(-1 / slowness_s)
    noise = rng.normal(0, 1, (seconds, len(slowness_s)))
    noise[1:] *= np.sqrt(1 - keep**2)
    for second in range(1, seconds):
        noise[second] += keep * noise[second - 1]
    return noise.T


def find(
    index: NDArray[np.float32],
    *,
    changes: tuple[int, ...] = (),
    shown: NDArray[np.bool_] | None = None,
    min_group: int = 5,
) -> list[Moment]:
    found = moments.find(
        index, changes=changes, shown=shown, settings=ENGAGEMENT, min_group=min_group
    )
    return found or []


def is_at(moment: Moment, start: int) -> bool:
    return abs(moment.start_second - start) <= NEAR_S


@cache  # the few classes of a quick test are also the first of the many of a slow one
def shown(recipe: Recipe, seed: int) -> tuple[list[Moment], int]:
    """Return what is found in a class, and the second at which its change was planted."""
    index, start = make_class(recipe, seed)
    return find(index), start


def share_with_any(recipe: Recipe, classes: int) -> float:
    """Return the share of classes that show any moment."""
    return sum(bool(shown(recipe, seed)[0]) for seed in range(classes)) / classes


def share_found(recipe: Recipe, classes: int) -> float:
    """Return the share of classes whose planted change was found where it is."""
    hits = 0
    for seed in range(classes):
        found, start = shown(recipe, seed)
        hits += any(is_at(moment, start) for moment in found)
    return hits / classes


def planted(seed: int = 1) -> tuple[NDArray[np.float32], int]:
    return make_class(Recipe(people=PLANTED_PEOPLE, seconds=900, change=0.3, slowness_s=5), seed)


@pytest.mark.parametrize("classes", [60, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("people", [5, 25])
def test_classes_without_shared_change_rarely_show_a_moment(people: int, classes: int) -> None:
    share = share_with_any(Recipe(people=people), classes)
    print(f"no change planted, {people} people: {share:.1%} of {classes} classes show a moment")  # noqa: T201
    assert share <= 0.05


@pytest.mark.parametrize("classes", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_a_planted_change_of_twenty_points_is_found_in_place(classes: int) -> None:
    share = share_found(Recipe(change=0.2), classes)
    print(f"20 points planted: found within {NEAR_S} s in {share:.1%} of {classes}")  # noqa: T201
    assert share >= 0.8


@pytest.mark.slow
def test_livelier_second_halves_are_not_taken_for_moments() -> None:
    assert share_with_any(Recipe(livelier=2.0), 200) <= 0.05


def test_ninety_minutes_of_twenty_five_people_take_two_seconds_at_most() -> None:
    index, _ = make_class(Recipe(seconds=5400), 1)
    for start in (900, 2400, 4200):
        index[:, start : start + PLANTED_S] -= 0.4
    began = time.process_time()
    found = find(index)
    took_s = time.process_time() - began
    assert len(found) == 3
    assert took_s <= 2


def test_a_moment_says_how_large_the_change_is_and_how_sure() -> None:
    index, start = planted()
    inside = index[:, start : start + PLANTED_S]
    around = np.concatenate([index[:, start - 60 : start], index[:, start + 60 : start + 120]], 1)
    direction = np.sign(np.nanmean(inside) - np.nanmean(around))
    (moment,) = find(index)
    assert is_at(moment, start)
    assert abs(moment.end_second - start - PLANTED_S) <= NEAR_S
    assert 0.2 <= direction * moment.change <= 0.4
    assert moment.change_low < moment.change < moment.change_high
    assert moment.change_low * moment.change_high > 0
    assert 0 < moment.p_value <= 0.05
    assert 5 <= moment.people <= PLANTED_PEOPLE


@given(st.permutations(range(PLANTED_PEOPLE)))
@hypothesis_settings(max_examples=5, deadline=None, derandomize=True)
def test_the_order_of_people_does_not_matter(order: list[int]) -> None:
    index, _ = planted()
    assert find(index[order]) == find(index) != []


@given(st.lists(st.floats(-0.5, 0.5), min_size=PLANTED_PEOPLE, max_size=PLANTED_PEOPLE))
@hypothesis_settings(max_examples=5, deadline=None, derandomize=True)
def test_a_persons_own_level_does_not_matter(levels: list[float]) -> None:
    index, _ = planted()
    (before,), (after,) = find(index), find(index + np.array(levels, np.float32)[:, None])
    assert (before.start_second, before.end_second) == (after.start_second, after.end_second)
    assert before.people == after.people
    for name in ("change", "change_low", "change_high", "p_value"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=2e-3)


@given(seed=st.integers(0, 1000), starts=st.lists(st.integers(0, 1140), min_size=4, max_size=6))
@hypothesis_settings(max_examples=8, deadline=None, derandomize=True)
def test_moments_are_few_apart_ranked_and_within_the_class(seed: int, starts: list[int]) -> None:
    index, _ = make_class(Recipe(seconds=1200, slowness_s=5), seed)
    for at, start in enumerate(starts):
        index[:, start : start + PLANTED_S] += 0.3 * (-1) ** at
    found = find(index.clip(0, 1))
    assert len(found) <= 3
    for moment in found:
        assert 0 <= moment.start_second < moment.end_second <= 1200
        assert abs(moment.change) >= 0.05
        assert -1 <= moment.change_low <= moment.change <= moment.change_high <= 1
    spans = sorted((moment.start_second, moment.end_second) for moment in found)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_of_many_changes_the_three_clearest_are_given_the_clearest_first() -> None:
    index, _ = make_class(Recipe(seconds=2700, slowness_s=5), 3)
    sizes = {300: 0.1, 700: 0.2, 1100: 0.3, 1500: 0.1, 1900: 0.4, 2300: 0.1}
    for start, size in sizes.items():
        index[:, start : start + PLANTED_S] -= np.float32(size)
    found = find(index)
    assert len(found) == 3
    for moment, start in zip(found, (1900, 1100, 700), strict=True):
        assert is_at(moment, start)


def test_the_answer_is_always_the_same_and_the_curves_stay_untouched() -> None:
    index, _ = planted()
    before = index.copy()
    assert find(index, shown=np.ones(900, bool)) == find(index)
    assert np.array_equal(index, before, equal_nan=True)


@pytest.mark.parametrize("shape", [(0, 0), (0, 900), (25, 0), (25, 1), (25, 60), (25, 900)])
def test_nobody_scored_gives_nothing(shape: tuple[int, int]) -> None:
    assert find(np.full(shape, np.nan, np.float32)) == []


def test_curves_without_any_change_give_nothing() -> None:
    assert find(np.full((25, 900), 0.7, np.float32)) == []


def test_a_class_too_short_to_have_surroundings_gives_nothing() -> None:
    index, start = planted()
    assert find(index[:, start : start + 80]) == []


def test_four_people_are_too_few_whatever_the_minimum_group() -> None:
    index, start = make_class(Recipe(people=8, seconds=1800, change=0.4, slowness_s=5), 2)
    assert [is_at(moment, start) for moment in find(index)] == [True]
    for min_group in (1, 4, 5):
        assert find(index[:4], min_group=min_group) == []
    assert find(index, min_group=9) == []


@pytest.mark.parametrize(
    ("people", "seconds", "min_group", "looked"),
    [
        (12, 94, 5, False),  # 30 s, 5 s beside it and 60 s around it
        (12, 95, 5, True),
        (4, 600, 1, False),
        (5, 600, 1, True),
        (12, 600, 12, True),
        (12, 600, 13, False),
    ],
)
def test_where_nothing_could_be_compared_there_is_no_answer(
    people: int, seconds: int, min_group: int, looked: bool
) -> None:
    index = np.full((people, seconds), 0.5, np.float32)
    found = moments.find(index, settings=ENGAGEMENT, min_group=min_group)
    assert found == ([] if looked else None)


def test_people_who_are_never_there_before_and_after_cannot_be_compared() -> None:
    index = np.full((10, 95), np.nan, np.float32)
    index[:5, :31], index[5:, 31:] = 0.5, 0.5
    assert moments.find(index, settings=ENGAGEMENT, min_group=5) is None


def test_one_person_who_changes_is_no_moment() -> None:
    index, _ = make_class(Recipe(people=9, seconds=1800, slowness_s=5), 4)
    index[0] = 0.9
    index[0, 600:660] = 0.0
    assert find(index) == []


@pytest.mark.parametrize(("size", "count"), [(0.03, 0), (0.08, 1)])
def test_a_change_must_be_large_enough_to_matter_however_certain(size: float, count: int) -> None:
    rng = np.random.default_rng(5)
    index = rng.normal(0.7, 0.02, (25, 900)).astype(np.float32)
    index[:, 400:460] -= np.float32(size)
    assert len(find(index)) == count


def test_withheld_seconds_are_not_looked_at() -> None:
    index, start = planted()
    shown = np.ones(900, bool)
    shown[start - 5 : start + PLANTED_S + 5] = False
    assert find(index, shown=shown) == []


def test_people_seen_only_inside_or_only_around_make_no_pair() -> None:
    index, start = planted()
    end = start + PLANTED_S
    split = np.full((2 * PLANTED_PEOPLE, 900), np.nan, np.float32)
    split[:PLANTED_PEOPLE, start:end] = index[:, start:end]
    split[PLANTED_PEOPLE:, :start] = index[:, :start]
    split[PLANTED_PEOPLE:, end:] = index[:, end:]
    assert find(split) == []


def test_moments_at_a_layout_or_slide_change_are_marked() -> None:
    index, _ = planted()
    (moment,) = find(index)
    assert not moment.at_layout_change
    expected = {-4: False, -3: True, 0: True, 20: True}
    for after, marked in expected.items():
        (same,) = find(index, changes=(5, moment.start_second + after))
        assert same.at_layout_change is marked
    for after, marked in {3: True, 4: False}.items():
        (same,) = find(index, changes=(moment.end_second + after,))
        assert same.at_layout_change is marked


def test_curves_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="people, seconds"):
        find(np.zeros(900, np.float32))


@pytest.mark.parametrize("people", [5, 7])
def test_as_many_people_as_the_minimum_group_are_enough(people: int) -> None:
    index = np.random.default_rng(5).normal(0.7, 0.02, (people, 900)).astype(np.float32)
    index[:, 400:460] -= np.float32(0.3)
    (moment,) = find(index, min_group=people)
    assert is_at(moment, 400)
    assert moment.people == people


def test_only_people_seen_in_it_and_around_it_count() -> None:
    index = np.random.default_rng(5).normal(0.7, 0.02, (12, 900)).astype(np.float32)
    index[:, 400:460] -= np.float32(0.3)
    index[:4, 380:480] = np.nan
    (moment,) = find(index)
    assert is_at(moment, 400)
    assert moment.people == 8


def test_a_fifth_of_a_stretch_is_too_little_of_it() -> None:
    index = np.random.default_rng(5).normal(0.7, 0.02, (12, 900)).astype(np.float32)
    index[:, 400:460] -= np.float32(0.3)
    assert len(find(index)) == 1
    # Of the minute and its edges every fifth second is seen.
    index[:, 340:520] = np.where(np.arange(340, 520) % 5, np.nan, index[:, 340:520])
    assert find(index) == []


def test_the_interval_of_a_change_is_student_s() -> None:
    # Every person's own change is known; people alone are resampled. t(5) = 2.571.
    changes = np.array([0.1, 0.15, 0.2, 0.25, 0.3, 0.35])
    index = np.random.default_rng(5).normal(0.7, 0.002, (6, 900))
    index[:, 400:460] -= changes[:, None]
    (moment,) = find(index.astype(np.float32))
    half = 2.571 * changes.std(ddof=1) / 6**0.5
    assert moment.change == pytest.approx(-changes.mean(), abs=0.005)
    assert moment.change_low == pytest.approx(-changes.mean() - half, abs=0.15 * half)
    assert moment.change_high == pytest.approx(-changes.mean() + half, abs=0.15 * half)
