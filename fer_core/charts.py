"""Draws the charts of the pages as static SVG, from finished values.

Nothing is computed here but positions; numbers come from ``summary``, words from the caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from fer_core import svg
from fer_core.lanes import Lane, Span, draw_lanes, height_of
from fer_core.summary import CALM_FROM_S, STATES, Columns
from fer_core.svg import FloatArray, percent, stretched, tag
from fer_core.wording import Wording

SEVEN = ("neutral", "happy", "surprise", "sad", "fear", "disgust", "angry")
"""The order in which the seven expressions are stacked, from the bottom."""

_LETTERS_ACROSS, _LETTERS_ACROSS_PHONE = 120, 42
"""Letters of a label that fit across a chart, on a page and on a phone; a little fewer, in fact."""

_LETTERS_OF_SCALE = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the time axis: ``[start, stop)`` in seconds and its number."""

    start: int
    stop: int
    label: str


def timeline(
    name: str,
    columns: Columns,
    words: Wording,
    *,
    title: str,
    description: str,
    marks: Sequence[Mark] = (),
    lanes: Sequence[Lane] = (),
    presence: bool = False,
) -> Markup:
    """Draw engagement (or, in presence mode, facing), lanes and people visible on one time axis."""
    n, span = columns.seconds, columns.span
    top, height = 54 if marks else 32, 170
    strip_y = top + height + 12
    lanes_y = strip_y + 16
    people_y = lanes_y + height_of(lanes) + 18
    axis_y = people_y + 56 + 18
    low, high = (0.0, 1.0) if presence else index_axis(columns)
    label = words("timeline.axis_facing") if presence else _axis_name(low, high, words)
    if presence:
        curves = {"line facing": svg.line_path(columns.facing, span)}
    else:
        curves = {"band": _band(columns)}
        if n >= CALM_FROM_S:
            curves["line fine"] = svg.line_path(_on_axis(columns, columns.fine), span)
        curves["line"] = svg.line_path(_on_axis(columns, columns.calm), span)
    paths = [tag("path", d=path, class_=kind) for kind, path in curves.items()]
    parts = [
        svg.patterns(name, _states_shown(columns)),
        svg.time_axis(n, axis_y, top, words),
        svg.grid((0, 0.5, 1), top, height),
        _hatched(name, columns, top, height),
        *(_mark_area(mark, n, top, height) for mark in marks),
        stretched(span, top, height, *paths),
        _index_scale(low, high, top, height, words),
        tag("text", label, x="0", y=14, class_="label"),
        *_flags(marks, n, 32),
        _strip(name, columns, strip_y),
        draw_lanes(lanes, n, lanes_y),
        _people(columns, words, people_y, 56),
        tag("text", words("people.axis"), x="0", y=people_y - 5, class_="label"),
        _cursor(top, axis_y - 13),
    ]
    return svg.chart(name, axis_y + 6, title, description, *parts, kind="timed")


def index_axis(columns: Columns) -> tuple[float, float]:
    """Return the tenths between which curves and interval lie, at least two apart, in 0 to 1.

    An axis from 0 on would press a class' whole lecture into a few pixels; where it begins is
    written above the chart and beside it.
    """
    values = np.concatenate([columns.low, columns.calm, columns.fine, columns.high])
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    most = math.ceil(10 * float(known.max()) - 1e-6)
    least = max(min(math.floor(10 * float(known.min()) + 1e-6), most - 2), 0)
    return least / 10, min(max(most, least + 2), 10) / 10


def _on_axis(columns: Columns, values: FloatArray) -> FloatArray:
    """Return a curve as shares of the height of ``index_axis``."""
    least, most = index_axis(columns)
    return (values - least) / (most - least)


def _band(columns: Columns) -> str:
    low, high = (_on_axis(columns, ends) for ends in (columns.low, columns.high))
    return svg.band_path(low, high, columns.span)


def _axis_name(low: float, high: float, words: Wording) -> str:
    if (low, high) == (0, 1):
        return words("timeline.axis")
    return words("timeline.axis_cut", low=words.about(low), high=words.about(high))


def _index_scale(low: float, high: float, top: float, height: float, words: Wording) -> Markup:
    labels = {0: words.about(low), 0.5: words.index((low + high) / 2), 1: words.about(high)}
    return svg.scale(labels, top, height, above=True)


