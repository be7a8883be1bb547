"""What each section of a lecture's page says: values and sentences, ready for its template.

One function a section; numbers come from ``summary``, pictures from ``figures``, strings from
``wording``. Nothing here is HTML.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from fer_core.moments import Moment
from fer_core.pace import quote
from fer_core.policy import PROHIBITED, SENSIBLE_GROUP
from fer_core.story import (
    Story,
    missing_s,
    people_text,
    share_texts,
    span,
    state_name,
    weights_of,
)
from fer_core.summary import GROUPS, STATES
from fer_core.wording import clean, rounded_parts

# The whole of what was said stands with the moment's details.
_LONGEST_QUOTE: Final = 140

Pairs = list[tuple[str, str]]
"""Names and values of a description list."""


def header(story: Story) -> dict[str, Any]:
    """Return title, course, date and length of the lecture."""
    facts, words = story.facts, story.words
    # Every length on the page counts the seconds begun, as the tables do.
    length = len(story.lecture) or facts.get("duration_s_from_content")
    status = facts.get("status")
    return {
        "title": facts.get("title") or facts.get("source_name") or words("page.untitled"),
        "course": story.course,
        "date": words.date(facts.get("started_at")),
        "duration": words.duration(length) if length else None,
        "source": facts.get("source_name"),
        "chips": [
            words(f"chips.{name}")
            for name, shown in (
                ("failed", status == "failed"),
                ("partial", status == "partial"),
                ("presence", story.presence),
                ("synthetic", bool(facts.get("synthetic"))),
            )
            if shown
        ],
    }


def _prohibited(story: Story) -> bool:
    """Say whether expressions may not be read in the lecture's place at all."""
    return str(story.facts.get("jurisdiction") or "").split("-")[0] in PROHIBITED


def notice(story: Story) -> dict[str, Any]:
    """Return what the page is, on what ground it was made, and what it is not for."""
    facts, words = story.facts, story.words
    failed = facts.get("status") == "failed"
    kind = "presence" if story.presence else "emotion"
    grounds: Pairs = [] if failed else [(words("notice.mode"), words(f"notice.mode_{kind}"))]
    place = facts.get("jurisdiction") or words("notice.no_jurisdiction")
    grounds.append((words("notice.jurisdiction"), place))
    if facts.get("exemption"):
        grounds.append((words("notice.exemption"), facts["exemption"]))
    grounds.append((words("notice.consent"), facts.get("consent") or words("notice.no_consent")))
    if left_out := _exclusions(story):
        grounds.append((words("notice.exclusions"), left_out))
    if still := int(facts.get("tracks_still") or 0):
        grounds.append((words("notice.still"), words("notice.still_value", n=still)))
    # Of nobody, and of a recording that failed, there never were tables that could have gone.
    kept = bool(story.visits or (facts.get("tracks") and not failed))
    if (reason := facts.get("per_person_reason")) and kept:
        which = "per_person_value" if story.visits else "per_person_gone"
        grounds.append((words("notice.per_person"), words(f"notice.{which}", reason=reason)))
    if facts.get("min_group") and not failed:
        least = int(facts["min_group"])
        kind = "group_presence" if story.presence else "group_value"
        kind = kind if least >= SENSIBLE_GROUP else "group_small"
        grounds.append((words("notice.group"), words(f"notice.{kind}", n=least)))
    return {
        "what": ""
        if failed
        else words("notice.what_presence" if story.presence else "notice.what"),
        "grounds": grounds,
        "limits": [
            words("notice.limits_use_tracks" if story.visits else "notice.limits_use"),
            words("notice.limits_law"),
        ],
        "presence_why": words(f"banner.presence_{'eu' if _prohibited(story) else 'chosen'}"),
        "synthetic": bool(facts.get("synthetic")),
        # Nobody can be asked who does not exist, or of whom nothing was seen.
        "no_consent": not facts.get("consent")
        and not facts.get("synthetic")
        and bool(story.lecture.faces.any()),
        "status": facts.get("status"),
        "more": words("banner.failed_more") if failed else _kept(story),
        "error": facts.get("error_message"),
        "hint": facts.get("error_hint"),
    }


def _kept(story: Story) -> str:
    """Say what of a recording that could be used in part is there, and how the rest is shown."""
    words, length = story.words, len(story.lecture)
    told = [words("banner.partial_more")]
    if story.lecture.count("no_picture"):
        told.append(words("banner.partial_gap"))
    if missing := missing_s(story.facts):
        declared = words.duration(length + missing)
        told.append(words("banner.partial_end", end=words.at(length), declared=declared))
    return " ".join(told)


