"""What was said, and how fast: a WebVTT file beside the recording, without the names in it.

Nothing here knows a face or a page. Who spoke is dropped while reading; only that another person
began to speak is kept.
"""

# webvtt is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import webvtt
from numpy.typing import NDArray
from webvtt.errors import MalformedCaptionError, MalformedFileError
from webvtt.models import Timestamp

from fer_core import progress
from fer_core.errors import InputError
from fer_core.folder import leads_out

SUFFIXES: Final = (".transcript.vtt", ".vtt", ".cc.vtt")
"""Endings of a transcript beside a recording, the preferred first."""

PAUSE_S: Final = 3.0
"""Least length of a silence that counts as a pause."""

_MOST_BYTES: Final = 20_000_000
# Zoom's pictures are GMT…_Recording_gallery_1280x720.mp4, its words GMT…_Recording.transcript.vtt.
_ZOOM_VIEW: Final = re.compile(r"(?<=_Recording)(_\w+)?_\d+x\d+$", re.IGNORECASE)
# "Meier, Carla:", "Dr. B. Braun (she/her):", ">> 7b Lena:", "[Lena]:", "Lena:yes"; and, in files
# that do so throughout, "Lena - …", "(Lena) …" or "[Lena] …", and a line with the name alone.
_NAME: Final = re.compile(
    r"^([^:\uff1a!?;\n]{1,80})(?::\s+|:(?=[^\W\d_])|\uff1a\s*)(?=\S)", re.MULTILINE
)
_NAME_AND_DASH: Final = re.compile(
    r"^([^\W\d_][^:!?;\n]{0,60}?) [-\u2013\u2014]\s+(?=\S)", re.MULTILINE
)
_NAME_IN_BRACKETS: Final = re.compile(r"^[(\[]([^()\[\]\n]{1,60})[)\]]\s+(?=\S)", re.MULTILINE)
_NAME_ABOVE: Final = re.compile(r"^([^\W\d_][^:.,!?;\n]{0,60})\n(?=\S)")
_NAMED_SHARE: Final = 0.3
# Chinese and Japanese have no spaces: every character counts.
_UNSPACED: Final = r"\u3040-\u30ff\u3400-\u9fff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:['\u2019-]\w+)*")


