"""What the seconds of one lecture add up to: states, shares, smoothed curves, table rows.

Pure arithmetic on the committed tables, for display only; words and pictures are made by
``sections`` and ``charts``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_core.records import EMOTIONS
from fer_core.svg import FloatArray, runs

STATES: Final = ("values", "unread", "withheld", "nobody", "left_out", "no_picture")
"""What a second can be: it has values; or too few faces could be read; or fewer people than the
minimum were visible; or nobody was; or the whole picture was left out, as the settings or the
sidecar say; or none could be decoded. Exactly one of them."""

GROUPS: Final = ("neutral", "happy", "other", "uncertain")
"""What visible people are sorted into first: neutral expression, smiling, one of the other five
expressions, not readable. Shares of the people visible; they add up to 1."""

MOST_COLUMNS: Final = 900
"""Curves are drawn with at most so many points, about one a pixel."""

CALM_FROM_S: Final = 180
"""Lectures of at least this length get 60 s means drawn over their 10 s means."""

_NEUTRAL, _HAPPY = EMOTIONS.index("neutral"), EMOTIONS.index("happy")


@dataclass(frozen=True, slots=True)
class Columns:
    """A lecture cut into equal stretches of ``step_s`` seconds, one point of every curve each.

    Attributes:
        seconds: length of the lecture.
        step_s: seconds in one column; the last one may be shorter.
        state: ``(k,)`` what most of the column's seconds are, an index of ``STATES``.
        people: ``(k,)`` mean of people visible; NaN without a picture, or where it is left out.
        fine: ``(k,)`` engagement, centred 10 s mean; NaN where most seconds have none.
        calm: ``(k,)`` the same, 60 s mean.
        low, high: ``(k,)`` ends of the 95 % interval, averaged like the heavier curve.
        facing: ``(k,)`` centred 10 s mean.
        share_s: seconds averaged in the two that follow.
        groups: ``(k, 4)`` shares in the order of ``GROUPS``.
        probs: ``(k, 7)`` probabilities in the order of ``EMOTIONS``.
    """

    seconds: int
    step_s: int
    state: NDArray[np.uint8]
    people: FloatArray
    fine: FloatArray
    calm: FloatArray
    low: FloatArray
    high: FloatArray
    facing: FloatArray
    share_s: int
    groups: FloatArray
    probs: FloatArray

    def __len__(self) -> int:
        return len(self.state)

    @property
    def span(self) -> float:
        """Return the length of the lecture in columns."""
        return self.seconds / self.step_s


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table twin: plain means of the tables' seconds ``[start, stop)``.

    Means are over the seconds that have values; NaN if none has. ``state`` is what most seconds
    are, ``with_values`` how many have values, ``with_shares`` how many have ``groups``: also those
    in which too few could be read for an index.
    """

    start: int
    stop: int
    state: str
    with_values: int
    with_shares: int
    people: float
    people_low: float
    people_high: float
    engagement: float
    low: float
    high: float
    facing: float
    groups: FloatArray
    probs: FloatArray


