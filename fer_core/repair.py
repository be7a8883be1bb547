"""Finds what a broken write, a full disk or a stray hand left in a dataset, and sets it aside.

Nothing is deleted: what is taken away lies in ``set-aside``, and its recording is computed anew by
the next run. What a whole dataset looks like is ``store``'s knowledge.
"""

# pyarrow is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from fer_core.folder import explained
from fer_core.schema import TABLES
from fer_core.store import Store

_DAMAGED: Final = "a table of its recording is damaged or missing"


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that should not be as it is: where, and why."""

    path: Path
    why: str


def find_faults(store: Store) -> list[Fault]:
    """Look at every file of a dataset; read each table as a reader would.

    Returns:
        The files out of order, in the order of their paths; none twice.
    """
    found: dict[Path, Fault] = {}
    damaged = _damaged(store)
    for fault in (*_torn(store), *_tables(store, damaged), *_pages(store, damaged)):
        found.setdefault(fault.path, fault)
    return [found[path] for path in sorted(found)]


def find_torn(store: Store) -> list[Fault]:
    """Read every ``recordings`` row, and the end of every other table: quick enough for each night.

    Returns:
        All tables of each recording of which one is damaged so.
    """
    paths = [path for name in TABLES for path in store.files(name)]
    torn = {path.stem for path in paths if not _has_end(path)}
    torn |= {path.stem for path in store.files("recordings") if not _is_row(_read(path))}
    return [Fault(path, _DAMAGED) for path in sorted(paths) if path.stem in torn]


def set_aside(store: Store, faults: list[Fault]) -> Path | None:
    """Move files out of the way; return the folder they now lie in, None if there were none.

    The caller holds ``Store.writing()``.

    Raises:
        StoreError: a file cannot be moved.
    """
    if not faults:
        return None
    folder = store.aside / datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    for fault in faults:
        target = folder / fault.path.relative_to(store.root)
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            fault.path.replace(target)
    return folder


def _torn(store: Store) -> Iterator[Fault]:
    for folder in (store.tables, store.reports, store.logs):
        for path in folder.rglob("*.part"):
            yield Fault(path, "a write that was never finished")


def _damaged(store: Store) -> set[str]:
    """Return the recordings of which a table is damaged or missing."""
    places = store.places()
    read: dict[str, dict[str, pa.Table | None]] = {}
    for name in TABLES:
        for path in store.files(name):
            if places.get(path.stem) == path.parts[-3:]:
                read.setdefault(path.stem, {})[name] = _read(path)
    return {recording_id for recording_id, tables in read.items() if not _is_whole(tables)}


def _tables(store: Store, damaged: set[str]) -> Iterator[Fault]:
    places = store.places()
    for name in TABLES:
        for path in store.files(name):
            if path.stem not in places:
                yield Fault(path, "rows of a recording that was never committed")
            elif places[path.stem] != path.parts[-3:]:
                yield Fault(path, "rows of a recording that is kept in another place")
            elif path.stem in damaged:
                yield Fault(path, _DAMAGED)


def _read(path: Path) -> pa.Table | None:
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
        table.validate(full=True)
    except (OSError, pa.ArrowException, UnicodeError):
        return None
    return table


def _is_row(table: pa.Table | None) -> bool:
    return table is not None and table.num_rows == 1


def _has_end(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException, UnicodeError):
        return False
    return True


def _is_whole(tables: dict[str, pa.Table | None]) -> bool:
    """Say whether every table of a recording can be read, and every second is there."""
    recordings = tables.get("recordings")
    if recordings is None or not _is_row(recordings) or None in tables.values():
        return False
    row = recordings.to_pylist()[0]
    seconds = tables.get("seconds")
    if row.get("status") == "failed":
        return True
    return seconds is not None and seconds.num_rows == row.get("seconds")


def _pages(store: Store, damaged: set[str]) -> Iterator[Fault]:
    known = store.places().keys() - damaged
    for path in store.reports.glob("*/*.html"):
        if path.stem not in known:
            yield Fault(path, "the page of a recording that is not in the tables")
    for path in store.logs.glob("*.log"):
        if path.stem not in known:
            yield Fault(path, "the log of a recording that is not in the tables")
