"""What a run is doing now, in a small file that other processes read: a page, a person.

The file is a courtesy: nothing depends on it, and a run that cannot write it goes on.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fer_core import progress
from fer_core.progress import Event

_FILE: Final = "underway.json"
_LEAST_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Underway:
    """How far a run has come.

    Attributes:
        pid: its process.
        host: the machine it runs on.
        began_at: when it began, ISO 8601.
        recordings: how many it found.
        finished: how many of them it is done with.
        name: the file name of the recording it is reading; empty between two.
        seen_s: seconds of its video that were looked at.
        video_s: its length by its header, seconds; 0 if that is not known yet.
    """

    pid: int
    host: str
    began_at: str
    recordings: int = 0
    finished: int = 0
    name: str = ""
    seen_s: float = 0.0
    video_s: float = 0.0


@contextmanager
def telling(root: Path) -> Generator[None]:
    """Write what this process tells of its progress below a folder, until the block ends."""
    path, lock = root / _FILE, threading.Lock()
    now = datetime.now(UTC).isoformat("T", "seconds")
    state = Underway(os.getpid(), platform.node(), now)
    written_at = 0.0

    def heed(event: Event) -> None:
        nonlocal state, written_at
        with lock:
            state = _after(state, event)
            if event.kind != "advanced" or time.monotonic() - written_at >= _LEAST_PAUSE_S:
                written_at = time.monotonic()
                _write(path, state)

    with suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
    _write(path, state)
    try:
        with progress.listening(heed):
            yield
    finally:
        with suppress(OSError):
            path.unlink()


def _after(state: Underway, event: Event) -> Underway:
    if event.kind == "found":
        return replace(state, recordings=int(event.amount))
    if event.kind == "started":
        seen_s = state.seen_s if event.name == state.name else 0.0
        return replace(state, name=event.name, seen_s=seen_s, video_s=event.amount)
    if event.kind == "advanced" and event.name == state.name:
        return replace(state, seen_s=state.seen_s + event.amount)
    if event.kind == "finished":
        return replace(state, finished=state.finished + 1, name="", seen_s=0.0, video_s=0.0)
    return state


def _write(path: Path, state: Underway) -> None:
    part = path.with_name(f".{path.name}.part")
    with suppress(OSError):
        part.write_text(json.dumps(asdict(state)), encoding="utf-8")
        part.replace(path)


def read_underway(root: Path) -> Underway | None:
    """Return what a run that writes to this folder is doing; None if there is none.

    What a killed run left behind does not count, if it was one of this machine.
    """
    try:
        state = Underway(**json.loads((root / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if state.host == platform.node() and not _lives(state.pid):
        return None
    return state


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
