"""What the index page says: last night, every lecture, and each course over time.

Values only; the page is rendered by ``report``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pandas as pd

from fer_core.course import ALIKE, comparable, dot_of
from fer_core.histories import Dot, axis_of, history
from fer_core.story import Facts, facts_of, missing_s, safe_address, span
from fer_core.wording import Wording, clean

MOST_LECTURES: Final = 1000
"""Lectures listed; older ones stay in the tables and keep their pages."""

FOLDED_FROM: Final = 60
"""From so many lectures on, the table is one for each course, folded."""

NIGHT_FOLDED_FROM: Final = 10
"""From so many on, what went well last night is folded."""

MOST_COURSES: Final = 24
MOST_DOTS: Final = 200
"""Latest lectures of a course that are drawn."""


COLUMNS: Final = (
    "recording_id",
    "status",
    "error_message",
    "error_hint",
    "source_name",
    "title",
    "started_at",
    "synthetic",
    "mode",
    "duration_s_from_header",
    "seconds",
    "seconds_scored",
    "people_median",
    "people_max",
    "min_group",
    "moments",
    "words_per_minute",
    "engagement_mean",
    "engagement_mean_low",
    "engagement_mean_high",
    *ALIKE,
)
"""What the index needs of ``recordings``; reading more would take longer with every lecture."""

_LONGEST_NAME: Final = 90
_LONGEST_REASON: Final = 240


def index(
    recordings: pd.DataFrame,
    last_night: Sequence[str] | None,
    words: Wording,
) -> dict[str, Any]:
    """Return the values of the index page; see ``report.index_page`` for the arguments."""
    every = [facts_of(row) for row in recordings.to_dict("records")]
    every.sort(key=_age, reverse=True)
    lectures = [_lecture(facts, words) for facts in every[:MOST_LECTURES]]
    folds = _folds(every[:MOST_LECTURES], lectures, words)
    courses = _courses(every, {str(fold["course"]): str(fold["id"]) for fold in folds}, words)
    statuses = [str(facts.get("status")) for facts in every]
    return {
        "summary": words(
            "index.summary",
            n=words("index.lectures", n=len(every)),
            courses=words("index.courses", n=len({facts.get("course") for facts in every})),
        ),
        "unwell": [
            words(f"index.{status}_count", n=statuses.count(status))
            for status in ("partial", "failed")
            if status in statuses
        ],
        "night": _night(every, last_night or (), words),
        "night_folded_from": NIGHT_FOLDED_FROM,
        "lectures": lectures,
        "folds": folds,
        "expressions": any(facts.get("mode") != "presence" for facts in every),
        "older": words("index.older", n=len(every) - len(lectures))
        if len(every) > len(lectures)
        else "",
        "courses": courses[:MOST_COURSES],
        "more_courses": words("index.courses_more", n=len(courses) - MOST_COURSES)
        if len(courses) > MOST_COURSES
        else "",
    }


def _age(facts: Facts) -> tuple[float, str, str]:
    started: datetime | None = facts.get("started_at")
    # What failed and has no date comes first: it waits for somebody, and is to be found.
    unknown = math.inf if facts.get("status") == "failed" else -math.inf
    when = unknown if started is None else started.timestamp()
    return when, str(facts.get("course")), str(facts.get("recording_id"))


def _name(facts: Facts, words: Wording) -> str:
    name = facts.get("title") or facts.get("source_name") or words("page.untitled")
    return clean(str(name), _LONGEST_NAME)


def _night(
    every: Sequence[Facts], last_night: Sequence[str], words: Wording
) -> list[dict[str, Any]]:
    by_id = {str(facts.get("recording_id")): facts for facts in every}
    runs: list[dict[str, Any]] = []
    for facts in (by_id[name] for name in last_night if name in by_id):
        status = str(facts.get("status"))
        reason = " ".join(str(facts.get(f"error_{part}") or "") for part in ("message", "hint"))
        runs.append(
            {
                "name": _name(facts, words),
                "page": safe_address(facts.get("page")),
                "course": facts.get("course") or "",
                "status": status,
                "status_name": words.table("status").get(status, status),
                "reason": clean(reason.strip(), _LONGEST_REASON),
            }
        )
    # What needs somebody stands first, and is not looked for among what went well.
    return sorted(runs, key=lambda run: run["status"] == "done")


def _folds(
    every: Sequence[Facts], lectures: Sequence[dict[str, Any]], words: Wording
) -> list[dict[str, Any]]:
    """Return the lectures of each course with a line that sums them up; nothing where few."""
    if len(lectures) < FOLDED_FROM:
        return []
    by_course: dict[str, list[dict[str, Any]]] = {}
    for facts, lecture in zip(every, lectures, strict=True):
        by_course.setdefault(str(facts.get("course") or ""), []).append(lecture)
    folds: list[dict[str, Any]] = []
    for course, rows in sorted(by_course.items()):
        statuses = [row["status"] for row in rows]
        parts = [words("index.lectures", n=len(rows))] + [
            words(f"index.{status}_count", n=statuses.count(status))
            for status in ("partial", "failed")
            if status in statuses
        ]
        folds.append(
            {
                "id": f"of-course-{len(folds) + 1}",
                "course": course,
                "name": rows[0]["course"] or words("units.none"),
                "parts": words("units.list").join(parts),
                "lectures": rows,
            }
        )
    return folds


def _lecture(facts: Facts, words: Wording) -> dict[str, Any]:
    none = words("units.none")
    status = str(facts.get("status"))
    failed = status == "failed"
    seconds = int(facts.get("seconds") or 0)
    presence = facts.get("mode") == "presence"
    # Nobody is scored in presence mode; how many seconds had enough people, its page counts.
    scored, whole = int(facts.get("seconds_scored") or 0), seconds + missing_s(facts)
    share = None if presence or not seconds else scored / whole
    people, mean = facts.get("people_median"), facts.get("engagement_mean")
    pace, moments = facts.get("words_per_minute"), facts.get("moments")
    return {
        "name": _name(facts, words),
        "page": safe_address(facts.get("page")),
        "course": clean(str(facts.get("course") or ""), _LONGEST_NAME),
        "date": words.date(facts.get("started_at")),
        "duration": words.duration(seconds) if seconds and not failed else none,
        "covered": words.percent(share) if share is not None and not failed else none,
        "people": words.about(people) if people is not None and not failed else none,
        "index": _index(facts, words) if mean is not None and not failed else none,
        "reason": clean(str(facts.get("error_message") or ""), _LONGEST_REASON),
        "moments": words.whole(moments) if moments is not None else none,
        "pace": words.whole(pace) if pace is not None and not failed else none,
        "status": status,
        "status_name": words.table("status").get(status, status),
        "presence": presence,
        "synthetic": bool(facts.get("synthetic")),
    }


def _index(facts: Facts, words: Wording) -> str:
    mean, low, high = (facts.get(f"engagement_mean{end}") for end in ("", "_low", "_high"))
    if low is None or high is None:
        return words.index(float(mean or 0))
    reach = span(words, low, high, words.index)
    return words("index.value", mean=words.index(float(mean or 0)), range=reach)


def _courses(
    every: Sequence[Facts], anchors: Mapping[str, str], words: Wording
) -> list[dict[str, Any]]:
    """Return a small history of each course with more than one lecture that has an index.

    ``anchors`` holds the id of the table of a course's own, where there is one.
    """
    by_course: dict[str, list[Facts]] = {}
    for facts in reversed(every):
        if facts.get("status") != "failed":
            by_course.setdefault(str(facts.get("course") or ""), []).append(facts)
    drawn: list[dict[str, Any]] = []
    for course, every_lecture in sorted(by_course.items()):
        lectures = every_lecture[-MOST_DOTS:]
        shown = [facts for facts in lectures if facts["engagement_mean"] is not None]
        known = [float(facts["engagement_mean"]) for facts in shown]
        if len(known) < 2:
            continue
        name, mean = f"course-{len(drawn) + 1}", words.index(sum(known) / len(known))
        dots = _history(lectures)
        breaks = sum(not dot.joined for dot in dots if dot.value is not None)
        low, high = axis_of(dots)
        finding = words(
            "index.course_finding",
            n=words("index.lectures", n=len(known)),
            range=span(words, min(known), max(known), words.index),
        )
        drawn.append(
            {
                "name": clean(course, _LONGEST_NAME),
                "anchor": anchors.get(course, ""),
                "finding": finding,
                "breaks": words("index.course_breaks", n=breaks) if breaks else "",
                "first": words.day(shown[0].get("started_at")),
                "last": words.day(shown[-1].get("started_at")),
                "svg": history(
                    name,
                    dots,
                    words,
                    title=f"{clean(course, _LONGEST_NAME)}: {finding}",
                    description=words(
                        "index.course_describe",
                        mean=mean,
                        low=words.about(low),
                        high=words.about(high),
                    ),
                ),
            }
        )
    return drawn


def _history(lectures: Sequence[Facts]) -> list[Dot]:
    """Return each lecture's dot, told whether it compares with the one drawn before."""
    dots: list[Dot] = []
    before: Facts | None = None
    for facts in lectures:
        dots.append(dot_of(facts, joined=before is None or comparable(before, facts)))
        if facts.get("engagement_mean") is not None:
            before = facts
    return dots
