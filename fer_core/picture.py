"""Reads one picture: the faces in it, what each shows, and whether a lecture would count it.

What a recording's pictures amount to is ``segment``'s and ``engagement``'s work.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fer_core import align, assets, engagement, exclude, policy, segment
from fer_core.assets import ModelAsset
from fer_core.detect import YuNet
from fer_core.planes import Planes
from fer_core.records import Faces, Frame
from fer_core.settings import Classification, Settings

Uncounted = Literal["presence", "small", "turned", "unclear"]
"""Why a face would not count: expressions may not be read here, it is too low, it is turned away,
or no expression is likely enough."""

_START: Final = Fraction(0)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen in one picture.

    Attributes:
        size_px: its width and height.
        faces: in its pixels, in reading order; NaN probabilities where nothing was read.
        facing: ``(n,)`` how directly each is turned to the camera, 0 to 1.
        uncounted: why each would not count in a lecture's tables; None for those that would.
    """

    size_px: tuple[int, int]
    faces: Faces
    facing: NDArray[np.float32]
    uncounted: tuple[Uncounted | None, ...]


class PictureReader:
    """Reads pictures as the nightly job reads frames; one at a time, from any thread.

    Args:
        settings: all settings; what may be read is decided from them before any model is loaded.

    Raises:
        PolicyError: no jurisdiction is set.
        AssetMissing, AssetCorrupt: weights are not in order.
    """

    def __init__(self, settings: Settings) -> None:
        self.permission = policy.permission(settings.deployment, synthetic=False)
        self.model = assets.permitted(self.permission, settings.classification)
        self._settings = settings
        self._detector = YuNet(settings.detection)
        self._turn = threading.Lock()

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """Find the faces of a picture and read their expressions, if the mode allows.

        Args:
            image: ``(height, width, 3)`` blue-green-red.
        """
        height, width = image.shape[:2]
        left_out = self._settings.privacy.exclude
        image = exclude.black_out(image, left_out, 0)
        with self._turn:
            planes = Planes.of_image(image)
            faces = self._detector.detect(Frame(0, _START, planes))
            faces = faces.only(exclude.uncovered(faces.box, left_out, 0, (width, height)))
            return read_faces(faces, planes.grey, self.model, self._settings.classification)


def read_faces(
    faces: Faces, grey: NDArray[np.uint8], model: ModelAsset | None, settings: Classification
) -> Reading:
    """Read the expressions of the faces found in a picture, and say which would count.

    Args:
        faces: of one picture.
        grey: ``(height, width)`` the picture.
        model: the expression model; None in presence mode.
        settings: what is large and sure enough.
    """
    large = faces.box[:, 3] >= settings.min_face_px
    if model is not None and large.any():
        reads = segment.classifier(model, mirror=settings.mirror)
        probs = faces.probs.copy()
        probs[large] = reads.classify(align.align_faces(grey, faces.landmarks[large]))
        faces = replace(faces, probs=probs)
    facing = engagement.facing(faces.landmarks)
    why = _uncounted(faces, facing, settings, reads=model is not None)
    return Reading((grey.shape[1], grey.shape[0]), faces, facing, why)


def _uncounted(
    faces: Faces, facing: NDArray[np.float32], settings: Classification, *, reads: bool
) -> tuple[Uncounted | None, ...]:
    counts = engagement.readable(faces.box[:, 3], facing, faces.probs, settings)
    why: list[Uncounted | None] = []
    for height, turn, counted in zip(faces.box[:, 3], facing, counts, strict=True):
        if height < settings.min_face_px:
            why.append("small")
        elif turn < settings.min_facing:
            why.append("turned")
        elif not reads:
            why.append("presence")
        else:
            why.append(None if counted else "unclear")
    return tuple(why)
