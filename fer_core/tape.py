"""Puts live pictures onto the grid of samples, the way ``video.Sampler`` does with a file.

Holds faces and thumbnails of what was sampled, and no more than two grey pictures, to see what
moved between them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core import slides, still
from fer_core.records import THUMBNAIL_PX, Faces, Observations

STALE_S: Final = 1.5
"""A picture stands for the time after it for so long; beyond that there is a gap, seconds."""


@dataclass(frozen=True, slots=True)
class _Shot:
    time_s: float
    grey: NDArray[np.uint8]
    faces: Faces


class Tape:
    """The observations of a live recording, as they come in.

    Sample ``k`` is the last picture that was taken at or before ``k / rate_hz`` seconds after the
    first one. Where none came for a while there is no sample, as in a damaged file.

    Args:
        rate_hz: samples a second.
        most_s: no more than this is taken, seconds.
    """

    def __init__(self, rate_hz: int, most_s: int) -> None:
        self._rate_hz, self._most_s = rate_hz, most_s
        self.size_px = (0, 0)
        """Width and height of the first picture; faces of others are scaled to it."""
        self._first_s: float | None = None
        self._shot: _Shot | None = None
        self._sampled: deque[tuple[int, _Shot]] = deque(maxlen=rate_hz)
        self._next = 0
        self._samples: list[int] = []
        self._faces: list[Faces] = []
        self._thumbnails: list[NDArray[np.uint8]] = []
        self.full = False
        """Whether a picture came after the last second that is taken."""

    @property
    def length_s(self) -> float:
        """Seconds from the first picture to the last."""
        return self._shot.time_s if self._shot else 0.0

    def add(self, time_s: float, grey: NDArray[np.uint8], faces: Faces) -> None:
        """Take a picture.

        Args:
            time_s: when it was taken, seconds on any clock; later than the one before.
            grey: ``(height, width)`` the picture.
            faces: those found in it.
        """
        if self._first_s is None:
            self._first_s, self.size_px = time_s, (grey.shape[1], grey.shape[0])
        time_s -= self._first_s
        if self.full or time_s >= self._most_s:
            self.full = True
            return
        self._sample_before(time_s)
        self._shot = _Shot(time_s, grey, faces)

    def end(self) -> Observations | None:
        """Return all that was seen; None if there was no picture."""
        if self._shot is None:
            return None
        end_s = self._shot.time_s
        self._sample_before(math.nextafter(end_s, math.inf))
        return Observations(
            rate_hz=self._rate_hz,
            samples=np.array(self._samples, np.int64),
            faces=Faces.concat(self._faces),
            decode_failures=0,
            content_end_s=end_s,
            thumbnails=np.array(self._thumbnails, np.uint8).reshape(-1, *THUMBNAIL_PX),
            stale=np.zeros(len(self._samples), np.bool_),  # never taken
        )

    def _sample_before(self, time_s: float) -> None:
        """Take the samples before a time, all of which the last picture stands for."""
        if (shot := self._shot) is None:
            return
        while self._next < time_s * self._rate_hz:
            if self._next > (shot.time_s + STALE_S) * self._rate_hz:
                self._next = math.ceil(time_s * self._rate_hz)
                return
            self._sample(self._next, shot)
            self._next += 1

    def _sample(self, sample: int, shot: _Shot) -> None:
        faces, second = shot.faces, self._rate_hz
        before = next((past for at, past in self._sampled if at == sample - second), None)
        # A camera may be turned, or a window made larger.
        scale = np.array(self.size_px, np.float32) / np.array(shot.grey.shape[::-1], np.float32)
        # Of the same picture nothing can be said: it must not make anybody look still.
        known = before is not None and before is not shot
        self._faces.append(
            replace(
                faces,
                sample=np.full(len(faces), sample, np.int64),
                box=faces.box * np.tile(scale, 2),
                landmarks=faces.landmarks * scale,
                change=still.change(
                    before.grey if known and before else None, shot.grey, faces.box
                ),
            )
        )
        self._samples.append(sample)
        self._thumbnails.append(slides.thumbnail(shot.grey, faces.box))
        self._sampled.append((sample, shot))
