"""A picture as video holds it: full-size luma, which is its grey picture, and smaller chroma.

Faces are compared, cut out and read in grey; only the search for them needs colours, and mostly at
half the size. So a recording's pictures are seldom converted whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = Literal["bt601", "bt709"]
"""How luma and chroma stand for colours, by the ITU-R's recommendation."""

NO_COLOUR: Final = 128
"""Chroma of anything grey."""

# Luma's share of red and of blue (ITU-R BT.601 and BT.709); green has the rest.
_SHARES: Final[dict[Matrix, tuple[float, float]]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
}
# In video luma goes from 16 to 235 and chroma from 16 to 240.
_BLACK: Final = 16
_LUMA_LEVELS: Final = 219
_CHROMA_LEVELS: Final = 224
_GREY_LEVELS: Final = 255


def _to_colours(matrix: Matrix) -> NDArray[np.float64]:
    """Return what makes blue, green, red of grey, blue and red chroma and 1: ``(3, 4)``."""
    red, blue = _SHARES[matrix]
    green = 1 - red - blue
    of_blue, of_red = (2 * (1 - share) * _GREY_LEVELS / _CHROMA_LEVELS for share in (blue, red))
    mixed = np.array(
        [[of_blue, 0], [-of_blue * blue / green, -of_red * red / green], [0, of_red]], np.float64
    )
    grey, offset = np.ones((3, 1)), -NO_COLOUR * mixed.sum(axis=1, keepdims=True)
    return np.hstack([grey, mixed, offset])


_TO_COLOURS: Final = {matrix: _to_colours(matrix) for matrix in _SHARES}
_SQUARE: Final = np.vstack([_TO_COLOURS["bt601"], [0, 0, 0, 1]])
_TO_CHROMA: Final = np.linalg.inv(_SQUARE)[1:3]


@dataclass(frozen=True, slots=True)
class Planes:
    """One picture.

    Attributes:
        grey: ``(height, width)`` uint8, from black 0 to white 255.
        blue, red: chroma, uint8, 128 where there is no colour; both of one size, of any.
        matrix: how the three stand for colours.
    """

    grey: NDArray[np.uint8]
    blue: NDArray[np.uint8]
    red: NDArray[np.uint8]
    matrix: Matrix = "bt601"

    @classmethod
    def of_video(cls, data: NDArray[np.uint8], size_px: tuple[int, int], matrix: Matrix) -> Self:
        """Return a picture as ffmpeg writes it (``yuv420p``, the levels of video).

        Args:
            data: ``(bytes_of_video(size_px),)``; the chroma stays part of it.
            size_px: width and height.
            matrix: of the video.
        """
        (width, height), (wide, high) = size_px, _chroma_px(size_px)
        luma = data[: width * height].reshape(height, width)
        blue, red = data[width * height :].reshape(2, high, wide)
        scale = _GREY_LEVELS / _LUMA_LEVELS
        grey = np.asarray(cv2.addWeighted(luma, scale, luma, 0, -_BLACK * scale), np.uint8)
        return cls(grey, blue, red, matrix)

    @classmethod
    def of_image(cls, image: NDArray[np.uint8]) -> Self:
        """Return a picture of ``(height, width, 3)`` blue-green-red.

        Raises:
            ValueError: it has another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be (h, w, 3) uint8, got {image.shape} {image.dtype}")
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        blue, red = cv2.split(cv2.transform(image, _TO_CHROMA))
        return cls(grey, np.asarray(blue, np.uint8), np.asarray(red, np.uint8))

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.grey.shape[1], self.grey.shape[0]

    def image(self, size_px: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the picture in colours, ``(height, width, 3)`` blue-green-red.

        Args:
            size_px: width and height of what is returned; None for the picture's own.
        """
        given = (self.grey, self.blue, self.red)
        planes = [_resized(plane, size_px or self.size_px) for plane in given]
        colours = cv2.transform(cv2.merge(planes), _TO_COLOURS[self.matrix])
        return np.asarray(colours, np.uint8)


def bytes_of_video(size_px: tuple[int, int]) -> int:
    """Return how many bytes ``Planes.of_video`` takes for a picture of this width and height."""
    wide, high = _chroma_px(size_px)
    return size_px[0] * size_px[1] + 2 * wide * high


def _chroma_px(size_px: tuple[int, int]) -> tuple[int, int]:
    return (size_px[0] + 1) // 2, (size_px[1] + 1) // 2


def _resized(plane: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = plane.shape
    if size_px == (width, height):
        return plane
    shrinks = size_px[0] < width
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size_px, interpolation=way), np.uint8)
