"""Draws how far a model's probabilities can be believed; the figures come from ``evaluate``."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from fer_core.svg import number, tag
from fer_core.training.evaluate import Measures, Reports
from fer_core.training.faces import HEADS

_SIDE, _LEFT, _TOP, _BARS, _GAP = 300, 52, 46, 60, 70
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#3a3a42}.h{font-weight:600}.a{stroke:#85858f;fill:"
    "none}.d{stroke:#85858f;stroke-dasharray:4 4}.n{fill:#c9d8f2}.l{fill:none;stroke:#1f4e9e;"
    "stroke-width:2}.p{fill:#1f4e9e}.g{fill:#fff}"
)


def reliability_svg(name: str, reports: Reports, part: str = "valid") -> str:
    """Return a picture of how far the probabilities can be believed, a panel for each head.

    Above, the share of right faces by top probability (the diagonal is perfect calibration);
    below, how many faces have such a probability. Of the first of the reports.
    """
    report = next(iter(reports.values()))
    heads = [head for head in HEADS if head in report]
    width = _LEFT + len(heads) * (_SIDE + _GAP)
    height = _TOP + _SIDE + 24 + _BARS + 44
    panels = [
        tag(
            "g", *_panel(head, report[head]), transform=f"translate({_LEFT + i * (_SIDE + _GAP)} 0)"
        )
        for i, head in enumerate(heads)
    ]
    title = f"Reliability of {name} on the part {part}"
    picture = tag(
        "svg",
        tag("title", title),
        tag("style", _STYLE),
        tag("rect", width=width, height=height, class_="g"),
        *panels,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
    )
    return f"{picture}\n"


def _panel(head: str, figures: Measures) -> Iterable[Markup]:
    bins: list[dict[str, float]] = figures["reliability"]
    base, most = _TOP + _SIDE, max(row["faces"] for row in bins)
    floor = base + 24 + _BARS
    points = [(_SIDE * row["said"], base - _SIDE * row["right"]) for row in bins]
    joined = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    yield tag("text", f"{head}: ECE {figures['ece']:.3f}", x=0, y=_TOP - 18, class_="h")
    yield tag("rect", x=0, y=_TOP, width=_SIDE, height=_SIDE, class_="a")
    yield tag("line", x1=0, y1=base, x2=_SIDE, y2=_TOP, class_="d")
    yield tag("polyline", points=joined, class_="l")
    for x, y in points:
        yield tag("circle", cx=x, cy=y, r=4, class_="p")
    for value in (0, 0.5, 1):
        yield tag("text", f"{value:.0%}", x=-8, y=base - _SIDE * value + 4, text_anchor="end")
        yield tag("text", f"{value:.0%}", x=_SIDE * value, y=floor + 18, text_anchor="middle")
    for row in bins:
        tall = _BARS * row["faces"] / most
        at, wide = _SIDE * row["low"], _SIDE * (row["high"] - row["low"]) - 2
        yield tag("rect", x=at, y=floor - tall, width=wide, height=tall, class_="n")
    yield tag("text", "right", x=8, y=_TOP + 18)
    yield tag("text", f"faces (at most {most:,})", x=8, y=floor - _BARS + 6)
    yield tag("text", "top probability", x=_SIDE / 2, y=floor + 36, text_anchor="middle")
