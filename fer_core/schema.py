"""The tables' columns: names, types, units, one line of documentation each, and the version.

This is the product's public interface. Writing and reading files is ``store``'s work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from fer_core.records import EMOTIONS

SCHEMA_VERSION: Final = 5
"""Raised with every change of a column; a table of another version is computed again."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type, what it says (with its unit), and whether it may be NULL."""

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False


def _schema(*columns: Column) -> pa.Schema:
    return pa.schema(
        [pa.field(c.name, c.type, nullable=c.nullable, metadata={"doc": c.doc}) for c in columns]
    )


_CLOCK = pa.timestamp("ms", tz="UTC")
_RECORDING_ID = Column(
    "recording_id",
    pa.string(),
    "first 16 hex digits of the recording's sha256; random ones of a live recording",
)

SECONDS: Final = _schema(
    _RECORDING_ID,
    Column("second", pa.int32(), "whole seconds of presentation time from the start"),
    Column("clock", _CLOCK, "wall-clock time of this second; NULL if the start is unknown", True),
    Column("frames", pa.int16(), "frames sampled in this second; 0 is a gap in the video"),
    Column(
        "faces",
        pa.int16(),
        "people visible: faces found, each person counted once; 0, too, where nobody looked: means "
        "take seconds with frames > 0 and not left_out",
    ),
    Column("faces_scored", pa.int16(), "people whose expression could be read"),
    *(
        Column(
            f"p_{name}",
            pa.float32(),
            f"mean calibrated probability of the expression '{name}' over the people scored",
            True,
        )
        for name in EMOTIONS
    ),
    Column(
        "uncertain",
        pa.float32(),
        "share of the people visible who were not scored; NULL if they are fewer than the minimum",
        True,
    ),
    Column("facing", pa.float32(), "mean of how directly people face the camera, 0 to 1", True),
    Column(
        "engagement",
        pa.float32(),
        "engagement index, 0 to 1: mean over the people scored of sum(p * w) / max(w), times "
        "facing in the variant expression_x_facing; weights and variant are in recordings",
        True,
    ),
    Column("engagement_low", pa.float32(), "2.5 % end of its interval (resampled people)", True),
    Column("engagement_high", pa.float32(), "97.5 % end of its interval", True),
    Column(
        "suppressed",
        pa.bool_(),
        "true where values are withheld: fewer people than the minimum visible or scored",
    ),
    Column("left_out", pa.bool_(), "true where the whole picture was excluded"),
)

MOMENTS: Final = _schema(
    _RECORDING_ID,
    Column("rank", pa.int16(), "1 is the clearest"),
    Column("start_second", pa.int32(), "first second of the moment"),
    Column("end_second", pa.int32(), "first second after it"),
    Column("change", pa.float32(), "engagement inside minus engagement around, -1 to 1"),
    Column("change_low", pa.float32(), "2.5 % end of its interval"),
    Column("change_high", pa.float32(), "97.5 % end of its interval"),
    Column(
        "p_value",
        pa.float32(),
        "share of classes without shared change (each person's curve rotated in time by itself) "
        "whose clearest window is as clear",
    ),
    Column("people", pa.int16(), "people seen both inside and around"),
    Column("at_layout_change", pa.bool_(), "a layout or slide change coincides"),
)

MARKS: Final = _schema(
    _RECORDING_ID,
    Column("second", pa.int32(), "the second in which it begins or was first seen"),
    Column("kind", pa.string(), "chapter, slide (the shown picture changed) or layout"),
    Column("title", pa.string(), "title of the chapter", True),
)

