"""Finds the few stretches of a class in which people's engagement index clearly changed.

Works on finished curves, one per anonymous track. How the index is computed from expressions
is ``engagement``'s business.

What counts as chance: people who fluctuate on their own, slowly and in fits, as real curves do.
What does not: people who change together. So the curves themselves say how large a change
chance makes: every person's paired differences are rotated in time by an amount of their own,
which keeps the person's level, slowness, skew and gaps and destroys only what they share with
the others (cyclic shifts and the largest column mean: Walter, Nobel & Wright 2011,
Bioinformatics 27:678; circular shifts of subjects watching one film: Kauppi et al. 2010, Front.
Neuroinform. 4:5). A window's p-value is the share of rotated classes whose clearest window
anywhere, of any width, is at least as clear (Westfall & Young 1993). That bounds the chance of
any false moment at 5 %, hence also the false discovery rate over all windows tried.

Resampling signs was the alternative: with 5 people it has 16 outcomes and cannot reach 5 %, and
it takes the skew of smiles for symmetric. Bootstrap p-values are too small with few people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core import settings as _settings

MAX_MOMENTS: Final = 3
FALSE_DISCOVERY_RATE: Final = 0.02
LEAST_CHANGE: Final = 0.05
"""Smaller changes are shown to nobody, however certain."""

WIDTHS_S: Final = (30, 60, 120)
_STEP_S: Final = 5
_GUARD_S: Final = 15
_AROUND_S: Final = 300
_LEAST_AROUND_S: Final = 60
_LEAST_SHARE: Final = 0.5
_NEAR_S: Final = 3
# Two moments closer than this are one for whoever watches them.
_APART_S: Final = 60
# Below this no statement about people is made, whatever the privacy setting permits.
_FEWEST_PEOPLE: Final = 5
_PRIOR_PEOPLE: Final = 8


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch ``[start_second, end_second)`` worth rewatching.

    Attributes:
        start_second, end_second: first second, and first second after it.
        change: mean over people of the index inside minus the index around, -1 to 1.
        change_low, change_high: 95 % interval of ``change`` over resampled people.
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
    """Paired differences of every window: ``(widths, people, centres)``, NaN where unpaired."""

    difference: NDArray[np.float64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def find(
    index: NDArray[np.float32],
    *,
    changes: Sequence[int] = (),
    shown: NDArray[np.bool_] | None = None,
    settings: _settings.Engagement,
    min_group: int,
) -> list[Moment]:
    """Find at most three moments, the clearest first; none is a normal answer.

    Windows of 30, 60 and 120 s are compared with the 5 minutes on either side, person by person.
    Once a moment is found its seconds are set aside and the rest is searched again.

    Args:
        index: ``(people, seconds)``, 0 to 1; NaN where that person was not scored.
        changes: seconds at which the layout or the slide changed.
        shown: ``(seconds,)``, false where values are withheld; default: all are shown.
        settings: replicates and seed.
        min_group: fewest paired people for a window to be tried (never fewer than 5).
    """
    curves = np.array(index, np.float64)
    if curves.ndim != 2:
        raise ValueError(f"index must be (people, seconds), got {curves.shape}")
    if shown is not None:
        curves[:, ~shown] = np.nan
    least = max(min_group, _FEWEST_PEOPLE)
    free = np.ones(curves.shape[1], bool)
    found: list[Moment] = []
    while len(found) < MAX_MOMENTS:
        floor = found[-1].p_value if found else 0.0
        moment = _clearest(_pair(curves, free), changes, settings, least, floor)
        if moment is None:
            break
        found.append(moment)
        taken = slice(max(moment.start_second - _APART_S, 0), moment.end_second + _APART_S)
        free[taken] = False
        curves[:, taken] = np.nan
    return found


def _pair(curves: NDArray[np.float64], free: NDArray[np.bool_]) -> _Windows:
    """Subtract each person's mean around a window from their mean inside it."""
    seconds = curves.shape[1]
    scored = ~np.isnan(curves)
    total = _running(np.where(scored, curves, 0.0))
    count = _running(scored.astype(np.float64))
    busy = _running(~free[None, :].astype(np.float64))[0] if False else _running(
        (~free)[None, :].astype(np.float64)
    )[0]
    centre = np.arange(0, seconds + 1, _STEP_S)
    rows: list[NDArray[np.float64]] = []
    width = np.array(WIDTHS_S)[:, None]
    start, end = centre - width // 2, centre + width // 2

    def between(
        running: NDArray[np.float64], low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        low, high = np.clip(low, 0, seconds), np.clip(high, 0, seconds)
        return running[..., high] - running[..., low]

    for low, high in zip(start, end, strict=True):
        inside, near = (low, high), (low - _GUARD_S, high + _GUARD_S)
        wide = (near[0] - _AROUND_S, near[1] + _AROUND_S)
        n_in = between(count, *inside)
        n_around = between(count, *wide) - between(count, *near)
        mean_around = (between(total, *wide) - between(total, *near)) / np.maximum(n_around, 1)
        difference = between(total, *inside) / np.maximum(n_in, 1) - mean_around
        length = high[0] - low[0]
        tried = (n_in >= _LEAST_SHARE * length) & (n_around >= max(_LEAST_AROUND_S, length))
        tried &= (low >= 0) & (high <= seconds) & (between(busy, *inside) == 0)
        rows.append(np.where(tried, difference, np.nan))
    difference = np.stack(rows)
    # The draws go by row, so rows get an order of their own: the caller's must not matter.
    key = np.nan_to_num(np.round(difference, 4), nan=-9.0)
    order = np.lexsort(np.moveaxis(key, 1, 2).reshape(-1, key.shape[1])[::-1])
    return _Windows(difference[:, order], start, end)


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))


