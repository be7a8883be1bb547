"""The figures of a lecture's page: each chart with its finding, key, note and table twin.

How a chart is drawn is ``charts``' work; which numbers it shows is ``summary``'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from fer_core import charts
from fer_core.records import EMOTIONS
from fer_core.story import Story, people_text, share_texts, span, state_name, weights_of
from fer_core.summary import CALM_FROM_S, GROUPS, STATES, Columns, Row
from fer_core.svg import FloatArray
from fer_core.wording import rounded_parts


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers behind a chart: names of the columns, and rows of (address, texts)."""

    heads: list[str]
    rows: list[tuple[str | None, list[str]]]
    note: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart as a template shows it.

    Attributes:
        name: its id on the page.
        finding: what it shows, one sentence; its heading.
        svg: the picture.
        key: samples and names of its lines and areas, with a number or nothing.
        notes: what to know when reading it.
        table: the same numbers.
        scrub: whether it has a slider that reads out the values of a second.
    """

    name: str
    finding: str
    svg: Markup
    key: list[tuple[Markup, str, str]]
    notes: list[str]
    table: Table
    scrub: bool = False


def people_figure(story: Story, columns: Columns, rows: Sequence[Row], *, scrub: bool) -> Figure:
    """Draw people visible, and which stretches have values."""
    words, lecture = story.words, story.lecture
    counts = lecture.people()
    if not len(counts):
        finding = words("people.finding_no_picture")
    elif not counts.any():
        finding = words("people.finding_none")
    elif counts.min() == counts.max():
        finding = words("people.finding_same", n=int(counts[0]))
    else:
        finding = words(
            "people.finding",
            people=people_text(words, float(np.median(counts))),
            range=span(words, counts.min(), counts.max()),
        )
    shown = [(state, lecture.count(state)) for state in STATES if lecture.count(state)]
    texts = [f"{state_name(story, state)} {words.percent(n / len(lecture))}" for state, n in shown]
    heads = ["time", "mean", "least", "most", "with_values", "mostly"]
    return Figure(
        name="people",
        finding=finding,
        svg=charts.people(
            "people",
            columns,
            words,
            title=finding,
            description=words(
                "people.describe",
                duration=words.duration(len(lecture)),
                states=words("units.list").join(texts),
            ),
            min_group=int(story.facts.get("min_group") or 1),
        ),
        key=[
            (
                charts.swatch("known" if state == "values" else state),
                state_name(story, state),
                f"{words.duration(n)}, {words.percent(n / len(lecture))}",
            )
            for state, n in shown
        ],
        notes=_step_note(story, columns),
        table=Table(
            [words(f"people.{head}") for head in heads],
            [
                (
                    None,
                    [
                        words.at(row.start),
                        _written(story, row.people, words.about),
                        _written(story, row.people_low, words.whole),
                        _written(story, row.people_high, words.whole),
                        words.whole(row.with_values),
                        state_name(story, row.state),
                    ],
                )
                for row in rows
            ],
            words("page.table_hint"),
        ),
        scrub=scrub,
    )


def timeline_figure(story: Story, columns: Columns, rows: Sequence[Row]) -> Figure | None:
    """Draw engagement over time, or facing in presence mode; None if no second has any."""
    words, lecture = story.words, story.lecture
    curve = columns.facing if story.presence else columns.calm
    known = curve[~np.isnan(curve)]
    if not len(known):
        return None
    width = 60 if len(lecture) >= CALM_FROM_S else 10
    reach = span(words, float(known.min()), float(known.max()), words.index)
    duration = words.duration(len(lecture))
    if story.presence:
        mean = words.index(lecture.mean("facing"))
        finding = words("timeline.finding_facing", mean=mean, range=reach)
        description = words("timeline.describe_facing", duration=duration)
        key = [(charts.swatch("line facing"), words("timeline.key_facing"), "")]
        heads = ["time", "facing", "people", "state"]
    else:
        mean = words.index(lecture.mean("engagement"))
        finding = words("timeline.finding", mean=mean, range=reach, window=str(width))
        finding += (
            words("timeline.finding_moments", n=len(story.moments))
            if story.moments
            else words("timeline.finding_nothing")
        )
        description = words("timeline.describe", duration=duration)
        key = [(charts.swatch("line"), words("timeline.key_calm", n=str(width)), "")]
        if width == 60:
            key.append((charts.swatch("line fine"), words("timeline.key_fine"), ""))
        key.append((charts.swatch("band"), words("timeline.key_band"), ""))
        if story.moments:
            key.append((charts.swatch("moment"), words("timeline.key_moment"), ""))
        heads = ["time", "engagement", "low", "high", "people", "state"]
    key.append((charts.swatch("line people"), words("timeline.key_people"), ""))
    key += [
        (charts.swatch(state), state_name(story, state), "")
        for state in STATES[1:]
        if lecture.count(state)
    ]

    def cells(row: Row) -> list[str]:
        values = [row.facing] if story.presence else [row.engagement, row.low, row.high]
        return [
            words.at(row.start),
            *(_written(story, value, words.index) for value in values),
            _written(story, row.people, words.about),
            state_name(story, row.state),
        ]

    return Figure(
        name="curve",
        finding=finding,
        svg=charts.timeline(
            "curve",
            columns,
            words,
            title=finding,
            description=description,
            marks=[
                charts.Mark(moment.start_second, moment.end_second, str(number))
                for number, moment in enumerate(story.moments, start=1)
            ],
            presence=story.presence,
        ),
        key=key,
        notes=[] if story.presence else [words("timeline.note")],
        table=Table(
            [words(f"timeline.{head}") for head in heads],
            [(story.href(row.start), cells(row)) for row in rows],
            words("page.table_hint"),
        ),
        scrub=True,
    )


def groups_figure(story: Story, columns: Columns, rows: Sequence[Row]) -> Figure | None:
    """Draw smiling, neutral, other and uncertain; None if no second has values."""
    words, lecture = story.words, story.lecture
    if not lecture.has("groups") or np.isnan(columns.groups).all():
        return None
    names = words.table("groups")
    written = share_texts(words, GROUPS, lecture.means("groups").tolist())
    finding = words("expressions.finding", neutral=written["neutral"], happy=written["happy"])
    return Figure(
        name="groups",
        finding=finding,
        svg=charts.stacked(
            "groups",
            columns,
            words,
            title=finding,
            description=words("expressions.describe", duration=words.duration(len(lecture))),
            layers=[(name, names[name], columns.groups[:, i]) for i, name in enumerate(GROUPS)],
        ),
        key=[(charts.swatch(f"area {n}"), names[n], written[n]) for n in GROUPS],
        notes=[words("expressions.note", n=str(columns.share_s))],
        table=_shares_table(story, rows, [names[name] for name in GROUPS], lambda row: row.groups),
        scrub=True,
    )


def seven_figure(story: Story, columns: Columns, rows: Sequence[Row]) -> Figure | None:
    """Draw the seven classes of the model; None if no second has values."""
    words, lecture = story.words, story.lecture
    if not lecture.has("probs") or np.isnan(columns.probs).all():
        return None
    names = words.table("emotions")
    means: list[float] = lecture.means("probs").tolist()
    ranked = sorted(zip(means, EMOTIONS, strict=True), reverse=True)
    first, second = (name for _, name in ranked[:2])
    written = share_texts(words, EMOTIONS, means)
    finding = words(
        "expressions.seven_finding",
        first=names[first],
        first_share=written[first],
        second=names[second],
        second_share=written[second],
    )
    order = [EMOTIONS.index(name) for name in charts.SEVEN]
    return Figure(
        name="seven",
        finding=finding,
        svg=charts.stacked(
            "seven",
            columns,
            words,
            title=finding,
            description=words("expressions.seven_describe", duration=words.duration(len(lecture))),
            layers=[(EMOTIONS[i], names[EMOTIONS[i]], columns.probs[:, i]) for i in order],
        ),
        key=[(charts.swatch(f"area {n}"), names[n], written[n]) for n in charts.SEVEN],
        notes=[words("expressions.note_seven")],
        table=_shares_table(
            story, rows, [names[EMOTIONS[i]] for i in order], lambda row: row.probs[order]
        ),
    )


def readout(story: Story, columns: Columns) -> dict[str, Any]:
    """Return the values behind the cursor, with the strings to read them out in.

    Engagement and shares are in hundredths, None where there is no value.
    """
    words = story.words
    names = words.table("groups")
    series: list[dict[str, Any]] = [_series(words("timeline.people"), columns.people, 1)]
    if story.presence:
        series.append(_series(words("timeline.axis_facing"), columns.facing, 100))
    else:
        series.append(
            _series(words("timeline.axis"), columns.calm, 100)
            | {"low": _hundredths(columns.low, 100), "high": _hundredths(columns.high, 100)}
        )
        series += [
            _series(names[name], columns.groups[:, i], 100) | {"share": True}
            for i, name in enumerate(GROUPS)
        ]
    return {
        "seconds": columns.seconds,
        "step": columns.step_s,
        "states": [state_name(story, state) for state in STATES],
        "state": columns.state.tolist(),
        "series": series,
        "link": story.link,
        "words": {
            "range": words("units.range", low="{low}", high="{high}"),
            "percent": words("units.percent", n="{n}"),
            "list": words("units.list"),
        },
    }


def expression_rows(story: Story) -> list[dict[str, Any]]:
    """Return mean and weight of each of the seven expressions, in the order they are stacked."""
    words, lecture = story.words, story.lecture
    if not lecture.has("probs"):
        return []
    names, weights = words.table("emotions"), weights_of(story)
    percents = dict(
        zip(EMOTIONS, rounded_parts(list(lecture.means("probs") * 100), 0.1), strict=True)
    )
    return [
        {
            "name": names[name],
            "bar": charts.bar(percents[name] / 100, name),
            "mean": words("units.percent", n=f"{percents[name]:.1f}"),
            "weight": f"{weights[name]:g}" if weights else words("units.none"),
        }
        for name in charts.SEVEN
    ]


def _series(name: str, values: FloatArray, scale: int) -> dict[str, Any]:
    return {"name": name, "values": _hundredths(values, scale), "scale": scale}


def _hundredths(values: FloatArray, scale: int) -> list[float | None]:
    digits = None if scale > 1 else 1
    return [None if math.isnan(value) else round(value * scale, digits) for value in values]


def _shares_table(
    story: Story, rows: Sequence[Row], names: list[str], shares: Callable[[Row], FloatArray]
) -> Table:
    words = story.words
    return Table(
        [words("timeline.time"), *names, words("people.with_values")],
        [
            (
                None,
                [
                    words.at(row.start),
                    *(_written(story, share, words.percent) for share in shares(row)),
                    words.whole(row.with_values),
                ],
            )
            for row in rows
        ],
        words("page.table_hint"),
    )


def _written(story: Story, value: float, write: Callable[[float], str]) -> str:
    return story.words("units.none") if math.isnan(value) else write(value)


def _step_note(story: Story, columns: Columns) -> list[str]:
    step = columns.step_s
    return [story.words("timeline.note_step", n=str(step))] if step > 1 else []
