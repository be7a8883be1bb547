"""Recordings of which nothing could be made: kept in the tables, and left alone until they change.

What is wrong with a recording is told by whoever reads it; what happens to the others is
``pipeline``'s business.
"""

from __future__ import annotations

import hashlib
import platform
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fer_core import __version__, audit, inbox, pages, retention, rows
from fer_core.address import address_of, is_url
from fer_core.errors import InputError, LecturePulseError
from fer_core.inbox import Source
from fer_core.outcome import Outcome
from fer_core.schema import SCHEMA_VERSION
from fer_core.settings import Settings
from fer_core.store import UNKNOWN_MONTH, Place, Store

_COUNTS: Final = (
    "decode_failures layout_changes slide_changes seconds seconds_scored seconds_suppressed "
    "seconds_without_frames seconds_left_out people_max faces faces_scored tracks tracks_still"
)


def keep_failure(store: Store, settings: Settings, source: Source, error: LecturePulseError) -> str:
    """Write a failed recording's rows and log; return its id.

    Its id is made from its path: what cannot be read has no content to be known by. Title and
    start are what its sidecar and its name say.
    """
    path, started_at = source.path, source.started_at
    recording_id = failed_id(store, path)
    log = store.write_log(recording_id, _log(address_of(path, store.root), error))
    size, mtime_ns = _stamp(path)
    row: dict[str, Any] = {
        "recording_id": recording_id,
        "status": "failed",
        "error_log": log,
        "title": source.sidecar.title,
        "started_at": started_at,
        "source_name": path.name,
        "source_path": address_of(path, store.root),
        "source_bytes": size,
        "synthetic": False,
        "mode": "none",
        "jurisdiction": settings.deployment.jurisdiction,
        "layout": "unknown",
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        **dict.fromkeys(_COUNTS.split(), 0),
        **rows.measures(settings),
        **rows.on_record(settings),
        "settings_hash": _circumstances(store, path, settings),
        **rows.fault(error),
    }
    run = {
        "recording_id": recording_id,
        "run_started_at": datetime.now(UTC),
        "source_mtime_ns": mtime_ns,
        **dict.fromkeys(("wall_s", "decode_cpu_s", "detect_cpu_s", "classify_cpu_s"), 0.0),
        "workers": settings.run.workers,
        "runner": "none",
        "host": platform.node(),
    }
    tables = {"runs": rows.row("runs", run), "recordings": rows.row("recordings", row)}
    month = f"{started_at:%Y-%m}" if started_at else UNKNOWN_MONTH
    store.commit(Place(source.course, month, recording_id), tables, {})
    return recording_id


def quarantined(source: Source, store: Store, settings: Settings) -> str | None:
    """Return why a recording failed before, if the very same file would fail again; else None.

    Only what is wrong with the file itself counts: a fault that may pass is tried every night, and
    so is everything after an update, a change of its sidecar, its permissions, or the decoder's
    limits.
    """
    recording_id = failed_id(store, source.path)
    row, runs = store.recording(recording_id), store.read("runs", recording_id)
    if row is None or row["status"] != "failed" or runs.empty:
        return None
    same = (row["source_bytes"], int(runs.iloc[0]["source_mtime_ns"])) == _stamp(source.path)
    same = same and row["settings_hash"] == _circumstances(store, source.path, settings)
    if not same or row["error_code"] != InputError.code or row["version"] != __version__:
        return None
    return str(row["error_message"])


def unwanted(store: Store, settings: Settings, source: Source, *, retried: bool) -> str | None:
    """Return why nothing may be kept about a recording that failed; None if it may.

    Args:
        store: where it would be kept.
        settings: all settings.
        source: the recording.
        retried: somebody asked to try it again, whatever was deleted.
    """
    # A folder that cannot be looked into is no recording, however old it is.
    if source.path.is_file():
        modified_s = _stamp(source.path)[1] / 1e9
        if retention.is_too_old(source.started_at, modified_s, settings):
            return "Older than retention.days; nothing about it is kept."
    recording_id = failed_id(store, source.path)
    # One that was tried again on purpose since then has rows, and is like any other.
    if retried or store.recording(recording_id) is not None:
        return None
    if audit.reference(recording_id) in audit.purged(store.root):
        return "What was kept about it was deleted; --retry-failed keeps it again."
    return None


def _circumstances(store: Store, path: Path, settings: Settings) -> str:
    """Return the hash of all that may make the same file end otherwise next time."""
    sidecar, changed = b"", 0
    if not is_url(address_of(path, store.root)):
        with suppress(OSError):
            changed = path.stat().st_ctime_ns  # permissions, too
    with suppress(OSError, ValueError):
        sidecar = path.with_suffix(".toml").read_bytes()
    told = f"{changed} {settings.video.model_dump_json()} {settings.result_hash()}".encode()
    return hashlib.sha256(told + sidecar).hexdigest()[:16]


def failed_id(store: Store, path: Path) -> str:
    """Return the id that a failure of this file is kept under."""
    address = address_of(path, store.root)
    return hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        found = path.stat()
        return found.st_size, inbox.changed_ns(found)
    return 0, 0


def _log(address: str, error: LecturePulseError) -> str:
    """Return everything there is to know about a failure, for whoever has to mend it."""
    told = "".join(traceback.format_exception(error))
    # A name with line ends in it must not write lines of its own.
    name = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in address)
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, lecturepulse {__version__}",
        f"recording: {name}",
        f"error ({error.code}): {error.message}",
        f"hint: {error.hint}",
        f"what the decoder said:\n{error.detail}" if error.detail else "",
        told,
    ]
    return "\n".join(part for part in parts if part)


def retire_replaced(store: Store, outcomes: Sequence[Outcome]) -> None:
    """Remove what earlier content of the same files left behind: a failure, an unfinished copy.

    Once a night for all, so that a run killed before it came to this is made good by the next.
    """
    read = [outcome for outcome in outcomes if outcome.status != "failed"]
    now = {rows.encodable(address_of(o.path, store.root)): o.recording_id for o in read}
    known = store.all("recordings", ["recording_id", "source_path", "status"])
    stand = set(known[known["status"] != "failed"]["recording_id"])
    for source_path, ids in known.groupby("source_path")["recording_id"]:
        if (current := now.get(str(source_path))) in stand and current in set(ids):
            for recording_id in set(ids) - set(now.values()):
                pages.remove(store, recording_id)
                store.forget(recording_id)