def _exclusions(story: Story) -> str:
    """Say what was left out, and when if not all the time."""
    words = story.words
    told: dict[str, None] = {}
    for part in json.loads(story.facts.get("exclusions") or "[]"):
        whole = tuple(part["area"]) == (0, 0, 1, 1)
        where = words("notice.part_whole" if whole else "notice.part_picture")
        start, end = words.at(part["start"]), part["end"]
        if end is not None:
            time = words("notice.exclusion_span", start=start, end=words.at(end))
        else:
            time = words("notice.exclusion_on", start=start) if part["start"] else ""
        told[words("notice.exclusion", what=clean(str(part["what"])), part=f"{where}{time}")] = None
    return "; ".join(told)


def minute(story: Story) -> dict[str, Any]:
    """Return the one sentence, the headline numbers with their parts, and the moments."""
    words, lecture = story.words, story.lecture
    return {
        "sentence": _sentence(story),
        "numbers": _headline(story) if len(lecture) else [],
        "moments": [_moment(story, *numbered) for numbered in enumerate(story.moments, start=1)],
        "heading": words("minute.moments", n=len(story.moments)),
        "outcome": story.outcome,
        "gone": words("minute.gone", n=int(story.facts.get("moments") or 0)),
    }


def _sentence(story: Story) -> str:  # noqa: PLR0911  one return a case
    words, lecture = story.words, story.lecture
    n = len(lecture)
    if not n:
        return words("minute.sentence_empty")
    values: dict[str, str] = {"duration": words.duration(n)}
    if missing := missing_s(story.facts):
        whole = words.duration(n + missing)
        values["duration"] = words("minute.first", duration=values["duration"], whole=whole)
    if lecture.count("no_picture") == n:
        return words("minute.sentence_no_picture", **values)
    if not len(lecture.people()):
        return words("minute.sentence_left_out", **values)
    if not lecture.faces.any():
        return words("minute.sentence_nobody", **values)
    values["people"] = people_text(words, float(np.median(lecture.people())))
    least = int(story.facts.get("min_group") or 1)
    if lecture.count("values"):
        values["share"] = words.percent(lecture.count("values") / n)
        if story.presence:
            return words("minute.sentence_presence", **values)
        key = "minute.sentence_all" if lecture.count("values") == n else "minute.sentence"
        return words(key, index=words.index(lecture.mean("engagement")), **values)
    if lecture.faces.max() < least:
        return words("minute.sentence_withheld", duration=values["duration"], n=str(least))
    if lecture.count("unread") == n:
        return words("minute.sentence_unread", **values)
    return words("minute.sentence_mixed", **values)


def _headline(story: Story) -> list[dict[str, Any]]:
    """Return the tiles: name, number, and the parts it is made of."""
    words, lecture = story.words, story.lecture
    n, covered, people = len(lecture), lecture.count("values"), lecture.people()
    missing = missing_s(story.facts)
    unread = words.duration(missing)
    tiles: list[dict[str, Any]] = [
        {
            "name": words("minute.covered_presence" if story.presence else "minute.covered"),
            "number": words.percent(covered / (n + missing)),
            "parts": [
                words("minute.covered_parts", n=words.whole(covered), all=words.whole(n + missing)),
                *(
                    words(
                        "minute.covered_not",
                        duration=words.duration(lecture.count(state)),
                        state=state_name(story, state),
                    )
                    for state in STATES[1:]
                    if lecture.count(state)
                ),
                *([words("minute.covered_end", duration=unread)] if missing else []),
            ],
        }
    ]
    if len(people):
        low, median, high = (float(v) for v in np.percentile(people, [10, 50, 90]))
        parts = words(
            "minute.visible_parts",
            range=span(words, round(low), round(high)),
            most=words.whole(people.max()),
        )
        tiles.append(
            {"name": words("minute.visible"), "number": words.about(median), "parts": [parts]}
        )
    if lecture.has("engagement"):
        mean = lecture.mean("engagement")
        tiles.append(
            {
                "name": words("minute.index"),
                "number": words.index(mean),
                "parts": _index_parts(story),
            }
        )
    if lecture.has("groups"):
        text = share_texts(words, GROUPS, lecture.shares().tolist())
        parts = words(
            "minute.seen_parts",
            happy=text["happy"],
            other=text["other"],
            uncertain=text["uncertain"],
        )
        tiles.append({"name": words("minute.seen"), "number": text["neutral"], "parts": [parts]})
    if story.presence and lecture.has("facing"):
        tiles.append(
            {
                "name": words("minute.facing"),
                "number": words.index(lecture.mean("facing")),
                "parts": [words("minute.facing_parts")],
            }
        )
    return tiles


