"""What the API takes and gives, field by field: the OpenAPI document is made from it."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from fer_core.settings import Share

LONGEST_SQL: Final = 20_000
"""Most characters of a question."""


class ProblemShape(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(description="What kind of problem; a page says what it means.")
    title: str
    status: int
    detail: str | None = Field(None, description="What is wrong with this request.")
    hint: str | None = Field(None, description="What can be done about it.")


class FaceShape(BaseModel):
    """One face of a picture; places in its pixels, from the top left."""

    left: float
    top: float
    width: float
    height: float = Field(description="What is compared with classification.min_face_px.")
    score: Share = Field(description="How sure the detector is.")
    landmarks: dict[str, tuple[float, float]] = Field(
        description="Five points: right_eye, left_eye, nose, right_mouth, left_mouth; right and "
        "left are the person's own."
    )
    facing: Share = Field(description="How directly it is turned to the camera.")
    counted: bool = Field(description="Whether a lecture's tables would count it.")
    uncounted: Literal["presence", "small", "turned", "unclear"] | None = Field(
        description="Why not: expressions may not be read here, it is too small, it is turned "
        "away, or no expression is likely enough."
    )
    expressions: dict[str, Share] | None = Field(
        description="Calibrated probabilities of seven expressions, together 1; null where none "
        "were read. What is seen, not what is felt."
    )


class PictureShape(BaseModel):
    """What was seen in one picture. Nothing of it is kept."""

    width: int
    height: int
    mode: Literal["emotion", "presence"]
    ground: str = Field(description="Why this mode.")
    model: str | None = Field(description="The expression model; null in presence mode.")
    least_face_px: int = Field(description="Least height of a face that is read.")
    faces: list[FaceShape]


class JobShape(BaseModel):
    """A video that is worked on, or was."""

    id: str
    name: str
    keep: bool = Field(description="Whether video, tables and report go into the dataset.")
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    seen_s: float = Field(description="Seconds of it that were looked at.")
    video_s: float = Field(description="Its length, seconds; 0 while that is not known.")
    ahead: int = Field(description="How many have their turn before it.")
    note: str = Field(description="A sentence for the person who waits.")
    problem: ProblemShape | None
    report: str | None = Field(description="Address of the lecture's report.")
    recording_id: str | None = Field(
        description="Its id in the tables; one that failed has it if they hold it all the same."
    )


class RecordingShape(BaseModel):
    """One recording of the dataset."""

    recording_id: str
    course: str
    title: str
    started_at: str | None
    status: Literal["done", "partial", "failed"]
    reason: str | None
    duration_s: float | None
    people_median: float | None
    moments: int | None = Field(
        description="Moments found; null where there was too little to compare."
    )
    report: str | None


class RunShape(BaseModel):
    """When a recording was read last, how long that took, and how it ended."""

    recording_id: str
    course: str
    name: str
    run_started_at: str
    wall_s: float
    runner: str
    status: Literal["done", "partial", "failed"]
    reason: str | None


class NightShape(BaseModel):
    """What a run that writes to this dataset is doing now."""

    running: bool
    began_at: str | None = None
    recordings: int = 0
    finished: int = 0
    name: str = Field("", description="The recording it reads; empty between two.")
    seen_s: float = 0
    video_s: float = 0


class QuestionShape(BaseModel):
    """A question to the tables."""

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(
        min_length=1, max_length=LONGEST_SQL, description="One SELECT, as DuckDB has it."
    )


class AnswerShape(BaseModel):
    """The rows that answer it."""

    columns: list[str]
    rows: list[list[Any]]
    cut: bool = Field(description="Whether there were more rows than are given.")


class ViewShape(BaseModel):
    """A live view that has begun."""

    view: str = Field(description="The secret it is known by: part of its further addresses.")
    mode: Literal["emotion", "presence"]
    ground: str = Field(description="Why this mode.")
    longest_side_px: int = Field(description="Pictures need not be larger.")


class SecondShape(BaseModel):
    """One second of a live view."""

    second: int = Field(description="Whole seconds since its first picture.")
    people: int = Field(description="The most seen in one of its pictures.")
    read: int = Field(description="The most of them whose expression could be read.")
    withheld: bool = Field(description="Whether there were fewer people than privacy.min_group.")
    facing: Share | None = Field(description="Mean of how directly people face the camera.")
    expressions: dict[str, Share] | None = Field(
        description="Mean probabilities over the faces that count; null where none may be given."
    )
    engagement: Share | None = Field(description="Mean index over them.")


class SeenShape(BaseModel):
    """What was seen in one picture of a live view. Nothing of it is kept unless it is recorded."""

    time_s: float = Field(description="Seconds since the view's first picture.")
    width: int
    height: int
    faces: list[FaceShape]
    seconds: list[SecondShape] = Field(description="Those that ended with this picture.")
    recorded_s: float | None = Field(description="Seconds recorded; null while nothing is.")
    full: bool = Field(description="Whether recording has come to its limit.")
    looked_ms: float = Field(description="How long it was worked on.")
    pause_ms: int = Field(description="When to send the next one, counted from this one's sending.")


class RecordShape(BaseModel):
    """What is recorded, and that those in the picture agree."""

    model_config = ConfigDict(extra="forbid")

    consent: bool = Field(
        strict=True, json_schema_extra={"const": True}, description="All in the picture agree."
    )
    course: str = Field("", max_length=200, description="What it belongs to; empty: live.")


class OnAirShape(BaseModel):
    """A live recording that has begun, or ended."""

    recording_id: str | None = Field(description="null if there was nothing to keep.")
    course: str


class AiredShape(BaseModel):
    """How far an ended live recording has come."""

    state: Literal["waiting", "done", "failed"]
    waits_for: str = Field(description="What it waits for, such as a running night.")
    report: str | None = Field(description="Address of its report.")
