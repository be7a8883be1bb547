"""One picture, read while its sender waits: a few at a time, and nothing of it is kept."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core import audit
from fer_core.picture import PictureReader, Reading
from fer_core.records import EMOTIONS, LANDMARKS
from fer_core.settings import Settings
from fer_core.store import Store
from fer_core.web.shapes import FaceShape, PictureShape
from fer_core.web.turns import Turns
from fer_core.web.uploads import open_picture

_AT_ONCE: Final = 2
_WAITING: Final = 6


class PictureDesk:
    """Reads pictures for everybody: two are open at once, a few wait, more are sent away.

    Models are loaded for the first picture.

    Args:
        settings: all settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._store = settings, Store(settings.out)
        self._reader: PictureReader | None = None
        self._making = threading.Lock()
        self._turns = Turns(_AT_ONCE, _WAITING, "pictures")

    def read(self, data: bytes) -> tuple[NDArray[np.uint8], Reading, PictureShape]:
        """Decode and read a picture; note in the audit log that one was tried.

        Args:
            data: the file.

        Returns:
            the picture, what was seen, and the same for the API.

        Raises:
            Problem: it cannot be taken, or there are too many.
            PolicyError: no jurisdiction is set.
            EnvironmentProblem: the models are not in order.
        """
        with self._turns.taken():
            reader = self.reader()
            image = open_picture(data, self._settings.web.max_image_pixels)
            seen = reader.read(image)
        gate = reader.permission
        audit.note(self._store.root, "tried", what="picture", mode=gate.mode, ground=gate.reason)
        return image, seen, self._shape(reader, seen)

    def reader(self) -> PictureReader:
        """Return the one reader, made when it is needed first.

        Raises:
            PolicyError: no jurisdiction is set.
        """
        with self._making:
            if self._reader is None:
                self._reader = PictureReader(self._settings)
            return self._reader

    def _shape(self, reader: PictureReader, seen: Reading) -> PictureShape:
        return PictureShape(
            width=seen.size_px[0],
            height=seen.size_px[1],
            mode=reader.permission.mode,
            ground=reader.permission.reason,
            model=reader.model.name if reader.model else None,
            least_face_px=self._settings.classification.min_face_px,
            faces=[face_shape(seen, k) for k in range(len(seen.faces))],
        )


def face_shape(seen: Reading, k: int) -> FaceShape:
    """Return one face of a picture for the API, by its number."""
    left, top, width, height = (round(value, 1) for value in seen.faces.box[k].tolist())
    points = [(round(x, 1), round(y, 1)) for x, y in seen.faces.landmarks[k].tolist()]
    probs = seen.faces.probs[k]
    read = bool(np.isfinite(probs).all())
    return FaceShape(
        left=left,
        top=top,
        width=width,
        height=height,
        score=round(float(seen.faces.score[k]), 3),
        landmarks=dict(zip(LANDMARKS, points, strict=True)),
        facing=round(float(seen.facing[k]), 3),
        counted=seen.uncounted[k] is None,
        uncounted=seen.uncounted[k],
        expressions=dict(zip(EMOTIONS, map(float, probs), strict=True)) if read else None,
    )