RECORDINGS: Final = _schema(
    Column(
        "recording_id",
        pa.string(),
        "first 16 hex digits of the recording's sha256; of its path's if it failed; random if live",
    ),
    Column("status", pa.string(), "done, partial (good seconds kept) or failed"),
    Column("error_code", pa.string(), "kind of the error of a failed or partial recording", True),
    Column("error_message", pa.string(), "what happened, one sentence", True),
    Column("error_hint", pa.string(), "what to do about it", True),
    Column("error_log", pa.string(), "log of a failure, relative to the dataset's folder", True),
    Column(
        "source_name", pa.string(), "file name of the recording; live and the time of a live one"
    ),
    Column("source_path", pa.string(), "absolute path of the recording when read; empty if live"),
    Column("source_sha256", pa.string(), "sha256 of the file; NULL if unreadable or live", True),
    Column("source_bytes", pa.int64(), "size of the file; 0 if live"),
    Column("title", pa.string(), "title of the lecture", True),
    Column("started_at", _CLOCK, "start of the recording", True),
    Column("synthetic", pa.bool_(), "its people do not exist (declared in the sidecar)"),
    Column("mode", pa.string(), "emotion; presence where that may not be inferred; none if failed"),
    Column("jurisdiction", pa.string(), "ISO 3166 code of the deployment", True),
    Column("exemption", pa.string(), "medical or safety, with its written reason", True),
    Column("consent", pa.string(), "consent statement of the deployment", True),
    Column("exclusions", pa.string(), "what was left out before faces were searched, JSON", True),
    Column("per_person_reason", pa.string(), "written reason of per-person tables", True),
    Column("container", pa.string(), "container format", True),
    Column("codec", pa.string(), "video codec", True),
    Column("width", pa.int32(), "width as shown, pixels", True),
    Column("height", pa.int32(), "height as shown, pixels", True),
    Column("frame_rate_from_header", pa.float64(), "average frames a second, declared", True),
    Column("duration_s_from_header", pa.float64(), "duration declared by the header, s", True),
    Column("duration_s_from_content", pa.float64(), "duration that could be decoded, s", True),
    Column("decode_failures", pa.int32(), "frames reported as damaged by the decoder"),
    Column("rate_hz", pa.int16(), "frames sampled a second"),
    Column("layout", pa.string(), "gallery, speaker, camera or unknown"),
    Column("layout_changes", pa.int32(), "times the arrangement of the people changed"),
    Column("slide_changes", pa.int32(), "times a still picture beside the people changed"),
    Column("seconds", pa.int32(), "rows in the seconds table"),
    Column(
        "seconds_scored",
        pa.int32(),
        "seconds with values: an engagement index; in presence mode enough people visible",
    ),
    Column("seconds_suppressed", pa.int32(), "seconds withheld: fewer people than the minimum"),
    Column("seconds_left_out", pa.int32(), "seconds of which the whole picture was excluded"),
    Column(
        "seconds_without_frames",
        pa.int32(),
        "seconds without a frame: none decoded, or none for too long",
    ),
    Column("people_median", pa.float32(), "median of people visible a second", True),
    Column("people_max", pa.int16(), "most people visible in one second"),
    Column("faces", pa.int64(), "faces found in all frames"),
    Column("faces_scored", pa.int64(), "faces whose expression could be read"),
    Column("face_height_px_p10", pa.float32(), "10th percentile of face heights, pixels", True),
    Column("face_height_px_median", pa.float32(), "median of face heights, pixels", True),
    Column("face_height_px_p90", pa.float32(), "90th percentile of face heights, pixels", True),
    Column("tracks", pa.int32(), "anonymous tracks: at least the number of people"),
    Column("tracks_still", pa.int32(), "tracks left out: pictures of faces, which never move"),
    Column("min_group", pa.int16(), "fewest people for which values are given"),
    Column("engagement_variant", pa.string(), "expression or expression_x_facing"),
    Column("engagement_weights", pa.string(), "weights of the seven expressions, JSON"),
    Column("chapters_from", pa.string(), "sidecar or container, where it has chapters", True),
    Column("engagement_mean", pa.float32(), "mean engagement over the seconds that have one", True),
    Column("engagement_mean_low", pa.float32(), "2.5 % end of its interval", True),
    Column("engagement_mean_high", pa.float32(), "97.5 % end of its interval", True),
    Column(
        "moments",
        pa.int16(),
        "moments found, also if deleted since; NULL where there was too little to compare",
        True,
    ),
    Column("transcript_sha256", pa.string(), "sha256 of the transcript beside it", True),
    Column("words_per_minute", pa.float32(), "by the transcript, while somebody spoke", True),
    Column("settings_hash", pa.string(), "hash of every setting that changes a result"),
    Column("model", pa.string(), "name of the expression model", True),
    Column("model_sha256", pa.string(), "sha256 of its weights", True),
    Column("detector_sha256", pa.string(), "sha256 of the face detector's weights", True),
    Column("schema_version", pa.int16(), "version of these tables"),
    Column("version", pa.string(), "version of lecturepulse"),
    Column("ffmpeg_version", pa.string(), "version of the decoder", True),
)

RUNS: Final = _schema(
    _RECORDING_ID,
    Column("run_started_at", _CLOCK, "when the work began"),
    Column(
        "source_mtime_ns", pa.int64(), "the file's modification time, ns since 1970; start if live"
    ),
    Column("wall_s", pa.float64(), "wall-clock time of the whole recording, s"),
    Column("decode_cpu_s", pa.float64(), "CPU time of the decoder, s"),
    Column("detect_cpu_s", pa.float64(), "CPU time while finding faces, s; exact for one worker"),
    Column("classify_cpu_s", pa.float64(), "CPU time while reading expressions, s; likewise"),
    Column("workers", pa.int16(), "segments worked on at once"),
    Column("runner", pa.string(), "core, prefect or live; none if reading never began"),
    Column("host", pa.string(), "name of the machine"),
)

FACES: Final = _schema(
    _RECORDING_ID,
    Column("second", pa.int32(), "whole second the face was seen in"),
    Column("sample", pa.int64(), "number of the sampled frame; time is sample / rate_hz"),
    Column("track", pa.int32(), "anonymous track within this recording"),
    Column("left", pa.float32(), "left edge of the box, pixels"),
    Column("top", pa.float32(), "top edge of the box, pixels"),
    Column("width", pa.float32(), "width of the box, pixels"),
    Column("height", pa.float32(), "height of the box, pixels"),
    Column("score", pa.float32(), "the detector's confidence"),
    *(
        Column(f"p_{name}", pa.float32(), f"calibrated probability of '{name}'", True)
        for name in EMOTIONS
    ),
    Column("facing", pa.float32(), "how directly the face is turned to the camera, 0 to 1", True),
    Column("scored", pa.bool_(), "whether it counts in the seconds table"),
)

TRACKS: Final = _schema(
    _RECORDING_ID,
    Column("track", pa.int32(), "anonymous track within this recording"),
    Column("first_second", pa.int32(), "first second seen"),
    Column("last_second", pa.int32(), "last second seen"),
    Column("seconds_visible", pa.int32(), "seconds in which the person was visible"),
    Column("seconds_scored", pa.int32(), "seconds with a face that counts in the seconds table"),
)

TABLES: Final[dict[str, pa.Schema]] = {
    "seconds": SECONDS,
    "moments": MOMENTS,
    "marks": MARKS,
    "recordings": RECORDINGS,
    "runs": RUNS,
    "faces": FACES,
    "tracks": TRACKS,
}
"""Every table of the dataset; ``faces`` and ``tracks`` are written in per-person mode only."""