def excerpt(
    name: str,
    columns: Columns,
    words: Wording,
    *,
    begin: int,
    mark: Mark,
    title: str,
    description: str,
) -> Markup:
    """Draw a part of the engagement curve, from second ``begin`` on, with one moment in it."""
    n, span = columns.seconds, columns.span
    top, height = 32, 84
    axis_y = top + height + 18
    inside = Mark(mark.start - begin, mark.stop - begin, mark.label)
    least, most = index_axis(columns)
    band = tag("path", d=_band(columns), class_="band")
    line = tag("path", d=svg.line_path(_on_axis(columns, columns.calm), span), class_="line")
    parts = [
        svg.patterns(name, _states_shown(columns)),
        svg.time_axis(n, axis_y, top, words, begin=begin, most=5),
        svg.grid((0, 0.5, 1), top, height),
        _hatched(name, columns, top, height),
        _mark_area(inside, n, top, height),
        stretched(span, top, height, band, line),
        _index_scale(least, most, top, height, words),
        tag("text", _axis_name(least, most, words), x="0", y=14, class_="label"),
    ]
    return svg.chart(name, axis_y + 6, title, description, *parts)


def lane_chart(
    name: str, lanes: Sequence[Lane], seconds: int, words: Wording, *, title: str, description: str
) -> Markup:
    """Draw when each anonymous track was visible, a lane each."""
    axis_y = height_of(lanes) + 24
    axis = svg.time_axis(seconds, axis_y, 0, words)
    return svg.chart(name, axis_y + 6, title, description, axis, draw_lanes(lanes, seconds, 2))


def people(
    name: str, columns: Columns, words: Wording, *, title: str, description: str, min_group: int
) -> Markup:
    """Draw people visible over time, the minimum group, and what each stretch could give."""
    n = columns.seconds
    top, height = 24, 96
    strip_y = top + height + 10
    axis_y = strip_y + 12 + 20
    most = _most_people(columns)
    parts = [
        svg.patterns(name, _states_shown(columns)),
        svg.time_axis(n, axis_y, top, words),
        _people(columns, words, top, height),
    ]
    if 1 < min_group <= most:
        y = top + height * (1 - min_group / most)
        parts += [
            tag("line", x1="0", x2="100%", y1=y, y2=y, class_="floor"),
            tag(
                "text",
                words("people.floor", n=min_group),
                x="100%",
                y=y - 4,
                text_anchor="end",
                class_="label small",
            ),
        ]
    parts += [
        tag("text", words("people.axis"), x="0", y=14, class_="label"),
        _strip(name, columns, strip_y),
        _cursor(top, axis_y - 13),
    ]
    return svg.chart(name, axis_y + 6, title, description, *parts, kind="timed")


def stacked(
    name: str,
    columns: Columns,
    words: Wording,
    *,
    title: str,
    description: str,
    layers: Sequence[tuple[str, str, FloatArray]],
) -> Markup:
    """Draw shares stacked to the full height, each named inside its own area.

    ``layers`` come from the bottom up: class of the colour, name, ``(k,)`` shares.
    """
    n, span = columns.seconds, columns.span
    top, height = 10, 200
    axis_y = top + height + 20
    areas: list[Markup] = []
    labels: list[Markup] = []
    below = np.zeros(len(columns))
    for colour, text, shares in layers:
        above = below + shares
        areas.append(tag("path", d=svg.band_path(below, above, span), class_=f"area {colour}"))
        place, thickness = _roomiest(shares, len(text))
        if thickness * height >= 17:
            y = top + height * (1 - (below[place] + above[place]) / 2) + 4
            x = percent(place + 0.5, len(columns))
            labels.append(tag("text", text, x=x, y=y, text_anchor="middle", class_="inside"))
        below = above
    parts = [
        svg.patterns(name, _states_shown(columns)),
        svg.time_axis(n, axis_y, top, words),
        _hatched(name, columns, top, height),
        stretched(span, top, height, *areas),
        svg.grid((0, 0.5, 1), top, height),
        svg.scale({value: words.percent(value) for value in (0.5, 1)}, top, height),
        *labels,
        _cursor(top, axis_y - 13),
    ]
    return svg.chart(name, axis_y + 6, title, description, *parts, kind="timed")


def pace_bars(
    name: str,
    rates: FloatArray,
    speech: Sequence[tuple[float, float]],
    seconds: int,
    words: Wording,
    *,
    title: str,
    description: str,
) -> Markup:
    """Draw words per minute, a bar a minute, and below them when there was speech at all.

    A minute whose rate is NaN has no bar.
    """
    top, height, most = 24, 96, max(50.0, 50 * math.ceil(float(np.nanmax(rates)) / 50))
    strip_y = top + height + 10
    axis_y = strip_y + 12 + 20
    bars = (
        tag(
            "rect",
            x=percent(60 * minute, seconds),
            width=percent(min(60, seconds - 60 * minute) * 0.94, seconds),
            y=top + height * (1 - rate / most),
            height=height * rate / most,
            class_="area pace",
        )
        for minute, rate in enumerate(rates.tolist())
        if not math.isnan(rate)
    )
    spoken = Lane("", [Span(start, end, "speech") for start, end in speech])
    parts = [
        svg.time_axis(seconds, axis_y, top, words),
        svg.grid((0, 0.5, 1), top, height),
        *bars,
        svg.scale({1: words.whole(most), 0.5: words.whole(most / 2)}, top, height),
        tag("text", words("pace.axis"), x="0", y=14, class_="label"),
        draw_lanes([spoken], seconds, strip_y),
    ]
    return svg.chart(name, axis_y + 6, title, description, *parts)


