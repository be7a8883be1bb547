"""Makes faces, observations and table rows for tests: struct-of-arrays, from a seed or a script.

Arithmetic here is written anew from the design's formulas, never taken from the rooms under test;
only the average face, which is a measurement, is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import hypothesis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_core import engagement
from fer_core.records import EMOTIONS, THUMBNAIL_PX, Faces, Observations
from fer_core.schema import TABLES
from fer_core.settings import Settings

TILE_PX = 200
FACE_MM = engagement._FACE_MM
"""The face that poses are measured against: x to the right of the picture, y down, z away."""


def examples(number: int) -> hypothesis.settings:
    """Return settings for a property: the same examples every time, however slow the machine."""
    return hypothesis.settings(
        max_examples=number, derandomize=True, deadline=None, database=None, print_blob=False
    )


def settings(**sections: Mapping[str, Any]) -> Settings:
    """Return the default settings with some changed, section by section."""
    return Settings(**{name: dict(values) for name, values in sections.items()})


def turned(
    yaw_deg: float = 0,
    pitch_deg: float = 0,
    roll_deg: float = 0,
    *,
    scale: float = 1,
    at: tuple[float, float] = (0, 0),
    face: NDArray[np.float64] = FACE_MM,
) -> NDArray[np.float64]:
    """Project a face as a far camera sees it: ``(5, 2)`` pixels.

    Positive yaw turns the gaze to the right of the picture, positive pitch down; roll tilts the
    head about its own gaze.
    """
    yaw, pitch, roll = np.radians([-yaw_deg, pitch_deg, roll_deg])
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_x = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    points = face @ (np.array(about_y) @ np.array(about_x) @ np.array(about_z)).T
    return points[:, :2] * scale + np.array(at)


def probs(likeliest: Iterable[str], top: float = 0.7) -> NDArray[np.float32]:
    """Return probabilities, ``(n, 7)``, with ``top`` at the expression named for each face."""
    names = list(likeliest)
    rows = np.full((len(names), len(EMOTIONS)), (1 - top) / (len(EMOTIONS) - 1))
    for row, name in zip(rows, names, strict=True):
        row[EMOTIONS.index(name)] = top
    return rows.astype(np.float32)


def faces(
    n: int,
    *,
    sample: int | NDArray[np.int64] = 0,
    corner: NDArray[np.generic] | None = None,
    height_px: float = 64,
    yaw_deg: float = 0,
    read: NDArray[np.float32] | None = None,
) -> Faces:
    """Make ``n`` faces, in a row of tiles unless the top left corners are given.

    Args:
        sample: of all of them, or of each.
        corner: ``(n, 2)`` left and top, pixels.
        yaw_deg: how far all of them are turned.
        read: ``(n, 7)`` probabilities; neutral unless given.
    """
    if corner is None:
        corner = np.stack([np.arange(n) * TILE_PX, np.zeros(n)], axis=1)
    width_px = 0.75 * height_px
    points = turned(yaw_deg, scale=height_px / 140, at=(width_px / 2, height_px / 3))
    return Faces(
        sample=np.broadcast_to(np.asarray(sample, np.int64), (n,)).copy(),
        box=np.column_stack([corner, np.full((n, 2), (width_px, height_px))]).astype(np.float32),
        score=np.full(n, 0.9, np.float32),
        landmarks=(np.asarray(corner)[:, None, :] + points).astype(np.float32),
        probs=probs(["neutral"] * n) if read is None else np.asarray(read, np.float32),
        # People move: far more than a picture does.
        change=np.full(n, 20, np.float32),
    )


def observations(
    seen: Faces, *, seconds: int, rate_hz: int = 1, lost: Iterable[int] = ()
) -> Observations:
    """Return faces as the observations of a recording of so many seconds.

    Args:
        lost: numbers of the samples that could not be decoded; they must show no face.
    """
    samples = np.setdiff1d(np.arange(seconds * rate_hz), list(lost))
    return Observations(
        rate_hz=rate_hz,
        samples=samples,
        faces=seen,
        decode_failures=0,
        content_end_s=float(seconds),
        thumbnails=np.zeros((len(samples), *THUMBNAIL_PX), np.uint8),
        stale=np.zeros(len(samples), np.bool_),
    )


@dataclass(frozen=True)
class Lesson:
    """A scripted class: what was seen, and who each face belongs to."""

    observations: Observations
    person: NDArray[np.int64]


def lesson(
    seed: int = 0,
    *,
    people: int = 9,
    seconds: int = 20,
    rate_hz: int = 1,
    leaves: Mapping[int, int] | None = None,
    layout_change: int | None = None,
    unreadable: float = 0.2,
) -> Lesson:
    """Script a class in a grid whose people move a little and show something different each time.

    Args:
        leaves: the second at which a person, by number, is gone.
        layout_change: sample from which everybody sits half a tile away.
        unreadable: share of the faces that show nothing clear.
    """
    random = np.random.default_rng(seed)
    columns = max(1, round(people**0.5))
    parts: list[Faces] = []
    who: list[int] = []
    for sample in range(seconds * rate_hz):
        there = [p for p in range(people) if sample < (leaves or {}).get(p, seconds) * rate_hz]
        corner = np.array([divmod(p, columns)[::-1] for p in there], float).reshape(-1, 2) * TILE_PX
        corner += random.uniform(-3, 3, corner.shape)
        if layout_change is not None and sample >= layout_change:
            corner += TILE_PX / 2
        clear = random.uniform(size=len(there)) >= unreadable
        top = np.where(clear, 0.45 + 0.5 * random.uniform(size=len(there)), 0.2)
        rest = random.uniform(0.5, 1, (len(there), len(EMOTIONS)))
        chosen = random.integers(0, len(EMOTIONS), len(there))
        rest[np.arange(len(there)), chosen] = 0
        rest *= ((1 - top) / rest.sum(axis=1, where=rest > 0, initial=1e-12))[:, None]
        rest[np.arange(len(there)), chosen] = top
        parts.append(faces(len(there), sample=sample, corner=corner, read=rest))
        who += there
    seen = observations(Faces.concat(parts), seconds=seconds, rate_hz=rate_hz)
    return Lesson(seen, np.array(who, np.int64))


def reordered(seen: Observations, seed: int) -> tuple[Observations, NDArray[np.int64]]:
    """Shuffle the faces within each sample; also return where each one was before."""
    order = np.lexsort((np.random.default_rng(seed).random(len(seen.faces)), seen.faces.sample))
    mixed = Faces(*(getattr(seen.faces, field.name)[order] for field in fields(Faces)))
    return replace(seen, faces=mixed), order


def row_table(name: str, recording_id: str, n: int = 1, **values: Any) -> pa.Table:
    """Return ``n`` equal rows of a table: something harmless where nothing else is asked for."""
    columns: list[pa.Array] = []
    for field in TABLES[name]:
        if field.name in values:
            value = values[field.name]
        elif field.name == "recording_id":
            value = recording_id
        elif field.nullable:
            value = None
        elif pa.types.is_boolean(field.type):
            value = False
        elif pa.types.is_string(field.type):
            value = "x"
        elif pa.types.is_timestamp(field.type):
            value = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
        else:
            value = 0
        cells = value if isinstance(value, list) else [value] * n
        columns.append(pa.array(cells, field.type))
    return pa.Table.from_arrays(columns, schema=TABLES[name])


def tables(recording_id: str, n: int = 3, **values: Any) -> dict[str, pa.Table]:
    """Return the tables of one recording of ``n`` seconds, ready to be committed.

    Args:
        values: columns of its ``recordings`` row.
    """
    return {
        "seconds": row_table("seconds", recording_id, n, second=list(range(n))),
        "runs": row_table("runs", recording_id),
        "recordings": row_table("recordings", recording_id, **{"seconds": n} | values),
    }
