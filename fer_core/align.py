"""Cuts faces out of a frame the way the models know them; reading them is ``classify``'s work.

Geometry only: no model, no file.
"""

# NumPy's complex scalars are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core.records import FACE_SIZE_PX

TEMPLATE_PX: Final = np.array(
    [[14.9, 17.9], [32.5, 17.9], [23.7, 28.4], [16.7, 35.9], [31.0, 35.9]], np.float64
)
"""Where the five points lie in FER2013's pictures: the medians over the 2,901 faces that YuNet
finds in 3,000 training pictures enlarged fivefold."""

_LEAST_SCALE: Final = 1e-6


def align_faces(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut faces out as the models know them: upright, eyes and mouth where FER2013 has them.

    A similarity transform, least squares over the five points (Umeyama 1991). Faces larger than
    the crop are shrunk by area first, so that the warp does not alias; beyond the frame's border
    its last pixels go on.

    Args:
        image: ``(height, width, 3)`` the whole frame at native resolution, blue-green-red.
        landmarks: ``(n, 5, 2)`` in pixels of ``image``, in the order of ``records.LANDMARKS``.

    Returns:
        ``(n, 48, 48)`` grey crops.
    """
    crops = np.zeros((len(landmarks), FACE_SIZE_PX, FACE_SIZE_PX), np.uint8)
    for crop, points in zip(crops, landmarks.astype(np.float64), strict=True):
        crop[:] = _align(image, points)
    return crops


def _align(image: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.uint8]:
    matrix = _similarity(points, TEMPLATE_PX)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    # The face's surroundings, wide enough for any rotation of the crop.
    corners = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]) * (FACE_SIZE_PX - 1)
    inside = np.linalg.solve(matrix[:, :2], corners - matrix[:, 2:])
    low = np.floor(inside.min(axis=1)).astype(int) - 2
    high = np.ceil(inside.max(axis=1)).astype(int) + 3
    x0, y0 = np.clip(low, 0, [image.shape[1] - 1, image.shape[0] - 1])
    x1, y1 = np.clip(high, [x0 + 1, y0 + 1], [image.shape[1], image.shape[0]])
    part = np.asarray(cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY), np.uint8)
    shift = np.array([[1.0, 0.0, x0], [0.0, 1.0, y0], [0.0, 0.0, 1.0]])
    full = np.vstack([matrix, [0.0, 0.0, 1.0]]) @ shift
    if scale < 1:
        size = [max(1, round(side * scale)) for side in part.shape[::-1]]
        step = np.array([part.shape[1] / size[0], part.shape[0] / size[1]])
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        # Pixel centres: x_large = (x_small + 0.5) * step - 0.5.
        offset = step / 2 - 0.5
        full = full @ np.array([[step[0], 0, offset[0]], [0, step[1], offset[1]], [0, 0, 1.0]])
    size_px = (FACE_SIZE_PX, FACE_SIZE_PX)
    crop = cv2.warpAffine(
        part, full[:2], size_px, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def _similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ``(2, 3)`` rotation, scale and shift that best brings source onto target."""
    # As complex numbers a similarity is z -> a z + b, and least squares gives a directly.
    z = (source - source.mean(axis=0)) @ np.array([1, 1j])
    w = (target - target.mean(axis=0)) @ np.array([1, 1j])
    a = complex(np.vdot(z, w) / max(float(np.vdot(z, z).real), 1e-9))
    if abs(a) < _LEAST_SCALE:  # five points in one place: no face, but no crash either
        a = 1.0 + 0j
    turn = np.array([[a.real, -a.imag], [a.imag, a.real]])
    return np.column_stack([turn, target.mean(axis=0) - turn @ source.mean(axis=0)])
