"""Finds faces in a frame: the detector protocol and YuNet, its only implementation.

The only file that knows ``cv2.FaceDetectorYN``. Which faces are worth reading is decided later.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core import assets
from fer_core.records import LANDMARKS, Faces, Frame
from fer_core.settings import Detection

# Twice the grid of YuNet's coarsest stride (32 px): below that the network has nothing to look at.
_LEAST_SIDE_PX = 64


class FaceDetector(Protocol):
    """Anything that finds the faces of a frame."""

    def detect(self, frame: Frame) -> Faces:
        """Return the faces of one frame, in its own pixels, from the top left in reading order."""
        ...


class YuNet:
    """YuNet 2023mar (Wu et al. 2023), run by OpenCV; not safe to share between threads.

    Args:
        settings: score threshold, overlap and the size at which a frame is searched.

    Raises:
        AssetMissing, AssetCorrupt: the weights are not there or not the published ones.
    """

    def __init__(self, settings: Detection) -> None:
        self._settings = settings
        self._network = cv2.FaceDetectorYN.create(
            str(assets.yunet()),
            "",
            (320, 320),
            settings.min_score,
            settings.nms_iou,
        )
        self._size = (0, 0)

    def detect(self, frame: Frame) -> Faces:
        """Find the faces of one frame.

        Args:
            frame: the picture as shown.

        Returns:
            Boxes, scores and landmarks in pixels of ``frame``; empty if there is no face.
        """
        found = self._search(frame.image, self._settings.longest_side_px)
        smallest = found[:, 3].min() if len(found) else 0.0
        shrunk = max(frame.image.shape) > self._settings.longest_side_px
        if shrunk and smallest < self._settings.small_face_px:
            found = self._search(frame.image, self._settings.longest_side_small_px)
        if len(found) > self._settings.max_faces:
            # A pattern may look like a thousand faces; every one would be followed and read.
            surest = np.argsort(-found[:, 14], kind="stable")[: self._settings.max_faces]
            found = found[surest]
        # Reading order makes the result independent of the network's own ordering by score.
        found = found[np.lexsort((found[:, 0], found[:, 1]))]
        return Faces.unread(
            frame.sample,
            found[:, :4],
            np.clip(found[:, 14], 0, 1),
            found[:, 4:14].reshape(-1, len(LANDMARKS), 2),
        )

    def _search(self, image: NDArray[np.uint8], longest_side_px: int) -> NDArray[np.float64]:
        """Return YuNet's rows (box, five points, score), in pixels of ``image``."""
        scale = min(1.0, longest_side_px / max(image.shape))
        if scale < 1:
            size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        below, beside = (max(0, _LEAST_SIDE_PX - side) for side in image.shape[:2])
        if below or beside:
            border = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT)
            image = np.asarray(border, np.uint8)
        height, width = image.shape[:2]
        if (width, height) != self._size:
            self._network.setInputSize((width, height))
            self._size = (width, height)
        _, rows = self._network.detect(image)
        # OpenCV returns None, not an empty array, when there is no face, whatever its stubs say.
        nothing = rows is None  # pyright: ignore[reportUnnecessaryComparison]
        found = np.asarray(np.zeros((0, 15)) if nothing else rows, np.float64)
        found = found[np.isfinite(found).all(axis=1)]
        found[:, :14] /= scale
        return found
