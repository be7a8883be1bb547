"""Finds faces in a frame: the detector protocol and YuNet, its only implementation.

How the network is run is ``yunet``'s work; which faces are worth reading is decided later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_core import assets
from fer_core.boxes import overlap
from fer_core.planes import Planes
from fer_core.records import LANDMARKS, Faces, Frame
from fer_core.settings import Detection
from fer_core.yunet import Network

_SAME_IOU = 0.5
# Points move by chance, too, from one size to another: so many faces' points count as in place.
_IN_PLACE = 4


class FaceDetector(Protocol):
    """Anything that finds the faces of a frame."""

    def detect(self, frame: Frame) -> Faces:
        """Return the faces of one frame, in its own pixels, from the top left in reading order."""
        ...

    def detect_at(self, frame: Frame, longest_side_px: int) -> Faces:
        """Do so at one size only."""
        ...


class QuickSearch:
    """Searches most frames at a smaller size, for as long as that finds the same faces.

    The first frame of every ``quick_s`` seconds, counted from the start of the recording, is
    searched in full and at ``quick_side_px``. If both find the same faces, the others of those
    seconds are searched at that size only; one that does not show as many faces, each where there
    was one in the last full search, is searched in full after all: somebody came or went, or the
    layout changed. Someone too small for the quick search who comes in between, without anything
    else changing, is found at the next first frame.

    In a smaller picture the points of all faces may lie a little to one side. Where both searches
    found the same, that is measured, and the points of the quick one are moved back.

    What it finds depends on no frame before that first one: see ``begins_at``.

    Args:
        detector: searches in full, and at any size.
        settings: the quick size, and for how long it is trusted.
        rate_hz: samples a second.
    """

    def __init__(self, detector: FaceDetector, settings: Detection, rate_hz: int) -> None:
        self._detector, self._settings, self._rate_hz = detector, settings, rate_hz
        self._stretch, self._same = -1, False
        self._expected = Faces.empty().box
        self._aside = np.zeros((len(LANDMARKS), 2))

    def begins_at(self, second: int) -> int:
        """Return from which second on frames have to be shown for the same result at a second."""
        if not self._settings.quick_side_px:
            return second
        return second - second % self._settings.quick_s

    def prepare(self, frame: Frame, second: int) -> None:
        """Look at a frame before a second, if the search from there on builds upon it."""
        if self._stretch_of(frame) == second // self._settings.quick_s:
            self.detect(frame)

    def detect(self, frame: Frame) -> Faces:
        """Return the faces of one frame; frames have to come in their order."""
        side_px = self._settings.quick_side_px
        if not 0 < side_px < min(max(frame.planes.size_px), self._settings.longest_side_px):
            return self._detector.detect(frame)
        stretch = self._stretch_of(frame)
        begins = stretch != self._stretch
        if not (begins or self._same):
            return self._detector.detect(frame)
        quick = self._detector.detect_at(frame, side_px)
        if not begins and _are_near(quick.box, self._expected):
            return self._moved_back(quick)
        faces = self._detector.detect(frame)
        same = _are_the_same(faces.box, quick.box)
        if begins or same:
            self._stretch, self._same, self._expected = stretch, same, faces.box
            self._aside = _aside(quick, faces) if same else self._aside
        return self._moved_back(quick) if same else faces

    def _moved_back(self, quick: Faces) -> Faces:
        shift = quick.box[:, 3, None, None] * self._aside
        return replace(quick, landmarks=(quick.landmarks - shift).astype(np.float32))

    def _stretch_of(self, frame: Frame) -> int:
        return frame.sample // (self._settings.quick_s * self._rate_hz)


def _are_the_same(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    """Say whether two searches found the same faces: each box of one overlaps one of the other."""
    if len(boxes) != len(others):
        return False
    same = overlap(boxes, others) >= _SAME_IOU
    return bool((same.sum(axis=0) == 1).all() and (same.sum(axis=1) == 1).all())


def _aside(quick: Faces, faces: Faces) -> NDArray[np.float64]:
    """Return how far each point lies aside in the quick search, ``(5, 2)``, in heights of a face.

    The mean over all faces of two searches that found the same ones.
    """
    if not len(faces):
        return np.zeros((len(LANDMARKS), 2))
    same = overlap(quick.box, faces.box).argmax(axis=1)
    apart = (quick.landmarks - faces.landmarks[same]) / quick.box[:, 3, None, None]
    return np.asarray(apart.sum(axis=0) / (len(faces) + _IN_PLACE), np.float64)


def _are_near(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    """Say whether as many boxes lie where the others do: one face's height away at most."""
    if len(boxes) != len(others):
        return False
    middles, places = boxes[:, :2] + boxes[:, 2:] / 2, others[:, :2] + others[:, 2:] / 2
    apart = np.linalg.norm(middles[:, None] - places[None], axis=2)
    near = apart <= np.maximum(boxes[:, 3], 1)[:, None]
    return bool(near.any(axis=0).all() and near.any(axis=1).all())


