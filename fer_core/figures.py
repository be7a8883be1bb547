"""The figures of a lecture's page: each chart with its finding, key, note and table twin.

How a chart is drawn is ``charts``' work; which numbers it shows is ``summary``'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from fer_core import charts
from fer_core.figure import Cell, Figure, Table, measured, moment_cell, said_cell
from fer_core.lanes import Lane, Span
from fer_core.records import EMOTIONS
from fer_core.samples import bar, swatch
from fer_core.story import (
    Story,
    counts_as,
    mark_text,
    people_text,
    share_texts,
    span,
    state_name,
    weights_of,
)
from fer_core.summary import CALM_FROM_S, GROUPS, STATES, Columns, Row, window_means
from fer_core.svg import FloatArray
from fer_core.wording import rounded_parts

_MOST_MARKS, _MOST_CHAPTERS, _MOST_LISTED = 4, 100, 12
_LEAST_PERCENT = 0.1


def people_figure(story: Story, columns: Columns, rows: Sequence[Row], *, scrub: bool) -> Figure:
    """Draw people visible, and which stretches have values."""
    words, lecture = story.words, story.lecture
    counts = lecture.people()
    if not len(counts):
        why = "left_out" if lecture.count("left_out") else "no_picture"
        finding = words(f"people.finding_{why}")
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
    heads = {
        "time": "second",
        "mean": "people_mean",
        "least": "people_least",
        "most": "people_most",
        "with_values": "seconds_with_values",
        "mostly": "mostly",
    }
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
                swatch("known" if state == "values" else state),
                state_name(story, state),
                f"{words.duration(n)}, {words.percent(n / len(lecture))}",
            )
            for state, n in shown
        ],
        notes=_step_note(story, columns),
        table=Table(
            [(words(f"people.{head}"), name) for head, name in heads.items()],
            [
                (
                    None,
                    [
                        moment_cell(words, row.start),
                        measured(words, row.people, words.about),
                        measured(words, row.people_low, words.whole),
                        measured(words, row.people_high, words.whole),
                        measured(words, row.with_values, words.whole),
                        said_cell(state_name(story, row.state)),
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
    if np.isnan(curve).all():
        return None
    width = 60 if len(lecture) >= CALM_FROM_S else 10
    duration = words.duration(len(lecture))
    if story.presence:
        mean = words.index(lecture.mean("facing"))
        finding = words("timeline.finding_facing", mean=mean)
        finding += _reach(story, lecture.facing, 10)
        description = words("timeline.describe_facing", duration=duration)
        key = [(swatch("line facing"), words("timeline.key_facing"), "")]
        heads = {"time": "second", "facing": "facing"}
    else:
        mean = words.index(lecture.mean("engagement"))
        finding = words("timeline.finding", mean=mean)
        finding += _reach(story, lecture.engagement, width)
        if story.outcome in ("found", "none"):
            outcome = "moments" if story.moments else "nothing"
            finding += words(f"timeline.finding_{outcome}", n=len(story.moments))
        low, high = (words.about(end) for end in charts.index_axis(columns))
        description = words("timeline.describe", duration=duration, low=low, high=high)
        key = [(swatch("line"), words("timeline.key_calm", n=str(width)), "")]
        if width == 60:
            key.append((swatch("line fine"), words("timeline.key_fine"), ""))
        key.append((swatch("band"), words("timeline.key_band"), ""))
        if story.moments:
            several = "s" if len(story.moments) > 1 else ""
            key.append((swatch("moment"), words(f"timeline.key_moment{several}"), ""))
        heads = {
            "time": "second",
            "engagement": "engagement",
            "low": "engagement_low",
            "high": "engagement_high",
        }
    heads |= {"people": "people", "state": "mostly"}
    lanes = _lanes(story)
    if story.marks:
        heads["marks"] = "marks"
    key.append((swatch("line people"), words("timeline.key_people"), ""))
    kinds = sorted({span.kind for lane in lanes for span in lane.spans} - {"chapter"})
    key += [(swatch(f"lane {kind}"), words(f"timeline.key_{kind}"), "") for kind in kinds]
    key += [
        (swatch("known" if state == "values" else state), state_name(story, state), "")
        for state in STATES
        if lecture.count(state)
    ]

    def cells(row: Row) -> list[Cell]:
        values = [row.facing] if story.presence else [row.engagement, row.low, row.high]
        texts = [state_name(story, row.state)]
        if story.marks:
            texts.append(_marks_text(story, row.start, row.stop))
        return [
            moment_cell(words, row.start),
            *(measured(words, value, words.index) for value in values),
            measured(words, row.people, words.about),
            *map(said_cell, texts),
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
            lanes=lanes,
            presence=story.presence,
        ),
        key=key,
        notes=[*_chapters_note(story), *([] if story.presence else _curve_notes(story))],
        table=Table(
            [(words(f"timeline.{head}"), name) for head, name in heads.items()],
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
    written = share_texts(words, GROUPS, lecture.shares().tolist())
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
        key=[(swatch(f"area {n}"), names[n], written[n]) for n in GROUPS],
        notes=[words("expressions.note", n=str(columns.share_s))],
        table=_shares_table(story, rows, GROUPS, names, lambda row: row.groups),
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
        key=[(swatch(f"area {n}"), names[n], written[n]) for n in charts.SEVEN],
        table=_shares_table(story, rows, charts.SEVEN, names, lambda row: row.probs[order]),
    )


def expression_rows(story: Story) -> list[dict[str, Any]]:
    """Return mean and weight of each of the seven expressions, in the order they are stacked."""
    words, lecture = story.words, story.lecture
    if not lecture.has("probs"):
        return []
    names, counts = words.table("emotions"), counts_as(weights_of(story))
    shares: list[float] = (100 * lecture.means("probs")).tolist()
    percents = dict(zip(EMOTIONS, rounded_parts(shares, 0.1), strict=True))
    little = {
        name for name, share in zip(EMOTIONS, shares, strict=True) if 0 < share < _LEAST_PERCENT
    }
    return [
        {
            "name": names[name],
            "bar": bar(percents[name] / 100, name),
            "mean": words("units.percent", n="<0.1" if name in little else f"{percents[name]:.1f}"),
            "weight": counts.get(name, words("units.none")),
        }
        for name in charts.SEVEN
    ]


def _reach(story: Story, values: FloatArray, width_s: int) -> str:
    """Write between what the means of all windows lie; nothing where no window has enough."""
    # Not of the curve as it is drawn: beside gaps that is of single seconds.
    means = window_means(values, width_s)
    known = means[~np.isnan(means)]
    if not len(known):
        return ""
    reach = span(story.words, float(known.min()), float(known.max()), story.words.index)
    return story.words("timeline.finding_reach", range=reach, window=str(width_s))


def _lanes(story: Story) -> list[Lane]:
    """Return when somebody spoke, the chapters, and the changes of slide and layout."""
    words, seconds = story.words, len(story.lecture)
    spoken = story.transcript.within(seconds).speech() if story.transcript else []
    chapters = [mark for mark in story.marks if mark.kind == "chapter"]
    ends = [*(chapter.second for chapter in chapters[1:]), seconds]
    changes = [mark for mark in story.marks if mark.kind != "chapter"]
    lanes = [
        Lane(
            words("timeline.lane_chapters"),
            [
                Span(chapter.second, end, "chapter", chapter.title)
                for chapter, end in islice(zip(chapters, ends, strict=False), _MOST_CHAPTERS)
            ],
        ),
        Lane(
            words("timeline.lane_changes"),
            [Span(mark.second, mark.second, mark.kind) for mark in changes],
        ),
        Lane(words("timeline.lane_speech"), [Span(start, end, "speech") for start, end in spoken]),
    ]
    return [lane for lane in lanes if lane.spans]


def _chapters_note(story: Story) -> list[str]:
    """List the chapters: in their lane, only the names that fit are written."""
    words = story.words
    texts = [
        f"{words.at(mark.second)} {mark.title or words('marks.untitled')}"
        for mark in story.marks
        if mark.kind == "chapter"
    ]
    if len(texts) > _MOST_LISTED:
        texts = [*texts[:_MOST_LISTED], "…"]
    return [words("timeline.chapters", list=words("units.list").join(texts))] if texts else []


def _curve_notes(story: Story) -> list[str]:
    looked = story.outcome in ("found", "none")
    unnumbered = [story.words("timeline.note_unnumbered")] if looked else []
    return [*_weights_note(story), *unnumbered, story.words("timeline.note")]


def _weights_note(story: Story) -> list[str]:
    """Say that a smile lowers the index, which nobody would guess from its name."""
    weights = weights_of(story)
    if not weights or weights["happy"] >= weights["neutral"]:
        return []
    counts = counts_as(weights)
    shown = {name: counts[name] for name in ("neutral", "happy")}
    notes = [story.words("timeline.note_weights", **shown)]
    # Where facing is multiplied in, or another expression counts most, 1 means something else.
    if counts["neutral"] == "1" and story.facts.get("engagement_variant") == "expression":
        notes.append(story.words("timeline.note_one"))
    return notes


def _marks_text(story: Story, start: int, stop: int) -> str:
    inside = [mark for mark in story.marks if start <= mark.second < stop]
    counted = Counter(mark_text(story, mark) for mark in inside)
    texts = [text if n == 1 else f"{text} ({n}×)" for text, n in counted.items()]
    if len(texts) > _MOST_MARKS:
        texts = [*texts[:_MOST_MARKS], "…"]
    return story.words("units.list").join(texts)


def _shares_table(
    story: Story,
    rows: Sequence[Row],
    kinds: Sequence[str],
    names: dict[str, str],
    shares: Callable[[Row], FloatArray],
) -> Table:
    words = story.words
    return Table(
        [
            (words("timeline.time"), "second"),
            *((names[kind], kind) for kind in kinds),
            (words("expressions.with_shares"), "seconds_with_shares"),
        ],
        [
            (
                None,
                [
                    moment_cell(words, row.start),
                    *(measured(words, share, words.percent) for share in shares(row)),
                    measured(words, row.with_shares, words.whole),
                ],
            )
            for row in rows
        ],
        words("page.table_hint"),
    )


def _step_note(story: Story, columns: Columns) -> list[str]:
    step = columns.step_s
    return [story.words("timeline.note_step", n=str(step))] if step > 1 else []
