"""What was seen of a recording becomes committed tables: of a file at night, or of a camera.

Everything behind the observations is here, so that both say the same in the same way. Where the
pictures came from, and when the page is drawn, is others' work.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from fer_core import (
    __version__,
    assets,
    audit,
    checkpoint,
    engagement,
    exclude,
    moments,
    pages,
    retention,
    rows,
    slides,
    still,
    track,
    transcript,
)
from fer_core.address import address_of
from fer_core.assets import ModelAsset
from fer_core.errors import InputError
from fer_core.exclude import Exclusion
from fer_core.outcome import Outcome
from fer_core.policy import Permission
from fer_core.records import Chapter, Observations
from fer_core.schema import SCHEMA_VERSION
from fer_core.settings import Settings
from fer_core.store import Place, Store


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a recording besides what was seen in it.

    Attributes:
        name: of the file, or what stands in its place.
        path: the file; None of a live recording.
        place: where its rows go.
        sha256: of the file; None of a live recording.
        started_at: when it began, UTC, if that is known.
        mtime_ns: the file's modification time.
        size_px: width and height of its pictures.
        chapters: in the order of time.
        exclusions: what was left out before faces were searched.
        permission: what might be computed.
        model: the expression model; None in presence mode.
        synthetic: its people do not exist, somebody says.
        settings: all settings.
        columns: of ``recordings`` that only its source tells, such as the container.
    """

    name: str
    path: Path | None
    place: Place
    sha256: str | None
    started_at: datetime | None
    mtime_ns: int
    size_px: tuple[int, int]
    chapters: tuple[Chapter, ...]
    exclusions: tuple[Exclusion, ...]
    permission: Permission
    model: ModelAsset | None
    synthetic: bool
    settings: Settings
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """How the work was done: when it began, by whom, what it cost.

    ``began`` is ``time.perf_counter()`` at ``began_at``.
    """

    began: float
    began_at: datetime
    runner: str
    effort: checkpoint.Effort


def conclude(
    about: Recorded,
    observations: Observations,
    store: Store,
    work: Work,
    *,
    fault: InputError | None = None,
) -> Outcome:
    """Turn all that was seen into committed tables; the caller holds ``Store.writing()``.

    Args:
        about: the recording.
        observations: all of it.
        store: where the tables go.
        work: how it was done.
        fault: what is missing of it, if anything.

    Raises:
        StoreError: the tables cannot be written.
    """
    settings, recording_id = about.settings, about.place.recording_id
    last = int(observations.samples[-1]) // observations.rate_hz
    length = max(last + 1, math.ceil(observations.content_end_s - 1e-6))
    tracks = track.link(observations, settings.tracking)
    pictures = still.still_tracks(observations, tracks)
    observations, tracks = still.without(observations, tracks, pictures)
    tracks = track.shuffled(tracks, about.sha256 or recording_id)
    people = engagement.by_person(observations, tracks, length, settings)
    layouts = sorted({sample // observations.rate_hz for sample in tracks.layout_changes})
    values = engagement.aggregate(observations, people, settings, layouts)
    if about.model is None:  # nobody was read, and so nobody uncertain
        values = replace(values, uncertain=np.full(length, np.nan, np.float32))
    not_slides = [*layouts, *exclude.edges(about.exclusions)]
    shown = slides.slide_changes(observations, about.size_px, layout_changes=not_slides)
    found = moments.find(
        people.index,
        changes=[*layouts, *shown],
        shown=np.isfinite(values.engagement),
        settings=settings.engagement,
        min_group=settings.privacy.min_group,
    )
    left_out = exclude.seconds_left_out(about.exclusions, length)
    tables = {
        "seconds": rows.seconds(recording_id, about.started_at, values, left_out),
        "moments": rows.moments(recording_id, found or ()),
        "marks": rows.marks(
            recording_id, chapters=about.chapters, slides=shown, layouts=layouts, length=length
        ),
    }
    if settings.privacy.per_person:
        tables["faces"] = rows.faces(recording_id, observations, tracks, people, values)
        tables["tracks"] = rows.tracks(recording_id, people, values)
    for name in retention.past(about.started_at, about.mtime_ns / 1e9, settings):
        tables.pop(name, None)
    tables["runs"] = rows.row(
        "runs",
        {
            "recording_id": recording_id,
            "run_started_at": work.began_at,
            "source_mtime_ns": about.mtime_ns,
            "wall_s": time.perf_counter() - work.began,
            "decode_cpu_s": work.effort.decode_cpu_s,
            "detect_cpu_s": work.effort.detect_cpu_s,
            "classify_cpu_s": work.effort.classify_cpu_s,
            "workers": settings.run.workers,
            "runner": work.runner,
            "host": platform.node(),
        },
    )
    summary = rows.summary(
        values,
        observations,
        tracks,
        people,
        settings,
        presence=about.model is None,
        left_out=left_out,
    )
    described = _described(about, store) | rows.fault(fault) | summary
    described |= {
        "status": "partial" if fault else "done",
        "slide_changes": len(shown),
        "seconds_left_out": int(left_out.sum()),
        "tracks_still": int(pictures.sum()),
        "moments": None if found is None else len(found),
    }
    if about.path is not None:
        spans = exclude.spans(about.exclusions)
        described |= transcript.columns_of(about.path, length, spans)
    tables["recordings"] = rows.row("recordings", described)
    provenance = {
        "source_sha256": about.sha256 or "",
        "settings_hash": described["settings_hash"],
        "model_sha256": described["model_sha256"] or "",
        "schema_version": str(described["schema_version"]),
    }
    before = pages.path(store, recording_id)
    # Before it is done: a line too many after a power cut, never one too few.
    audit.note(
        store.root,
        "processed",
        recording=audit.reference(recording_id),
        status=described["status"],
        mode=about.permission.mode,
        ground=about.permission.reason,
        per_person=settings.privacy.per_person,
        synthetic=about.synthetic,
        live=about.path is None,
        exclusions=len(about.exclusions),
        settings_hash=described["settings_hash"],
        model_sha256=described["model_sha256"],
    )
    store.commit(about.place, tables, provenance)
    if before is not None and before != pages.path(store, recording_id):
        before.unlink(missing_ok=True)  # its course has another name now
    store.clear_work(recording_id)
    return Outcome(
        path=about.path or Path(about.name),
        status=described["status"],
        recording_id=recording_id,
        message=described["error_message"] or "",
        hint=described["error_hint"] or "",
        video_s=observations.content_end_s,
        people=summary["people_median"],
    )


def _described(about: Recorded, store: Store) -> dict[str, Any]:
    """Return the columns of ``recordings`` that are known before the first frame."""
    return {
        "recording_id": about.place.recording_id,
        "source_name": about.name,
        "source_path": address_of(about.path, store.root) if about.path else "",
        "source_sha256": about.sha256,
        "started_at": about.started_at,
        "synthetic": about.synthetic,
        "mode": about.permission.mode,
        "jurisdiction": about.settings.deployment.jurisdiction,
        "exclusions": exclude.as_json(about.exclusions),
        "width": about.size_px[0],
        "height": about.size_px[1],
        "model": about.model.name if about.model else None,
        "model_sha256": about.model.sha256 if about.model else None,
        "detector_sha256": assets.YUNET_SHA256,
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        **rows.on_record(about.settings),
        **about.columns,
    }
