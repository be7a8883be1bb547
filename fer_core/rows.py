"""Finished values as Arrow rows: one function per table, nothing computed that is not counted.

The columns are ``schema``'s, the values ``engagement``'s and ``moments``', the files ``store``'s.
"""

# pandas and pyarrow are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_core.engagement import People, Seconds
from fer_core.errors import LecturePulseError
from fer_core.moments import Moment
from fer_core.records import EMOTIONS, Chapter, Observations
from fer_core.schema import TABLES
from fer_core.settings import Settings
from fer_core.track import Tracks

_MEAN: Final = ("engagement_mean", "engagement_mean_low", "engagement_mean_high")


def _table(name: str, columns: dict[str, Any]) -> pa.Table:
    schema = TABLES[name]
    arrays = [
        pa.array(columns[field.name], field.type, from_pandas=True)
        if isinstance(columns[field.name], np.ndarray)
        else pa.array([encodable(value) for value in columns[field.name]], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def encodable(value: Any) -> Any:
    """Return a value that Arrow takes: a file's name may hold bytes that are no text."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def seconds(
    recording_id: str,
    started_at: datetime | None,
    values: Seconds,
    left_out: NDArray[np.bool_] | None = None,
) -> pa.Table:
    """Return the seconds table: one row for each second, NaN become NULL.

    Args:
        recording_id: of the recording.
        started_at: when its first second was; None if that is not known.
        values: of ``n`` seconds.
        left_out: ``(n,)`` which of them were left out before anybody looked; None for none.
    """
    n = len(values.faces)
    clock = [started_at + timedelta(seconds=k) if started_at else None for k in range(n)]
    return _table(
        "seconds",
        {
            "recording_id": [recording_id] * n,
            "second": np.arange(n),
            "clock": clock,
            "frames": values.frames,
            "faces": values.faces,
            "faces_scored": values.faces_scored,
            **{f"p_{name}": values.probs[:, k] for k, name in enumerate(EMOTIONS)},
            "uncertain": values.uncertain,
            "facing": values.facing,
            "engagement": values.engagement,
            "engagement_low": values.engagement_low,
            "engagement_high": values.engagement_high,
            "suppressed": values.suppressed,
            "left_out": np.zeros(n, np.bool_) if left_out is None else left_out,
        },
    )


def moments(recording_id: str, found: Sequence[Moment]) -> pa.Table:
    """Return the moments table, the clearest first."""
    return _table(
        "moments",
        {
            "recording_id": [recording_id] * len(found),
            "rank": list(range(1, len(found) + 1)),
            **{
                name: [getattr(moment, name) for moment in found]
                for name in TABLES["moments"].names
                if name not in ("recording_id", "rank")
            },
        },
    )


def marks(
    recording_id: str,
    *,
    chapters: Sequence[Chapter],
    slides: Sequence[int],
    layouts: Sequence[int],
    length: int,
) -> pa.Table:
    """Return the marks table in the order of time; chapters beyond the recording are left out."""
    rows = [
        *((int(chapter.start_s), "chapter", chapter.title or None) for chapter in chapters),
        *((second, "slide", None) for second in slides),
        *((second, "layout", None) for second in layouts),
    ]
    rows = sorted((row for row in rows if 0 <= row[0] < length), key=lambda row: row[:2])
    return _table(
        "marks",
        {
            "recording_id": [recording_id] * len(rows),
            "second": [second for second, _, _ in rows],
            "kind": [kind for _, kind, _ in rows],
            "title": [title for _, _, title in rows],
        },
    )


def faces(
    recording_id: str,
    observations: Observations,
    tracks: Tracks,
    people: People,
    values: Seconds,
) -> pa.Table:
    """Return the faces table of per-person mode.

    Args:
        recording_id: of the recording.
        observations: its faces.
        tracks: the same faces as tracks.
        people: what each track showed.
        values: of the class; what is withheld of a second there is not written here either:
            expressions and facing, or facing alone.
    """
    seen = observations.faces
    second = seen.sample // observations.rate_hz
    hidden, turned = values.suppressed[second], np.isnan(values.facing)[second]
    return _table(
        "faces",
        {
            "recording_id": [recording_id] * len(seen),
            "second": second,
            "sample": seen.sample,
            "track": tracks.track,
            **{name: seen.box[:, k] for k, name in enumerate(("left", "top", "width", "height"))},
            "score": seen.score,
            **{
                f"p_{name}": np.where(hidden, np.nan, seen.probs[:, k])
                for k, name in enumerate(EMOTIONS)
            },
            "facing": np.where(hidden | turned, np.nan, people.face_facing),
            "scored": people.face_scored & ~hidden,
        },
    )


def tracks(recording_id: str, people: People, values: Seconds) -> pa.Table:
    """Return the tracks table of per-person mode.

    Args:
        recording_id: of the recording.
        people: what each track showed.
        values: of the class; a second that is withheld there counts as scored for nobody.
    """
    n, length = people.visible.shape
    return _table(
        "tracks",
        {
            "recording_id": [recording_id] * n,
            "track": np.arange(n),
            "first_second": people.visible.argmax(axis=1),
            "last_second": length - 1 - people.visible[:, ::-1].argmax(axis=1),
            "seconds_visible": people.visible.sum(axis=1),
            "seconds_scored": (people.scored & ~values.suppressed).sum(axis=1),
        },
    )


def row(name: str, values: dict[str, Any]) -> pa.Table:
    """Return a table of one row; columns that are not named are NULL."""
    return _table(name, {field.name: [values.get(field.name)] for field in TABLES[name]})


def summary(
    values: Seconds,
    observations: Observations,
    tracks: Tracks,
    people: People,
    settings: Settings,
    *,
    presence: bool = False,
    left_out: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Return the columns of ``recordings`` that are counted from the other tables.

    Args:
        values: of ``n`` seconds.
        observations: all faces of the recording.
        tracks: of these faces.
        people: the same by track and second.
        settings: all settings.
        presence: whether expressions were not read; then a second with enough people has values.
        left_out: ``(n,)`` which seconds were left out before anybody looked; None for none.
    """
    looked_at = values.frames > 0
    visible = values.faces[looked_at if left_out is None else looked_at & ~left_out]
    height = observations.faces.box[:, 3]
    # As summary.STATES has it, and with it every page.
    enough = (values.faces > 0) & ~values.suppressed
    scored = enough if presence else np.isfinite(values.engagement)
    return {
        "decode_failures": observations.decode_failures,
        "duration_s_from_content": observations.content_end_s,
        "layout_changes": len(tracks.layout_changes),
        "seconds": len(values.faces),
        "seconds_scored": int(scored.sum()),
        "seconds_suppressed": int(values.suppressed.sum()),
        "seconds_without_frames": int((values.frames == 0).sum()),
        "people_median": float(np.median(visible)) if len(visible) else None,
        "people_max": int(visible.max(initial=0)),
        "faces": len(observations.faces),
        "faces_scored": int(people.face_scored.sum()),
        **{
            f"face_height_px_{name}": _percentile(height, share)
            for name, share in (("p10", 10), ("median", 50), ("p90", 90))
        },
        "tracks": tracks.count,
        **dict(zip(_MEAN, map(_known, values.engagement_mean), strict=True)),
        **measures(settings),
    }


def measures(settings: Settings) -> dict[str, Any]:
    """Return the columns of ``recordings`` that say how it was measured."""
    return {
        "rate_hz": settings.sampling.rate_hz,
        "min_group": settings.privacy.min_group,
        "engagement_variant": settings.engagement.variant,
        "engagement_weights": json.dumps(settings.engagement.weights),
        "settings_hash": settings.result_hash(),
    }


def on_record(settings: Settings) -> dict[str, str | None]:
    """Return the columns of ``recordings`` that are only told: if they change, nothing is read."""
    deployment, privacy = settings.deployment, settings.privacy
    exemption = f"{deployment.exemption}: {deployment.exemption_reason}"
    return {
        "exemption": exemption if deployment.exemption else None,
        "consent": deployment.consent,
        "per_person_reason": privacy.per_person_reason if privacy.per_person else None,
    }


def fault(error: LecturePulseError | None) -> dict[str, Any]:
    """Return the columns of ``recordings`` that say what went wrong; NULL if nothing did."""
    return {
        "error_code": error.code if error else None,
        "error_message": error.message if error else None,
        "error_hint": error.hint if error else None,
    }


def _percentile(values: NDArray[np.float32], share: float) -> float | None:
    return float(np.percentile(values, share)) if len(values) else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
