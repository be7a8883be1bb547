"""Live recordings on their way into the tables.

What was seen is put by as a work file first: a night may hold the dataset for hours, and a power
cut must not cost what cannot be recorded again. It is concluded once nobody else writes.
"""

from __future__ import annotations

import io
import json
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from fer_core import assets, audit, checkpoint, pages
from fer_core.address import is_id
from fer_core.conclude import Recorded, Work, conclude
from fer_core.errors import (
    PASSING,
    EnvironmentProblem,
    InputError,
    StoreError,
    TransientError,
    in_short,
)
from fer_core.folder import explained, write_whole
from fer_core.live import Take
from fer_core.outcome import Outcome
from fer_core.policy import Permission
from fer_core.settings import Settings
from fer_core.store import Place, Store

_log = logging.getLogger("lecturepulse")

_KEY: Final = "live"
_ABOUT: Final = "about.json"
_SEEN: Final = "seen.npz"
_FAILED: Final = "failed.json"

State = Literal["waiting", "done", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class OnAir:
    """A live recording: what is fixed when it begins.

    Attributes:
        recording_id: 16 random hex digits: there is no file to be known by.
        course: chosen by whoever records.
        started_at: when it began, UTC.
        permission: what may be computed.
        settings: those in force.
    """

    recording_id: str
    course: str
    started_at: datetime
    permission: Permission
    settings: Settings

    @classmethod
    def now(cls, course: str, permission: Permission, settings: Settings) -> OnAir:
        """Return a recording that begins at this moment."""
        return cls(secrets.token_hex(8), course, datetime.now(UTC), permission, settings)


def put_by(store: Store, on_air: OnAir, take: Take) -> None:
    """Keep what was seen as a work file, whole or not at all, until it can be concluded.

    Raises:
        StoreError: it cannot be written.
    """
    folder = store.work_folder(on_air.recording_id, _KEY)
    about = {
        "course": on_air.course,
        "started_at": on_air.started_at.isoformat(),
        "size_px": take.size_px,
        "full": take.full,
        "permission": [on_air.permission.mode, on_air.permission.reason],
        "settings": on_air.settings.model_dump(mode="json", exclude={"web"}),
    }
    with explained(folder):
        checkpoint.keep(folder / _SEEN, take.observations, take.effort)
    write_whole(folder / _ABOUT, json.dumps(about).encode())


def waiting(store: Store) -> list[str]:
    """Return the ids of live recordings that are put by, the oldest first."""
    found = sorted(store.work.glob(f"*/{_KEY}/{_ABOUT}"), key=_when)
    return [path.parent.parent.name for path in found]


def _when(path: Path) -> float:
    with suppress(FileNotFoundError):  # concluded just now
        return path.stat().st_mtime
    return 0.0


def state(store: Store, recording_id: str) -> State:
    """Return how far a live recording has come; of anything but an id nothing is known."""
    if not is_id(recording_id):
        return "unknown"
    folder = store.work / recording_id / _KEY
    if (folder / _ABOUT).is_file():
        return "waiting"
    if (folder / _FAILED).is_file():
        return "failed"
    return "unknown" if store.recording(recording_id) is None else "done"


def conclude_waiting(store: Store, settings: Settings) -> Iterator[Outcome]:
    """Write tables and page of everything put by; draw the index once that is done.

    The caller holds the dataset for writing.

    Args:
        store: where they go.
        settings: those of now, for the index and the audit log; values are computed with the
            settings under which they were recorded.

    Raises:
        StoreError: it cannot be written; nothing is lost.
        EnvironmentProblem, TransientError: the machine had trouble with one of them, which is to
            be tried again; the others are done.
    """
    trouble: EnvironmentProblem | TransientError | None = None
    audit.note_settings(store.root, settings.for_audit())
    for recording_id in waiting(store):
        about = store.work / recording_id / _KEY / _ABOUT
        try:
            yield _conclude(store, about, settings)
        except StoreError:
            raise
        except (EnvironmentProblem, TransientError) as error:
            trouble = error
        except Exception:  # noqa: BLE001 - it must not cost the others
            _log.exception("the live recording %s cannot be concluded", recording_id)
            about.replace(about.with_name(_FAILED))  # never tried again; gone within a week
    pages.write_index(store, settings)
    if trouble is not None:
        raise trouble


def _read(path: Path) -> bytes:
    """Read a work file; what passes is no damage: what was recorded cannot be recorded again."""
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno not in PASSING:
            raise
        raise TransientError(
            f"A live recording cannot be read now: {in_short(error)}.", hint="It is tried again."
        ) from error


def _conclude(store: Store, path: Path, settings: Settings) -> Outcome:
    about = json.loads(_read(path))
    recorded = _recorded(path.parent.parent.name, about)
    observations, effort = checkpoint.unpacked(io.BytesIO(_read(path.with_name(_SEEN))))
    began_at = recorded.started_at or datetime.now(UTC)
    since_s = (datetime.now(UTC) - began_at).total_seconds()
    work = Work(time.perf_counter() - since_s, began_at, "live", effort)
    fault = None
    if about["full"]:
        fault = InputError(
            f"It was longer than {recorded.settings.live.max_minutes} min; only those were "
            "recorded.",
            hint="Raise the setting live.max_minutes.",
        )
    outcome = conclude(recorded, observations, store, work, fault=fault)
    try:
        page = pages.write_lecture(store, recorded.place.recording_id, settings)
    except Exception:  # noqa: BLE001 - the tables are committed; ``report`` draws it again
        _log.exception("cannot draw the page of %s", recorded.name)
        return outcome
    return replace(outcome, page=page)


def _recorded(recording_id: str, about: dict[str, Any]) -> Recorded:
    settings = Settings(**about["settings"])
    started_at = datetime.fromisoformat(about["started_at"])
    local = started_at.astimezone(ZoneInfo(settings.report.timezone))
    permission = Permission(*about["permission"])
    width, height = map(int, about["size_px"])
    return Recorded(
        name=f"live {local:%Y-%m-%d %H:%M}",
        path=None,
        place=Place(about["course"], f"{started_at:%Y-%m}", recording_id),
        sha256=None,
        started_at=started_at,
        mtime_ns=int(started_at.timestamp() * 1e9),
        size_px=(width, height),
        chapters=(),
        exclusions=settings.privacy.exclude,
        permission=permission,
        model=assets.permitted(permission, settings.classification),
        synthetic=False,
        settings=settings,
        columns={
            "source_bytes": 0,
            "container": "live",
            "codec": "jpeg",
            "layout": "camera",
        },
    )
