"""Opens a JPEG that a stranger sent: its header is read before anything of it is decoded.

Only what a browser's canvas writes is taken: a baseline picture, whole, of a size that is expected.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core.errors import InputError

MOST_BYTES: Final = 2_000_000
"""Largest file taken: several times what a canvas makes of 1280 x 720 pixels."""

MOST_PIXELS: Final = 1920 * 1200
"""Most pixels of a picture taken."""

_BASELINE: Final = frozenset({0xC0, 0xC1})
_OTHER_FRAMES: Final = frozenset(range(0xC2, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def open_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture of a live camera.

    Args:
        data: the file.

    Returns:
        ``(height, width, 3)`` blue-green-red.

    Raises:
        InputError: it is no baseline JPEG, not whole, or larger than allowed.
    """
    if len(data) > MOST_BYTES:
        raise InputError(
            f"The picture has more than {MOST_BYTES / 1e6:.0f} MB.",
            hint="Send it smaller: at most 1280 pixels wide.",
        )
    width, height = _size(data)
    if width * height > MOST_PIXELS:
        raise InputError(
            f"The picture has {width} × {height} pixels; at most {MOST_PIXELS:,} are taken.",
            hint="Send it smaller: at most 1280 pixels wide.",
        )
    image = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    # OpenCV returns None where it cannot decode, whatever its stubs say.
    if image is None or image.shape[:2] != (height, width):  # pyright: ignore[reportUnnecessaryComparison]
        raise _no_picture("it cannot be decoded")
    return np.asarray(image, np.uint8)


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height as the header has them; walk over its parts, decode none."""
    if data[:2] != b"\xff\xd8":
        raise _no_picture("it does not begin as one")
    # A decoder fills up with grey what is missing at the end.
    if data[-2:] != b"\xff\xd9":
        raise _no_picture("its end is missing")
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in _BASELINE and at + 9 <= len(data):
            height, width = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (5, 7))
            if not (width and height):
                break
            return width, height
        if kind in _OTHER_FRAMES:
            raise _no_picture("it is not a baseline one")
        if kind in _ALONE or length < 2:
            break
        at += 2 + length
    raise _no_picture("its header is damaged")


def _no_picture(why: str) -> InputError:
    return InputError(
        f"This is no JPEG that can be taken: {why}.",
        hint="Send what a browser's canvas writes as image/jpeg.",
    )
