"""What the section on single moments says: a closer look at each, and what else might explain it.

Values, sentences and a figure for each moment; nothing here judges which explanation is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from fer_core import charts
from fer_core.figure import Figure, Table, measured, moment_cell, said_cell
from fer_core.moments import NEAR_S, Moment
from fer_core.pace import quote
from fer_core.samples import swatch
from fer_core.story import Story, mark_text, share_texts, state_name
from fer_core.summary import GROUPS, Lecture
from fer_core.svg import FloatArray

_AROUND_S: Final = 120
"""How much of the curve is shown on either side of a moment, seconds."""

# Smaller differences than these happen everywhere and explain nothing.
_SHARE: Final = 0.05
_PEOPLE: Final = 1.5
_UNCERTAIN: Final = 0.1
_SPEECH: Final = 0.3


def closeups(story: Story) -> list[dict[str, Any]]:
    """Return heading, address, figure, quote and possible explanations of each moment."""
    return [_closeup(story, number, moment) for number, moment in enumerate(story.moments, 1)]


def _closeup(story: Story, number: int, moment: Moment) -> dict[str, Any]:
    words, n = story.words, len(story.lecture)
    start, stop = min(moment.start_second, n), min(moment.end_second, n)
    begin, end = max(start - _AROUND_S, 0), min(stop + _AROUND_S, n)
    inside = story.lecture.part(start, stop)
    around = _joined(story.lecture.part(begin, start), story.lecture.part(stop, end))
    return {
        "number": number,
        "time": f"{words.at(moment.start_second)}–{words.at(moment.end_second)}",
        "href": story.href(moment.start_second),
        "figure": _figure(story, number, moment, begin, end) if end > begin else None,
        "quote": quote(story, moment.start_second, moment.end_second),
        "seen": _seen(story, inside, around),
        "reasons": _reasons(story, moment, inside, around, begin, end),
    }


def _joined(before: Lecture, after: Lecture) -> Lecture:
    names = Lecture.__dataclass_fields__
    return Lecture(*(np.concatenate([getattr(before, k), getattr(after, k)]) for k in names))


def _seen(story: Story, inside: Lecture, around: Lecture) -> str:
    """Write which expressions were seen more or less often than around it."""
    if not (len(inside) and len(around) and inside.has("groups") and around.has("groups")):
        return ""
    here, there = inside.shares(), around.shares()
    most = np.argsort(-abs(here - there), kind="stable")[:2]
    differs = [int(k) for k in most if abs(here[k] - there[k]) >= _SHARE]
    names, words = story.words.table("groups"), story.words
    texts = [share_texts(words, GROUPS, shares.tolist()) for shares in (here, there)]
    return words("units.list").join(
        words(
            "closeup.share",
            name=names[GROUPS[k]],
            here=texts[0][GROUPS[k]],
            there=texts[1][GROUPS[k]],
        )
        for k in sorted(differs)
    )


def _reasons(
    story: Story, moment: Moment, inside: Lecture, around: Lecture, begin: int, end: int
) -> list[str]:
    """Return what else changed at the same time, as far as the tables tell."""
    words = story.words
    found = [
        words("closeup.mark", what=mark_text(story, mark), time=words.at(mark.second))
        for mark in story.marks
        if moment.start_second - NEAR_S <= mark.second <= moment.end_second + NEAR_S
    ]

    def compare(
        key: str, here: float, there: float, least: float, write: Callable[[float], str]
    ) -> None:
        if not math.isnan(here + there) and abs(here - there) >= least:
            found.append(words(f"closeup.{key}", here=write(here), there=write(there)))

    compare("people", _average(inside.people()), _average(around.people()), _PEOPLE, words.about)
    here, there = _average(inside.uncertain), _average(around.uncertain)
    compare("uncertain", here, there, _UNCERTAIN, words.percent)
    if story.transcript:
        start, stop = moment.start_second, moment.end_second
        talked = story.transcript.spoken_share((start, stop))
        rest = story.transcript.spoken_share((begin, start), (stop, end))
        compare("speech", talked, rest, _SPEECH, words.percent)
    return found


def _average(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _figure(story: Story, number: int, moment: Moment, begin: int, end: int) -> Figure:
    words, name = story.words, f"moment-{number}"
    part = story.lecture.part(begin, end)
    columns = part.columns(calm_s=10)
    low, high = charts.index_axis(columns)
    key = "closeup.higher" if moment.change >= 0 else "closeup.lower"
    finding = words(
        key,
        change=words.index(abs(moment.change)),
        start=words.at(moment.start_second),
        end=words.at(moment.end_second),
    )
    heads = {
        "time": "second",
        "engagement": "engagement",
        "low": "engagement_low",
        "high": "engagement_high",
        "people": "people",
        "state": "mostly",
    }
    rows = [
        (
            story.href(begin + row.start),
            [
                moment_cell(words, begin + row.start),
                *(measured(words, v, words.index) for v in (row.engagement, row.low, row.high)),
                measured(words, row.people, words.about),
                said_cell(state_name(story, row.state)),
            ],
        )
        for row in part.rows()
    ]
    return Figure(
        name=name,
        finding=finding,
        svg=charts.excerpt(
            name,
            columns,
            words,
            begin=begin,
            mark=charts.Mark(moment.start_second, moment.end_second, str(number)),
            title=finding,
            description=words(
                "closeup.describe",
                start=words.at(begin),
                end=words.at(end),
                low=words.about(low),
                high=words.about(high),
            ),
        ),
        key=[
            (swatch("line"), words("timeline.key_calm", n="10"), ""),
            (swatch("band"), words("timeline.key_band"), ""),
            (swatch("moment"), words("timeline.key_moment"), ""),
        ],
        table=Table(
            [(words(f"timeline.{head}"), column) for head, column in heads.items()],
            rows,
            words("page.table_hint"),
        ),
    )
