"""What the opt-in section on people says: when each anonymous track was visible.

In the order in which they were first seen, never ranked, and without any expression.
"""

from __future__ import annotations

from typing import Final

from fer_core import charts
from fer_core.figure import Figure, Table, measured, moment_cell, said_cell
from fer_core.lanes import Lane, Span
from fer_core.samples import swatch
from fer_core.story import Story

MOST: Final = 60
"""Lanes drawn; a page is no place for more."""


def visits_figure(story: Story) -> Figure | None:
    """Return the lanes; None where per-person mode was off or nobody was seen."""
    words, seconds = story.words, len(story.lecture)
    if not story.visits or not seconds:
        return None
    shown = story.visits[:MOST]
    finding = words("people_lanes.finding", n=len(story.visits))
    heads = {"track": "track", "first": "first_second", "last": "last_second", "visible": "seconds"}
    notes = [words("people_lanes.note")]
    if len(shown) < len(story.visits):
        notes.append(words("people_lanes.more", n=len(story.visits) - len(shown)))
    return Figure(
        name="visits-chart",
        finding=finding,
        svg=charts.lane_chart(
            "visits-chart",
            [Lane("", [Span(a, b, "visible") for a, b in visit.stretches]) for visit in shown],
            seconds,
            words,
            title=finding,
            description=words("people_lanes.describe", duration=words.duration(seconds)),
        ),
        key=[(swatch("lane visible"), words("people_lanes.key"), "")],
        notes=notes,
        table=Table(
            [(words(f"people_lanes.{head}"), name) for head, name in heads.items()],
            [
                (
                    None,
                    [
                        said_cell(words("people_lanes.name", number=str(number))),
                        moment_cell(words, visit.stretches[0][0]),
                        moment_cell(words, visit.stretches[-1][1] - 1),
                        measured(words, visit.seconds, words.duration),
                    ],
                )
                for number, visit in enumerate(story.visits, start=1)
            ],
            words("people_lanes.table_hint"),
        ),
    )
