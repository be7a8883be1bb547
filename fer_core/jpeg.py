"""Opens a JPEG that a stranger sent: its header is read before anything of it is decoded.

Only what a browser's canvas writes is taken: a baseline picture, whole, of a size that is expected.
"""

from __future__ import annotations

import io
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_core.errors import InputError

# We look at the size ourselves, before a pixel is decoded; Pillow would only warn.
Image.MAX_IMAGE_PIXELS = None

MOST_BYTES: Final = 1_000_000
"""Largest file taken: several times what a canvas makes of 1280 x 720 pixels."""

MOST_PIXELS: Final = 1920 * 1200
"""Most pixels of a picture taken."""


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
    """Return width and height as the header has them; decode nothing."""
    # A decoder fills up with grey what is missing at the end, and does not see what is behind it.
    if not data.endswith(b"\xff\xd9"):
        raise _no_picture("its end is missing, or something is behind it")
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            size, progressive = picture.size, "progressive" in picture.info
    except Exception as error:  # whatever a damaged header makes of Pillow, it means the same
        raise _no_picture("its header cannot be read") from error
    # Of a progressive one a few bytes can make a decoder work for minutes.
    if progressive:
        raise _no_picture("it is a progressive one")
    return size


def _no_picture(why: str) -> InputError:
    return InputError(
        f"This is no JPEG that can be taken: {why}.",
        hint="Send what a browser's canvas writes as image/jpeg.",
    )
