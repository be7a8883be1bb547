"""What the product's alignment costs or gives, measured on labelled faces."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core.align import align_faces
from fer_core.detect import YuNet
from fer_core.planes import Planes
from fer_core.records import FACE_SIZE_PX, Frame
from fer_core.settings import Detection

ENLARGED: Final = 5
"""FER2013's pictures show little around the face; enlarged so, YuNet finds nearly all."""


def realigned(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Find the face of each picture anew and cut it out as the product does.

    Args:
        images: ``(n, 48, 48)`` grey.

    Returns:
        ``(n, 48, 48)`` crops, the picture itself where no face is found; and ``(n,)``, whether
        one was. Of several faces the nearest to the picture's centre counts.
    """
    detector = YuNet(Detection())  # pyright: ignore[reportCallIssue]
    crops, found = images.copy(), np.zeros(len(images), np.bool_)
    side = FACE_SIZE_PX * ENLARGED
    for row, image in enumerate(images):
        large = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
        coloured = np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)
        frame = Frame(row, Fraction(row), Planes.of_image(coloured))
        faces = detector.detect(frame)
        if len(faces):
            middles = faces.box[:, :2] + faces.box[:, 2:] / 2
            nearest = int(np.hypot(*(middles - side / 2).T).argmin())
            crops[row] = align_faces(large, faces.landmarks[[nearest]])[0]
            found[row] = True
    return crops, found
