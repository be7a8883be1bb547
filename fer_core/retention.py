"""What is kept how long, and how it goes: everything of a recording, or single tables of it.

A recording's age counts from its start, or else from the file's own time.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final, Literal

from fer_core import arrivals, audit, pages
from fer_core.address import is_id
from fer_core.age import days_since, made_on
from fer_core.errors import ConfigError
from fer_core.folder import explained, write_whole
from fer_core.schema import TABLES
from fer_core.settings import Settings
from fer_core.store import Store, Worked

_log = logging.getLogger("lecturepulse")

Why = Literal["asked", "before", "expired"]

UPLOADS: Final = "uploads"
"""Folder of the videos that were kept through the web interface, below the dataset, by id."""

# What a purge has set out to do, until it is done: a power cut must not leave half of it.
_JOURNAL: Final = ".purging"


@dataclass(frozen=True, slots=True)
class Removal:
    """What has to go.

    Attributes:
        recording_id: of which recording.
        name: its file's name, to be shown before it goes.
        made_on: the day its age counts from.
        tables: the tables to delete; None for everything there is of it.
        course: what it belongs to.
        source: path or address of its file when it was read; None of one that was not finished, or
            live.
    """

    recording_id: str
    course: str
    name: str
    made_on: date
    tables: tuple[str, ...] | None
    source: str | None


def unfinished(store: Store) -> list[str]:
    """Return the ids of recordings that have work files: cut off, or being worked on."""
    return sorted(path.name for path in store.work.glob("*") if path.is_dir())


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
        age = days_since(known.made_on, now)
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
    return days is not None and days_since(made_on(made_at, modified_s)) > days


def past(made_at: datetime | None, modified_s: float, settings: Settings) -> set[str]:
    """Return the tables of a recording whose own time is over, so that none is written again."""
    age = days_since(made_on(made_at, modified_s))
    return {name for name, most in settings.retention.tables.items() if age > most}


def purge(store: Store, removals: Iterable[Removal], settings: Settings, why: Why) -> None:
    """Note it in the audit log; delete; draw anew what showed it.

    Of a recording that goes as a whole nothing stays in the output: tables, page, log, work files,
    what was set aside, its place in the last night. What is cut off half-way is carried on by
    ``resume_purge``. The caller holds ``Store.writing()``.

    Raises:
        StoreError: something cannot be deleted.
    """
    removals = list(removals)
    if not removals:
        return
    whole = [removal.recording_id for removal in removals if removal.tables is None]
    parts = {found.recording_id: found.tables for found in removals if found.tables is not None}
    audit.note(
        store.root,
        "expired" if why == "expired" else "purged",
        why=why,
        recordings=sorted(map(audit.reference, whole)),
        tables={audit.reference(recording_id): names for recording_id, names in parts.items()},
    )
    plan = {
        "whole": whole,
        "parts": parts,
        # A page compares its lecture with earlier ones of its course: what goes, goes there too.
        "courses": sorted({found.course for found in removals if found.tables is None} - {""}),
    }
    write_whole(store.root / _JOURNAL, json.dumps(plan).encode())
    resume_purge(store, settings)


def resume_purge(store: Store, settings: Settings) -> None:
    """Carry on a purge that was cut off, if there is one; as often as it takes.

    Whatever would stop it every night does not: a plan that cannot be read, a page that cannot be
    drawn without what went.

    Raises:
        StoreError: something cannot be deleted.
    """
    journal = store.root / _JOURNAL
    try:
        plan = json.loads(journal.read_text(encoding="utf-8"))
        whole, parts, courses = plan["whole"], plan["parts"], plan["courses"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        _log.warning(
            "What a purge had set out to do cannot be read (%s). What is past its time is deleted "
            "nevertheless; if you asked for another deletion, ask again.",
            journal,
        )
        journal.unlink()
        return
    for recording_id in whole:
        _remove_page(store, recording_id)
        store.forget(recording_id)
        arrivals.forget(store.root, recording_id)
        store.clear_work(recording_id)
        shutil.rmtree(store.root / UPLOADS / recording_id, ignore_errors=True)
        _forget_set_aside(store, recording_id)
    for recording_id, names in parts.items():
        _drop(store, recording_id, names)
        _draw_again(store, recording_id, settings)
    if night := store.last_night():
        kept = tuple(worked for worked in night.worked_on if worked not in whole)
        # If all of it is gone, "nothing was new" would be false.
        forgotten = night.worked_on and not kept
        store.remember_night(None if forgotten else Worked(night.ended_at, kept))
    _drop_empty_folders(store)
    for course in courses:
        for row in store.course(course):
            _draw_again(store, row["recording_id"], settings)
    pages.write_index(store, settings)
    journal.unlink()


def purge_expired(store: Store, settings: Settings) -> None:
    """Delete what the retention settings say has to go by now. The caller writes."""
    resume_purge(store, settings)
    purge(store, expired(store, settings, datetime.now(UTC)), settings, "expired")


def _all(store: Store) -> list[Removal]:
    import pandas as pd  # a second of its own, which a night has later

    columns = ["recording_id", "source_name", "source_path", "started_at"]
    known = store.all("recordings", columns)
    runs = store.all("runs", ["recording_id", "source_mtime_ns", "run_started_at"])
    times = dict(zip(runs["recording_id"], runs["source_mtime_ns"], strict=True))
    read = dict(zip(runs["recording_id"], runs["run_started_at"], strict=True))
    found = [
        Removal(
            str(row["recording_id"]),
            str(row["course"]),
            str(row["source_name"]),
            made_on(
                None if pd.isna(row["started_at"]) else row["started_at"],
                times.get(row["recording_id"], 0) / 1e9,
                read.get(row["recording_id"]),
            ),
            None,
            row["source_path"] or None,
        )
        for row in known.to_dict("records")
    ]
    rows = {removal.recording_id for removal in found}
    for recording_id in unfinished(store):
        if recording_id not in rows:
            # All that is known of one that was cut off is when: its name comes with its rows.
            begun_s = (store.work / recording_id).stat().st_mtime
            begun_on = datetime.fromtimestamp(begun_s, UTC).date()
            found.append(Removal(recording_id, "", "not finished", begun_on, None, None))
    rows |= {removal.recording_id for removal in found}
    for recording_id, changed_s in _left_over(store).items():
        if recording_id not in rows:
            changed_on = datetime.fromtimestamp(changed_s, UTC).date()
            found.append(Removal(recording_id, "", "left over", changed_on, None, None))
    return found


def _remove_page(store: Store, recording_id: str) -> None:
    for page in store.reports.glob(f"*/{recording_id}.html"):
        if not page.parent.is_symlink():
            page.unlink()


def _draw_again(store: Store, recording_id: str, settings: Settings) -> None:
    """Draw a page without what went; one that cannot be drawn now goes, too, for it may show it."""
    try:
        pages.write_lecture(store, recording_id, settings)
    except Exception as error:  # noqa: BLE001 - else no purge and no night would ever end again
        _log.warning(
            "The page of %s cannot be drawn and is removed (lecturepulse report draws it): %s",
            recording_id,
            error,
        )
        _remove_page(store, recording_id)


def _left_over(store: Store) -> dict[str, float]:
    """Return when the newest file of each recording was written, by id: of all but its work.

    A row may be damaged and its recording gone, or a run killed before there was one: what is left
    must not stay for ever. Only what ``purge`` deletes, or it would be due every night.
    """
    files = [path for name in TABLES for path in store.files(name)]
    files += [page for page in store.reports.glob("*/*.html") if not page.parent.is_symlink()]
    files += store.logs.glob("*.log")
    named = [(path, path.stem) for path in files if path.is_file()]
    kept = [path for path in (store.root / UPLOADS).glob("*") if path.is_dir()]
    named += [(path, path.name) for path in kept if not path.is_symlink()]
    aside = [path for path in store.aside.rglob("*") if path.is_file()]
    named += [(path, path.name.removeprefix(".")[:16]) for path in aside]
    newest: dict[str, float] = {}
    for path, name in named:
        if is_id(name):
            newest[name] = max(newest.get(name, 0), path.lstat().st_mtime)
    return newest


def _drop(store: Store, recording_id: str, tables: Iterable[str]) -> None:
    for name in tables:
        for path in store.files(name):
            if path.stem == recording_id:
                with explained(path):
                    path.unlink(missing_ok=True)


def _drop_empty_folders(store: Store) -> None:
    """Remove folders of courses and months in which nothing is left: they bear names."""
    for top in (store.tables, store.reports):
        for path in sorted(top.glob("**/*"), reverse=True):
            if path.is_dir():
                with suppress(OSError):  # something is in it
                    path.rmdir()


def _forget_set_aside(store: Store, recording_id: str) -> None:
    for path in sorted(store.aside.rglob("*"), reverse=True):
        with explained(path):
            if path.is_file() and path.name.startswith((recording_id, f".{recording_id}")):
                path.unlink(missing_ok=True)
            elif path.is_dir() and path.name == recording_id:
                shutil.rmtree(path)
            elif path.is_dir():
                with suppress(OSError):  # others are in it
                    path.rmdir()