def _clearest(
    windows: _Windows,
    changes: Sequence[int],
    settings: _settings.Engagement,
    least: int,
    floor: float,
) -> Moment | None:
    difference = windows.difference
    paired = ~np.isnan(difference)
    if not np.any(paired.sum(axis=1) >= least):
        return None
    value = np.where(paired, difference, 0.0)
    parts = np.concatenate([value, value**2, paired.astype(np.float64)])
    # Rotation leaves every person's mean square alone, so this prior is the same in all classes.
    prior = (value**2).sum(axis=(1, 2)) / np.maximum(paired.sum(axis=(1, 2)), 1)
    clear = _clarity(parts.sum(axis=1), prior, least)
    rng = np.random.default_rng(settings.seed)
    spans=[]; rows=[]
    for i in range(difference.shape[1]):
        at_=np.flatnonzero(paired[:,i].any(axis=0))
        if len(at_):
            spans.append((int(at_[0]),int(at_[-1])+1)); rows.append(np.ascontiguousarray(parts[:,i,spans[-1][0]:spans[-1][1]],dtype=np.float32))
    by_chance = []
    allowed = int(FALSE_DISCOVERY_RATE * (1 + settings.replicates)) - 1
    for _ in range(settings.replicates):
        by_chance.append(_clarity(_rotated(rows, spans, parts.shape[2], rng), prior, least).max())
        allowed -= by_chance[-1] >= clear.max()
        if allowed < 0:
            return None
    p_value = 1 - np.searchsorted(np.sort(by_chance), clear, "left") / (1 + settings.replicates)
    for flat in np.argsort(-clear, axis=None, kind="stable"):
        at, centre = divmod(int(flat), clear.shape[1])
        if p_value[at, centre] > FALSE_DISCOVERY_RATE:
            break
        people = difference[at, paired[at, :, centre], centre]
        change = float(people.mean())
        low, high = _interval(people, settings)
        if abs(change) < LEAST_CHANGE or low <= 0 <= high:
            continue
        start, end = int(windows.start[at, centre]), int(windows.end[at, centre])
        return Moment(
            start_second=start,
            end_second=end,
            change=change,
            change_low=low,
            change_high=high,
            p_value=max(float(p_value[at, centre]), floor),
            people=len(people),
            at_layout_change=any(start - _NEAR_S <= at <= end + _NEAR_S for at in changes),
        )
    return None


def _rotated(parts: list[NDArray[np.float32]], spans, size, rng) -> NDArray[np.float64]:
    """Sum over people, each turned around in the time in which they were seen."""
    turned = np.zeros((3 * len(WIDTHS_S), size), np.float32)
    shifts = rng.random(len(parts))
    for (first, last), mine, share in zip(spans, parts, shifts.tolist(), strict=True):
        split = first + int(share * (last - first))
        turned[:, split:last] += mine[:, : last - split]
        turned[:, first:split] += mine[:, last - split :]
    return turned


def _clarity(
    sums: NDArray[np.float64], prior: NDArray[np.float64], least: int
) -> NDArray[np.float64]:
    """Return |t| of the mean difference, its variance moderated (Smyth 2004) towards ``prior``."""
    total, square, people = sums.reshape(3, len(WIDTHS_S), -1)
    enough = people >= least
    n = np.where(enough, people, 2.0)
    mean = total / n
    within = np.maximum(square - n * mean**2, 0.0)
    variance = (within + _PRIOR_PEOPLE * prior[:, None]) / (n - 1 + _PRIOR_PEOPLE)
    return np.where(enough & (variance > 0), np.abs(mean) / np.sqrt(np.maximum(variance, 1e-12) / n), 0.0)


def _interval(
    people: NDArray[np.float64], settings: _settings.Engagement
) -> tuple[float, float]:
    """Resample people for the 95 % interval of their mean, widened for small groups.

    Percentiles alone are too narrow with few people; the factor is the one by which a t interval
    exceeds them (Hesterberg 2015, The American Statistician 69:371).
    """
    n = len(people)
    rng = np.random.default_rng(settings.seed)
    means = people[rng.integers(n, size=(settings.replicates, n))].mean(axis=1)
    z, v = NormalDist().inv_cdf(0.975), n - 1
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    mean = people.mean()
    low, high = mean + (np.quantile(means, [0.025, 0.975]) - mean) * t / z * np.sqrt(n / v)
    return float(max(low, -1.0)), float(min(high, 1.0))
