"""Pictures that strangers send: what is no small, whole, baseline JPEG is refused undecoded."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core import jpeg
from fer_core.errors import InputError
from tests import cameras, clips, factories

GREY = np.repeat(clips.draw_number(7, 64, 48)[..., None], 3, axis=2)
GOOD = cameras.jpeg(GREY)
START = GOOD.index(b"\xff\xc0")


def with_size(width: int, height: int, kind: int = 0xC0) -> bytes:
    """Return the good picture with another size, or another kind, in its header."""
    size = struct.pack(">HH", height, width)
    return (
        GOOD[: START + 1] + bytes([kind]) + GOOD[START + 2 : START + 5] + size + GOOD[START + 9 :]
    )


def test_a_picture_comes_back_as_it_was_drawn():
    image = jpeg.open_jpeg(GOOD)

    assert image.shape == (48, 64, 3)
    assert clips.read_number(image) == 7


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "end is missing"),
        (b"\xff\xd8\xff\xd9", "header cannot"),
        (cv2.imencode(".png", GREY)[1].tobytes(), "end is missing"),
        (b"#EXTM3U\nfile:///etc/passwd", "end is missing"),
        (b"\x89PNG\r\n" + GOOD[6:], "header cannot"),
        (GOOD[:-400], "its end is missing"),
        (GOOD + b"PK\x03\x04 and a whole archive behind it", "its end is missing"),
        (with_size(64, 48, 0xC2), "progressive"),
        (with_size(0, 48), "header cannot"),
        (with_size(10_000, 10_000), "10000 × 10000 pixels"),
        (with_size(65_535, 1), "cannot be decoded"),
        (GOOD[:2] + b"\xff\xe1\xff\xff" + GOOD[2:], "header cannot"),
        (b"\xff\xd8" + bytes(jpeg.MOST_BYTES) + b"\xff\xd9", "more than 1 MB"),
    ],
)
def test_what_is_no_picture_of_a_camera_is_refused(data: bytes, why: str):
    with pytest.raises(InputError, match=why):
        jpeg.open_jpeg(data)


def test_a_bomb_is_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InputError, match="pixels"):
        jpeg.open_jpeg(with_size(60_000, 60_000))


@factories.examples(200)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(GOOD)),
)
def test_a_damaged_picture_is_refused_or_decoded_never_worse(
    changes: list[tuple[int, int]], cut: int
):
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    del data[cut:-2]
    try:
        image = jpeg.open_jpeg(bytes(data))
    except InputError:
        return
    assert image.dtype == np.uint8 and image.ndim == 3
    assert image.shape[0] * image.shape[1] <= jpeg.MOST_PIXELS
