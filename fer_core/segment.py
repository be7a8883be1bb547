"""Looks at one segment of a recording: decode, find faces, read expressions, keep what was seen.

A detector is made for every segment, a classifier once a process. What the faces amount to is
``conclude``'s work; in which process this is done, ``workers``'.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core import (
    align,
    assets,
    checkpoint,
    classify,
    exclude,
    progress,
    slides,
    still,
    stopping,
    video,
)
from fer_core.detect import QuickSearch, YuNet
from fer_core.errors import TransientError
from fer_core.exclude import Exclusion
from fer_core.folder import explained, need_space
from fer_core.records import THUMBNAIL_PX, Faces, Observations, Segment, VideoInfo
from fer_core.settings import Settings

_BATCH_FACES: Final = 128


@dataclass(frozen=True, slots=True)
class Footage:
    """What is needed to look at a recording's segments, in any process: small, since it travels.

    Attributes:
        name: of the recording, for whoever follows the progress.
        info: what its container says.
        segments: how many there are.
        model: the expression model; None in presence mode.
        ffmpeg: the decoder.
        work: folder of the work files.
        settings: all settings.
        exclusions: what is left out before faces are searched.
    """

    name: str
    info: VideoInfo
    segments: int
    model: assets.ModelAsset | None
    ffmpeg: video.Ffmpeg
    work: Path
    settings: Settings
    exclusions: tuple[Exclusion, ...]


def look(footage: Footage, segment: Segment) -> Path:
    """Look at one segment: decode, find faces, read expressions; return its work file.

    A work file that is already there and whole is returned as it is; one of a run that was told to
    stop is gone on with.

    Args:
        footage: the recording.
        segment: the part of it.

    Raises:
        InputError: no picture of this segment can be decoded.
        TransientError: the decoder was killed or timed out, or broke off for the first time.
        Stopped: the run has to end; what was seen is kept.
    """
    rate = footage.settings.sampling.rate_hz
    # By its seconds: with other workers, the run that goes on cuts the recording elsewhere.
    end = "end" if segment.end_s is None else segment.end_s
    path = footage.work / f"segment-{segment.start_s}-{end}.npz"
    if (stored := checkpoint.restore(path)) and _fits(stored[0], segment, rate):
        progress.tell("advanced", footage.name, len(stored[0].samples) / rate)
        return path
    begun = path.with_suffix(".begun")
    parts: list[tuple[Observations, checkpoint.Effort]] = []
    if (stored := checkpoint.restore(begun)) and _fits(stored[0], segment, rate):
        parts.append(stored)
        segment = replace(segment, start_s=round(stored[0].content_end_s))
        progress.tell("advanced", footage.name, len(stored[0].samples) / rate)
    if stopping.requested.is_set():
        raise stopping.Stopped
    seen, effort, whole = _see(footage, segment)
    if not whole and not len(seen.samples):
        raise stopping.Stopped
    if whole:
        _try_twice(footage, segment, seen, path.with_suffix(".short"))
    parts.append((seen, effort))
    observations = Observations.concat([part for part, _ in parts])
    need_space(footage.work, footage.settings.run.min_free_mb)
    target = path if whole else begun
    with explained(target):
        checkpoint.keep(target, observations, sum((e for _, e in parts), checkpoint.Effort()))
    if not whole:
        raise stopping.Stopped
    return path


def _try_twice(footage: Footage, segment: Segment, seen: Observations, mark: Path) -> None:
    """Have a segment looked at once more if it broke off where the file goes on.

    Damage looks like that, but so does a decoder without memory, which need not say so.
    """
    if segment.end_s is None or seen.content_end_s >= segment.end_s or mark.exists():
        return
    if video.has_more(footage.info, segment.end_s, footage.ffmpeg, footage.settings.video):
        with explained(mark):
            mark.touch()
        raise TransientError(
            f"The pictures of {footage.name!r} broke off at {seen.content_end_s:.0f} s.",
            hint="The machine may be short of memory; or the recording is damaged there.",
        )


def _fits(stored: Observations, segment: Segment, rate_hz: int) -> bool:
    """Say whether a work file can be of this segment: one that was tampered with is made again."""
    first, last = segment.start_s * rate_hz, math.inf
    if segment.end_s is not None:
        last = segment.end_s * rate_hz
    within = not len(stored.samples) or first <= stored.samples[0] <= stored.samples[-1] < last
    ends = 0 <= stored.content_end_s * rate_hz <= (stored.samples[-1:].sum() or first) + 1
    return stored.rate_hz == rate_hz and within and bool(ends)


def _see(footage: Footage, segment: Segment) -> tuple[Observations, checkpoint.Effort, bool]:
    """Look at a segment until its end, or until the run has to stop; say whether it is whole."""
    rate = footage.settings.sampling.rate_hz
    finder = YuNet(footage.settings.detection, threads=_use())
    detector = QuickSearch(finder, footage.settings.detection, rate)
    reader = _Reader(footage)
    samples: list[int] = []
    thumbnails: list[NDArray[np.uint8]] = []
    detect_cpu_s = 0.0
    whole = True
    # Of the last second: from one sample to the next people hardly move where there are many.
    greys: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=rate)
    # From some seconds before: the first sample needs one to be compared with, and the detector's
    # choice of a size may be older. Where a recording is cut must not show in any number.
    begin_s = min(max(0, segment.start_s - 1), detector.begins_at(segment.start_s))
    run_up = replace(segment, start_s=begin_s)
    with video.Sampler(
        footage.info, run_up, rate, footage.ffmpeg, footage.settings.video
    ) as sampler:
        for frame in sampler:
            began = time.process_time()
            # First of all: nobody looks at what is left out.
            seen = exclude.black_out_frame(frame, footage.exclusions)
            grey = seen.planes.grey
            if frame.sample < segment.start_s * rate:
                detector.prepare(seen, segment.start_s)
                greys.append((frame.sample, grey))
                continue
            faces = detector.detect(seen)
            if footage.exclusions:
                size_px, at_s = seen.planes.size_px, float(frame.time_s)
                faces = faces.only(exclude.uncovered(faces.box, footage.exclusions, at_s, size_px))
            before = next((past for at, past in greys if at == frame.sample - rate), None)
            faces = replace(faces, change=still.change(before, grey, faces.box))
            greys.append((frame.sample, grey))
            detect_cpu_s += time.process_time() - began
            reader.add(faces, grey)
            samples.append(frame.sample)
            thumbnails.append(slides.thumbnail(grey, faces.box))
            progress.tell("advanced", footage.name, 1 / rate)
            if stopping.requested.is_set():
                whole = False
                break
    kept, end_s = len(samples), sampler.content_end_s or 0.0
    stale = sampler.stale(np.array(samples, np.int64), footage.settings.sampling.stale_s)
    faces = reader.finish() if whole else Faces.empty()
    failures = sampler.failures_between(segment.start_s, segment.end_s)
    if not whole:
        # Behind damage a decoder that begins anew shows other pictures: all of it is seen again.
        kept = 0 if failures else reader.settled_frames
        faces = reader.settled(kept)
        end_s = segment.start_s + kept // rate
        failures = 0
    observations = Observations(
        rate_hz=rate,
        samples=np.array(samples[:kept], np.int64),
        faces=faces,
        decode_failures=failures,
        content_end_s=end_s,
        thumbnails=np.array(thumbnails[:kept], np.uint8).reshape(-1, *THUMBNAIL_PX),
        stale=stale[:kept],
    )
    return observations, checkpoint.Effort(sampler.cpu_s, detect_cpu_s, reader.cpu_s), whole


class _Reader:
    """Collects the faces of a segment and reads their expressions in batches.

    Attributes:
        cpu_s: processor time of reading, seconds.
    """

    def __init__(self, footage: Footage) -> None:
        self.cpu_s = 0.0
        self._settled = [0]
        self._model = footage.model
        self._rate_hz = footage.settings.sampling.rate_hz
        self._least_px = footage.settings.classification.min_face_px
        self._mirror = footage.settings.classification.mirror
        self._parts: list[Faces] = []
        self._crops: list[NDArray[np.uint8]] = []
        self._probs: list[NDArray[np.float32]] = []
        self._waiting = 0

    def add(self, faces: Faces, grey: NDArray[np.uint8]) -> None:
        self._parts.append(faces)
        if self._model is not None:
            began = time.process_time()
            # Smaller faces are never scored, so reading them would be work for nothing.
            large = self._is_read(faces)
            self._crops.append(align.align_faces(grey, faces.landmarks[large]))
            self._waiting += int(large.sum())
            if self._waiting >= _BATCH_FACES:
                self._flush()
            self.cpu_s += time.process_time() - began
        if not self._waiting and len(self._parts) % self._rate_hz == 0:
            self._settled.append(len(self._parts))

    @property
    def settled_frames(self) -> int:
        """Frames, whole seconds of them, after which another reader can go on.

        No face is waiting there, so that the batches to come will be the same; and there are more
        frames, so that there is something to go on with.
        """
        return max(frames for frames in self._settled if frames < max(1, len(self._parts)))

    def finish(self) -> Faces:
        """Read what is waiting and return all faces."""
        began = time.process_time()
        self._flush()
        self.cpu_s += time.process_time() - began
        return self._read(self._parts)

    def settled(self, frames: int) -> Faces:
        """Return the faces of the first frames, all of them settled."""
        return self._read(self._parts[:frames])

    def _read(self, parts: list[Faces]) -> Faces:
        faces = Faces.concat(parts)
        if not self._probs:
            return faces
        probs, large = faces.probs.copy(), self._is_read(faces)
        probs[large] = np.concatenate(self._probs)[: int(large.sum())]
        return replace(faces, probs=probs)

    def _is_read(self, faces: Faces) -> NDArray[np.bool_]:
        large: NDArray[np.bool_] = faces.box[:, 3] >= self._least_px
        return large

    def _flush(self) -> None:
        if self._model is not None and self._waiting:
            # Loaded for the first face only: a runtime takes a while to start.
            reads = classifier(self._model, mirror=self._mirror)
            self._probs.append(reads.classify(np.concatenate(self._crops)))
        self._crops, self._waiting = [], 0


def use_threads(count: int) -> None:
    """Have OpenCV and the runtimes of this process use so many threads each, from now on."""
    cv2.setNumThreads(count)
    _threads.append(count)
    classifier.cache_clear()


_threads: Final[list[int]] = []


def _use() -> int | None:
    return _threads[-1] if _threads else None


@lru_cache(maxsize=2)
def classifier(model: assets.ModelAsset, *, mirror: bool) -> classify.Classifier:
    """Return this process's classifier of a model; safe to share between threads."""
    return classify.load_classifier(model, threads=_use(), mirror=mirror)
