"""Varies training faces the way class recordings do; reading and batching live elsewhere."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

ROTATION_DEG: Final = 15.0
SCALE: Final = (0.85, 1.18)
SHIFT_PX: Final = 4.0
CONTRAST: Final = (0.7, 1.35)
BRIGHTNESS: Final = 30.0
SHRUNK_PX: Final = (24, 40)
BLUR_SIGMA_PX: Final = (0.4, 1.2)
JPEG_QUALITY: Final = (25, 80)
CUTOUT_PX: Final = (8, 20)

FLIP_SHARE: Final = 0.5
SHRUNK_SHARE: Final = 0.25
BLUR_SHARE: Final = 0.12
JPEG_SHARE: Final = 0.12
CUTOUT_SHARE: Final = 0.35


def augmented(
    images: NDArray[np.uint8], rng: np.random.Generator, share: float = 1.0
) -> NDArray[np.uint8]:
    """Return one variation of each face.

    Flips half of them. Rotates, scales, shifts, changes contrast and brightness of every face
    chosen; shrinks some to the size of a face in a gallery tile and back, blurs some, compresses
    some, covers a part of some.

    Args:
        images: ``(n, size, size)`` uint8, grey; left as they are.
        rng: the only source of chance.
        share: of the faces that are varied in more ways than flipping.
    """
    return np.stack([_varied(image, rng, share) for image in images])


def _varied(image: NDArray[np.uint8], rng: np.random.Generator, share: float) -> NDArray[np.uint8]:
    size = int(image.shape[0])
    centre = (size - 1) / 2
    if rng.random() < FLIP_SHARE:
        image = image[:, ::-1]
    # No draw where every face is varied: trainings of before the share existed repeat exactly.
    if share < 1 and rng.random() >= share:
        return image
    warp = cv2.getRotationMatrix2D(
        (centre, centre), rng.uniform(-ROTATION_DEG, ROTATION_DEG), rng.uniform(*SCALE)
    )
    warp[:, 2] += rng.uniform(-SHIFT_PX, SHIFT_PX, 2)
    varied = cv2.warpAffine(
        np.ascontiguousarray(image), warp, (size, size), borderMode=cv2.BORDER_REPLICATE
    )
    if rng.random() < SHRUNK_SHARE:
        small = int(rng.integers(SHRUNK_PX[0], SHRUNK_PX[1] + 1))
        varied = cv2.resize(varied, (small, small), interpolation=cv2.INTER_AREA)
        varied = cv2.resize(varied, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < BLUR_SHARE:
        varied = cv2.GaussianBlur(varied, (0, 0), rng.uniform(*BLUR_SIGMA_PX))
    if rng.random() < JPEG_SHARE:
        quality = int(rng.integers(*JPEG_QUALITY))
        _, packed = cv2.imencode(".jpg", varied, [cv2.IMWRITE_JPEG_QUALITY, quality])
        varied = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
    mean = float(varied.mean())
    varied = cv2.convertScaleAbs(
        np.clip(
            (varied.astype(np.float32) - mean) * rng.uniform(*CONTRAST)
            + mean
            + rng.uniform(-BRIGHTNESS, BRIGHTNESS),
            0,
            255,
        )
    )
    if rng.random() < CUTOUT_SHARE:
        height = int(rng.integers(CUTOUT_PX[0], CUTOUT_PX[1] + 1))
        width = int(rng.integers(CUTOUT_PX[0], CUTOUT_PX[1] + 1))
        top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
        varied[top : top + height, left : left + width] = rng.integers(0, 256)
    return np.asarray(varied, np.uint8)
