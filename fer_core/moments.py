"""Finds the few stretches of a class in which people's engagement index clearly changed.

Works on finished curves, one per anonymous track. How the index is computed from expressions
is ``engagement``'s business.

What counts as chance: people who fluctuate on their own, slowly and in fits, as real curves do.
What does not: people who change together. So the curves themselves say how large a change
chance makes: every person's paired differences are rotated in time by an amount of their own,
which keeps the person's slowness, skew and gaps and destroys only what they share with the
others (cyclic shifts and the largest column mean: Walter, Nobel & Wright 2011, Bioinformatics
27:678; circular shifts of subjects watching one film: Kauppi et al. 2010, Front. Neuroinform.
4:5). A window's p-value is the share of rotated classes whose clearest window anywhere, of any
width, is at least as clear (Westfall & Young 1993). This bounds the chance of any false moment,
and so the false discovery rate over all windows tried.

Flipping signs would never reach 5 % with 5 people (16 outcomes) and takes the skew of smiles for
symmetric; bootstrap p-values are too small with few people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core.settings import Engagement
from fer_core.spread import widening

MAX_MOMENTS: Final = 3
LEAST_CHANGE: Final = 0.05
"""Smaller changes are never shown, however certain."""
WIDTHS_S: Final = (30, 60, 120)
# Stricter than the 5 % promised, to pay for what rotation supposes: people equally lively all
# class long. Where everybody's liveliness doubles halfway, 3 to 4 % of classes show a moment.
_LEVEL: Final = 0.02
STEP_S: Final = 5
# Slow curves make distant seconds a poor guide: of 90, 120, 180 and 300 s the shorter place a
# moment better and the longer find no more.
AROUND_S: Final = 120
GUARD_S: Final = 5
LEAST_AROUND_S: Final = 60
LEAST_SHARE: Final = 0.5
NEAR_S: Final = 3
"""A layout or slide change this close to a moment, seconds, may explain it."""
# Two moments closer than this are one for whoever watches them.
_APART_S: Final = 60
# Below this no statement about people is made, whatever the privacy setting permits.
FEWEST_PEOPLE: Final = 5
_PRIOR_PEOPLE: Final = 16
_PRIOR_S: Final = 300


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch ``[start_second, end_second)`` worth rewatching.

    Attributes:
        start_second, end_second: its first second, and the first one after it.
        change: mean over people of the index inside minus the index around, -1 to 1.
        change_low, change_high: 95 % interval of ``change`` over resampled people, unaware
            that the clearest of many windows was taken: the true change tends to be smaller.
        p_value: share of classes without shared change whose clearest window is as clear.
        people: tracks seen both inside and around.
        at_layout_change: a layout or slide change lies within 3 s.
    """

    start_second: int
    end_second: int
    change: float
    change_low: float
    change_high: float
    p_value: float
    people: int
    at_layout_change: bool


