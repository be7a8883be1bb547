"""Tells pictures of faces from people: a portrait on the wall or a camera-off photo never moves.

How much a face's pixels change is measured while frames are there; which tracks are pictures is
decided when all of a recording is known.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core.records import Observations
from fer_core.track import Tracks

STILL_S: Final = 20
"""A face must be seen for so long before it can be called a picture, seconds."""

STILL_GREY: Final = 1.5
"""Most that a picture changes within a second, in grey levels of 255: what compression and
flicker do. People breathe, blink and sway: measured on the bundled class in
``docs/privacy.md``."""

_SHARE: Final = 90
_GRID_PX: Final = 24


def change(
    before: NDArray[np.uint8] | None, grey: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how much the picture changed inside each box since a second before, ``(n,)``.

    The mean difference in grey levels, 0 to 255, after both were shrunk to 24 x 24: what is left
    is movement and light, not noise. NaN without a picture before.

    Args:
        before: the picture of a second before, of the same size; None if there is none.
        grey: ``(height, width)`` the picture.
        boxes: ``(n, 4)`` left, top, width, height, pixels.
    """
    result = np.full(len(boxes), np.nan, np.float32)
    if before is None or before.shape != grey.shape:
        return result
    height, width = grey.shape
    for k, (left, top, wide, high) in enumerate(boxes.tolist()):
        x, y = max(0, int(left)), max(0, int(top))
        part = np.s_[y : min(height, int(top + high) + 1), x : min(width, int(left + wide) + 1)]
        if grey[part].size:
            one, other = (
                cv2.resize(picture[part], (_GRID_PX, _GRID_PX), interpolation=cv2.INTER_AREA)
                for picture in (before, grey)
            )
            result[k] = cv2.norm(one, other, cv2.NORM_L1) / _GRID_PX**2
    return result


def still_tracks(observations: Observations, tracks: Tracks) -> NDArray[np.bool_]:
    """Return which tracks show a picture of a face, ``(tracks,)``.

    Only samples count in which the track was seen a second before, too: when a photo appears,
    everything changes.
    """
    faces, rate_hz = observations.faces, observations.rate_hz
    order = np.lexsort((faces.sample, tracks.track))
    track, sample = tracks.track[order], faces.sample[order]
    # One number for each track and sample: a second before is another one, if there at all.
    place = track.astype(np.int64) * (int(sample.max(initial=0)) + 1 + rate_hz) + sample
    goes_on = np.isin(place - rate_hz, place)
    changed = faces.change[order]
    counts = goes_on & np.isfinite(changed)
    still = np.zeros(tracks.count, np.bool_)
    bounds = np.searchsorted(track, np.arange(tracks.count + 1))
    for k in range(tracks.count):
        part = slice(bounds[k], bounds[k + 1])
        values = changed[part][counts[part]]
        if len(values) >= STILL_S * rate_hz:
            still[k] = np.percentile(values, _SHARE) < STILL_GREY
    return still


def without(
    observations: Observations, tracks: Tracks, left: NDArray[np.bool_]
) -> tuple[Observations, Tracks]:
    """Return observations and tracks without some tracks; the others are numbered anew.

    Args:
        observations: all faces of the recording.
        tracks: of these faces.
        left: ``(tracks.count,)`` which tracks are left out.
    """
    if not left.any():  # nearly always: what was seen of a long recording is not copied for nothing
        return observations, tracks
    keep = ~left[tracks.track] if tracks.count else np.zeros(0, np.bool_)
    number = np.cumsum(~left, dtype=np.int32) - 1
    return observations.with_faces(keep), Tracks(
        number[tracks.track[keep]].astype(np.int32), int((~left).sum()), tracks.layout_changes
    )
