"""Makes tables of random but valid lectures from a seed, as the store would hand them out.

What a value means is said in ``fer_core.schema``; every frame made here has gone through it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fer_core.records import EMOTIONS
from fer_core.report import Material
from fer_core.schema import FACES, MARKS, MOMENTS, RECORDINGS, SCHEMA_VERSION, SECONDS
from fer_core.transcript import Cue, Transcript

WEIGHTS = {
    "angry": 0.25,
    "disgust": 0.2,
    "fear": 0.3,
    "happy": 0.6,
    "neutral": 0.9,
    "sad": 0.3,
    "surprise": 0.6,
}
MEAN = ("engagement_mean", "engagement_mean_low", "engagement_mean_high")
START = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)


def recording_id(seed: int) -> str:
    """Return an id as the store makes it: 16 hex digits."""
    return f"{seed:016x}"


def as_stored(rows: pd.DataFrame | list[dict[str, Any]], schema: pa.Schema) -> pd.DataFrame:
    """Pass rows through their Arrow schema: columns, types and NULLs as a reader gets them."""
    columns = [field.name for field in schema]
    frame = pd.DataFrame(rows, columns=columns)
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    for field in schema:
        assert field.nullable or table[field.name].null_count == 0, f"{field.name} has NULLs"
    return table.to_pandas()


def seconds(
    seed: int = 1,
    n: int = 600,
    *,
    people: int = 12,
    min_group: int = 5,
    presence: bool = False,
    gaps: bool = True,
) -> pd.DataFrame:
    """Make one row a second: a class that comes, goes, smiles, and now and then is not seen.

    Args:
        n: length in seconds.
        people: size of the class; 0 for an empty room.
        presence: leave expressions out, as presence mode does.
        gaps: lose some pictures, people and readable faces.
    """
    random = np.random.default_rng(seed)
    faces = _walk(random, n, people * 0.85, people).round().astype(int)
    frames = np.ones(n, int)
    read = np.clip(_walk(random, n, 0.9, 1.0), 0, 1)
    if gaps and n > 40:
        for start in random.integers(0, n - 20, size=max(1, n // 400)):
            frames[start : start + 12] = 0
        start = int(random.integers(0, n - 20))
        faces[start : start + 15] = np.minimum(faces[start : start + 15], min_group - 1)
        start = int(random.integers(0, n - 20))
        read[start : start + 10] = 0.3
    faces[frames == 0] = 0
    scored = np.floor(faces * read).astype(int)
    suppressed = (faces < min_group) & (frames > 0)
    given = (faces >= min_group) & (scored >= 0.5 * faces) & (not presence)
    probs = _expressions(random, n)
    weights = np.array([WEIGHTS[name] for name in EMOTIONS])
    engagement = probs @ weights / weights.max()
    half = 0.8 / np.sqrt(np.maximum(scored, 1)) * 0.3
    frame = pd.DataFrame(
        {
            "recording_id": recording_id(seed),
            "second": np.arange(n),
            "clock": pd.date_range(START, periods=n, freq="s"),
            "frames": frames,
            "faces": faces,
            "faces_scored": 0 if presence else scored,
            "uncertain": np.where(given, 1 - scored / np.maximum(faces, 1), np.nan),
            "facing": np.where((faces >= min_group), random.uniform(0.6, 0.95, n), np.nan),
            "engagement": np.where(given, engagement, np.nan),
            "engagement_low": np.where(given, np.clip(engagement - half, 0, 1), np.nan),
            "engagement_high": np.where(given, np.clip(engagement + half, 0, 1), np.nan),
            "suppressed": suppressed,
            "left_out": False,
        }
        | {f"p_{name}": np.where(given, probs[:, i], np.nan) for i, name in enumerate(EMOTIONS)}
    )
    return as_stored(frame, SECONDS)


def moments(seed: int = 1, n: int = 600, count: int = 2) -> pd.DataFrame:
    """Make a few moments inside a lecture of ``n`` seconds."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for rank in range(1, count + 1):
        start = (n * rank) // (count + 1)
        change = float(random.choice([-1, 1]) * random.uniform(0.1, 0.3))
        rows.append(
            {
                "recording_id": recording_id(seed),
                "rank": rank,
                "start_second": start,
                "end_second": min(start + 60, n),
                "change": change,
                "change_low": change - 0.08,
                "change_high": change + 0.08,
                "p_value": 0.001 * rank,
                "people": int(random.integers(5, 25)),
                "at_layout_change": bool(rank % 2),
            }
        )
    return as_stored(rows, MOMENTS)


