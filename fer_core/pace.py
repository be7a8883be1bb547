"""What the section on pace says: how fast was spoken, where nobody spoke, how often turns changed.

Values, sentences and its figure; from the transcript alone, so that it says nothing about faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fer_core import charts
from fer_core.figure import Cell, Figure, Table, measured, moment_cell
from fer_core.samples import swatch
from fer_core.story import Story, span
from fer_core.svg import FloatArray
from fer_core.transcript import PAUSE_S, Transcript

_MOST_AROUND: Final = 160

_AROUND_S: Final = 20
"""How far around a moment its quote reaches, seconds."""


def pace(story: Story) -> dict[str, Any] | None:
    """Return facts and figure; None without a transcript, or where nothing was said."""
    seconds = len(story.lecture)
    spoken = story.transcript.within(seconds) if story.transcript else None
    if spoken is None or not spoken.cues:
        return None
    rates = spoken.words_per_minute(seconds)
    if not np.nansum(rates):  # music notes, dots
        return None
    return {"facts": _facts(story, spoken, rates), "figure": _figure(story, spoken, rates)}


@dataclass(frozen=True, slots=True)
class Quote:
    """What was said just before a part of the lecture, in it, and just after; empty if nothing."""

    before: str = ""
    during: str = ""
    after: str = ""


def quote(story: Story, start_s: float, end_s: float, most: int = 900) -> Quote:
    """Return what was said in a part of the lecture and 20 s around it, ``most`` letters of it."""
    spoken = story.transcript or Transcript(())
    before = " ".join(cue.text for cue in spoken.cues if start_s - _AROUND_S < cue.end_s <= start_s)
    after = " ".join(cue.text for cue in spoken.cues if end_s <= cue.start_s < end_s + _AROUND_S)
    if len(before) > _MOST_AROUND:
        before = f"…{before[-_MOST_AROUND:].partition(' ')[2]}"
    return Quote(before, _cut(spoken.said(start_s, end_s), most), _cut(after, _MOST_AROUND))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0]}…"


def _facts(story: Story, spoken: Transcript, rates: FloatArray) -> list[tuple[str, str]]:
    words, seconds = story.words, len(story.lecture)
    # What was said in what is left out is not known: it is neither speech nor silence.
    known_s = spoken.known_s(seconds)
    whole = float(np.nansum(rates * known_s) / known_s.sum())
    facts = [
        (
            words("pace.rate"),
            words(
                "pace.rate_value_part" if known_s.sum() < seconds else "pace.rate_value",
                spoken=words.whole(spoken.rate(seconds) or 0),
                whole=words.whole(whole),
            ),
        ),
        (
            words("pace.talk"),
            words(
                "pace.talk_value",
                share=words.percent(spoken.spoken_share((0, seconds))),
                least=words.whole(PAUSE_S),
            ),
        ),
    ]
    silences = [words("pace.no_pauses")]
    if pauses := spoken.pauses():
        start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
        longest = words("pace.longest", duration=words.duration(end - start), time=words.at(start))
        silences = [words("pace.pauses_value", n=len(pauses)), longest]
    # No pauses: nobody had begun, or all was said.
    for start, end in spoken.silent_ends(seconds):
        key = "pace.silent_before" if start == 0 else "pace.silent_after"
        silences.append(words(key, duration=words.duration(end - start), time=words.at(start)))
    facts.append((words("pace.pauses", least=words.whole(PAUSE_S)), "; ".join(silences)))
    if spoken.named:
        turns = sum(cue.turn for cue in spoken.cues)
        facts.append((words("pace.turns"), words("pace.turns_value", n=turns)))
    return facts


def _figure(story: Story, spoken: Transcript, rates: FloatArray) -> Figure:
    words, seconds = story.words, len(story.lecture)
    talked = rates[rates > 0]
    finding = words("pace.finding", range=span(words, float(talked.min()), float(talked.max())))
    heads = {"time": "second", "words": "words_per_minute", "spoken": "speech_s"}
    if spoken.named:
        heads["turns"] = "turns"
    rows: list[tuple[str | None, list[Cell]]] = []
    for minute, rate in enumerate(rates.tolist()):
        start, end = 60 * minute, min(60 * minute + 60, seconds)
        inside = (end - start) * spoken.spoken_share((start, end))
        cells = [
            moment_cell(words, start),
            measured(words, rate, words.whole),
            measured(words, inside, words.duration),
        ]
        if spoken.named:
            turns = sum(cue.turn and start <= cue.start_s < end for cue in spoken.cues)
            turns = math.nan if math.isnan(rate) else turns
            cells.append(measured(words, turns, words.whole))
        rows.append((story.href(start), cells))
    return Figure(
        name="pace-chart",
        finding=finding,
        svg=charts.pace_bars(
            "pace-chart",
            rates,
            spoken.speech(),
            seconds,
            words,
            title=finding,
            description=words("pace.describe", duration=words.duration(seconds)),
        ),
        key=[
            (swatch("area pace"), words("pace.key_words"), ""),
            (swatch("lane speech"), words("pace.key_speech"), ""),
        ],
        notes=[words("pace.note")],
        table=Table(
            [(words(f"pace.{head}"), name) for head, name in heads.items()],
            rows,
            words("pace.table_hint"),
        ),
    )