@dataclass(frozen=True, slots=True)
class Lecture:
    """The seconds of one lecture as arrays of length ``n``, NaN for NULL.

    Attributes:
        frames, faces, scored: counts of each second; ``scored`` are the faces that could be read.
        state: index of ``STATES``.
        probs: ``(n, 7)`` in the order of ``EMOTIONS``.
        groups: ``(n, 4)`` shares of the people visible, in the order of ``GROUPS``.
        uncertain: the last of these, also where expressions are withheld since few could be read.
    """

    frames: FloatArray
    faces: FloatArray
    scored: FloatArray
    state: NDArray[np.uint8]
    engagement: FloatArray
    low: FloatArray
    high: FloatArray
    facing: FloatArray
    probs: FloatArray
    groups: FloatArray
    uncertain: FloatArray

    def __len__(self) -> int:
        return len(self.faces)

    @classmethod
    def of(cls, seconds: pd.DataFrame, *, presence: bool) -> Lecture:
        """Read a ``seconds`` table, in any order; a second it lacks is one without a picture.

        Args:
            seconds: the rows of one recording.
            presence: whether expressions were not read at all; then enough visible people are
                what makes a second one with values.
        """
        at = _floats(seconds, "second").astype(int)
        n = int(at.max()) + 1 if len(at) else 0

        def column(name: str, missing: float = math.nan) -> FloatArray:
            values = np.full(n, missing)
            values[at] = _floats(seconds, name)
            return values

        frames, faces = column("frames", 0), column("faces", 0)
        suppressed = column("suppressed", 0) > 0
        engagement = column("engagement")
        probs = np.stack([column(f"p_{name}") for name in EMOTIONS], axis=1)
        uncertain = column("uncertain")
        read = 1 - uncertain
        # Expressions of a few say nothing of the class: without an index, too few could be read.
        known = (faces > 0) & ~suppressed if presence else ~np.isnan(engagement)
        left_out = column("left_out", 0) > 0
        state = np.select(
            [frames == 0, left_out, known, faces == 0, suppressed], [5, 4, 0, 3, 2], 1
        )
        others = [i for i in range(len(EMOTIONS)) if i not in (_NEUTRAL, _HAPPY)]
        groups = np.stack(
            [
                probs[:, _NEUTRAL] * read,
                probs[:, _HAPPY] * read,
                probs[:, others].sum(axis=1) * read,
                np.where(np.isnan(probs[:, 0]), math.nan, uncertain),
            ],
            axis=1,
        )
        return cls(
            frames,
            faces,
            column("faces_scored", 0),
            state.astype(np.uint8),
            engagement,
            column("engagement_low"),
            column("engagement_high"),
            column("facing"),
            probs,
            groups,
            uncertain,
        )

    def count(self, state: str) -> int:
        """Return the number of seconds in one of ``STATES``."""
        return int((self.state == STATES.index(state)).sum())

    def has(self, name: str) -> bool:
        """Say whether any second has a value of that array."""
        return not bool(np.isnan(getattr(self, name)).all())

    def mean(self, name: str) -> float:
        """Return the mean of an array over the seconds that have it; NaN if none has."""
        return float(_mean(getattr(self, name)))

    def means(self, name: str) -> FloatArray:
        """Return the means of ``groups``, ``(4,)``, or ``probs``, ``(7,)``; NaN if none has any."""
        return _mean(getattr(self, name))

    def shares(self) -> FloatArray:
        """Return the shares of ``GROUPS`` in the whole lecture, ``(4,)``; NaN if none is known.

        ``uncertain`` is the mean of all seconds that have it. What is left is split as it was where
        expressions are told, or hardly readable seconds would make a class look well read.
        """
        read, unread = _mean(self.groups)[:-1], _mean(self.uncertain)
        return np.append(read * (1 - unread) / max(float(read.sum()), 1e-9), unread)

    def people(self) -> FloatArray:
        """Return people visible in the ``m`` seconds with a picture not left out, ``(m,)``."""
        return self.faces[self.looked_at()]

    def looked_at(self) -> NDArray[np.bool_]:
        """Return which seconds have a picture that was not left out, ``(n,)``."""
        # Where the picture was left out, nobody looked: that is not an empty room.
        return (self.frames > 0) & (self.state != STATES.index("left_out"))

    def parts(self, weights: dict[str, float]) -> FloatArray:
        """Return what neutral, smiling and the other expressions add to the mean index, ``(3,)``.

        Args:
            weights: of each of ``EMOTIONS``, in any unit.
        """
        w = np.array([weights[name] for name in EMOTIONS])
        both = ~np.isnan(self.engagement) & ~np.isnan(self.probs).any(axis=1)
        each = _mean(self.probs[both]) * w / w.max()
        return np.array([each[_NEUTRAL], each[_HAPPY], each.sum() - each[_NEUTRAL] - each[_HAPPY]])

    def part(self, start: int, stop: int) -> Lecture:
        """Return the seconds ``[start, stop)`` alone."""
        return Lecture(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def columns(self, calm_s: int | None = None) -> Columns:
        """Return the curves as they are drawn.

        Args:
            calm_s: width of the calm curve; by default 60 s, or 10 s in a short lecture.
        """
        n = len(self)
        step = max(1, math.ceil(n / MOST_COLUMNS))
        calm_s = calm_s or (60 if n >= CALM_FROM_S else 10)
        share_s = 10 if step == 1 else 60  # several seconds a pixel: 10 s would only flicker
        seen = np.where(self.looked_at(), self.faces, math.nan)
        return Columns(
            seconds=n,
            step_s=step,
            state=_majority(self.state, step),
            people=_columns(seen, step),
            fine=_columns(smooth(self.engagement, 10), step),
            calm=_columns(smooth(self.engagement, calm_s), step),
            low=_columns(smooth(self.low, calm_s), step),
            high=_columns(smooth(self.high, calm_s), step),
            facing=_columns(smooth(self.facing, 10), step),
            share_s=share_s,
            groups=_columns(smooth(self.groups, share_s), step),
            probs=_columns(smooth(self.probs, share_s), step),
        )

    def rows(self) -> list[Row]:
        """Return the rows of the table twins: a second, 10 s, a minute or more each."""
        n = len(self)
        step = next((s for s in (1, 10, 60, 300, 900) if n / s <= 180), max(1, math.ceil(n / 180)))
        return [self._row(start, min(start + step, n)) for start in range(0, n, step)]

    def _row(self, start: int, stop: int) -> Row:
        cut = slice(start, stop)
        counts = np.bincount(self.state[cut], minlength=len(STATES))
        people = self.part(start, stop).people()
        return Row(
            start=start,
            stop=stop,
            state=STATES[int(counts.argmax())],
            with_values=int(counts[0]),
            with_shares=int((~np.isnan(self.groups[cut, 0])).sum()),
            people=float(_mean(people)),
            people_low=float(people.min()) if len(people) else math.nan,
            people_high=float(people.max()) if len(people) else math.nan,
            engagement=float(_mean(self.engagement[cut])),
            low=float(_mean(self.low[cut])),
            high=float(_mean(self.high[cut])),
            facing=float(_mean(self.facing[cut])),
            groups=_mean(self.groups[cut]),
            probs=_mean(self.probs[cut]),
        )


def smooth(values: FloatArray, width_s: int) -> FloatArray:
    """Return centred means over ``width_s`` seconds that never reach across a missing value.

    Args:
        values: ``(n,)`` or ``(n, m)``; NaN is missing, and stays missing.
        width_s: seconds averaged; fewer at the ends of an unbroken stretch.
    """
    result = np.full(values.shape, math.nan)
    missing: NDArray[np.bool_] = np.isnan(values)
    if values.ndim > 1:
        missing = np.logical_or.reduce(missing, axis=1)
    before, after = width_s // 2, width_s - width_s // 2
    for start, stop in runs(~missing):
        total = np.concatenate(
            [np.zeros((1, *values.shape[1:])), np.cumsum(values[start:stop], axis=0)]
        )
        at = np.arange(stop - start)
        low, high = np.maximum(at - before, 0), np.minimum(at + after, stop - start)
        span = (high - low).reshape(-1, *[1] * (values.ndim - 1))
        result[start:stop] = (total[high] - total[low]) / span
    return result


def window_means(values: FloatArray, width_s: int) -> FloatArray:
    """Return means of ``(n,)`` over the ``width_s`` seconds around each second, gaps included.

    NaN where less than half of those seconds have a value: a few say nothing of a whole minute.
    """
    there, at = ~np.isnan(values), np.arange(len(values))
    low = np.maximum(at - width_s // 2, 0)
    high = np.minimum(at + width_s - width_s // 2, len(values))
    total, count = (
        np.concatenate([np.zeros(1), np.cumsum(part)])
        for part in (np.where(there, values, 0), there)
    )
    known = count[high] - count[low]
    mean = (total[high] - total[low]) / np.maximum(known, 1)
    return np.where(2 * known >= width_s, mean, math.nan)


def _columns(values: FloatArray, step: int) -> FloatArray:
    """Average over columns; one with values in less than half of its seconds has none."""
    if step == 1:
        return values
    starts = np.arange(0, len(values), step)
    there = ~np.isnan(values)
    total = np.add.reduceat(np.where(there, values, 0), starts, axis=0)
    count = np.add.reduceat(there.astype(float), starts, axis=0)
    size = np.minimum(starts + step, len(values)) - starts
    enough = 2 * count >= size.reshape(-1, *[1] * (values.ndim - 1))
    return np.where(enough, total / np.maximum(count, 1), math.nan)


def _majority(state: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    if step == 1 or not len(state):
        return state
    starts = np.arange(0, len(state), step)
    counts = [np.add.reduceat((state == s).astype(int), starts) for s in range(len(STATES))]
    return np.argmax(counts, axis=0).astype(np.uint8)


def _mean(values: FloatArray) -> FloatArray:
    """Mean over the first axis without NaN, and without a warning where nothing is left."""
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)


def _floats(table: pd.DataFrame, name: str) -> FloatArray:
    """Return a column as floats, whatever way the table was read; NULL is NaN."""
    values = table[name].astype("Float64").to_numpy(dtype=float, na_value=math.nan)
    return values.astype(np.float64)
