"""Renders the pages: finished values go in, one self-contained HTML string comes out.

Knows no disk but the templates; the same values always give the same bytes. What the pages say
is written in ``sections``, ``figures`` and ``overview``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fer_core import assets, course, figures, method, overview, sections
from fer_core.closeup import closeups
from fer_core.pace import pace
from fer_core.readout import readout
from fer_core.samples import key_patterns
from fer_core.story import (
    Story,
    facts_of,
    marks_of,
    moments_of,
    safe_address,
    second_link,
    visits_of,
)
from fer_core.summary import Lecture
from fer_core.transcript import Transcript
from fer_core.visits import visits_figure
from fer_core.wording import Wording, clean, words

_LONGEST_TEXT: Final = 4000

# A section is a file in reports/templates/sections; a new one is a name here, in [sections] and
# in [nav].
_SECTIONS: Final = (
    "minute",
    "trust",
    "timeline",
    "pace",
    "expressions",
    "closeups",
    "course",
    "next",
    "visits",
    "method",
)
_OPTIONAL: Final = ("pace", "closeups", "course", "visits")


@dataclass(frozen=True, slots=True)
class Material:
    """Everything the page of one lecture is drawn from.

    Attributes:
        recording: its row of the ``recordings`` table, NULL as None; any status.
        seconds: its rows of ``seconds``; ignored where the recording failed.
        moments: its rows of ``moments``.
        marks: its rows of ``marks``.
        faces: its rows of ``faces``, in per-person mode.
        transcript: what was said, if that is known.
        kept_until: the last day on which its tables and page are kept; None for no end.
        gone_at: when all of it is deleted, tables and page, where that is a matter of minutes.
        earlier: rows of ``recordings`` of the same course, oldest first; later ones, failed ones
            and those that cannot be compared are left out when it is drawn.
    """

    recording: Mapping[str, Any]
    seconds: pd.DataFrame
    moments: pd.DataFrame
    marks: pd.DataFrame | None = None
    faces: pd.DataFrame | None = None
    transcript: Transcript | None = None
    kept_until: date | None = None
    gone_at: datetime | None = None
    earlier: Sequence[Mapping[str, Any]] = ()


def lecture_page(
    material: Material,
    *,
    course_name: str,
    time_link: str = "",
    index_href: str = "../index.html",
    video_href: str | None = None,
    text: Wording | None = None,
) -> str:
    """Render the page of one lecture.

    Args:
        material: its tables.
        course_name: the course it belongs to.
        time_link: address of a second of the recording, with ``{recording_id}`` and
            ``{second}``; http, https, file or relative, anything else is not linked.
        index_href: address of the index page, relative to this one.
        video_href: address of the recording itself, quoted, used where ``time_link`` is empty.
        text: what it is written in, from ``wording.words``; English and UTC by default.

    Returns:
        A whole HTML document that loads nothing from anywhere.
    """
    story = _story(material, course_name, text or words(), time_link, video_href)
    facts, failed = story.facts, story.facts.get("status") == "failed"
    values: dict[str, Any] = {
        "head": sections.header(story),
        "notice": sections.notice(story),
        "method": method.method(story),
        "presence": story.presence,
        "failed": failed,
        "index_href": safe_address(index_href) or "#main",
        "recording_id": facts.get("recording_id") or "",
        "version": facts.get("version") or "",
        "key_patterns": key_patterns(),
        "readout": None,
        "sections": ["method"],
    }
    if not failed:
        values |= {
            "minute": sections.minute(story),
            "trust": sections.trust(story),
            "pace": pace(story),
            "closeups": closeups(story),
            "course": course.course(story),
            "visits": visits_figure(story),
        }
        values |= _figures(story)
        absent = {name for name in _OPTIONAL if not values[name]}
        if story.presence:
            absent.add("expressions")
        # What to do about a class is no advice where there was none.
        if not story.lecture.faces.any():
            absent.add("next")
        values["sections"] = [name for name in _SECTIONS if name not in absent]
    return _render("lecture.html.j2", story.words, values)


def _story(
    material: Material, course_name: str, text: Wording, time_link: str, video_href: str | None
) -> Story:
    facts = facts_of(material.recording)
    presence, failed = facts.get("mode") == "presence", facts.get("status") == "failed"
    seconds, marks, faces = material.seconds, material.marks, material.faces
    return Story(
        facts=facts,
        lecture=Lecture.of(seconds.head(0) if failed else seconds, presence=presence),
        moments=[] if failed or presence else moments_of(material.moments),
        course=clean(course_name),
        presence=presence,
        words=text,
        link=second_link(time_link, str(facts.get("recording_id") or ""), video_href),
        transcript=material.transcript,
        marks=[] if failed or marks is None else marks_of(marks),
        visits=[] if failed or faces is None else visits_of(faces),
        earlier=[facts_of(row) for row in material.earlier],
        kept_until=material.kept_until,
        gone_at=material.gone_at,
    )


def _figures(story: Story) -> dict[str, Any]:
    if not len(story.lecture):
        return dict.fromkeys(("people", "curve", "groups", "seven", "expressions"))
    columns, rows = story.lecture.columns(), story.lecture.rows()
    expressions = not story.presence
    curve = figures.timeline_figure(story, columns, rows)
    return {
        "people": figures.people_figure(story, columns, rows, scrub=curve is None),
        "curve": curve,
        "groups": figures.groups_figure(story, columns, rows) if expressions else None,
        "seven": figures.seven_figure(story, columns, rows) if expressions else None,
        "expressions": figures.expression_rows(story) if expressions else [],
        "readout": _island(readout(story, columns.step_s)),
    }


def index_page(
    recordings: pd.DataFrame,
    *,
    last_night: Sequence[str] | None = None,
    night_at: str = "",
    kept_days: int | None = None,
    text: Wording | None = None,
) -> str:
    """Render the index of all lectures.

    Args:
        recordings: rows of ``recordings`` with ``course``, ``month`` and ``page`` (address
            relative to the index, or None) added.
        last_night: ids of the recordings worked on in the last run, in its order; None if there
            was no run yet. One that is not among the rows any more is not shown.
        night_at: when that run ended, ISO 8601.
        kept_days: how long tables and pages are kept; None for no end.
        text: what it is written in; English and UTC by default.
    """
    text = text or words()
    values = overview.index(recordings, last_night, text)
    kept = kept_days and text("index.retention_days", n=kept_days)
    values["retention"] = kept or text("index.retention")
    values["night_at"] = text.date(datetime.fromisoformat(night_at)) if night_at else ""
    return _render("index.html.j2", text, values | {"readout": None})


def _render(template: str, text: Wording, values: Mapping[str, Any]) -> str:
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {_source_hash(style)}; "
        f"script-src {_source_hash(script)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    return page.render(t=text, style=style, script=script, policy=policy, **values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(assets.templates()),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def _fit(value: Any) -> Any:
    """Make every text fit for a page as it is written into it; markup is ours already."""
    return clean(value, _LONGEST_TEXT) if type(value) is str else value


@cache
def _asset(name: str) -> Markup:
    text = (assets.templates() / name).read_text(encoding="utf-8").strip()
    return Markup(f"\n{text}\n")  # noqa: S704  a file of ours


def _source_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _island(value: Any) -> Markup:
    """Return JSON that can stand inside a script element whatever its strings hold."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  nothing left in it can end the element
