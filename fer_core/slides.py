"""Finds the seconds at which the slide, or whatever picture is shown beside the people, changed.

Looks at small grey thumbnails only, away from faces. Where people sit is ``track``'s business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core.records import THUMBNAIL_PX, Observations

# A slide stands still, becomes another one within a second, and stands still again;
# people, films and cameras do neither.
_STILL_S: Final = 3
_STILL_GREY: Final = 10
_CHANGED_GREY: Final = 18
_LEAST_SHARE: Final = 0.06
# What lies this close to a face, in its own widths and heights, is the person's tile or seat: a
# camera switched off must not look like a slide.
_AROUND_FACE: Final = 1.5
_NEAR_LAYOUT_S: Final = 2
_BLOCK_S: Final = 600
_HALVED_FROM: Final = 8


def thumbnail(grey: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Shrink a frame to ``(27, 48)`` grey levels, without the faces: it is kept in work files.

    Args:
        grey: ``(height, width)`` the picture.
        boxes: ``(n, 4)`` left, top, width, height of the faces, pixels. Slides are searched away
            from them anyway.
    """
    height, width = THUMBNAIL_PX
    small = grey
    # Halves are a tenth of the work of any other ratio; what rounding them costs is averaged away.
    while min(small.shape[0] / height, small.shape[1] / width) >= _HALVED_FROM:
        half = (small.shape[1] // 2, small.shape[0] // 2)
        small = np.asarray(cv2.resize(small, half, interpolation=cv2.INTER_AREA), np.uint8)
    small = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    for dots in _dots(boxes, (grey.shape[1], grey.shape[0]), around=0):
        small[dots] = 0
    return small


def slide_changes(
    observations: Observations, size_px: tuple[int, int], *, layout_changes: Collection[int] = ()
) -> list[int]:
    """Return the seconds in which a large enough still part of the picture became another one.

    One picture a second is looked at. The part must have stood still for three seconds before and
    after, so a film, a scrolled page or a moving camera is no slide.

    Args:
        observations: thumbnails and faces of a whole recording.
        size_px: width and height of the frames the faces were found in.
        layout_changes: seconds at which the people were rearranged; within 2 s of them nothing is
            taken for a slide.
    """
    second, first = np.unique(observations.samples // observations.rate_hz, return_index=True)
    hits: list[tuple[int, float]] = []
    # In blocks, since the differences of a whole day would take gigabytes.
    for begin in range(0, len(second), _BLOCK_S):
        block = slice(max(begin - 2 * _STILL_S, 0), begin + _BLOCK_S)
        hits += _hits(observations, size_px, second[block], first[block])
    jumps = dict(hits)
    found: list[int] = []
    for at in sorted(jumps):
        # A sudden change shows at the seconds on both sides of it; the largest jump is its own.
        near = [jumps.get(other, 0.0) for other in (at - 1, at + 1)]
        if jumps[at] > near[0] and jumps[at] >= near[1]:
            found.append(at)
    return [
        at
        for at in found
        if not any(abs(change - at) <= _NEAR_LAYOUT_S for change in layout_changes)
    ]


def _hits(
    observations: Observations,
    size_px: tuple[int, int],
    second: NDArray[np.int64],
    first: NDArray[np.int64],
) -> list[tuple[int, float]]:
    """Return the seconds around which a still part became another, and how far the grey jumped."""
    centres = np.arange(_STILL_S, len(second) - _STILL_S)
    # Pictures on both sides of a gap in the video say nothing about when one became the other.
    centres = centres[second[centres + _STILL_S] - second[centres - _STILL_S] == 2 * _STILL_S]
    if not len(centres):
        return []
    grey = observations.thumbnails[first].astype(np.int16)
    window = np.stack([grey[k : len(grey) - _STILL_S + 1 + k] for k in range(_STILL_S)])
    still = np.ptp(window, axis=0) <= _STILL_GREY
    level = np.median(window, axis=0).astype(np.float32)
    # The picture between the two is left out: it may have been taken in the middle of a fade.
    before, after = centres - _STILL_S, centres + 1
    changed = still[before] & still[after] & (abs(level[after] - level[before]) > _CHANGED_GREY)
    hits: list[tuple[int, float]] = []
    for k in np.flatnonzero(changed.mean(axis=(1, 2)) >= _LEAST_SHARE):
        at = int(centres[k])
        free = changed[k] & ~_near_faces(observations, size_px, int(second[at]))
        if free.mean() >= _LEAST_SHARE:
            jump = abs(np.diff(grey[at - 1 : at + 2][:, free], axis=0)).mean(axis=1)
            hits += [(int(second[at]), float(jump[0])), (int(second[at]) + 1, float(jump[1]))]
    return hits


def _near_faces(
    observations: Observations, size_px: tuple[int, int], second: int
) -> NDArray[np.bool_]:
    """Return the dots that belong to somebody seen within three seconds of a second."""
    faces = observations.faces
    low, high = second - _STILL_S, second + _STILL_S + 1
    start, stop = np.searchsorted(faces.sample, (low, high) * np.array(observations.rate_hz))
    near = np.zeros(THUMBNAIL_PX, np.bool_)
    for dots in _dots(faces.box[start:stop], size_px, around=_AROUND_FACE):
        near[dots] = True
    return near


def _dots(
    boxes: NDArray[np.float32], size_px: tuple[int, int], *, around: float
) -> Iterator[tuple[slice, slice]]:
    """Yield the part of a thumbnail that each box covers, with so many of its sizes around it."""
    scale = np.array([THUMBNAIL_PX[1] / size_px[0], THUMBNAIL_PX[0] / size_px[1]])
    corners, sizes = boxes[:, :2] * scale, boxes[:, 2:] * scale
    low = np.maximum(np.floor(corners - around * sizes), 0).astype(int).tolist()
    high = np.maximum(np.ceil(corners + (1 + around) * sizes), 0).astype(int).tolist()
    for (left, top), (right, bottom) in zip(low, high, strict=True):
        yield slice(top, bottom), slice(left, right)