def recording(table: pd.DataFrame, seed: int = 1, **changes: Any) -> dict[str, Any]:
    """Make the row of ``recordings`` that belongs to a table of seconds, with some changes."""
    n = len(table)
    seen = table.loc[table["frames"] > 0, "faces"]
    engagement = table["engagement"]
    row: dict[str, Any] = {
        "recording_id": recording_id(seed),
        "status": "done",
        "source_name": f"lecture-{seed}.mp4",
        "source_path": f"/recordings/lecture-{seed}.mp4",
        "source_sha256": f"{seed:064x}",
        "source_bytes": 1000 * n,
        "title": f"Lecture {seed}",
        "started_at": START + timedelta(days=seed),
        "synthetic": False,
        "mode": "emotion",
        "jurisdiction": "IN",
        "consent": "Everybody recorded has agreed in writing.",
        "container": "mov,mp4",
        "codec": "h264",
        "width": 1280,
        "height": 720,
        "frame_rate_from_header": 25.0,
        "duration_s_from_header": float(n),
        "duration_s_from_content": float(n),
        "decode_failures": 0,
        "rate_hz": 1,
        "layout": "gallery",
        "layout_changes": 1,
        "slide_changes": 3,
        "seconds": n,
        "seconds_scored": int(engagement.notna().sum()),
        "seconds_suppressed": int(table["suppressed"].sum()),
        "seconds_left_out": int(table["left_out"].sum()),
        "seconds_without_frames": int((table["frames"] == 0).sum()),
        "people_median": float(seen.median()) if len(seen) else None,
        "people_max": int(seen.max()) if len(seen) else 0,
        "faces": int(table["faces"].sum()),
        "faces_scored": int(table["faces_scored"].sum()),
        "face_height_px_p10": 41.0,
        "face_height_px_median": 66.0,
        "face_height_px_p90": 92.0,
        "tracks": 14,
        "tracks_still": 0,
        "min_group": 5,
        "engagement_variant": "expression",
        "engagement_weights": json.dumps(WEIGHTS),
        **dict(zip(MEAN, _mean_with_interval(engagement), strict=True)),
        "moments": 0 if engagement.notna().any() else None,
        "settings_hash": "0123456789abcdef",
        "model": "small-cnn",
        "model_sha256": "a" * 64,
        "detector_sha256": "b" * 64,
        "schema_version": SCHEMA_VERSION,
        "version": "0.1.0",
        "ffmpeg_version": "7.1",
    }
    stored = as_stored([row | changes], RECORDINGS).to_dict("records")[0]
    return {name: None if pd.isna(value) else value for name, value in stored.items()}


