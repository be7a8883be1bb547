"""Draws the pages of a dataset from its tables and from transcripts: no video, no model.

Reads the store, asks ``report`` for the page, writes it back; adds only until when a lecture is
kept. What draws is imported when there is something to draw: a night begins to read a second
sooner.
"""

# pandas and pyarrow are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fer_core import arrivals, exclude, transcript
from fer_core.address import is_url, path_of
from fer_core.age import made_on
from fer_core.errors import ConfigError
from fer_core.settings import Settings
from fer_core.store import Place, Store
from fer_core.wording import words

if TYPE_CHECKING:
    import pandas as pd

INDEX = "index.html"


def warm_up() -> None:
    """Import what draws, while there is nothing else to do."""
    for module in ("overview", "report"):
        importlib.import_module(f"fer_core.{module}")


def write_lecture(
    store: Store, recording_id: str, settings: Settings, kept_minutes: float | None = None
) -> Path:
    """Draw one lecture's page and return its path.

    Args:
        store: the dataset.
        recording_id: whose page.
        settings: all settings.
        kept_minutes: after how many minutes the whole dataset is deleted; None where it stays.

    Raises:
        ConfigError: no such recording.
        StoreError: a table cannot be read or the page not written.
        TransientError: what lies beside the recording in object storage cannot be read.
    """
    from fer_core import report

    row = store.recording(recording_id)
    if row is None:
        raise ConfigError(
            f"There is no recording '{recording_id}' in {store.root}.",
            hint='List them: lecturepulse query "select recording_id, title from recordings"',
        )
    name = _name(store, row)
    address = row["source_path"]
    source = path_of(address, store.root) if address else None
    left_out = exclude.spans_of(row["exclusions"])
    faces = store.read("faces", recording_id)
    material = report.Material(
        recording=row,
        seconds=store.read("seconds", recording_id),
        moments=store.read("moments", recording_id),
        marks=store.read("marks", recording_id),
        faces=None if faces.empty else faces,
        transcript=arrivals.spoken(address, settings, store.root, left_out) if address else None,
        kept_until=_kept_until(store, row, settings.retention.days),
        gone_at=None
        if kept_minutes is None
        else datetime.now(UTC) + timedelta(minutes=kept_minutes),
        earlier=store.course(row["course"]),
    )
    html = report.lecture_page(
        material,
        course_name=row["course"],
        # There is nothing to link to of what was seen live.
        time_link=settings.report.time_link if source else "",
        index_href=f"../{INDEX}",
        # A browser cannot open what lies in object storage: there report.time_link leads to it.
        video_href=_href(source, (store.reports / name).parent)
        if source and not is_url(address)
        else None,
        text=words(settings.report.language, settings.report.timezone),
    )
    return store.write_page(name, html)


def write_index(store: Store, settings: Settings) -> Path:
    """Draw the index of all lectures, with what the store knows of the last run."""
    from fer_core import overview, report

    frame = store.all("recordings", overview.COLUMNS).sort_values(
        ["course", "started_at", "source_name"], na_position="first", ignore_index=True
    )
    frame["page"] = links(store, frame)
    night = store.last_night()
    html = report.index_page(
        frame,
        last_night=night and night.worked_on,
        night_at=night.ended_at if night else "",
        kept_days=settings.retention.days,
        text=words(settings.report.language, settings.report.timezone),
    )
    return store.write_page(INDEX, html)


def path(store: Store, recording_id: str) -> Path | None:
    """Return where a lecture's page lies, drawn or not; None for an unknown recording."""
    row = store.recording(recording_id)
    if row is None:
        return None
    return store.reports / _name(store, row)


def links(store: Store, recordings: pd.DataFrame) -> list[str | None]:
    """Return the links to lectures' pages from the ``reports`` folder; None where none is drawn.

    Args:
        store: where they lie.
        recordings: ``course``, ``month`` and ``recording_id`` of each.
    """
    keys = recordings[["course", "month", "recording_id"]].to_dict("records")
    names = [_name(store, key) for key in keys]
    return [quote(name) if (store.reports / name).exists() else None for name in names]


def _name(store: Store, row: Mapping[Any, Any]) -> str:
    return store.page(Place(row["course"], row["month"], row["recording_id"]))


def is_current(store: Store, recording_id: str, told: Mapping[str, str | None]) -> bool:
    """Say whether a lecture's page is there, drawn with the transcript that is there now.

    Args:
        store: where it lies.
        recording_id: of which recording.
        told: what its row has to say besides, by column.
    """
    row, page = store.recording(recording_id), path(store, recording_id)
    if row is None or page is None or not page.exists():
        return False
    if any(row[name] != value for name, value in told.items()):
        return False
    source = path_of(row["source_path"], store.root) if row["source_path"] else None
    return row["transcript_sha256"] == (source and transcript.fingerprint(source))


def remove(store: Store, recording_id: str) -> None:
    """Remove a lecture's page; the index is drawn anew at the end of the run."""
    if page := path(store, recording_id):
        page.unlink(missing_ok=True)


def _kept_until(store: Store, row: Mapping[str, Any], days: int | None) -> date | None:
    if days is None:
        return None
    runs = store.read("runs", str(row["recording_id"]))
    if runs.empty:
        return made_on(row["started_at"], 0) + timedelta(days)
    run = runs.iloc[0]
    modified_s = int(run["source_mtime_ns"]) / 1e9
    return made_on(row["started_at"], modified_s, run["run_started_at"]) + timedelta(days)


def _href(target: Path, folder: Path) -> str:
    # Relative, so that the link survives when recordings and reports move together.
    return quote(os.path.relpath(target, folder))
