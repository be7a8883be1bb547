"""A camera for tests: the bundled class as the JPEG pictures that a browser would send."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core import video
from fer_core.records import Segment
from fer_core.settings import Settings
from tests import clips, factories

EXAMPLE: Final = next((Path(__file__).parent.parent / "examples").rglob("*.mp4"))
RATE_HZ: Final = 2
PEOPLE: Final = 9


def jpeg(image: NDArray[np.uint8], quality: int = 80) -> bytes:
    """Encode a picture as a browser's canvas does."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


@cache
def pictures() -> tuple[bytes, ...]:
    """Return the first 12 s of the bundled class, two pictures a second: nine people."""
    ffmpeg, limits = video.find_ffmpeg(None), clips.LIMITS
    part = Segment(0, 0, 12)
    with video.Sampler(clips.look(EXAMPLE), part, RATE_HZ, ffmpeg, limits) as frames:
        return tuple(jpeg(frame.planes.image()) for frame in frames)


def settings(out: Path, **sections: Any) -> Settings:
    """Return settings under which a camera may be read, with some changed."""
    given = {"deployment": {"jurisdiction": "IN"}, "run": {"min_free_mb": 0}} | sections
    return factories.settings(**given).model_copy(update={"out": out})
