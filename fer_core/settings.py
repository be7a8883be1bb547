"""Every setting, once: its type, default, limits and meaning.

Where values come from is ``config``'s business; what a setting does, the room's that uses it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fer_core.address import bucket_and_key, is_url
from fer_core.records import EMOTIONS
from fer_core.settings_privacy import Deployment, Privacy, Retention
from fer_core.settings_section import Section
from fer_core.settings_web import Live, Web

ENV_PREFIX: Final = "LECTUREPULSE_"

Share = Annotated[float, Field(ge=0, le=1)]


class Discovery(Section):
    """Which files are recordings, and what they belong to."""

    extensions: tuple[str, ...] = Field(
        (
            "mp4",
            "m4v",
            "mov",
            "mkv",
            "webm",
            "avi",
            "gif",
            "mpg",
            "mpeg",
            "ts",
            "wmv",
            "flv",
            "3gp",
        ),
        description="File name endings taken for recordings when a folder is searched.",
    )
    settle_s: float = Field(
        10,
        ge=0,
        description="A file changed less than this many seconds ago is still being copied: it is "
        "left for the next run.",
    )
    course: str | None = Field(
        None, min_length=1, description="Course of every recording, whatever the folders say."
    )


class Video(Section):
    """The decoder and its limits."""

    ffmpeg: Path | None = Field(
        None, description="The ffmpeg program. Default: the newest of PATH and the bundled one."
    )
    timeout_factor: float = Field(
        2.0,
        gt=0,
        description="A segment may take this many times its own length to decode, plus a minute.",
    )
    skip_unneeded: bool = Field(
        True,
        description="Leave out what no sample needs: the rest of each group of pictures behind its "
        "last sample, and of H.264 pictures on which no other builds. The pictures looked at stay "
        "the same, but for damaged ones. H.264 and H.265, ffmpeg 7 or newer.",
    )
    max_pixels: int = Field(
        8192 * 4320, gt=0, description="Frames with more pixels than this are refused."
    )
    max_duration_s: int = Field(
        12 * 3600,
        gt=0,
        le=48 * 3600,
        description="No more than this is read of a recording, seconds.",
    )
    max_file_mb: int = Field(100_000, gt=0, description="Larger files are refused, MB.")
    max_memory_mb: int = Field(
        1024, gt=0, description="Largest single block of memory the decoder may take, MB."
    )
    max_process_mb: int = Field(
        4096, ge=256, description="All memory one decoder may take together, MB (Linux)."
    )


class Sampling(Section):
    """How often a recording is looked at."""

    rate_hz: int = Field(1, ge=1, le=10, description="Frames a second, a whole number.")
    stale_s: int = Field(
        10,
        ge=1,
        le=86400,
        description="Where no picture came for longer than this, and longer than for two pictures "
        "at the recording's own rate, the last one tells nothing any more: a gap. Seconds.",
    )
    segment_s: int = Field(
        300, ge=10, le=3600, description="Length of the pieces worked on at once, seconds."
    )


class Detection(Section):
    """How faces are found."""

    min_score: Share = Field(0.6, description="Least confidence of the detector for a face.")
    max_faces: int = Field(
        1000, ge=1, description="Most faces kept of one frame, the surest first."
    )
    nms_iou: Share = Field(0.3, description="Overlap above which two boxes are one face.")
    longest_side_px: int = Field(
        1280,
        ge=160,
        le=4096,
        description="Larger frames are shrunk to this for the search, smaller ones left alone.",
    )
    small_face_px: int = Field(
        48,
        ge=0,
        description="If a shrunk frame shows a face lower than this (in its own pixels), or none, "
        "it is searched again at longest_side_small_px.",
    )
    longest_side_small_px: int = Field(
        2560, ge=160, le=8192, description="Size of that second search, pixels."
    )
    quick_side_px: int = Field(
        640,
        ge=0,
        le=4096,
        description="Frames are shrunk to this instead, as long as that finds the same faces as "
        "the whole search; 0: never.",
    )
    quick_s: int = Field(
        20, ge=1, le=300, description="After so many seconds that is tried out again."
    )


class Classification(Section):
    """How expressions are read."""

    model: str | None = Field(
        None,
        description="Name of the model in models/manifest.toml (default: its default), or "
        "deepface-package for the one of the deepface package.",
    )
    runtime: Literal["litert", "onnx", "keras"] | None = Field(
        None,
        description="What runs the model. Default: litert where the processor has instructions for "
        "8-bit networks, onnx where it has none. Their tables differ a little (model card): choose "
        "one where several kinds of machines share the work and the tables have to be the same.",
    )
    weights: Path | None = Field(
        None,
        description="Weights file of deepface-package. Default: that package's own folder.",
    )
    mirror: bool = Field(
        False,
        description="Read the mirror image of every face, too, and take the mean: twice the time, "
        "for some tenths of a point of accuracy at most (measured, in the model card).",
    )
    min_face_px: int = Field(
        36, ge=8, description="Least height of a face whose expression is read, pixels."
    )
    min_facing: Share = Field(
        0.1, description="Faces turned further away than this are not read (0 away, 1 frontal)."
    )
    min_confidence: Share = Field(
        0.4, description="Least probability of the likeliest expression; below it: uncertain."
    )


class Tracking(Section):
    """How faces of successive frames become anonymous tracks."""

    max_gap_s: float = Field(
        60, ge=0, description="A person unseen for longer gets a new track, seconds."
    )
    min_iou: Share = Field(0.2, description="Least overlap of a face with its track's last box.")
    max_shift: float = Field(
        0.75, gt=0, description="Farthest a face may move between samples, in face widths."
    )


def _default_weights() -> dict[str, float]:
    return {
        "angry": 0.25,
        "disgust": 0.2,
        "fear": 0.3,
        "happy": 0.6,
        "neutral": 0.9,
        "sad": 0.3,
        "surprise": 0.6,
    }


class Engagement(Section):
    """The engagement index: a documented proxy computed from expressions."""

    variant: Literal["expression", "expression_x_facing"] = Field(
        "expression", description="expression, or multiplied by how directly people face."
    )
    weights: dict[str, float] = Field(
        default_factory=_default_weights,
        description="Weight of each expression (concentration index, arXiv:1909.12913).",
    )
    min_coverage: Share = Field(
        0.5, description="Least share of the visible people that must be readable in a second."
    )
    replicates: int = Field(
        500, ge=100, le=10_000, description="Resampled classes behind every interval."
    )
    seed: int = Field(20131, ge=0, description="Seed of the resampling: same input, same interval.")

    @field_validator("weights")
    @classmethod
    def _all_seven(cls, value: dict[str, float]) -> dict[str, float]:
        if set(value) != set(EMOTIONS):
            raise ValueError(f"needs exactly the keys {', '.join(EMOTIONS)}")
        if any(not 0 <= weight <= 1 for weight in value.values()) or not any(value.values()):
            raise ValueError("needs weights from 0 to 1, at least one above 0")
        return {name: value[name] for name in EMOTIONS}


class Report(Section):
    """How the pages are drawn."""

    time_link: str = Field(
        "",
        description="Template of links into the recording, such as "
        "https://video.example/{recording_id}?t={second}. Empty: the file itself.",
    )
    language: str = Field("en", description="Language of the pages.")
    timezone: str = Field(
        "UTC", description="Time zone of the dates on the pages, such as Asia/Kolkata."
    )


class Run(Section):
    """How the work is carried out; changes no result."""

    workers: int = Field(
        default_factory=lambda: min(os.cpu_count() or 1, 4),
        ge=1,
        le=64,
        description="Segments worked on at once.",
    )
    runner: str = Field(
        "processes",
        pattern=r"^(processes|dask|dask://[^/\s:]+:[0-9]{1,5})$",
        description="Where segments are worked on: processes of this machine, dask (a cluster of "
        "this machine), or dask://HOST:PORT (a scheduler whose workers see the same files).",
    )
    recordings_at_once: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Recordings worked on at once. Default: 1 with processes, 4 on a cluster.",
    )
    retries: int = Field(2, ge=0, le=10, description="Further tries after a passing fault.")
    retry_delay_s: float = Field(5, ge=0, description="Pause before the first of them, seconds.")
    retry_failed: bool = Field(
        False, description="Also try recordings again that failed before and have not changed."
    )
    min_free_mb: int = Field(
        1000, ge=0, description="With less free space than this for `out`, nothing is begun."
    )
    max_hours: float = Field(
        20,
        gt=0,
        le=24 * 365,
        allow_inf_nan=False,
        description="A run that takes longer is ended in good order; the next goes on.",
    )


_CHANGES_RESULTS: Final = (
    "sampling",
    "detection",
    "classification",
    "tracking",
    "engagement",
    "privacy",
)


class Settings(BaseSettings):
    """All settings, checked and frozen."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    out: Path = Field(
        Path("lecturepulse-out"),
        description="Folder of tables, reports and work files; or s3://BUCKET/FOLDER, which is "
        "publish_to with a working copy below scratch.",
    )
    publish_to: str | None = Field(
        None,
        description="Where in object storage (s3://BUCKET/FOLDER) the dataset is kept; out is "
        "this machine's working copy of it.",
    )
    scratch: Path | None = Field(
        None,
        description="Folder of working copies. Default: lecturepulse in the user's cache folder.",
    )
    deployment: Deployment = Deployment()  # pyright: ignore[reportCallIssue]
    discovery: Discovery = Discovery()  # pyright: ignore[reportCallIssue]
    video: Video = Video()  # pyright: ignore[reportCallIssue]
    sampling: Sampling = Sampling()  # pyright: ignore[reportCallIssue]
    detection: Detection = Detection()  # pyright: ignore[reportCallIssue]
    classification: Classification = Classification()  # pyright: ignore[reportCallIssue]
    tracking: Tracking = Tracking()  # pyright: ignore[reportCallIssue]
    engagement: Engagement = Engagement()  # pyright: ignore[reportCallIssue]
    privacy: Privacy = Privacy()  # pyright: ignore[reportCallIssue]
    retention: Retention = Retention()  # pyright: ignore[reportCallIssue]
    report: Report = Report()  # pyright: ignore[reportCallIssue]
    live: Live = Live()  # pyright: ignore[reportCallIssue]
    run: Run = Run()  # pyright: ignore[reportCallIssue]
    web: Web = Web()  # pyright: ignore[reportCallIssue]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller only: ``load`` merges the sources and notes each origin."""
        return (init_settings,)

    @field_validator("out", mode="before")
    @classmethod
    def _somewhere(cls, value: object) -> object:
        # An empty path would be the working folder: what an unset shell variable leaves behind.
        if isinstance(value, str) and not value.strip():
            raise ValueError("needs a folder")
        return value

    @field_validator("publish_to", "scratch", mode="before")
    @classmethod
    def _or_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="before")
    @classmethod
    def _working_copy(cls, given: dict[str, Any]) -> dict[str, Any]:
        url = str(given.get("out", ""))
        if is_url(url):
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            scratch = Path(given.get("scratch") or Path(cache, "lecturepulse"))
            bucket, key = bucket_and_key(url)
            name = f"{bucket}-{hashlib.sha256(f'{bucket}/{key}'.encode()).hexdigest()[:8]}"
            given = given | {"out": scratch.expanduser().absolute() / name, "publish_to": url}
        elif given.get("publish_to"):
            bucket_and_key(str(given["publish_to"]))
        return given

    def for_audit(self) -> dict[str, Any]:
        """Return every setting that concerns the people recorded, by section."""
        return self.model_dump(mode="json", include={"deployment", "privacy", "retention"})

    def result_hash(self) -> str:
        """Return the hash of every setting that can change a result, 16 hex digits."""
        relevant = self.model_dump(mode="json", include=set(_CHANGES_RESULTS))
        del relevant["privacy"]["per_person_reason"]
        # Consent and reasons are words on the page; only these two decide what is computed.
        relevant["place"] = [self.deployment.jurisdiction, self.deployment.exemption]
        if self.deployment.presence_only:
            relevant["place"].append("presence")
        text = json.dumps(relevant, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
