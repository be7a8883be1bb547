"""What every section of a lecture's page is written from, and the phrases several of them use.

What a section says is in ``sections`` and ``figures``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, urlsplit

import numpy as np
import pandas as pd

from fer_core.moments import Moment
from fer_core.summary import Lecture
from fer_core.transcript import Transcript
from fer_core.wording import Wording, clean, rounded_parts

Facts = dict[str, Any]
"""One row of ``recordings`` without any of pandas' missing values: NULL is None."""

_LONGEST_TEXT: Final = 4000
_LONGEST_ADDRESS: Final = 1000
_KINDS: Final = ("chapter", "slide", "layout")


@dataclass(frozen=True, slots=True)
class TimeMark:
    """Something that begins or changes at a second: ``chapter``, ``slide`` or ``layout``."""

    second: int
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One anonymous track: the stretches ``(start, stop)`` in seconds in which it was visible."""

    track: int
    stretches: tuple[tuple[int, int], ...]

    @property
    def seconds(self) -> int:
        """Return how long it was visible."""
        return sum(stop - start for start, stop in self.stretches)


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the sections of one page are written from."""

    facts: Facts
    lecture: Lecture
    moments: list[Moment]
    course: str
    presence: bool
    words: Wording
    link: str | None
    transcript: Transcript | None = None
    marks: Sequence[TimeMark] = ()
    earlier: Sequence[Facts] = ()
    visits: Sequence[Visit] = ()
    kept_until: date | None = None
    gone_at: datetime | None = None

    @property
    def outcome(self) -> str:
        """Return what came of looking for moments.

        They were found, and may be gone by now; or none of them was; or there was too little to
        compare, or no index.
        """
        if self.moments:
            return "found"
        if self.presence or not self.lecture.has("engagement"):
            return "not_looked"
        # An empty table does not say why it is empty; the recording's row does.
        count = self.facts.get("moments")
        if count is None:
            return "too_little"
        return "gone" if count else "none"

    def href(self, second: int) -> str | None:
        """Return the address of a second of the recording, or None if there is none."""
        return self.link.replace("{second}", str(second)) if self.link else None


def facts_of(row: Mapping[Any, Any]) -> Facts:
    """Return a row with None for every kind of NULL, and its texts fit for a page."""
    facts: Facts = {}
    for key, value in row.items():
        name = str(key)
        if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
            facts[name] = None
        else:
            facts[name] = clean(value, _LONGEST_TEXT) if isinstance(value, str) else value
    return facts


def missing_s(facts: Facts) -> int:
    """Return how many seconds of what a cut-off recording declares were not read, at its end."""
    declared = facts.get("duration_s_from_header")
    if facts.get("status") != "partial" or declared is None:
        return 0
    # A header rounds, and the last frame's own length counts or does not.
    missing = round(declared) - int(facts.get("seconds") or 0)
    return missing if missing > 1 else 0


def moments_of(table: pd.DataFrame) -> list[Moment]:
    """Return the moments of one recording, the clearest first."""
    rows = table.sort_values("rank", kind="stable").to_dict("records")
    return [
        Moment(
            start_second=int(row["start_second"]),
            end_second=int(row["end_second"]),
            change=float(row["change"]),
            change_low=float(row["change_low"]),
            change_high=float(row["change_high"]),
            p_value=float(row["p_value"]),
            people=int(row["people"]),
            at_layout_change=bool(row["at_layout_change"]),
        )
        for row in rows
    ]


def marks_of(table: pd.DataFrame) -> list[TimeMark]:
    """Return the marks of one recording in the order of time."""
    rows = table.sort_values(["second", "kind"], kind="stable").to_dict("records")
    titles = [row["title"] if isinstance(row["title"], str) else "" for row in rows]
    return [
        TimeMark(int(row["second"]), str(row["kind"]), clean(title))
        for row, title in zip(rows, titles, strict=True)
        if row["kind"] in _KINDS
    ]


def visits_of(faces: pd.DataFrame) -> list[Visit]:
    """Return when each track of per-person mode was visible, by first appearance, never ranked."""
    seen = faces[["track", "second"]].drop_duplicates().sort_values(["track", "second"])
    visits: list[Visit] = []
    for track, seconds in seen.groupby("track")["second"]:
        at = seconds.to_numpy(dtype=int)
        cuts = [0, *(np.flatnonzero(np.diff(at) > 1) + 1).tolist(), len(at)]
        stretches = tuple((int(at[a]), int(at[b - 1]) + 1) for a, b in pairwise(cuts))
        visits.append(Visit(int(str(track)), stretches))
    return sorted(visits, key=lambda visit: (visit.stretches[0], visit.track))