@dataclass(frozen=True, slots=True)
class Cue:
    """A stretch of speech.

    Attributes:
        start_s: its begin in the recording.
        end_s: its end, after the begin.
        text: what was said by one speaker, one line, without the name.
        turn: whether somebody else spoke before; never of the first one.
    """

    start_s: float
    end_s: float
    text: str
    turn: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    Attributes:
        cues: in the order of their begins.
        named: whether the file says who speaks, so that turns can be counted.
        left_out: ``(start, end)`` of what is not to be looked at, seconds: no silence either.
    """

    cues: tuple[Cue, ...]
    named: bool = False
    left_out: tuple[tuple[float, float], ...] = ()

    def within(self, seconds: int) -> Transcript:
        """Return the part that begins within a recording of that length."""
        inside = tuple(cue for cue in self.cues if cue.start_s < seconds)
        return Transcript(inside, self.named, self.left_out)

    def without(self, spans: Sequence[tuple[float, float]]) -> Transcript:
        """Return it without every cue that reaches into one of the ``(start, end)``, seconds."""
        kept = tuple(
            cue
            for cue in self.cues
            if not any(cue.end_s > start and cue.start_s < end for start, end in spans)
        )
        return Transcript(kept, self.named, tuple(spans))

    def words_per_minute(self, seconds: int) -> NDArray[np.float64]:
        """Return words by minute of a recording, ``(ceil(seconds / 60),)``.

        Of a minute that is there in part, or left out in part, the words are scaled up; of one
        that is left out as a whole, NaN.
        """
        known_s = self.known_s(seconds)
        with np.errstate(invalid="ignore"):
            return np.where(known_s > 0, 60 * self._words(seconds) / known_s, np.nan)

    def known_s(self, seconds: int) -> NDArray[np.float64]:
        """Return how much of each minute is there and not left out, ``(ceil(seconds / 60),)``."""
        known = np.pad(self._known(0, seconds), (0, -seconds % 60))
        return known.reshape(-1, 60).sum(axis=1).astype(np.float64)

    def _known(self, start: int, end: int) -> NDArray[np.bool_]:
        """Return which seconds are not left out, ``(end - start,)``."""
        known = np.ones(max(end - start, 0), np.bool_)
        for begin, stop in self.left_out:
            first, last = math.floor(begin) - start, math.ceil(min(stop, end)) - start
            known[max(first, 0) : max(last, 0)] = False
        return known

    def _words(self, seconds: int) -> NDArray[np.float64]:
        """Return the words of each minute; a cue's are spread evenly over its length."""
        minutes = -(-seconds // 60)
        words = np.zeros(minutes)
        for cue in self.cues:
            count = _count(cue.text)
            for minute in range(int(cue.start_s // 60), min(int(cue.end_s // 60) + 1, minutes)):
                inside = min(cue.end_s, 60 * minute + 60, seconds) - max(cue.start_s, 60 * minute)
                words[minute] += count * max(inside, 0) / (cue.end_s - cue.start_s)
        return words

    def rate(self, seconds: int) -> float | None:
        """Return words per minute while somebody spoke; None if nobody did."""
        talked = sum(min(end, seconds) - start for start, end in self.within(seconds).speech())
        return float(60 * self._words(seconds).sum() / talked) if talked else None

    def spoken_share(self, *spans: tuple[int, int]) -> float:
        """Return for how much of some stretches of time somebody spoke; NaN if they are left out.

        Args:
            spans: ``(start, end)``, whole seconds; they do not overlap.
        """
        talked = sum(
            max(min(end, stop) - max(begin, start), 0)
            for start, stop in spans
            for begin, end in self.speech()
        )
        known = sum(int(self._known(start, stop).sum()) for start, stop in spans)
        # Speech that goes on after less than a pause is one stretch, whatever lies in between.
        return min(talked / known, 1.0) if known else math.nan

    def speech(self) -> list[tuple[float, float]]:
        """Return ``(start, end)`` of the stretches without a pause of ``PAUSE_S``, in seconds."""
        stretches: list[tuple[float, float]] = []
        for cue in self.cues:
            if stretches and cue.start_s - stretches[-1][1] < PAUSE_S:
                start, end = stretches[-1]
                stretches[-1] = (start, max(end, cue.end_s))
            else:
                stretches.append((cue.start_s, cue.end_s))
        return stretches

    def pauses(self) -> list[tuple[float, float]]:
        """Return ``(start, end)`` of the silences between the stretches of speech, in seconds."""
        spoken = self.speech()
        return self._silent([(one[1], other[0]) for one, other in pairwise(spoken)])

    def silent_ends(self, seconds: int) -> list[tuple[float, float]]:
        """Return ``(start, end)`` of the silences before the first and after the last speech.

        Args:
            seconds: length of the recording.
        """
        spoken = self.speech()
        if not spoken:
            return []
        ends = [(0.0, spoken[0][0]), (spoken[-1][1], float(seconds))]
        return self._silent([(start, end) for start, end in ends if end - start >= PAUSE_S])

    def _silent(self, gaps: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Return those of the ``(start, end)`` that no part of is left out."""
        return [
            (start, end)
            for start, end in gaps
            if not any(end > begin and start < stop for begin, stop in self.left_out)
        ]

    def said(self, start_s: float, end_s: float) -> str:
        """Return what was said in a part of the recording: every cue that reaches into it."""
        return " ".join(
            cue.text for cue in self.cues if cue.end_s > start_s and cue.start_s < end_s
        )


def beside(recording: Path) -> Path | None:
    """Return the transcript beside a recording; None if there is none."""
    for name in names_beside(recording):
        path = recording.with_name(name)
        try:
            if path.is_file():
                return path
        except OSError:  # a name that leaves no room for the ending
            continue
    return None


def names_beside(recording: Path) -> list[str]:
    """Return what a transcript beside a recording may be called, the preferred name first."""
    stems = dict.fromkeys((recording.stem, _ZOOM_VIEW.sub("", recording.stem)))
    return [stem + suffix for stem in stems for suffix in SUFFIXES]


def fingerprint(recording: Path) -> str | None:
    """Return the sha256 of the transcript beside a recording; None without one that can be read."""
    found = beside(recording)
    try:
        readable = found is not None and not leads_out(found)
        return hashlib.sha256(found.read_bytes()).hexdigest() if found and readable else None
    except OSError:
        return None


def spoken_beside(
    recording: Path, left_out: Sequence[tuple[float, float]] = ()
) -> Transcript | None:
    """Return the transcript beside a recording; None without one that can be read.

    Args:
        recording: the video file.
        left_out: ``(start, end)`` of what is not to be looked at, seconds.
    """
    found = beside(recording)
    return _told_if_bad(lambda: read_transcript(found), left_out) if found else None


def spoken_in(
    name: str, content: bytes, left_out: Sequence[tuple[float, float]] = ()
) -> Transcript | None:
    """Return the transcript that a file holds; None if it cannot be read.

    Args:
        name: of the file.
        content: of it.
        left_out: ``(start, end)`` of what is not to be looked at, seconds.
    """
    return _told_if_bad(lambda: _read(name, content), left_out)


def _told_if_bad(
    read: Callable[[], Transcript], left_out: Sequence[tuple[float, float]]
) -> Transcript | None:
    try:
        return read().without(left_out)
    except InputError as error:  # everything else is worth having without it
        progress.tell("note", f"{error.message} {error.hint}")
        return None


def columns_of(
    recording: Path, seconds: int, left_out: Sequence[tuple[float, float]] = ()
) -> dict[str, Any]:
    """Return the columns of ``recordings`` that come from the transcript beside a recording."""
    spoken = spoken_beside(recording, left_out)
    return {
        "transcript_sha256": fingerprint(recording),
        "words_per_minute": spoken.rate(seconds) if spoken else None,
    }


def read_transcript(path: Path) -> Transcript:
    """Read a WebVTT file; names of speakers (``Name: text``, ``<v Name>``) are not kept.

    Raises:
        InputError: the file is unreadable, elsewhere, too large, or no WebVTT.
    """
    try:
        if leads_out(path):
            raise InputError(
                f"The transcript {path.name!r} is a link that leads out of its folder.",
                hint="Copy it beside its recording.",
            )
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(
                f"The transcript {path.name!r} is larger than {_MOST_BYTES // 1_000_000} MB.",
                hint="Give the words alone, as WebVTT.",
            )
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path.name, str(error)) from error
    return _read(path.name, content)


def _read(name: str, content: bytes) -> Transcript:
    try:
        found = webvtt.from_string(content.decode("utf-8-sig", errors="replace"))
        captions = [
            (_seconds(each.start_time), _seconds(each.end_time), each.voice or "", each.text)
            for each in found
        ]
    except (MalformedFileError, MalformedCaptionError) as error:
        raise _unreadable(name, str(error) or "it is no WebVTT") from error
    return _without_names(captions)


def _unreadable(name: str, reason: str) -> InputError:
    return InputError(
        f"The transcript {name!r} cannot be read: {reason}.",
        hint="Export it anew as .vtt, or remove it.",
    )


def _seconds(at: Timestamp) -> float:
    hours, minutes, seconds, milliseconds = at.to_tuple()
    return 3600 * hours + 60 * minutes + seconds + milliseconds / 1000


def _without_names(captions: list[tuple[float, float, str, str]]) -> Transcript:
    lines = [(start, end, voice, _tidy(text)) for start, end, voice, text in captions]
    lines = sorted((line for line in lines if line[3] and line[1] > line[0]), key=lambda c: c[:2])
    form = _form_of_names([text for *_, text in lines])
    prefixes = Counter(match[1] for *_, text in lines for match in form.finditer(text))
    # "Remember: …" once in a transcript without names is speech; in one with names, never: better
    # to lose a word than to show a name. Some files name a speaker only where another begins, so
    # that one prefix that comes again is enough.
    prefixed = sum(bool(form.search(text)) for *_, text in lines)
    named = prefixed > _NAMED_SHARE * len(lines) or any(n > 1 for n in prefixes.values())
    voices = any(voice for _, _, voice, _ in lines)
    cues: list[Cue] = []
    before: str | None = None
    for start, end, voice, text in lines:
        # Where voices are marked, a line with its own mark needs no name besides.
        found = form.finditer(text) if named or (voices and not voice) else ()
        for speaker, said in _parts(text, voice, found):
            turn = bool(speaker and before and speaker != before)
            cues.append(Cue(start, end, said, turn))
            before = speaker or before
    return Transcript(tuple(cues), named=before is not None)


def _form_of_names(texts: list[str]) -> re.Pattern[str]:
    """Return how names of speakers are written in a file, if at all."""
    for form in (_NAME_AND_DASH, _NAME_IN_BRACKETS, _NAME_ABOVE):
        found = Counter(match[1] for text in texts if (match := form.match(text)))
        # Sounds stand in brackets, too, and any line may be broken in two: a name comes again.
        alone = 0 if form is _NAME_AND_DASH else list(found.values()).count(1)
        if found.total() - alone > _NAMED_SHARE * len(texts):
            return form
    return _NAME


def _tidy(text: str) -> str:
    """Return a cue's lines without needless spaces."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.splitlines())))


def _parts(text: str, voice: str, names: Iterable[re.Match[str]]) -> Iterator[tuple[str, str]]:
    """Yield who says what in a cue, in one line each: several may speak in it."""
    speaker, at = voice, 0
    for name in names:
        if said := " ".join(text[at : name.start()].split()):
            yield speaker, said
        speaker, at = voice or name[1], name.end()
    yield speaker, " ".join(text[at:].split())


def _count(text: str) -> int:
    return len(_WORD.findall(text))
