"""The records that travel through the house: small, frozen, checked at birth.

No record computes anything or touches a disk; what makes and uses them lives in the rooms
named after the work (``video``, ``detect``, ``classify``, ``track`` …).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core.planes import Matrix, Planes

EMOTIONS: Final = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""The seven expression classes in the order of every array and column (FER2013's own order)."""

FACE_SIZE_PX: Final = 48
"""Height and width of a face as the models take it: FER2013's."""

THUMBNAIL_PX: Final = (27, 48)
"""Height and width of the small grey pictures in which slide changes are looked for."""

LANDMARKS: Final = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""YuNet's five points; right and left are the person's own."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of container or sidecar: start and end, seconds of presentation time; its title."""

    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the container says about its one video stream, before anything is decoded.

    Attributes:
        path: absolute path of the recording.
        size_bytes: size of the file.
        container: ffmpeg's name of the demuxer, such as ``mov,mp4,m4a,3gp,3g2,mj2``.
        codec: ffmpeg's name of the video codec.
        width, height: size in pixels as shown: rotation applied, pixels made square.
        duration_s_from_header: what the header declares, in seconds; may be wrong or absent.
        frame_rate_from_header: average frames a second; may be wrong or absent.
        stream_index: the video stream used, by ffmpeg's index within the file.
        matrix: how its luma and chroma stand for colours; BT.601's where it does not say.
        created: creation time in the container, UTC.
        title: title in the container.
        chapters: chapters in the container.
    """

    path: Path
    size_bytes: int
    container: str
    codec: str
    width: int
    height: int
    duration_s_from_header: float | None
    frame_rate_from_header: Fraction | None
    stream_index: int
    matrix: Matrix = "bt601"
    created: datetime | None = None
    title: str | None = None
    chapters: tuple[Chapter, ...] = ()

    def __post_init__(self) -> None:
        if not self.path.is_absolute():
            raise ValueError(f"path must be absolute, got {self.path}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"frame size must be positive, got {self.width}x{self.height}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one recording, ``[start_s, end_s)`` in whole seconds of presentation time.

    ``end_s`` is None for the last segment: it runs to the end of what can be decoded, since
    the header's duration is a promise only.
    """

    index: int
    start_s: int
    end_s: int | None

    def __post_init__(self) -> None:
        if self.index < 0 or self.start_s < 0:
            raise ValueError(f"segment {self.index} starts at {self.start_s}")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"segment {self.index} ends at {self.end_s}, before it starts")


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled picture: what a player shows at ``time_s``.

    Attributes:
        sample: number of the sample in the recording; ``time_s = sample / rate_hz``, exactly.
        time_s: presentation time asked for, in seconds from the start of the recording.
        planes: the picture.
    """

    sample: int
    time_s: Fraction
    planes: Planes


@dataclass(frozen=True, slots=True)
class Faces:
    """All faces of any number of frames, as parallel arrays of length ``n``.

    Attributes:
        sample: ``(n,)`` int64, number of the sample each face was seen in, ascending.
        box: ``(n, 4)`` float32, left, top, width, height in pixels of the frame as shown.
        score: ``(n,)`` float32, the detector's confidence, 0 to 1.
        landmarks: ``(n, 5, 2)`` float32, x and y in pixels, in the order of ``LANDMARKS``.
        probs: ``(n, 7)`` float32, calibrated probabilities in the order of ``EMOTIONS``; a row
            of NaN for a face that was not classified.
        change: ``(n,)`` float32, how much the face's pixels changed since a second before, in
            grey levels; NaN where that is not known.
    """

    sample: NDArray[np.int64]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    probs: NDArray[np.float32]
    change: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.sample)
        shapes = {
            "sample": (n,),
            "box": (n, 4),
            "score": (n,),
            "landmarks": (n, len(LANDMARKS), 2),
            "probs": (n, len(EMOTIONS)),
            "change": (n,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")
        if n and bool(np.any(np.diff(self.sample) < 0)):
            raise ValueError("faces must come in the order of their samples")

    def __len__(self) -> int:
        return len(self.sample)

    def only(self, keep: NDArray[np.bool_]) -> Faces:
        """Return some of the faces, ``(n,)``."""
        return Faces(*(getattr(self, field.name)[keep] for field in fields(self)))

    @classmethod
    def empty(cls) -> Faces:
        """No face at all."""
        return cls.unread(0, np.zeros((0, 4)), np.zeros(0), np.zeros((0, len(LANDMARKS), 2)))

    @classmethod
    def unread(
        cls,
        sample: int,
        box: NDArray[np.generic],
        score: NDArray[np.generic],
        landmarks: NDArray[np.generic],
    ) -> Faces:
        """The faces of one frame as a detector gives them, not classified yet."""
        n = len(box)
        return cls(
            sample=np.full(n, sample, np.int64),
            box=np.asarray(box, np.float32),
            score=np.asarray(score, np.float32),
            landmarks=np.asarray(landmarks, np.float32),
            probs=np.full((n, len(EMOTIONS)), np.nan, np.float32),
            change=np.full(n, np.nan, np.float32),
        )

    @classmethod
    def concat(cls, parts: list[Faces]) -> Faces:
        """Join faces of consecutive frames or segments, in order."""
        if not parts:
            return cls.empty()
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in (field.name for field in fields(cls))
            )
        )


@dataclass(frozen=True, slots=True)
class Observations:
    """What was seen in a stretch of a recording: the samples looked at and the faces in them.

    Attributes:
        rate_hz: samples a second.
        samples: ``(m,)`` int64, numbers of the samples that could be decoded, ascending.
        faces: the faces, each in one of ``samples``.
        decode_failures: frames the decoder reported as damaged.
        content_end_s: presentation time at which the pictures ended, in seconds.
        thumbnails: ``(m, 27, 48)`` uint8, each sample shrunk to a few grey dots.
        stale: ``(m,)`` bool, whether the picture was too old by then to tell anything.
    """

    rate_hz: int
    samples: NDArray[np.int64]
    faces: Faces
    decode_failures: int
    content_end_s: float
    thumbnails: NDArray[np.uint8]
    stale: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.stale.shape != self.samples.shape:
            raise ValueError(f"stale must be one a sample, got {self.stale.shape}")
        if self.thumbnails.shape != (len(self.samples), *THUMBNAIL_PX):
            raise ValueError(f"thumbnails must be one a sample, got {self.thumbnails.shape}")
        if len(self.samples) and bool(np.any(np.diff(self.samples) <= 0)):
            raise ValueError("samples must ascend")
        if not np.isin(self.faces.sample, self.samples).all():
            raise ValueError("a face belongs to a sample that was never decoded")

    def with_faces(self, keep: NDArray[np.bool_]) -> Observations:
        """Return the same with some of the faces only, ``(n,)``."""
        return replace(self, faces=self.faces.only(keep))

    def without_stale(self) -> Observations:
        """Return the same without the samples whose picture was too old, and their faces."""
        fresh = ~self.stale
        return replace(
            self,
            samples=self.samples[fresh],
            faces=self.faces.only(np.isin(self.faces.sample, self.samples[fresh])),
            thumbnails=self.thumbnails[fresh],
            stale=self.stale[fresh],
        )

    @classmethod
    def concat(cls, parts: list[Observations]) -> Observations:
        """Join the observations of successive segments, in order."""
        return cls(
            rate_hz=parts[0].rate_hz,
            samples=np.concatenate([part.samples for part in parts]),
            faces=Faces.concat([part.faces for part in parts]),
            decode_failures=sum(part.decode_failures for part in parts),
            content_end_s=max(part.content_end_s for part in parts),
            thumbnails=np.concatenate([part.thumbnails for part in parts]),
            stale=np.concatenate([part.stale for part in parts]),
        )