def recordings(count: int, seed: int = 1, courses: int = 4) -> pd.DataFrame:
    """Make ``count`` rows of ``recordings`` of all statuses, with the index's three columns."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    base = recording(seconds(seed, 60), seed)
    for number in range(count):
        status = str(random.choice(["done", "done", "done", "done", "partial", "failed"]))
        failed = status == "failed"
        mean, half = random.uniform(0.5, 0.9), random.uniform(0.02, 0.08)
        means = (None,) * 3 if failed else (mean, mean - half, mean + half)
        rows.append(
            base
            | {
                "recording_id": recording_id(1000 * seed + number),
                "status": status,
                "error_code": "input" if status != "done" else None,
                "error_message": f"The file ends early ({number})." if status != "done" else None,
                "error_hint": "Copy it again." if status != "done" else None,
                "title": f"Lecture {number}",
                "started_at": START + timedelta(days=number),
                "duration_s_from_content": float(random.integers(600, 6000)),
                "seconds": 3000,
                "seconds_scored": int(random.integers(0, 3000)),
                "people_median": float(random.integers(5, 30)),
                **dict(zip(MEAN, means, strict=True)),
                "moments": None if failed else 0,
                "layout": str(random.choice(["gallery", "gallery", "gallery", "speaker"])),
            }
        )
    frame = as_stored(rows, RECORDINGS)
    course = [f"course-{number % courses + 1}" for number in range(count)]
    month = [when.strftime("%Y-%m") for when in frame["started_at"]]
    page = [f"{name}/{key}.html" for name, key in zip(course, frame["recording_id"], strict=True)]
    return frame.assign(course=course, month=month, page=page)


def marks(seed: int = 1, n: int = 600) -> pd.DataFrame:
    """Make two chapters, a few slides and a change of layout in a lecture of ``n`` seconds."""
    random = np.random.default_rng(seed)
    rows = [
        (0, "chapter", "Introduction"),
        (n // 2, "chapter", "Photosynthesis: the light reactions"),
        *((int(second), "slide", None) for second in sorted(random.integers(0, max(n, 1), 4))),
        (n // 3, "layout", None),
    ]
    frame = pd.DataFrame(rows, columns=["second", "kind", "title"])
    return as_stored(frame.assign(recording_id=recording_id(seed)), MARKS)


def faces(seed: int = 1, n: int = 600, people: int = 12) -> pd.DataFrame:
    """Make the faces of per-person mode: every track comes, goes and comes back."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for track in range(people):
        first = int(random.integers(0, max(n // 3, 1)))
        away = int(random.integers(n // 2, max(n, n // 2 + 1)))
        rows += [
            {"track": track, "second": second, "sample": second}
            for second in range(first, n)
            if not away <= second < away + 20
        ]
    shape = dict.fromkeys(("left", "top", "width", "height", "score"), 1.0)
    frame = pd.DataFrame(rows).sort_values(["second", "track"])
    return as_stored(frame.assign(recording_id=recording_id(seed), scored=True, **shape), FACES)


def earlier(recording: dict[str, Any], count: int = 6) -> list[dict[str, Any]]:
    """Make rows of comparable lectures before one, and at the end one that is not."""
    means = (0.66, 0.58, 0.72, 0.60, 0.70, 0.64)
    rows = [
        recording
        | {
            "recording_id": recording_id(900 + number),
            "title": f"Before {number}",
            "started_at": recording["started_at"] - timedelta(days=7 * (count - number)),
            "engagement_mean": means[number % len(means)],
            "engagement_mean_low": means[number % len(means)] - 0.05,
            "engagement_mean_high": means[number % len(means)] + 0.05,
        }
        for number in range(count)
    ]
    return [*rows, rows[-1] | {"recording_id": recording_id(999), "layout": "speaker"}]


def spoken(n: int = 600, seed: int = 1) -> Transcript:
    """Make a transcript of two people who speak in turns, with pauses."""
    random = np.random.default_rng(seed)
    cues: list[Cue] = []
    at = 1.0
    while at < n - 15:
        long = float(random.uniform(4, 12))
        words = " ".join(["leaf", "light", "water", "sugar"] * int(long / 1.5))
        cues.append(Cue(at, at + long, f"{words}.", turn=bool(cues) and random.random() < 0.2))
        at += long + float(random.choice([0.2, 0.4, 6.0]))
    return Transcript(tuple(cues), named=True)


def material(seed: int = 1, n: int = 600, *, people: int = 12, **changes: Any) -> Material:
    """Make everything that the page of a lecture can be drawn from, the optional parts too."""
    rows = seconds(seed, n, people=people)
    row = recording(rows, seed, **{"moments": 3} | changes)
    return Material(
        row,
        rows,
        moments(seed, n, 3),
        marks=marks(seed, n),
        faces=faces(seed, n, people),
        transcript=spoken(n, seed),
        earlier=earlier(row),
    )


def _mean_with_interval(engagement: pd.Series) -> tuple[float | None, ...]:
    if engagement.isna().all():
        return None, None, None
    mean = float(engagement.mean())
    return mean, max(mean - 0.06, 0), min(mean + 0.06, 1)


def _walk(random: np.random.Generator, n: int, centre: float, top: float) -> np.ndarray:
    """A walk that drifts around ``centre``, never below a third of ``top`` nor above ``top``."""
    noise = random.normal(0, 0.035 * top, n)
    values = np.empty(n)
    value = centre
    for second in range(n):
        value += 0.03 * (centre - value) + noise[second]
        values[second] = value
    return np.clip(values, top / 3, top)


def _expressions(random: np.random.Generator, n: int) -> np.ndarray:
    """Probabilities of seven expressions that drift slowly and add up to 1."""
    weights = np.array([0.4, 0.15, 0.3, 1.6, 6.0, 0.7, 0.5])
    drift = np.exp(np.cumsum(random.normal(0, 0.06, (n, len(EMOTIONS))), axis=0) * 0.5)
    drift = weights * np.clip(drift, 0.3, 3) * np.exp(random.normal(0, 0.2, (n, len(EMOTIONS))))
    return drift / drift.sum(axis=1, keepdims=True)
