"""Looks at one segment of a recording: decode, find faces, read expressions, keep what was seen.

Detector and classifier are made once a thread and once a process. What the faces amount to is
``pipeline``'s work.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core import align, assets, checkpoint, classify, progress, slides, video
from fer_core.detect import FaceDetector, YuNet
from fer_core.folder import explained, need_space
from fer_core.job import Job
from fer_core.records import THUMBNAIL_PX, Faces, Observations, Segment
from fer_core.settings import Settings

_BATCH_FACES: Final = 256

stopping: Final = threading.Event()
"""Set to have every segment of this process given up at its next frame; finished ones are kept."""


def look(job: Job, segment: Segment) -> Path:
    """Look at one segment: decode, find faces, read expressions; return its work file.

    A work file that is already there and whole is returned as it is.

    Raises:
        InputError: no picture of this segment can be decoded.
        TransientError: the decoder was killed or timed out.
    """
    path = job.work / f"segment-{segment.index:04d}.npz"
    if stored := checkpoint.restore(path):
        progress.tell("advanced", job.source.path.name, len(stored[0].samples))
        return path
    rate = job.settings.sampling.rate_hz
    detector = _detector(job.settings)
    reader = _Reader(job)
    samples: list[int] = []
    thumbnails: list[NDArray[np.uint8]] = []
    detect_cpu_s = 0.0
    limits = job.settings.video
    with video.Sampler(job.info, segment, rate, job.ffmpeg, limits) as sampler:
        for frame in sampler:
            if stopping.is_set():
                raise KeyboardInterrupt
            began = time.process_time()
            faces = detector.detect(frame)
            detect_cpu_s += time.process_time() - began
            reader.add(faces, frame.image)
            samples.append(frame.sample)
            thumbnails.append(slides.thumbnail(frame.image))
            progress.tell("advanced", job.source.path.name, 1 / rate)
    observations = Observations(
        rate_hz=rate,
        samples=np.array(samples, np.int64),
        faces=reader.finish(),
        decode_failures=sampler.decode_failures,
        content_end_s=sampler.content_end_s or 0.0,
        thumbnails=np.array(thumbnails, np.uint8).reshape(-1, *THUMBNAIL_PX),
    )
    effort = checkpoint.Effort(sampler.cpu_s, detect_cpu_s, reader.cpu_s)
    need_space(job.work, job.settings.run.min_free_mb)
    with explained(path):
        checkpoint.keep(path, observations, effort)
    return path


def warm_up(settings: Settings) -> None:
    """Load the expression model now, so that a measurement does not count it."""
    _classifier(assets.chosen(settings.classification))


class _Reader:
    """Collects the faces of a segment and reads their expressions in batches."""

    def __init__(self, job: Job) -> None:
        self._model = job.model
        self._least_px = job.settings.classification.min_face_px
        self._parts: list[Faces] = []
        self._crops: list[NDArray[np.uint8]] = []
        self._probs: list[NDArray[np.float32]] = []
        self._waiting = 0
        self.cpu_s = 0.0

    def add(self, faces: Faces, image: NDArray[np.uint8]) -> None:
        self._parts.append(faces)
        if self._model is None:
            return
        began = time.process_time()
        # Smaller faces are never scored, so reading them would be work for nothing.
        large = faces.box[:, 3] >= self._least_px
        self._crops.append(align.align_faces(image, faces.landmarks[large]))
        self._waiting += int(large.sum())
        if self._waiting >= _BATCH_FACES:
            self._flush()
        self.cpu_s += time.process_time() - began

    def finish(self) -> Faces:
        faces = Faces.concat(self._parts)
        if self._model is None:
            return faces
        began = time.process_time()
        self._flush()
        probs = faces.probs.copy()
        if self._probs:
            probs[faces.box[:, 3] >= self._least_px] = np.concatenate(self._probs)
        self.cpu_s += time.process_time() - began
        return replace(faces, probs=probs)

    def _flush(self) -> None:
        if self._model is not None and self._waiting:
            # Loaded for the first face only: a runtime takes a while to start.
            classifier = _classifier(self._model)
            self._probs.append(classifier.classify(np.concatenate(self._crops)))
        self._crops, self._waiting = [], 0


@lru_cache(maxsize=2)
def _classifier(model: assets.ModelAsset) -> classify.Classifier:
    return classify.load_classifier(model)


_local = threading.local()


def _detector(settings: Settings) -> FaceDetector:
    """Return this thread's detector: OpenCV's network may not be shared between threads."""
    if getattr(_local, "settings", None) != settings.detection:
        _local.detector, _local.settings = YuNet(settings.detection), settings.detection
    return _local.detector
