"""The small pictures beside words: samples for a chart's key, and bars beside numbers."""

from __future__ import annotations

from markupsafe import Markup

from fer_core import svg
from fer_core.summary import STATES
from fer_core.svg import percent, tag


def bar(share: float, kind: str) -> Markup:
    """Draw a small bar beside a number; decoration of text, so hidden from assistive tools."""
    return tag(
        "svg",
        tag("rect", width="100%", height=8, class_="track"),
        tag("rect", width=percent(min(max(share, 0), 1), 1), height=8, class_=f"area {kind}"),
        class_="bar",
        width=64,
        height=8,
        aria_hidden="true",
    )


def swatch(kind: str) -> Markup:
    """Draw the sample of a colour, line or hatching for a chart's key."""
    if kind.startswith("line"):
        inner = [tag("path", d="M0 5h18", class_=kind)]
    elif kind == "dot here":
        inner = [tag("path", d="M9-1l6 6-6 6-6-6z", class_=kind)]
    elif kind == "dot":
        inner = [tag("circle", cx=9, cy=5, r=3.5, class_=kind)]
    elif kind in ("lane slide", "lane layout"):
        shape = "M9-1v12" if kind == "lane slide" else "M9 0l5.5 10h-11z"
        inner = [tag("path", d=shape, class_=f"mark {kind.split()[1]}")]
    elif kind.startswith("lane"):
        inner = [tag("rect", width=18, height=10, class_=f"span {kind.split()[1]}")]
    elif kind in STATES[1:]:
        name = f"key-{kind}"
        inner = [
            tag("rect", width=18, height=10, class_="missing"),
            tag("rect", width=18, height=10, fill=f"url(#{name})"),
        ]
    else:
        inner = [tag("rect", width=18, height=10, class_=kind)]
    return tag("svg", *inner, class_="swatch", width=18, height=10, aria_hidden="true")


def key_patterns() -> Markup:
    """Return the hatchings of the keys, once a page."""
    return tag(
        "svg", svg.patterns("key", STATES[1:]), width=0, height=0, aria_hidden="true", class_="defs"
    )
