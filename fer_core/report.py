"""Renders the pages: finished values go in, one self-contained HTML string comes out.

Knows no disk but the templates; the same values always give the same bytes. What the pages say
is written in ``sections``, ``figures`` and ``overview``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fer_core import assets, charts, figures, overview, sections
from fer_core.pace import pace
from fer_core.story import Story, facts_of, moments_of, safe_address, second_link
from fer_core.summary import Lecture
from fer_core.transcript import Transcript
from fer_core.wording import Wording, clean, words

_LONGEST_TEXT: Final = 4000


def lecture_page(
    recording: Mapping[str, Any],
    seconds: pd.DataFrame,
    moments: pd.DataFrame,
    *,
    course: str,
    time_link: str = "",
    index_href: str = "../index.html",
    video_href: str | None = None,
    transcript: Transcript | None = None,
) -> str:
    """Render the page of one lecture.

    Args:
        recording: its row of the ``recordings`` table, NULL as None; any status.
        seconds: its rows of ``seconds``; ignored where the recording failed.
        moments: its rows of ``moments``.
        course: the course it belongs to.
        time_link: address of a second of the recording, with ``{recording_id}`` and
            ``{second}``; http, https, file or relative, anything else is not linked.
        index_href: address of the index page, relative to this one.
        video_href: address of the recording itself, quoted, used where ``time_link`` is empty.
        transcript: what was said, if that is known.

    Returns:
        A whole HTML document that loads nothing from anywhere.
    """
    facts = facts_of(recording)
    text = words()
    presence = facts.get("mode") == "presence"
    failed = facts.get("status") == "failed"
    lecture = Lecture.of(seconds.head(0) if failed else seconds, presence=presence)
    story = Story(
        facts=facts,
        lecture=lecture,
        moments=[] if failed or presence else moments_of(moments),
        course=clean(course),
        presence=presence,
        words=text,
        link=second_link(time_link, str(facts.get("recording_id") or ""), video_href),
        transcript=transcript,
    )
    values: dict[str, Any] = {
        "head": sections.header(story),
        "notice": sections.notice(story),
        "method": sections.method(story),
        "presence": presence,
        "failed": failed,
        "index_href": safe_address(index_href) or "#main",
        "recording_id": facts.get("recording_id") or "",
        "version": facts.get("version") or "",
        "key_patterns": charts.key_patterns(),
        "minute": None,
        "pace": None,
        "readout": None,
    }
    if not failed:
        values["minute"] = sections.minute(story)
        values["trust"] = sections.trust(story)
        values["pace"] = pace(story)
        values |= _figures(story)
    return _render("lecture.html.j2", text, values)


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
        "readout": _island(figures.readout(story, columns)),
    }


def index_page(
    recordings: pd.DataFrame,
    *,
    moments_by_id: Mapping[str, int],
    last_night: Sequence[str] = (),
) -> str:
    """Render the index of all lectures.

    Args:
        recordings: rows of ``recordings`` with ``course``, ``month`` and ``page`` (address
            relative to the index, or None) added.
        moments_by_id: number of moments of each recording that has any.
        last_night: ids of the recordings worked on in the last run, in its order; an entry that
            is no recording's id is shown as it stands, such as an error before any was read.
    """
    text = words()
    values = overview.index(recordings, moments_by_id, last_night, text)
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
