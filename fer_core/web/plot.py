"""A chart of any answer that can have one: a line where the first column counts, else bars.

What an answer says is not known here; so its title is its columns' names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup

from fer_core.svg import line_path, number, percent, stretched, tag

_MOST_BARS: Final = 30
_HEIGHT_PX: Final = 200
_TOP_PX: Final = 12
_ROW_PX: Final = 34
_BELOW_PX: Final = 24


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart, and what it shows in a sentence."""

    title: str
    svg: Markup


def plot_of(frame: pd.DataFrame) -> Plot | None:
    """Return a chart of the first column that is a number, by the first column; None if none fits.

    Args:
        frame: the answer.
    """
    at = next((k for k in range(1, frame.shape[1]) if _is_number(frame.iloc[:, k])), None)
    if len(frame) < 2 or at is None:
        return None
    by, value = str(frame.columns[0]), str(frame.columns[at])
    values = frame.iloc[:, at].to_numpy(dtype=float, na_value=np.nan)
    if not np.isfinite(values).any():
        return None
    first = frame.iloc[:, 0]
    counts = _is_number(first) or pd.api.types.is_datetime64_any_dtype(first)
    if counts and first.is_monotonic_increasing:
        return Plot(f"{value} by {by}", _line(values, first, f"{value} by {by}"))
    title = f"{value} by {by}"
    if len(frame) > _MOST_BARS:
        title += f", the first {_MOST_BARS}"
    return Plot(title, _bars(values[:_MOST_BARS], first.head(_MOST_BARS), title))


def _is_number(column: pd.Series) -> bool:
    kinds = pd.api.types
    return kinds.is_numeric_dtype(column) and not kinds.is_bool_dtype(column)


def _line(values: np.ndarray, first: pd.Series, title: str) -> Markup:
    low, high = min(0.0, float(np.nanmin(values))), max(0.0, float(np.nanmax(values)))
    spread = (high - low) or 1.0
    foot = _TOP_PX + _HEIGHT_PX
    parts = [tag("title", title, id="answer-title"), tag("desc", _range(values), id="answer-desc")]
    for share in (0.0, 0.5, 1.0):
        y = foot - share * _HEIGHT_PX
        parts += [
            tag("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"),
            tag("text", _short(low + share * spread), x=0, y=y - 3, class_="tick halo"),
        ]
    path = tag("path", d=line_path((values - low) / spread, len(values)), class_="line")
    parts.append(stretched(len(values), _TOP_PX, _HEIGHT_PX, path))
    ends = ((0, "start", first.iloc[0]), (100, "end", first.iloc[-1]))
    parts += [
        tag("text", _short(end), x=f"{at}%", y=foot + 16, text_anchor=anchor, class_="tick")
        for at, anchor, end in ends
    ]
    return _chart(parts, foot + _BELOW_PX)


def _bars(values: np.ndarray, first: pd.Series, title: str) -> Markup:
    most = float(np.nanmax(np.abs(values))) or 1.0
    parts = [tag("title", title, id="answer-title"), tag("desc", _range(values), id="answer-desc")]
    for k, (value, name) in enumerate(zip(values.tolist(), first.tolist(), strict=True)):
        y = k * _ROW_PX
        known = np.isfinite(value)
        label = f"{_short(name)}  {_short(value) if known else 'no value'}"
        parts += [
            tag("text", label, x=0, y=y + 12, class_="small"),
            tag("rect", x=0, y=y + 17, width="100%", height=9, class_="track"),
        ]
        if known:
            width = percent(abs(value), most)
            parts.append(tag("rect", x=0, y=y + 17, width=width, height=9, class_="known"))
    return _chart(parts, len(values) * _ROW_PX)


def _chart(parts: list[Markup], height: float) -> Markup:
    return tag(
        "svg",
        *parts,
        width="100%",
        height=number(height),
        class_="chart",
        role="img",
        aria_labelledby="answer-title",
        aria_describedby="answer-desc",
    )


def _range(values: np.ndarray) -> str:
    return f"From {_short(np.nanmin(values))} to {_short(np.nanmax(values))}, {len(values)} rows."


def _short(value: object) -> str:
    if value is pd.NA:
        return "–"
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):  # NumPy's doubles are floats, too
        return f"{value:,.4g}"
    return str(value)[:60]