@dataclass(frozen=True, slots=True)
class _Windows:
    """Paired differences ``(widths, people, centres)``, NaN if unpaired, and where they lie."""

    difference: NDArray[np.float64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def find(
    index: NDArray[np.float32],
    *,
    changes: Sequence[int] = (),
    shown: NDArray[np.bool_] | None = None,
    settings: Engagement,
    min_group: int,
) -> list[Moment] | None:
    """Find at most three moments, the clearest first; none is a normal answer.

    None stands for no answer: in no window could enough people be compared with around it.

    Windows of 30, 60 and 120 s are compared with the two minutes on either side, person by
    person. When a moment is found, its seconds are set aside and the rest is searched again.

    Args:
        index: ``(people, seconds)``, 0 to 1; NaN where that person was not scored.
        changes: seconds at which the layout or the slide changed.
        shown: ``(seconds,)``, false where values are withheld; default: nowhere.
        settings: replicates and seed.
        min_group: fewest paired people for a window to be tried (never fewer than 5).
    """
    if index.ndim != 2:
        raise ValueError(f"index must be (people, seconds), got {index.shape}")
    curves = index.astype(np.float64)
    if shown is not None:
        curves[:, ~shown] = np.nan
    free = np.ones(curves.shape[1], bool)
    least = max(min_group, FEWEST_PEOPLE)
    windows = _pair(curves, free)
    if not ((~np.isnan(windows.difference)).sum(axis=1) >= least).any():
        return None
    found: list[Moment] = []
    while len(found) < MAX_MOMENTS and (moment := _clearest(windows, changes, settings, least)):
        found.append(moment)
        taken = slice(max(moment.start_second - _APART_S, 0), moment.end_second + _APART_S)
        free[taken] = False
        curves[:, taken] = np.nan
        windows = _pair(curves, free)
    return found


def _pair(curves: NDArray[np.float64], free: NDArray[np.bool_]) -> _Windows:
    """Subtract each person's mean around every window from their mean inside it."""
    seconds = curves.shape[1]
    scored = ~np.isnan(curves)
    total = _running(np.where(scored, curves, 0.0))
    count = _running(scored)
    busy = _running(~free)
    widths = np.array(WIDTHS_S)[:, None]
    centres = np.arange(0, seconds + 1, STEP_S, dtype=np.int64)
    start, end = centres - widths // 2, centres + widths // 2

    def between(sums: NDArray[np.float64], margin: int) -> NDArray[np.float64]:
        low, high = np.clip(start - margin, 0, seconds), np.clip(end + margin, 0, seconds)
        return np.moveaxis(sums[..., high] - sums[..., low], -2, 0)

    n_inside = between(count, 0)
    n_around = between(count, GUARD_S + AROUND_S) - between(count, GUARD_S)
    around = between(total, GUARD_S + AROUND_S) - between(total, GUARD_S)
    difference = between(total, 0) / np.maximum(n_inside, 1) - around / np.maximum(n_around, 1)
    within = (start >= 0) & (end <= seconds) & (between(busy, 0) == 0)
    paired = (
        within[:, None]
        & (n_inside >= LEAST_SHARE * widths[:, None])
        & (n_around >= np.maximum(LEAST_AROUND_S, widths[:, None]))
    )
    # Random draws go by row, so rows get an order of their own: the caller's must not matter.
    keys = np.round(np.where(paired, difference, -9.0), 4)
    order = np.lexsort(np.concatenate(np.moveaxis(keys, 1, 2))[::-1])
    return _Windows(np.where(paired, difference, np.nan)[:, order], start, end)


def _running(values: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums


def _clearest(
    windows: _Windows, changes: Sequence[int], settings: Engagement, least: int
) -> Moment | None:
    paired, value = ~np.isnan(windows.difference), np.nan_to_num(windows.difference)
    parts = np.concatenate([value, value**2, paired])
    clear = _clarity(parts.sum(axis=1), least)
    p_values = _p_values(clear, parts, settings, least)
    for flat in np.argsort(-clear, axis=None, kind="stable"):
        width, centre = divmod(int(flat), clear.shape[1])
        if p_values[width, centre] > _LEVEL:
            break
        people = windows.difference[width, paired[width, :, centre], centre]
        change = float(people.mean())
        low, high = _interval(people, settings)
        if abs(change) < LEAST_CHANGE or low <= 0 <= high:
            continue
        start, end = int(windows.start[width, centre]), int(windows.end[width, centre])
        return Moment(
            start_second=start,
            end_second=end,
            change=change,
            change_low=low,
            change_high=high,
            p_value=float(p_values[width, centre]),
            people=len(people),
            at_layout_change=any(start - NEAR_S <= at <= end + NEAR_S for at in changes),
        )
    return None


def _p_values(
    clear: NDArray[np.float64], parts: NDArray[np.float64], settings: Engagement, least: int
) -> NDArray[np.float64]:
    """Compare with classes in which each person is turned round in the time they were seen."""
    turning: list[tuple[int, int, NDArray[np.float32]]] = []
    for mine in np.moveaxis(parts, 1, 0):
        seen = np.flatnonzero(mine[-len(WIDTHS_S) :].any(axis=0))
        if len(seen):
            a, b = int(seen[0]), int(seen[-1]) + 1
            turning.append((a, b, mine.T[a:b].astype(np.float32, order="C")))
    rng, clearest = np.random.default_rng(settings.seed), float(clear.max(initial=0))
    chance: list[float] = []
    tolerated = int(_LEVEL * (1 + settings.replicates)) - 1
    for _ in range(settings.replicates):
        sums = np.zeros((parts.shape[2], parts.shape[0]), np.float32)
        for (a, b, mine), share in zip(turning, rng.random(len(turning)).tolist(), strict=True):
            split = a + int(share * (b - a))
            sums[split:b] += mine[: b - split]
            sums[a:split] += mine[b - split :]
        chance.append(float(_clarity(sums.T.astype(np.float64, order="C"), least).max(initial=0)))
        tolerated -= chance[-1] >= clearest
        if tolerated < 0:  # Nothing can pass any more.
            return np.ones_like(clear)
    return 1 - np.searchsorted(np.sort(chance), clear, "left") / (1 + settings.replicates)


def _clarity(sums: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """Return |t| of the mean difference, its variance moderated as by Smyth (2004).

    With few people their own spread says little, so it is pulled towards the mean square of all
    differences of the surrounding minutes, as if those were ``_PRIOR_PEOPLE`` people more.
    """
    total, square, people = sums.reshape(3, len(WIDTHS_S), -1)
    centres, reach = np.arange(sums.shape[1], dtype=np.int64), _PRIOR_S // STEP_S
    low, high = np.maximum(centres - reach, 0), np.minimum(centres + reach + 1, len(centres))
    squares, count = _running(square), _running(people)
    prior = (squares[:, high] - squares[:, low]) / np.maximum(count[:, high] - count[:, low], 1)
    n = np.maximum(people, 2)
    spread = np.maximum(square - total**2 / n, 0) + _PRIOR_PEOPLE * prior
    variance = np.maximum(spread / (n - 1 + _PRIOR_PEOPLE), 1e-9)
    return np.where(people >= least, np.abs(total) / np.sqrt(n * variance), 0.0)


def _interval(people: NDArray[np.float64], settings: Engagement) -> tuple[float, float]:
    """Resample people for the 95 % interval of their mean, widened for small groups."""
    n = len(people)
    draws = np.random.default_rng(settings.seed).integers(n, size=(settings.replicates, n))
    mean = people.mean()
    ends = np.quantile(people[draws].mean(axis=1), [0.025, 0.975]) - mean
    low, high = np.clip(mean + ends * widening(np.array(float(n))), -1.0, 1.0).tolist()
    return low, high
