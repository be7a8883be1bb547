"""What the section on pace says: how fast was spoken, where nobody spoke, how often turns changed.

Values, sentences and its figure; from the transcript alone, so that it says nothing about faces.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fer_core import charts
from fer_core.figure import Cell, Figure, Table, measured, moment_cell
from fer_core.samples import swatch
from fer_core.story import Story, span
from fer_core.svg import FloatArray
from fer_core.transcript import PAUSE_S, Transcript

AROUND_S: Final = 20
"""How far around a moment its quote reaches, seconds."""


def pace(story: Story) -> dict[str, Any] | None:
    """Return facts and figure; None without a transcript, or where nothing was said."""
    seconds = len(story.lecture)
    spoken = story.transcript.within(seconds) if story.transcript else None
    if spoken is None or not spoken.cues:
        return None
    rates = spoken.words_per_minute(seconds)
    return {"facts": _facts(story, spoken, rates), "figure": _figure(story, spoken, rates)}


def quote(story: Story, start_s: float, end_s: float, most: int = 400) -> str:
    """Return what was said around a part of the lecture, at most ``most`` letters."""
    if story.transcript is None:
        return ""
    text = story.transcript.said(start_s - AROUND_S, end_s + AROUND_S)
    if len(text) <= most:
        return text
    return text[:most].rsplit(" ", 1)[0] + "…"


def _facts(story: Story, spoken: Transcript, rates: FloatArray) -> list[tuple[str, str]]:
    words, seconds = story.words, len(story.lecture)
    minutes = np.full(len(rates), 60.0)
    minutes[-1] = seconds - 60 * (len(rates) - 1)
    total = float((rates * minutes / 60).sum())
    talked = sum(min(end, seconds) - start for start, end in spoken.speech())
    pauses = spoken.pauses()
    facts = [
        (
            words("pace.rate"),
            words(
                "pace.rate_value",
                spoken=words.whole(spoken.rate(seconds) or 0),
                whole=words.whole(60 * total / seconds),
            ),
        ),
        (words("pace.talk"), words("pace.talk_value", share=words.percent(talked / seconds))),
    ]
    if pauses:
        start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
        value = words("pace.pauses_value", n=len(pauses))
        longest = words("pace.longest", duration=words.duration(end - start), time=words.at(start))
        facts.append((words("pace.pauses", least=words.whole(PAUSE_S)), f"{value}; {longest}"))
    else:
        facts.append((words("pace.pauses", least=words.whole(PAUSE_S)), words("pace.no_pauses")))
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
        inside = sum(max(min(stop, end) - max(begin, start), 0) for begin, stop in spoken.speech())
        cells = [
            moment_cell(words, start),
            measured(words, rate, words.whole),
            measured(words, inside, words.duration),
        ]
        if spoken.named:
            turns = sum(cue.turn and start <= cue.start_s < end for cue in spoken.cues)
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
            (swatch("area speech"), words("pace.key_words"), ""),
            (swatch("known"), words("pace.key_speech"), ""),
        ],
        notes=[words("pace.note")],
        table=Table(
            [(words(f"pace.{head}"), name) for head, name in heads.items()],
            rows,
            words("pace.table_hint"),
        ),
    )
