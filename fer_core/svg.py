"""The few SVG parts every chart is made of: escaped elements, paths, patterns, time axis.

Which chart shows what is ``charts``' work. Everything is placed so that a chart stretches to
any width while its text keeps its size: horizontal positions are percentages of the width,
vertical ones pixels, and curves live in an inner picture that is stretched without its strokes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from fer_core.wording import Wording, clean

FloatArray = NDArray[np.float64]

TICKS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
_PATTERNS: Final = {
    "withheld": "M-2 2l4-4M0 8l8-8M6 10l4-4",
    "unread": "M0 0l8 8M0 8l8-8",
    "nobody": "M2 2h.01M6 6h.01",
    "left_out": "M4 0v8",
    "no_picture": "M0 4h8",
}


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """Return one element; text and attributes are escaped, None attributes are left out.

    A trailing underscore is dropped from an attribute's name, others become hyphens.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(
        child if isinstance(child, Markup) else escape(clean(child, len(child)))
        for child in children
    )
    return Markup(f"<{name}{given}>{inner}</{name}>")  # noqa: S704  both parts are escaped above


def _attribute(value: str | float) -> str:
    return clean(value, len(value)) if isinstance(value, str) else number(value)


def number(value: float) -> str:
    """Write a number as short as two decimals allow."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def percent(part: float, whole: float) -> str:
    """Write a horizontal position or width."""
    return f"{number(100 * part / whole)}%"


def runs(valid: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the unbroken stretches ``[start, stop)`` in which ``valid`` holds."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], valid, [False])).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        yield int(start), int(stop)


def unit(span: float) -> int:
    """Return how wide a column is in the inner picture: even, and the whole at least 900 or so.

    Browsers draw a picture of a few units blurred when it is stretched over a page.
    """
    return 2 * max(1, int(900 / max(span, 1)))


def line_path(values: FloatArray, span: float) -> str:
    """Return path data of a line through the columns' middles, broken wherever a value is NaN.

    Args:
        values: 0 to 1, one a column; drawn from y = 1000 (0) up to y = 0 (1).
        span: columns the axis holds; not whole if the last one is shorter than the others.
    """
    y = _heights(values)
    parts: list[str] = []
    for start, stop in runs(~np.isnan(y)):
        first, *points, last = _points(y, start, stop, span)
        parts.append(f"M{first}L{' '.join(points)} {last}")
    return "".join(parts)


def band_path(low: FloatArray, high: FloatArray, span: float) -> str:
    """Return path data of the area between two lines, with the gaps of both.

    Args:
        low: its lower edge, 0 to 1, one a column; NaN for a gap.
        high: its upper edge, alike.
        span: columns the axis holds, as in ``line_path``.
    """
    y_low, y_high = _heights(low), _heights(high)
    parts: list[str] = []
    for start, stop in runs(~(np.isnan(y_low) | np.isnan(y_high))):
        first, *there = _points(y_high, start, stop, span)
        back = reversed(_points(y_low, start, stop, span))
        parts.append(f"M{first}L{' '.join(there)} {' '.join(back)}z")
    return "".join(parts)


def _heights(values: FloatArray) -> FloatArray:
    return np.rint(1000 - 1000 * np.asarray(values, float))


def _points(y: FloatArray, start: int, stop: int, span: float) -> list[str]:
    wide = unit(span)
    # Half a column more at both ends: one lone second is a dash, not nothing.
    middles = range(wide * start + wide // 2, wide * stop, wide)
    x = [wide * start, *middles, wide * stop]
    heights = [y[start], *y[start:stop], y[stop - 1]]
    return [f"{number(min(at, wide * span))} {v:.0f}" for at, v in zip(x, heights, strict=True)]


def stretched(span: float, y: float, height: float, *paths: Markup) -> Markup:
    """Return the inner picture of the curves: ``span`` columns wide, 1000 high, stretched."""
    return tag(
        "svg",
        *paths,
        x="0",
        y=y,
        width="100%",
        height=height,
        viewBox=f"0 0 {number(unit(span) * span)} 1000",
        preserveAspectRatio="none",
        overflow="visible",
    )


def patterns(chart: str, names: Iterable[str]) -> Markup:
    """Return the hatchings a chart uses, one for each reason why there is no value."""
    return tag(
        "defs",
        *(
            tag(
                "pattern",
                tag("path", d=_PATTERNS[name], class_=f"ink {name}"),
                id=f"{chart}-{name}",
                width=8,
                height=8,
                patternUnits="userSpaceOnUse",
            )
            for name in names
        ),
    )


def ticks(seconds: int, most: int = 9) -> list[int]:
    """Return round times to label on an axis of that many seconds, at most ``most``."""
    step = next((step for step in TICKS_S if seconds / step <= most), TICKS_S[-1])
    return list(range(0, seconds + 1, step))


def time_axis(
    seconds: int, y: float, top: float, words: Wording, *, begin: int = 0, most: int = 9
) -> Markup:
    """Return the labels of the time axis at height ``y`` with hairlines up to ``top``.

    The axis holds ``seconds`` from second ``begin`` of the recording on, and ``most`` labels.
    """
    labels = ticks(seconds, most)
    step = labels[1] - labels[0] if len(labels) > 1 else 1
    first = -begin % step
    parts: list[Markup] = []
    for index, second in enumerate(range(first, seconds + 1, step)):
        x, text = percent(second, seconds), words.at(begin + second)
        at_end = second > 0.95 * seconds
        anchor = "start" if second < 0.05 * seconds else "end" if at_end else "middle"
        minor = " minor" if index % 2 else ""
        parts += [
            tag("line", x1=x, x2=x, y1=top, y2=y - 13, class_=f"grid{minor}"),
            tag("text", text, x=x, y=y, text_anchor=anchor, class_=f"tick{minor}"),
        ]
    return Markup("").join(parts)


def grid(values: Sequence[float], top: float, height: float) -> Markup:
    """Draw hairlines at shares of the height, 0 at the bottom."""
    lines = (
        tag("line", x1="0", x2="100%", y1=y, y2=y, class_="grid")
        for y in (top + height * (1 - value) for value in values)
    )
    return Markup("").join(lines)


def scale(labels: Mapping[float, str], top: float, height: float, *, above: bool = False) -> Markup:
    """Label hairlines at shares of the height; drawn after the curves, so that none hides it.

    ``above`` puts all labels above their lines: for a chart with room between it and its name.
    """
    parts: list[Markup] = []
    for value, label in labels.items():
        y = top + height * (1 - value)
        # Below its line, so that the topmost does not meet the axis' name; but 0 above it.
        y += 12 if value and not above else -3
        parts.append(tag("text", label, x="0", y=y, class_="tick halo"))
    return Markup("").join(parts)


def chart(
    name: str, height: float, title: str, description: str, *parts: Markup, kind: str = ""
) -> Markup:
    """Return a whole chart: named, described, as wide as the page allows."""
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        *parts,
        id=name,
        class_=f"chart {kind}".strip(),
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        width="100%",
        height=height,
    )
