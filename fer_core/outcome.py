"""How a recording ended, and how a night did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["done", "partial", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one recording ended.

    Attributes:
        path: the recording.
        status: done, partial (good seconds kept), failed or skipped (nothing new).
        recording_id: None if it never got one.
        message: one sentence; empty when done.
        hint: what to do about it.
        page: the lecture page, if there is one.
        video_s: seconds of video covered.
        wall_s: time it took.
        people: median number of people visible.
    """

    path: Path
    status: Status
    recording_id: str | None = None
    message: str = ""
    hint: str = ""
    page: Path | None = None
    video_s: float = 0.0
    wall_s: float = 0.0
    people: float | None = None


@dataclass(frozen=True, slots=True)
class Night:
    """How a run over an inbox ended."""

    outcomes: tuple[Outcome, ...]
    waiting: tuple[Path, ...]
    index: Path

    @property
    def exit_code(self) -> int:
        """0 if all is done or nothing was to do, 1 if a recording failed or is partial."""
        return int(any(outcome.status in ("failed", "partial") for outcome in self.outcomes))
