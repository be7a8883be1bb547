"""Draws lanes: rows of stretches and marks on a time axis, under a chart or on their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from fer_core.svg import percent, tag

ROW_PX: Final = 12
_LABEL_PX: Final = 15
_GAP_PX: Final = 8
_COLUMNS: Final = 900
_LETTER_PX: Final = 6
_PAGE_PX: Final = 590
"""The narrowest lane that is not on a phone; paper is wider."""
_PHONE_PX: Final = 288
_SHAPES: Final = {"slide": "M0 0v12", "layout": "M0 1l5.5 10h-11z"}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch ``[start, stop)`` in seconds, or a mark where both are the same.

    ``kind`` is its class: ``speech``, ``visible``, ``scored`` and ``chapter`` are stretches,
    ``slide`` and ``layout`` are marks. ``text`` is written into it where all of it fits.
    """

    start: float
    stop: float
    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One row and what it is called; without a name it stands close under the one above."""

    name: str
    spans: Sequence[Span]


def height_of(lanes: Sequence[Lane]) -> float:
    """Return how many pixels the lanes take, one below the other."""
    return sum((_LABEL_PX if lane.name else 0) + ROW_PX + _gap(lane) for lane in lanes)


def draw_lanes(lanes: Sequence[Lane], seconds: float, y: float) -> Markup:
    """Draw lanes from ``y`` downwards."""
    parts: list[Markup] = []
    for lane in lanes:
        if lane.name:
            y += _LABEL_PX
            parts.append(tag("text", lane.name, x="0", y=y - 4, class_="label small"))
        parts.append(tag("rect", x="0", y=y, width="100%", height=ROW_PX, class_="lane"))
        parts += [_drawn(span, seconds, y) for span in _seen_apart(lane.spans, seconds)]
        y += ROW_PX + _gap(lane)
    return Markup("").join(parts)


def _seen_apart(spans: Sequence[Span], seconds: float) -> list[Span]:
    """Join what nobody could tell apart: a page must not grow with what it cannot show."""
    least = seconds / _COLUMNS
    drawn: list[Span] = []
    last: dict[str, int] = {}
    for span in spans:
        at = last.get(span.kind)
        # Chapters follow each other without a gap, and are others all the same.
        own = span.text or (span.kind == "chapter" and span.stop - span.start >= least)
        if at is None or own or span.start - drawn[at].stop >= least:
            last[span.kind] = len(drawn)
            drawn.append(span)
        elif span.kind not in _SHAPES:
            drawn[at] = replace(drawn[at], stop=max(drawn[at].stop, span.stop))
    return drawn


def _gap(lane: Lane) -> float:
    return _GAP_PX if lane.name else 3


def _drawn(span: Span, seconds: float, y: float) -> Markup:
    x = percent(span.start, seconds)
    if span.kind in _SHAPES:
        # Its own picture: the place is a share of the width, the shape has a size in pixels.
        mark = tag("path", d=_SHAPES[span.kind], class_=f"mark {span.kind}")
        return tag("svg", mark, x=x, y=y, width=1, height=ROW_PX, overflow="visible")
    wide = percent(min(span.stop, seconds) - span.start, seconds)
    box = tag("rect", width="100%", height=ROW_PX, class_=f"span {span.kind}")
    text: list[Markup] = []
    if kind := _fitting(span, seconds):
        text.append(tag("text", span.text, x=4, y=ROW_PX - 2.5, class_=kind))
    return tag("svg", box, *text, x=x, y=y, width=wide, height=ROW_PX, overflow="hidden")


def _fitting(span: Span, seconds: float) -> str:
    """Return the class of a stretch' text: hidden where a phone would cut it; nothing if all do."""
    share = (min(span.stop, seconds) - span.start) / seconds
    needed = _LETTER_PX * len(span.text) + 8
    if not span.text or needed > share * _PAGE_PX:
        return ""
    return "inlane" if needed <= share * _PHONE_PX else "inlane roomy"