def _reading_order(boxes: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the order of boxes by rows, and from the left within a row.

    A new row begins where the next face down is lower by half a face.
    """
    left, top, _, height = boxes.T
    middle = top + height / 2
    down = np.lexsort((left, middle))
    steps = np.diff(middle[down], prepend=middle[down[:1]])
    row = np.zeros(len(boxes), np.intp)
    if len(boxes):
        row[down] = np.cumsum(steps > np.median(height) / 2)
    return np.lexsort((top, left, row))


class YuNet:
    """YuNet at the sizes the settings ask for; safe to share between threads.

    Args:
        settings: score threshold, overlap and the size at which a frame is searched.
        threads: threads of its runtime; None for every core.

    Raises:
        AssetMissing, AssetCorrupt: the weights are not there or not the published ones.
    """

    def __init__(self, settings: Detection, *, threads: int | None = None) -> None:
        self._settings = settings
        self._network = Network(
            assets.yunet(),
            min_score=settings.min_score,
            nms_iou=settings.nms_iou,
            threads=threads,
        )

    def detect(self, frame: Frame) -> Faces:
        """Find the faces of one frame.

        Args:
            frame: the picture as shown.

        Returns:
            Boxes, scores and landmarks in pixels of ``frame``; empty if there is no face.
        """
        found = self._search(frame.planes, self._settings.longest_side_px)
        smallest = found[:, 3].min() if len(found) else 0.0
        shrunk = max(frame.planes.size_px) > self._settings.longest_side_px
        if shrunk and smallest < self._settings.small_face_px:
            found = self._search(frame.planes, self._settings.longest_side_small_px)
        return self._faces(frame, found)

    def detect_at(self, frame: Frame, longest_side_px: int) -> Faces:
        """Find the faces of one frame at one size only."""
        return self._faces(frame, self._search(frame.planes, longest_side_px))

    def _faces(self, frame: Frame, found: NDArray[np.float64]) -> Faces:
        if len(found) > self._settings.max_faces:
            # A pattern may look like a thousand faces; every one would be followed and read.
            surest = np.argsort(-found[:, 14], kind="stable")[: self._settings.max_faces]
            found = found[surest]
        # This makes the result independent of the network's own ordering by score.
        found = found[_reading_order(found[:, :4])]
        return Faces.unread(
            frame.sample,
            found[:, :4],
            np.clip(found[:, 14], 0, 1),
            found[:, 4:14].reshape(-1, len(LANDMARKS), 2),
        )

    def _search(self, planes: Planes, longest_side_px: int) -> NDArray[np.float64]:
        """Return the network's rows (box, five points, score), in pixels of the picture."""
        scale = min(1.0, longest_side_px / max(planes.size_px))
        width, height = (max(1, round(side * scale)) for side in planes.size_px)
        found = self._network.search(planes.image((width, height))).astype(np.float64)
        found[:, :14] /= scale
        return found
