"""What is left out: blackened before anybody looks, and told."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fer_core.exclude import (
    Exclusion,
    as_json,
    black_out,
    black_out_frame,
    edges,
    seconds_left_out,
    spans,
    spans_of,
    uncovered,
)
from fer_core.planes import NO_COLOUR, Planes, bytes_of_video
from fer_core.records import Frame


def left_out(**said: Any) -> Exclusion:
    return Exclusion.model_validate(said)


def white(height: int = 90, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def test_a_tile_of_a_gallery_is_blackened_and_nothing_else() -> None:
    image = white()
    seen = black_out(image, [left_out(what="lecturer", tile=[2, 1], grid=[4, 3])], 7)
    expected = white()
    expected[0:30, 40:80] = 0
    assert np.array_equal(seen, expected)
    assert (image == 255).all()


def test_an_area_is_widened_to_whole_pixels() -> None:
    seen = black_out(white(10, 10), [left_out(area=[0.11, 0.0, 0.39, 0.55])], 0)
    assert (seen[:6, 1:4] == 0).all()
    assert (seen == 0).all(axis=2).sum() == 18


@pytest.mark.parametrize("at", [0.2, 0.23, 0.41])
@pytest.mark.parametrize("size_px", [(160, 90), (161, 91), (1281, 721)])
def test_a_frame_is_blackened_in_all_its_planes(size_px: tuple[int, int], at: float) -> None:
    (width, height), data = size_px, np.full(bytes_of_video(size_px), 200, np.uint8)
    frame = Frame(7, Fraction(7), Planes.of_video(data, size_px, "bt709"))
    there = left_out(area=[at, at, 0.6, 0.7], end=8)
    seen = black_out_frame(frame, [there]).planes
    rows = slice(math.floor(at * height), math.ceil(0.7 * height))
    columns = slice(math.floor(at * width), math.ceil(0.6 * width))
    covered = np.zeros_like(seen.grey, np.bool_)
    covered[rows, columns] = True
    assert np.array_equal(seen.grey == 0, covered)
    # Of each four pixels' colour nothing is left that any pixel in there had a part in.
    for plane in (seen.blue, seen.red):
        grey = np.repeat(np.repeat(plane == NO_COLOUR, 2, 0), 2, 1)[:height, :width]
        assert grey[covered].all()
        assert grey.sum() <= (covered.any(axis=1).sum() + 4) * (covered.any(axis=0).sum() + 4)
    assert (frame.planes.grey > 0).all()
    assert (frame.planes.red == 200).all()
    later = Frame(8, Fraction(8), frame.planes)
    assert np.array_equal(black_out_frame(later, [there]).planes.image(), frame.planes.image())


def test_times_begin_with_the_first_second_and_end_before_the_last() -> None:
    there = left_out(tile=[1, 1], grid=[2, 2], start="0:10", end="1:00")
    shown = [second for second in range(70) if black_out(white(), [there], second).min() == 255]
    assert shown == [*range(10), *range(60, 70)]
    assert not seconds_left_out([there], 70).any()


def test_seconds_without_any_picture_are_counted() -> None:
    breaks = [left_out(start=5, end=7.5), left_out(start="0:20")]
    out = np.flatnonzero(seconds_left_out(breaks, 23)).tolist()
    assert out == [5, 6, 7, 20, 21, 22]
    assert (black_out(white(), breaks, 6) == 0).all()


def test_nothing_left_out_is_the_picture_itself() -> None:
    image = white()
    assert black_out(image, [], 0) is image
    assert black_out(image, [left_out(start=5)], 4.9) is image


def test_edges_within_a_second_are_moved_outwards() -> None:
    """A second is left out as a whole: none is both left out and measured."""
    part = left_out(start=10.6, end=12.2)
    out = np.flatnonzero(seconds_left_out([part], 20)).tolist()
    assert out == [10, 11, 12]
    covered = [at / 4 for at in range(80) if black_out(white(), [part], at / 4).max() == 0]
    assert (covered[0], covered[-1]) == (10, 12.75)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"tile": [1, 1]},
        {"grid": [3, 3]},
        {"tile": [4, 1], "grid": [3, 3]},
        {"tile": [0, 1], "grid": [3, 3]},
        {"tile": [1, 1], "grid": [2, 2], "area": [0, 0, 1, 0.5]},
        {"tile": [1, 1], "grid": [1, 1]},
        {"area": [0.5, 0, 0.5, 1]},
        {"area": [0, 0, 1.5, 1]},
        {"area": [0, 0, 1, 1]},
        {"area": [0, 0, 0.9999999, 1]},
        {"start": 0.5},
        {"start": 9, "end": 9},
        {"start": -1},
        {"start": 5, "what": "Anna Smith"},
        {"start": 5, "what": ""},
        {"start": 5, "colour": "black"},
    ],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        left_out(**said)


def test_the_same_parts_are_the_same_text() -> None:
    tile = left_out(what="lecturer", tile=[1, 1], grid=[2, 2])
    area = left_out(what="lecturer", area=[0, 0, 0.5, 0.5])
    text = as_json([tile])
    assert text == as_json([area])
    assert text is not None
    assert json.loads(text) == [
        {"what": "lecturer", "area": [0, 0, 0.5, 0.5], "start": 0, "end": None}
    ]
    assert as_json([]) is None


EXAMPLE = next((Path(__file__).resolve().parent.parent / "examples").rglob("*.mp4"))


def test_a_face_that_is_half_covered_is_dropped() -> None:
    left = Exclusion(what="opt-out", area=(0, 0, 0.25, 1), start=10)
    boxes = np.array([[50, 50, 40, 40], [90, 50, 40, 40], [98, 50, 40, 40], [200, 50, 40, 40]])
    kept = uncovered(boxes.astype(np.float32), [left], 12.0, (400, 300))
    # Covered: all of it, a quarter (which may stay), a twentieth, nothing.
    assert kept.tolist() == [False, True, True, True]
    half = np.array([[80, 50, 40, 40]], np.float32)
    assert uncovered(half, [left], 12.0, (400, 300)).tolist() == [False]
    assert uncovered(half, [left], 9.0, (400, 300)).tolist() == [True]


def test_what_two_parts_cover_of_a_face_counts_together() -> None:
    tiles = [left_out(tile=[column, 1], grid=[2, 2]) for column in (1, 2)]
    # In a picture of 100 by 100, on the line between two tiles: each covers 24 % of the first.
    boxes = np.array([[30, 38, 40, 25], [30, 45, 40, 25]], np.float32)
    for tile in tiles:
        assert uncovered(boxes, [tile], 0, (100, 100)).tolist() == [True, True]
    assert uncovered(boxes, tiles, 0, (100, 100)).tolist() == [False, True]
    # What is left out at another time covers nothing now.
    tiles[1] = left_out(tile=[2, 1], grid=[2, 2], start=5)
    assert uncovered(boxes, tiles, 0, (100, 100)).tolist() == [True, True]


def test_the_stretches_without_any_picture_are_whole_seconds_and_may_have_no_end() -> None:
    parts = [
        left_out(start=10.6, end=12.2),
        left_out(start="1:02:03"),
        left_out(tile=[1, 1], grid=[2, 2], start=30, end=40),
    ]
    assert spans(parts) == [(10, 13), (3723, math.inf)]
    assert spans_of(as_json(parts)) == spans(parts)
    assert spans_of(None) == []


def test_what_is_kept_of_a_part_is_when_it_was() -> None:
    (kept,) = json.loads(as_json([left_out(what="break", start=5.5, end="0:20")]) or "")
    assert (kept["start"], kept["end"]) == (5.5, 20)


def test_where_something_begins_or_ceases_to_be_left_out_is_no_slide() -> None:
    parts = [left_out(tile=[1, 1], grid=[2, 2], end=9.5), left_out(start=20.5, end=30)]
    assert edges(parts) == [9, 20, 30]
    assert edges([left_out(area=[0, 0, 0.5, 1])]) == []
