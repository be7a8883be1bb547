"""The audit log: what was done with people's data, a line each, appended and never rewritten.

Recordings stand in it under a reference, not under their id or name: it stays when they go.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from fer_core import __version__
from fer_core.folder import explained

LOG: Final = "audit.jsonl"
_Event = Literal["settings", "processed", "expired", "purged", "exported", "tried"]


def reference(recording_id: str) -> str:
    """Return what a recording is called in the log: told from its id, but not the id from it."""
    return hashlib.sha256(f"lecturepulse audit {recording_id}".encode()).hexdigest()[:16]


def note(root: Path, event: _Event, **facts: Any) -> None:
    """Append a line: when, what, under which account, by which version, and the facts given.

    Args:
        root: folder of the dataset.
        event: what was done.
        facts: anything JSON can say; no names, no ids.

    Raises:
        StoreError: it cannot be written.
    """
    at = datetime.now(UTC).isoformat("T", "seconds")
    line = json.dumps({"at": at, "event": event, "by": _by(), "version": __version__, **facts})
    path = root / LOG
    with explained(path), alone(root) as file:
        # A power cut may have torn the last line; this one must not be lost with it.
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def alone(root: Path) -> Generator[BinaryIO]:
    """Open the log, made if need be, while nobody else writes to it; wait for whoever does.

    Args:
        root: folder of the dataset.

    Raises:
        OSError: it cannot be opened.
    """
    path = root / LOG
    root.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held it may have put another file in its place.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return


def _by() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as in containers
        return str(os.getuid())


def lines(root: Path, only: str = "event") -> Iterator[dict[str, Any]]:
    """Yield the log's lines, the oldest first; a torn last one is passed over.

    Args:
        root: folder of the dataset.
        only: lines that hold this fact; the others are not parsed, of years there are many.
    """
    with suppress(FileNotFoundError), (root / LOG).open(encoding="utf-8") as file:
        yield from _parsed(file, only)


def _parsed(texts: Iterable[str], only: str) -> Iterator[dict[str, Any]]:
    for text in texts:
        if f'"{only}"' in text:
            with suppress(ValueError):
                yield json.loads(text)


def note_settings(root: Path, settings: dict[str, Any]) -> None:
    """Append the settings that concern privacy if they differ from those of the last line.

    Raises:
        StoreError: it cannot be written.
    """
    before: dict[str, Any] | None = None
    for line in lines(root, only="changed"):
        before = line.get("settings")
    # As they come back from the log: tuples are lists there.
    now = json.loads(json.dumps(settings))
    if before != now:
        known = before or {}
        changed = sorted(name for name in known.keys() | now if known.get(name) != now.get(name))
        note(root, "settings", changed=changed, settings=now)


def note_answer(root: Path, sql: str, form: str, rows: int) -> None:
    """Append that a question in SQL was answered: not the question, only what it is known again by.

    Args:
        root: folder of the dataset.
        sql: the question; it may hold names and ids.
        form: what the answer became, such as ``csv``.
        rows: how many it has.

    Raises:
        StoreError: it cannot be written.
    """
    digest = hashlib.sha256(sql.encode()).hexdigest()[:16]
    note(root, "exported", form=form, rows=rows, sql_sha256=digest)


def purged(root: Path) -> set[str]:
    """Return the references of recordings that were deleted, on request or by their age."""
    return _deleted(lines(root, only="recordings"))


def purged_in(texts: Iterable[str]) -> set[str]:
    """Return the same of lines that are in no dataset's log yet."""
    return _deleted(_parsed(texts, only="recordings"))


def _deleted(told: Iterable[dict[str, Any]]) -> set[str]:
    return {
        str(found)
        for line in told
        if line.get("event") in ("purged", "expired")
        for found in line.get("recordings", ())
    }
