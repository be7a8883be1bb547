"""Draws lectures in the order of time: one dot each, with its interval, broken where incomparable.

Which lectures, and what their numbers mean, is said in ``overview`` and ``course``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fer_core import svg
from fer_core.svg import percent, stretched, tag
from fer_core.wording import Wording


@dataclass(frozen=True, slots=True)
class Dot:
    """One lecture.

    Attributes:
        value: its mean index, None if it has none: then its place stays empty.
        low, high: the interval's ends, None if not known.
        joined: whether it can be compared with the one drawn before it.
        here: whether it is the lecture that the page is about.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    joined: bool = True
    here: bool = False


def axis_of(dots: Sequence[Dot]) -> tuple[float, float]:
    """Return the tenths that hold all values and intervals, at least two apart, within 0 to 1."""
    values = [v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None]
    low = math.floor(10 * min(values, default=0) + 1e-6)
    high = math.ceil(10 * max(values, default=10) - 1e-6)
    low = max(min(low, high - 2), 0)
    return low / 10, min(max(high, low + 2), 10) / 10


def history(
    name: str,
    dots: Sequence[Dot],
    words: Wording,
    *,
    title: str,
    description: str,
    axis: str = "",
    band: tuple[float, float, float] | None = None,
    height: float = 64,
) -> Markup:
    """Draw lectures over ``height`` pixels, on the axis of ``axis_of``.

    ``axis`` is what the axis is called, above the chart; nothing where many charts share it.
    ``band`` holds lower quartile, median and upper quartile of the lectures to compare with.
    """
    top, k = 32 if axis else 8, len(dots)
    bottom_value, top_value = axis_of(dots)

    def share(value: float) -> float:
        return (value - bottom_value) / (top_value - bottom_value)

    def y(value: float) -> float:
        return top + height * (1 - share(value))

    lines: list[Markup] = []
    marks: list[Markup] = []
    piece: list[str] = []
    wide = svg.unit(k)
    for index, dot in enumerate(dots):
        if dot.value is None:
            continue
        if not dot.joined and piece:
            lines.append(tag("path", d=f"M{'L'.join(piece)}", class_="line thin"))
            piece = []
        piece.append(f"{wide * index + wide // 2} {1000 - 1000 * share(dot.value):.0f}")
        x = percent(index + 0.5, k)
        if dot.low is not None and dot.high is not None:
            ends = {"x1": x, "x2": x, "y1": y(dot.high), "y2": y(dot.low)}
            marks.append(tag("line", class_="whisker", **ends))
        marks.append(_dot(x, y(dot.value), here=dot.here))
    if piece:
        lines.append(tag("path", d=f"M{'L'.join(piece)}", class_="line thin"))
    behind: list[Markup] = []
    if band is not None:
        low, median, high = band
        size = {"x": "0", "width": "100%", "y": y(high), "height": max(y(low) - y(high), 1)}
        behind = [
            tag("rect", class_="usual", **size),
            tag("line", x1="0", x2="100%", y1=y(median), y2=y(median), class_="median"),
        ]
    body = [
        *behind,
        svg.grid((0, 0.5, 1), top, height),
        stretched(k, top, height, *lines),
        *marks,
        svg.scale(
            {share(v): words.about(v) for v in (bottom_value, top_value)},
            top,
            height,
            above=bool(axis),
        ),
        *([tag("text", axis, x="0", y=14, class_="label")] if axis else []),
    ]
    return svg.chart(name, top + height + 8, title, description, *body, kind="small-multiple")


def _dot(x: str, y: float, *, here: bool) -> Markup:
    if not here:
        return tag("circle", cx=x, cy=y, r=3.5, class_="dot")
    # A shape of its own, so that it is found without its colour.
    diamond = tag("path", d="M0-7l7 7-7 7-7-7z", class_="dot here")
    return tag("svg", diamond, x=x, y=y, width=1, height=1, overflow="visible")
