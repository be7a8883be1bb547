"""Cuts faces out of a frame the way the models know them; reading them is ``classify``'s work.

Geometry only: no model, no file.
"""

# NumPy's complex numbers are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

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
_CROP_PX: Final = (FACE_SIZE_PX, FACE_SIZE_PX)


def align_faces(grey: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut faces out as the models know them: upright, eyes and mouth where FER2013 has them.

    A similarity transform, least squares over the five points (Umeyama 1991). Faces larger than
    the crop are shrunk by area first, so that the warp does not alias; beyond the frame's border
    its last pixels go on.

    Args:
        grey: ``(height, width)`` the whole frame at native resolution.
        landmarks: ``(n, 5, 2)`` in pixels of ``grey``, in the order of ``records.LANDMARKS``.

    Returns:
        ``(n, 48, 48)`` grey crops.
    """
    crops = np.zeros((len(landmarks), *_CROP_PX), np.uint8)
    turns, shifts = similarities(landmarks)
    # The faces' surroundings, wide enough for any rotation of the crop.
    corners = np.array([0, 1, 1j, 1 + 1j]) * (FACE_SIZE_PX - 1)
    inside = (corners - shifts[:, None]) / turns[:, None]
    low_x, low_y = np.floor(inside.real.min(axis=1)) - 2, np.floor(inside.imag.min(axis=1)) - 2
    high_x, high_y = np.ceil(inside.real.max(axis=1)) + 3, np.ceil(inside.imag.max(axis=1)) + 3
    height, width = grey.shape
    x0, y0 = np.clip(low_x, 0, width - 1).astype(int), np.clip(low_y, 0, height - 1).astype(int)
    x1 = np.clip(high_x, x0 + 1, width).astype(int)
    y1 = np.clip(high_y, y0 + 1, height).astype(int)
    for k, crop in enumerate(crops):
        part = grey[y0[k] : y1[k], x0[k] : x1[k]]
        crop[:] = _warped(part, complex(turns[k]), complex(shifts[k]), complex(x0[k], y0[k]))
    return crops


def similarities(
    landmarks: NDArray[np.float32],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the rotations, scales and shifts that best bring faces onto the template.

    As complex numbers: a point ``z = x + iy`` comes to ``turn * z + shift``, and least squares
    gives both directly.

    Args:
        landmarks: ``(n, 5, 2)`` pixels.

    Returns:
        turns and shifts, ``(n,)`` each.
    """
    points = landmarks.astype(np.float64) @ np.array([1, 1j])
    target = TEMPLATE_PX @ np.array([1, 1j])
    middle = points.mean(axis=1)
    z, w = points - middle[:, None], target - target.mean()
    turns = (z.conj() * w).sum(axis=1) / np.maximum((z * z.conj()).sum(axis=1).real, 1e-9)
    turns[abs(turns) < _LEAST_SCALE] = 1  # five points in one place: no face, but no crash either
    return turns, target.mean() - turns * middle


def _warped(
    part: NDArray[np.uint8], turn: complex, shift: complex, corner: complex
) -> NDArray[np.uint8]:
    """Return the crop of a face from the part of the frame around it, whose corner is given."""
    step_x = step_y = 1.0
    if abs(turn) < 1:
        size = [max(1, round(side * abs(turn))) for side in part.shape[::-1]]
        step_x, step_y = part.shape[1] / size[0], part.shape[0] / size[1]
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    # Pixel centres: x_large = (x_small + 0.5) * step - 0.5.
    origin = turn * (corner + complex(step_x / 2 - 0.5, step_y / 2 - 0.5)) + shift
    matrix = np.array(
        [
            [turn.real * step_x, -turn.imag * step_y, origin.real],
            [turn.imag * step_x, turn.real * step_y, origin.imag],
        ]
    )
    crop = cv2.warpAffine(
        part, matrix, _CROP_PX, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)