def _most_people(columns: Columns) -> float:
    seen = columns.people[~np.isnan(columns.people)]
    return max(1.0, math.ceil(float(seen.max()))) if len(seen) else 1.0


def _people(columns: Columns, words: Wording, top: float, height: float) -> Markup:
    most, span = _most_people(columns), columns.span
    share = columns.people / most
    area = svg.band_path(share * 0, share, span)
    return Markup("").join(
        (
            svg.grid((0, 1), top, height),
            stretched(
                span,
                top,
                height,
                tag("path", d=area, class_="area people"),
                tag("path", d=svg.line_path(share, span), class_="line people"),
            ),
            svg.scale({1: words.about(most)}, top, height),
        )
    )


def _states_shown(columns: Columns) -> list[str]:
    return [STATES[index] for index in sorted(set(columns.state.tolist())) if index]


def _stretches(columns: Columns) -> list[tuple[str, int, int]]:
    """Return (state, start, stop) of unbroken stretches, in columns."""
    return [
        (STATES[index], start, stop)
        for index in sorted(set(columns.state.tolist()))
        for start, stop in svg.runs(columns.state == index)
    ]


def _hatched(name: str, columns: Columns, top: float, height: float) -> Markup:
    """Cover the stretches without values, each in the hatching of its reason."""
    span = columns.span
    return Markup("").join(
        tag(
            "rect",
            x=percent(start, span),
            y=top,
            width=percent(min(stop, span) - start, span),
            height=height,
            fill=f"url(#{name}-{state})",
        )
        for state, start, stop in _stretches(columns)
        if state != "values"
    )


def _strip(name: str, columns: Columns, y: float) -> Markup:
    span = columns.span
    parts: list[Markup] = []
    for state, start, stop in _stretches(columns):
        width = percent(min(stop, span) - start, span)
        place = {"x": percent(start, span), "width": width, "y": y, "height": 12}
        parts.append(tag("rect", class_="known" if state == "values" else "missing", **place))
        if state != "values":
            parts.append(tag("rect", fill=f"url(#{name}-{state})", **place))
    return Markup("").join(parts)


def _mark_area(mark: Mark, seconds: int, top: float, height: float) -> Markup:
    width = max(mark.stop - mark.start, seconds / 300)
    return tag(
        "rect",
        x=percent(mark.start, seconds),
        width=percent(width, seconds),
        y=top,
        height=height,
        class_="moment",
    )


def _flags(marks: Sequence[Mark], seconds: int, y: float) -> list[Markup]:
    """Number the moments above the curve, far enough apart to be read on a phone."""
    parts: list[Markup] = []
    least = 0.03 * seconds
    for mark in sorted(marks, key=lambda mark: mark.start):
        middle = max((mark.start + mark.stop) / 2, least)
        x = percent(min(middle, 0.97 * seconds), seconds)
        parts += [
            tag("circle", cx=x, cy=y, r=9, class_="flag"),
            tag("text", mark.label, x=x, y=y + 4, text_anchor="middle", class_="flag-label"),
        ]
        least = middle + 0.06 * seconds
    return parts


def _cursor(top: float, bottom: float) -> Markup:
    return tag("line", x1="0", x2="0", y1=top, y2=bottom, class_="cursor", visibility="hidden")


def _roomiest(shares: FloatArray, letters: int) -> tuple[int, float]:
    """Return the column around which a layer stays thickest over a label, and how thick.

    A label may reach across a gap, but better does not, and never stands in one.
    """
    n = len(shares)
    around = n * letters // _LETTERS_ACROSS // 2
    margin = n * letters // _LETTERS_ACROSS_PHONE // 2
    # The axis' own labels stand at the left, at any height.
    first = min(margin + n * _LETTERS_OF_SCALE // _LETTERS_ACROSS_PHONE, max(n - margin - 1, 0))
    gap = np.pad(np.isnan(shares), around, mode="edge")
    filled = np.pad(np.where(np.isnan(shares), 1, shares), around, mode="edge")
    across = 2 * around + 1
    lowest = np.lib.stride_tricks.sliding_window_view(filled, across).min(axis=1)
    gaps = np.lib.stride_tricks.sliding_window_view(gap, across).mean(axis=1)
    score = np.where(np.isnan(shares), -1, lowest - gaps)[first : max(n - margin, 1)]
    place = first + int(score.argmax())
    return place, 0.0 if np.isnan(shares[place]) else float(lowest[place])
