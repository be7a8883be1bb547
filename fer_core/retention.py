"""What is kept how long, and how it goes: everything of a recording, or single tables of it.

A recording's age counts from its start, or else from the file's own time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from fer_core import audit, pages
from fer_core.errors import ConfigError
from fer_core.folder import explained
from fer_core.settings import Settings
from fer_core.store import Store, Worked

Why = Literal["asked", "before", "expired"]


@dataclass(frozen=True, slots=True)
class Removal:
    """What has to go.

    Attributes:
        recording_id: of which recording.
        name: its file's name, to be shown before it goes.
        made_on: the day its age counts from.
        tables: the tables to delete; None for everything there is of it.
        course: what it belongs to.
        source: where its file was when it was read.
    """

    recording_id: str
    course: str
    name: str
    made_on: date
    tables: tuple[str, ...] | None
    source: Path


def one(store: Store, recording_id: str) -> Removal:
    """Return the removal of one recording.

    Raises:
        ConfigError: it is not in the tables.
    """
    for known in _all(store):
        if known.recording_id == recording_id:
            return known
    raise ConfigError(
        f"There is no recording '{recording_id}' in {store.root}.",
        hint='List them: lecturepulse query "select recording_id, title from recordings"',
    )


def made_before(store: Store, day: date) -> list[Removal]:
    """Return the removals of every recording made before a day."""
    return [known for known in _all(store) if known.made_on < day]


def expired(store: Store, settings: Settings, now: datetime) -> list[Removal]:
    """Return what the retention settings say has to go by now.

    Single tables are named only where they are still there.
    """
    days, tables = settings.retention.days, settings.retention.tables
    found: list[Removal] = []
    there = {name: set(store.counts(name)) for name in tables}
    for known in _all(store):
        age = (now.date() - known.made_on).days
        if days is not None and age > days:
            found.append(known)
        elif due := tuple(
            name
            for name, most in tables.items()
            if age > most and known.recording_id in there[name]
        ):
            found.append(replace(known, tables=due))
    return found


def is_too_old(made_at: datetime | None, modified_s: float, settings: Settings) -> bool:
    """Say whether a recording is past its retention before it is read at all."""
    days = settings.retention.days
    made = made_at or datetime.fromtimestamp(modified_s, UTC)
    return days is not None and datetime.now(UTC).date() - made.date() > timedelta(days)


def purge(store: Store, removals: Iterable[Removal], settings: Settings, why: Why) -> None:
    """Delete; draw anew what showed it; note it in the audit log.

    Of a recording that goes as a whole nothing stays in the output: tables, page, log, work files,
    what was set aside, its place in the last night. The caller holds ``Store.writing()``.

    Raises:
        StoreError: something cannot be deleted.
    """
    removals = list(removals)
    if not removals:
        return
    gone = {removal.recording_id for removal in removals if removal.tables is None}
    for removal in removals:
        if removal.tables is None:
            pages.remove(store, removal.recording_id)
            store.forget(removal.recording_id)
            store.clear_work(removal.recording_id)
            _forget_set_aside(store, removal.recording_id)
        else:
            _drop(store, removal.recording_id, removal.tables)
            pages.write_lecture(store, removal.recording_id, settings)
    if night := store.last_night():
        kept = tuple(worked for worked in night.worked_on if worked not in gone)
        store.remember_night(Worked(night.ended_at, kept))
    audit.note(
        store.root,
        "expired" if why == "expired" else "purged",
        why=why,
        recordings=sorted(map(audit.reference, gone)),
        tables={
            audit.reference(removal.recording_id): removal.tables
            for removal in removals
            if removal.tables is not None
        },
    )
    # A page compares its lecture with earlier ones of the course: those that went go there, too.
    changed = {removal.course for removal in removals if removal.tables is None}
    for course in sorted(changed):
        for row in store.course(course):
            pages.write_lecture(store, row["recording_id"], settings)
    pages.write_index(store, settings)


def _all(store: Store) -> list[Removal]:
    columns = ["recording_id", "source_name", "source_path", "started_at"]
    known = store.all("recordings", columns)
    modified = store.all("runs", ["recording_id", "source_mtime_ns"])
    times = dict(zip(modified["recording_id"], modified["source_mtime_ns"], strict=True))
    return [
        Removal(
            str(row["recording_id"]),
            str(row["course"]),
            str(row["source_name"]),
            pages.made_on(row, int(times.get(row["recording_id"], 0))),
            None,
            Path(str(row["source_path"])),
        )
        for row in known.to_dict("records")
    ]


def _drop(store: Store, recording_id: str, tables: Iterable[str]) -> None:
    for name in tables:
        for path in store.files(name):
            if path.stem == recording_id:
                with explained(path):
                    path.unlink(missing_ok=True)


def _forget_set_aside(store: Store, recording_id: str) -> None:
    for path in sorted((store.root / "set-aside").rglob("*"), reverse=True):
        with explained(path):
            if path.is_file() and path.name.startswith((recording_id, f".{recording_id}")):
                path.unlink(missing_ok=True)
            elif path.is_dir() and path.name == recording_id:
                shutil.rmtree(path)
            elif path.is_dir():
                with suppress(OSError):  # others are in it
                    path.rmdir()
