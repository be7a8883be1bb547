"""Runs YuNet's network on ONNX Runtime: a picture in, boxes, points and scores out.

Only this room knows how YuNet is asked. At which size a frame is searched is ``detect``'s business.
"""

# ONNX Runtime is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fer_core.errors import AssetCorrupt

_STRIDES_PX: Final = (8, 16, 32)
_POINTS: Final = 5
_ROW: Final = 4 + 2 * _POINTS + 1
# How the published file writes its two sides of 640 px, and how it would write a side of any length
# with a name: the same number of bytes, so that nothing else in the file moves.
_FIXED: Final = b"\x0a\x03\x08\x80\x05"
_FREE: Final = (b"\x0a\x03\x12\x01h", b"\x0a\x03\x12\x01w")
_ERRORS_ONLY: Final = 3


class Network:
    """YuNet 2023mar (Wu et al. 2023), decoded as OpenCV does; safe to share between threads.

    Args:
        weights: the published ONNX file.
        min_score: least confidence, 0 to 1.
        nms_iou: overlap above which two boxes are one face.
        threads: of the runtime; None for every core.

    Raises:
        AssetCorrupt: the file is not the published one.
    """

    def __init__(
        self, weights: Path, *, min_score: float, nms_iou: float, threads: int | None = None
    ) -> None:
        self._min_score, self._nms_iou = min_score, nms_iou
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        # Pictures of another size than the file's own are no mistake.
        options.log_severity_level = _ERRORS_ONLY
        # Frames come in several sizes; a plan kept for each would only hold memory.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(
            _of_any_size(weights), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [
            f"{kind}_{stride}" for stride in _STRIDES_PX for kind in ("cls", "obj", "bbox", "kps")
        ]

    def search(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the faces of a picture, the surest first.

        Args:
            image: ``(height, width, 3)`` blue-green-red.

        Returns:
            ``(n, 15)``: left, top, width, height, five points (x, y in the order of
            ``records.LANDMARKS``), all in pixels, and the score.
        """
        height, width = (_STRIDES_PX[-1] * math.ceil(n / _STRIDES_PX[-1]) for n in image.shape[:2])
        given = np.zeros((1, 3, height, width), np.float32)
        # Plane by plane: NumPy takes twice as long for all three at once.
        for plane, colour in zip(given[0], cv2.split(image), strict=True):
            plane[: image.shape[0], : image.shape[1]] = colour
        answers = [np.asarray(a) for a in self._session.run(self._outputs, {"input": given})]
        rows = np.concatenate(
            [
                self._decoded(width // stride, stride, *(a[0] for a in answers[4 * k : 4 * k + 4]))
                for k, stride in enumerate(_STRIDES_PX)
            ]
        )
        rows = rows[np.isfinite(rows).all(axis=1)]
        kept = cv2.dnn.NMSBoxes(
            rows[:, :4].tolist(), rows[:, -1].tolist(), self._min_score, self._nms_iou
        )
        return rows[np.asarray(kept, np.intp).reshape(-1)]

    def _decoded(
        self,
        columns: int,
        stride: int,
        kind: NDArray[np.float32],
        there: NDArray[np.float32],
        box: NDArray[np.float32],
        points: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return the rows of one stride: every cell of its grid tells of at most one face."""
        score = np.sqrt(np.clip(kind[:, 0], 0, 1) * np.clip(there[:, 0], 0, 1))
        cells = np.flatnonzero(score >= self._min_score)
        corner = np.stack([cells % columns, cells // columns], axis=1)
        size = np.exp(box[cells, 2:]) * stride
        middle = (corner + box[cells, :2]) * stride
        places = (points[cells].reshape(-1, _POINTS, 2) + corner[:, None]) * stride
        rows = np.empty((len(cells), _ROW), np.float32)
        rows[:, :2], rows[:, 2:4] = middle - size / 2, size
        rows[:, 4:-1], rows[:, -1] = places.reshape(-1, 2 * _POINTS), score[cells]
        return rows


def _of_any_size(weights: Path) -> bytes:
    """Return the model with free sides: the published file was written for 640 × 640 px only."""
    before, *rest = weights.read_bytes().split(_FIXED)
    if len(rest) != len(_FREE):
        raise AssetCorrupt(
            f"The face detector's file {weights.name} is not the published one.",
            hint="Install lecturepulse again.",
        )
    return before + b"".join(side + part for side, part in zip(_FREE, rest, strict=True))