def mark_text(story: Story, mark: TimeMark) -> str:
    """Write what begins or changes at a mark."""
    if mark.kind == "chapter":
        return story.words("marks.chapter", title=mark.title or story.words("marks.untitled"))
    return story.words.table("marks").get(mark.kind, mark.kind)


def second_link(template: str, recording_id: str, video_href: str | None) -> str | None:
    """Return an address with ``{second}`` left open, or None if nothing safe can be linked.

    Args:
        template: the setting ``report.time_link``; wins over the video where not empty.
        recording_id: quoted into ``{recording_id}``.
        video_href: address of the recording, relative to the page.
    """
    if template:
        link = template.replace("{recording_id}", _quoted(recording_id, ""))
    elif video_href:
        link = _quoted(video_href, "%/:?&=+,;@!$()*~") + "#t={second}"
    else:
        return None
    return link if _is_safe(link) else None


def _quoted(text: str, safe: str) -> str:
    try:
        return quote(text, safe, errors="surrogateescape")  # a file name that is not UTF-8
    except UnicodeEncodeError:
        return quote(text, safe, errors="replace")


def safe_address(address: str | None) -> str | None:
    """Return an address if a page may link to it, else None."""
    return address if address and _is_safe(address) else None


def _is_safe(address: str) -> bool:
    """Say whether an address is http, https, file or relative, to every browser."""
    # Browsers drop white space and control characters from addresses, so that 'java\nscript:'
    # would be a scheme to them and none to us.
    if len(address) > _LONGEST_ADDRESS or any(ord(c) <= 32 or 127 <= ord(c) < 160 for c in address):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    scheme = parts.scheme.lower()
    if scheme in ("http", "https"):
        return bool(parts.netloc)
    return scheme in ("", "file") and clean(address, _LONGEST_ADDRESS) == address


def weights_of(story: Story) -> dict[str, float]:
    """Return the weights of the seven expressions; empty if they are not on record."""
    names = story.words.table("emotions")
    try:
        found = json.loads(story.facts.get("engagement_weights") or "{}")
        weights = {name: float(found[name]) for name in names}
    except (ValueError, KeyError, TypeError):
        return {}
    return weights if max(weights.values()) > 0 else {}


def counts_as(weights: dict[str, float]) -> dict[str, str]:
    """Write what a face of each expression alone counts in the index: its weight by the largest."""
    most = max(weights.values(), default=1)
    return {name: f"{round(weight / most, 2):g}" for name, weight in weights.items()}


def share_texts(words: Wording, names: Sequence[str], shares: Sequence[float]) -> dict[str, str]:
    """Write shares of a whole in percent, adding up to 100; what is there is never '0 %'."""
    texts = {name: words.hundredths(share) for name, share in zip(names, shares, strict=True)}
    rounded = rounded_parts([100 * share for share in shares], 1)
    # What is nearly nothing or nearly all reads the same here as where it stands alone.
    texts |= {
        name: f"{whole:.0f}"
        for name, whole in zip(names, rounded, strict=True)
        if texts[name].isdecimal()
    }
    return {name: words("units.percent", n=text) for name, text in texts.items()}


def state_name(story: Story, state: str) -> str:
    """Return the name of one of ``STATES`` as this page calls it."""
    # Where nobody is read, being seen is enough.
    kind = f"{state}_presence" if story.presence and state in ("values", "withheld") else state
    return story.words(f"states.{kind}", n=str(story.facts.get("min_group") or 1))


def people_text(words: Wording, count: float) -> str:
    """Write a number of people, which as a median may end in a half."""
    if count.is_integer():
        return words("minute.people", n=int(count))
    return words("minute.people_half", n=words.about(count))


def span(
    words: Wording, low: float, high: float, write: Callable[[float], str] | None = None
) -> str:
    """Write a range, or one number where both ends read the same."""
    first, last = (write or words.whole)(low), (write or words.whole)(high)
    return first if first == last else words("units.range", low=first, high=last)
