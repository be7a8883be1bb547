"""A dataset with lectures in it, committed as a night does, for tests of what reads one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fer_core import pages, rows
from fer_core.schema import TABLES
from fer_core.settings import Settings
from fer_core.store import Place, Store, Worked
from tests import tables

TITLES = ("Photosynthesis", "Respiration", "Fractions & <b>ratios</b>")
COURSES = ("biology-101", "biology-101", "maths")
AWAY = range(100, 160)
"""Seconds in which everybody is turned away."""

SECRET_FOLDER = "/srv/secret-inbox"
BROKEN = "'broken.mp4' has no index (moov atom): it was cut off."


def write_lectures(out: Path) -> Store:
    """Write three lectures of ten minutes and one that failed; return the dataset."""
    store, settings = Store(out), Settings(out=out)
    ids: list[str] = []
    for seed, (title, course) in enumerate(zip(TITLES, COURSES, strict=True), start=1):
        full = tables.material(
            seed, title=title, source_path=f"{SECRET_FOLDER}/{seed}.mp4", source_name=f"{seed}.mp4"
        )
        ids.append(str(full.recording["recording_id"]))
        seconds = full.seconds.copy()
        seconds.loc[AWAY, "facing"] *= 0.3
        _commit(store, course, full.recording, seconds=seconds, moments=full.moments)
    lost = replace(full, recording=full.recording | {"recording_id": tables.recording_id(9)})
    changed = {
        "status": "failed",
        "error_code": "input",
        "error_message": BROKEN,
        "title": None,
        "source_name": "broken.mp4",
        "source_path": f"{SECRET_FOLDER}/broken.mp4",
        "seconds": 0,
    }
    _commit(store, "maths", lost.recording | changed)
    ids.append(tables.recording_id(9))
    with store.writing():
        store.remember_night(Worked("2026-11-04T02:40:00+00:00", tuple(ids)))
        for recording_id in ids:
            pages.write_lecture(store, recording_id, settings)
        pages.write_index(store, settings)
    return store


def _commit(store: Store, course: str, row: dict, **frames: pd.DataFrame) -> None:
    recording_id = str(row["recording_id"])
    run = {
        "recording_id": recording_id,
        "run_started_at": pd.Timestamp("2026-11-04T02:00:00Z"),
        "source_mtime_ns": 0,
        **dict.fromkeys(("wall_s", "decode_cpu_s", "detect_cpu_s", "classify_cpu_s"), 61.0),
        "workers": 2,
        "runner": "core",
        "host": "secret-host",
    }
    known = {name: row.get(name) for name in TABLES["recordings"].names}
    held = {
        name: pa.Table.from_pandas(
            frame.assign(recording_id=recording_id)[TABLES[name].names],
            schema=TABLES[name],
            preserve_index=False,
        )
        for name, frame in frames.items()
    }
    held |= {"runs": rows.row("runs", run), "recordings": rows.row("recordings", known)}
    store.commit(Place(course, "2026-11", recording_id), held, {})
