"""What the pages of Try draw: a picture with its faces marked, and the bars of each face."""

from __future__ import annotations

import base64
from typing import Any, Final

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from fer_core.picture import Reading
from fer_core.records import EMOTIONS
from fer_core.svg import number, percent, tag
from fer_core.wording import Wording

_LONGEST_SIDE_PX: Final = 1280
_QUALITY: Final = 85


def marked_picture(image: NDArray[np.uint8], seen: Reading) -> Markup:
    """Return a picture as SVG with a box, a number and five points for each face.

    Args:
        image: ``(height, width, 3)`` blue-green-red; it goes into the page, shrunk.
        seen: its faces.
    """
    width, height = seen.size_px
    size = max(width, height) / 36
    parts = [
        tag("title", _described(seen), id="picture-title"),
        tag("desc", "Each face is numbered; the list tells what was read.", id="picture-desc"),
        tag("image", href=_as_data(image), width=width, height=height),
    ]
    for k, (left, top, wide, high) in enumerate(seen.faces.box.tolist()):
        kind = "face" if seen.uncounted[k] is None else "face uncounted"
        label = max(size, high / 6)
        parts.append(tag("rect", x=left, y=top, width=wide, height=high, class_=kind))
        parts += [
            tag("circle", cx=x, cy=y, r=max(1.5, high / 50), class_="point")
            for x, y in seen.faces.landmarks[k].tolist()
        ]
        at = {"x": left + label / 5, "y": top + label}
        parts.append(tag("text", str(k + 1), **at, font_size=number(label), class_="face-number"))
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height}",
        class_="picture",
        role="img",
        aria_labelledby="picture-title",
        aria_describedby="picture-desc",
    )


def _described(seen: Reading) -> str:
    count, counted = len(seen.faces), sum(why is None for why in seen.uncounted)
    if not count:
        return "The picture; no face was found in it."
    faces = "1 face" if count == 1 else f"{count} faces"
    return f"The picture with {faces} marked, {counted} of which would count in a lecture."


def _as_data(image: NDArray[np.uint8]) -> str:
    scale = min(1.0, _LONGEST_SIDE_PX / max(image.shape))
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(file.tobytes()).decode()}"


def face_rows(seen: Reading, words: Wording) -> list[dict[str, Any]]:
    """Return what the page says about each face, its bars drawn."""
    names = words.table("emotions")
    rows: list[dict[str, Any]] = []
    for k, why in enumerate(seen.uncounted):
        probs = seen.faces.probs[k].tolist()
        read = bool(np.isfinite(seen.faces.probs[k]).all())
        rows.append(
            {
                "number": k + 1,
                "height": f"{seen.faces.box[k, 3]:.0f}",
                "facing": words.percent(float(seen.facing[k])),
                "score": words.percent(float(seen.faces.score[k])),
                "uncounted": why,
                "bars": [
                    (names[name], words.percent(share), _bar(name, share))
                    for name, share in zip(EMOTIONS, probs, strict=True)
                ]
                if read
                else [],
            }
        )
    return rows


def _bar(name: str, share: float) -> Markup:
    track = tag("rect", width="100%", height=10, class_="track")
    value = tag("rect", width=percent(share, 1), height=10, class_=f"area {name}")
    return tag("svg", track, value, width="100%", height=10, aria_hidden="true", class_="bar-line")
