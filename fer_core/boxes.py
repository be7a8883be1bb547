"""Boxes in a picture against each other; what is in them is not known here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAST_AREA = 1e-9


def overlap(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return intersection over union of every box with every other.

    Args:
        boxes: ``(n, 4)``: left, top, width and height, in any unit.
        others: ``(m, 4)``, in the same unit.

    Returns:
        ``(n, m)``, 0 to 1; 0 for boxes without any area.
    """
    a, b = boxes[:, None, :], others[None, :, :]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = np.maximum(high - low, 0).prod(axis=-1)
    whole = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - common
    return np.asarray(common / np.maximum(whole, _LEAST_AREA), np.float32)