def _index_parts(story: Story) -> list[str]:
    words, lecture = story.words, story.lecture
    parts: list[str] = []
    weights = weights_of(story)
    if story.facts.get("engagement_variant") == "expression_x_facing":
        parts.append(words("minute.index_facing"))
    elif weights and lecture.has("probs"):
        neutral, happy, other = rounded_parts(list(lecture.parts(weights)), 0.01)
        parts.append(
            words(
                "minute.index_parts",
                neutral=words.index(neutral),
                happy=words.index(happy),
                other=words.index(other),
            )
        )
    low, high = (story.facts.get(f"engagement_mean_{end}") for end in ("low", "high"))
    if low is not None and high is not None:
        parts.append(words("minute.index_interval", range=span(words, low, high, words.index)))
    return parts


def _moment(story: Story, number: int, moment: Moment) -> dict[str, Any]:
    words = story.words
    key = "minute.higher" if moment.change >= 0 else "minute.lower"
    reach = span(words, moment.change_low, moment.change_high, words.change)
    details = [
        words("minute.interval", range=reach),
        words("minute.moment_people", n=moment.people),
    ]
    if moment.at_layout_change:
        details.append(words("minute.at_layout"))
    return {
        "number": number,
        "time": f"{words.at(moment.start_second)}–{words.at(moment.end_second)}",
        "href": story.href(moment.start_second),
        "what": words(key, change=words.index(abs(moment.change))),
        "details": details,
        "quote": quote(story, moment.start_second, moment.end_second, _LONGEST_QUOTE).during,
    }


def trust(story: Story) -> Pairs:
    """Return what may be wrong with the recording or with what was seen of it."""
    facts, words = story.facts, story.words
    rows: Pairs = []
    layout = facts.get("layout")
    if layout:
        known = words.table("layout")
        count = int(facts.get("layout_changes") or 0)
        changes = words("trust.layout_changes", n=count) if count else words("trust.layout_same")
        rows.append((words("trust.layout"), f"{known.get(layout, layout)}; {changes}"))
    found, read = int(facts.get("faces") or 0), int(facts.get("faces_scored") or 0)
    if not found:
        value = words("trust.read_none")
    elif story.presence:
        value = words("trust.read_presence", n=words.whole(found))
    elif read == found:
        value = words("trust.read_all", n=found)
    else:
        value = words("trust.read_value", share=words.percent(read / found), n=words.whole(found))
    rows.append((words("trust.read"), value))
    heights = [facts.get(f"face_height_px_{name}") for name in ("p10", "median", "p90")]
    if all(height is not None for height in heights):
        low, median, high = (words.whole(height) for height in heights if height is not None)
        value = words("trust.face_height_value", low=low, median=median, high=high)
        note = "" if story.presence else f". {words('trust.face_height_note')}"
        rows.append((words("trust.face_height"), f"{value}{note}"))
    if facts.get("tracks"):
        tracks = words("trust.people_tracks_value", n=words.whole(facts["tracks"]))
        rows.append((words("trust.people_tracks"), tracks))
    failures = int(facts.get("decode_failures") or 0)
    damage = words("trust.damage_value", n=failures) if failures else words("trust.damage_none")
    rows += [(words("trust.damage"), damage), (words("trust.length"), _length(story))]
    if facts.get("width") and facts.get("height"):
        value = words(
            "trust.picture_value",
            width=str(facts["width"]),
            height=str(facts["height"]),
            codec=facts.get("codec") or words("units.nothing"),
            n=words("trust.sampled", n=int(facts.get("rate_hz") or 1)),
        )
        rows.append((words("trust.picture"), value))
    return rows


def _length(story: Story) -> str:
    words = story.words
    content = story.facts.get("duration_s_from_content")
    declared = story.facts.get("duration_s_from_header")
    if content is None:
        return words("trust.length_unknown")
    length = words.duration(len(story.lecture) or content)
    if declared is None:
        key = "live" if story.facts.get("container") == "live" else "no_header"
        return words(f"trust.length_{key}", content=length)
    # A header rounds, and the last frame's own length counts or does not: up to a second.
    same = abs(content - declared) <= 1
    return words(
        "trust.length_same" if same else "trust.length_differs",
        content=length,
        header=words.duration(declared),
    )
