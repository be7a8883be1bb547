"""What the section on the course says: whether a lecture is usual for its own course.

Only earlier lectures with the same model, layout, variant and weights are compared; never two
courses, and never people.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from fer_core.figure import Cell, Figure, Table, measured, said_cell
from fer_core.histories import Dot, axis_of, history
from fer_core.samples import swatch
from fer_core.story import Facts, Story, safe_address
from fer_core.wording import Wording, clean

LAST: Final = 10
"""Most earlier lectures compared with."""

FEWEST: Final = 3
"""Fewer make no band."""

ALIKE: Final = ("model_sha256", "layout", "engagement_variant", "engagement_weights")
"""The columns of ``recordings`` that must agree for two means to be compared."""

_LONGEST_NAME: Final = 90


def comparable(one: Facts, other: Facts) -> bool:
    """Say whether the index of two recordings means the same."""
    return all(one.get(name) == other.get(name) for name in ALIKE)


def dot_of(facts: Facts, *, joined: bool = True, here: bool = False) -> Dot:
    """Return the dot of a recording, without one where it has no mean index."""
    value, low, high = (facts.get(f"engagement_mean{end}") for end in ("", "_low", "_high"))
    return Dot(value, low, high, joined, here)


def course(story: Story) -> dict[str, Any] | None:
    """Return sentence and figure; None where the lecture itself has no index."""
    mean = story.facts.get("engagement_mean")
    if story.presence or mean is None:
        return None
    before = [facts for facts in story.earlier if _is_before(facts, story.facts)]
    alike = [facts for facts in before if comparable(facts, story.facts)][-LAST:]
    words = story.words
    excluded = len([facts for facts in before if not comparable(facts, story.facts)])
    notes = [words("course.excluded", n=excluded)] if excluded else []
    if len(alike) < FEWEST:
        key = "course.too_few" if alike else "course.none"
        sentence = words(key, n=len(alike), need=str(FEWEST))
        return {"sentence": sentence, "notes": notes, "figure": None}
    means = [float(facts["engagement_mean"]) for facts in alike]
    low, median, high = np.percentile(means, [25, 50, 75]).tolist()
    place = "below" if mean < low else "above" if mean > high else "within"
    finding = words(
        f"course.{place}",
        n=len(alike),
        mean=words.index(mean),
        low=words.index(low),
        high=words.index(high),
    )
    if place != "within" and _overlaps(story.facts, low, high):
        finding += words("course.but_interval")
    return {
        "sentence": "",
        "notes": notes,
        "figure": _figure(story, alike, (low, median, high), finding),
    }


def _is_before(other: Facts, this: Facts) -> bool:
    mine, theirs = this.get("started_at"), other.get("started_at")
    return (
        mine is not None
        and theirs is not None
        and theirs < mine
        and other.get("recording_id") != this.get("recording_id")
        and other.get("status") != "failed"
        and other.get("engagement_mean") is not None
    )


def _overlaps(facts: Facts, low: float, high: float) -> bool:
    ends = facts.get("engagement_mean_low"), facts.get("engagement_mean_high")
    return ends[0] is not None and ends[1] is not None and ends[0] <= high and ends[1] >= low


def _figure(
    story: Story, alike: Sequence[Facts], band: tuple[float, float, float], finding: str
) -> Figure:
    words = story.words
    lectures = [*alike, story.facts]
    dots = [dot_of(facts, here=facts is story.facts) for facts in lectures]
    low, high = axis_of(dots)
    heads = {
        "date": "date",
        "lecture": "title",
        "mean": "engagement_mean",
        "low": "engagement_mean_low",
        "high": "engagement_mean_high",
    }
    return Figure(
        name="course-chart",
        finding=finding,
        svg=history(
            "course-chart",
            dots,
            words,
            title=finding,
            description=words(
                "course.describe",
                n=len(alike),
                median=words.index(band[1]),
                low=words.about(low),
                high=words.about(high),
            ),
            axis=words("timeline.axis_cut", low=words.about(low), high=words.about(high)),
            band=band,
            height=96,
        ),
        key=[
            (swatch("dot here"), words("course.key_here"), ""),
            (swatch("dot"), words("course.key_earlier"), ""),
            (swatch("usual"), words("course.key_band"), ""),
        ],
        notes=[words("course.note")],
        ends=(words.day(alike[0].get("started_at")), words.day(story.facts.get("started_at"))),
        table=Table(
            [(words(f"course.{head}"), name) for head, name in heads.items()],
            [(_page(facts, story), _cells(facts, words)) for facts in lectures],
            words("course.table_hint"),
        ),
    )


def _page(facts: Facts, story: Story) -> str | None:
    """Return the address of an earlier lecture's page: all of a course lie in one folder."""
    return None if facts is story.facts else safe_address(f"{facts.get('recording_id')}.html")


def _cells(facts: Facts, words: Wording) -> list[Cell]:
    started: datetime | None = facts.get("started_at")
    title = str(facts.get("title") or facts.get("source_name") or words("page.untitled"))
    numbers = (facts.get(f"engagement_mean{end}") for end in ("", "_low", "_high"))
    return [
        said_cell(words.day(started)),
        said_cell(clean(title, _LONGEST_NAME)),
        *(measured(words, np.nan if v is None else float(v), words.index) for v in numbers),
    ]
