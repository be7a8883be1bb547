"""Slide changes: found where a still picture becomes another, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_core import slides
from fer_core.records import THUMBNAIL_PX, Faces, Observations
from tests import factories

SIZE_PX = (1280, 720)
SLIDE_PX = (900, 720)
NOBODY = np.empty((0, 4), np.float32)


@cache
def slide(number: int) -> NDArray[np.uint8]:
    """Draw a slide as people make them: dark words on white, a heading and a few lines."""
    random = np.random.default_rng(number)
    picture = np.full((SLIDE_PX[1], SLIDE_PX[0], 3), 250, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(picture, f"Chapter {number}: leaves", (40, 90), font, 2, (60, 30, 20), 5)
    for line in range(int(random.integers(3, 8))):
        words = "".join(chr(97 + k) for k in random.integers(0, 26, random.integers(8, 28)))
        cv2.putText(picture, words, (70, 190 + 70 * line), font, 1.3, (30, 30, 30), 3)
    if number % 2:
        cv2.rectangle(picture, (480, 330), (860, 640), (90, 140, 60), -1)
    return picture


def shared_screen(shown: list[int], seed: int = 1, rate_hz: int = 1) -> Observations:
    """Observe a shared screen: a slide a second, and beside it people who never stand still."""
    random = np.random.default_rng(seed)
    thumbnails: list[NDArray[np.uint8]] = []
    for number in np.repeat(shown, rate_hz):
        people = random.integers(40, 200, (18, 10, 3), np.uint8)
        frame = np.empty((SIZE_PX[1], SIZE_PX[0], 3), np.uint8)
        frame[:, SLIDE_PX[0] :] = cv2.resize(people, (SIZE_PX[0] - SLIDE_PX[0], SIZE_PX[1]))
        frame[:, : SLIDE_PX[0]] = slide(int(number))
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        noisy = slides.thumbnail(grey, NOBODY) + random.normal(0, 1.5, THUMBNAIL_PX)
        thumbnails.append(np.clip(noisy, 0, 255).astype(np.uint8))
    seen = factories.observations(Faces.empty(), seconds=len(shown), rate_hz=rate_hz)
    return replace(seen, thumbnails=np.array(thumbnails))


@pytest.mark.parametrize("rate_hz", [1, 2])
def test_every_new_slide_is_found_in_its_second(rate_hz: int) -> None:
    shown = [1] * 10 + [2] * 8 + [3] * 5 + [4] * 12

    found = slides.slide_changes(shared_screen(shown, rate_hz=rate_hz), SIZE_PX)

    assert found == [10, 18, 23]


def test_a_long_recording_is_worked_through_in_pieces_without_a_seam() -> None:
    rest = [600 + k for k in (-3, -1, 0, 1, 4)]
    for change in rest:
        seen = shared_screen([1] * 8)
        grey = np.concatenate([np.repeat(seen.thumbnails[:1], change, axis=0)])
        other = shared_screen([2]).thumbnails
        both = np.concatenate([grey, np.repeat(other, 1300 - change, axis=0)])
        long = factories.observations(Faces.empty(), seconds=1300)
        assert slides.slide_changes(replace(long, thumbnails=both), SIZE_PX) == [change]


@pytest.mark.parametrize("size_px", [(1280, 720), (1920, 1080), (1281, 719), (640, 360), (30, 20)])
def test_a_thumbnail_is_the_mean_of_what_it_covers(size_px: tuple[int, int]) -> None:
    noise = np.random.default_rng(3).integers(0, 256, size_px[::-1], np.uint8)
    grey = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)
    height, width = THUMBNAIL_PX

    # Every row and column as many times as there are dots, so that each covers whole ones.
    rows = np.repeat(grey, height, axis=0).reshape(height, size_px[1], size_px[0]).mean(axis=1)
    exact = np.repeat(rows, width, axis=1).reshape(height, width, size_px[0]).mean(axis=2)

    assert abs(slides.thumbnail(grey, NOBODY) - exact).max() <= 1.25


def test_a_fade_is_one_change() -> None:
    seen = shared_screen([1] * 8 + [2] * 8)
    middle = seen.thumbnails[7] // 2 + seen.thumbnails[8] // 2
    faded = replace(
        seen, thumbnails=np.concatenate([seen.thumbnails[:8], [middle], seen.thumbnails[9:]])
    )

    assert slides.slide_changes(faded, SIZE_PX) in ([8], [9])


def test_a_film_is_no_slide() -> None:
    random = np.random.default_rng(3)
    seen = factories.observations(Faces.empty(), seconds=60)
    walk = np.cumsum(random.normal(0, 20, seen.thumbnails.shape), axis=0) + 128

    film = replace(seen, thumbnails=np.clip(walk, 0, 255).astype(np.uint8))

    assert slides.slide_changes(film, SIZE_PX) == []


def test_a_camera_switched_off_is_no_slide() -> None:
    tile = slice(0, 13), slice(0, 24)  # a quarter of the picture, in thumbnail dots
    there = factories.faces(
        10, sample=np.arange(10), corner=np.tile([[230, 60]], (10, 1)), height_px=210
    )
    seen = factories.observations(there, seconds=20)
    grey = np.full_like(seen.thumbnails, 90)
    grey[:10, *tile] = 180

    assert slides.slide_changes(replace(seen, thumbnails=grey), SIZE_PX) == []
    alone = replace(seen, thumbnails=grey, faces=Faces.empty())
    assert slides.slide_changes(alone, SIZE_PX) == [10]


def test_new_places_of_the_people_are_no_slide() -> None:
    seen = shared_screen([1] * 10 + [2] * 10)

    assert slides.slide_changes(seen, SIZE_PX, layout_changes=[12]) == []
    assert slides.slide_changes(seen, SIZE_PX, layout_changes=[13]) == [10]


def test_across_a_gap_nobody_knows_when_it_changed() -> None:
    seen = shared_screen([1] * 10 + [2] * 10)
    keep = np.r_[0:9, 12:20]
    gone = np.isin(np.arange(20), keep, invert=True)
    cut = replace(seen, stale=gone).without_stale()

    assert slides.slide_changes(cut, SIZE_PX) == []


@pytest.mark.parametrize("seconds", [0, 1, 6, 7])
def test_a_recording_too_short_to_stand_still_has_none(seconds: int) -> None:
    seen = factories.observations(Faces.empty(), seconds=seconds)

    assert slides.slide_changes(seen, SIZE_PX) == []


def test_a_thumbnail_shows_nobody() -> None:
    grey = np.full((720, 960), 200, np.uint8)
    boxes = np.array([[480, 180, 240, 320]], np.float32)
    small = slides.thumbnail(grey, boxes)
    # 240 of 960 are 12 of 48 dots, 320 of 720 are 12 of 27; begun ones count as whole.
    dark = np.argwhere(small == 0)
    assert dark.min(axis=0).tolist() == [6, 24]
    assert dark.max(axis=0).tolist() == [18, 35]
    assert (small == 0).sum() == 13 * 12
    assert (small[small > 0] == 200).all()


@pytest.mark.parametrize("rate_hz", [1, 2])
def test_a_camera_switched_off_is_no_slide_at_any_rate(rate_hz: int) -> None:
    tile = slice(0, 13), slice(0, 24)
    shown = np.arange(7 * rate_hz, 10 * rate_hz)
    there = factories.faces(
        len(shown), sample=shown, corner=np.tile([[230, 60]], (len(shown), 1)), height_px=210
    )
    seen = factories.observations(there, seconds=20, rate_hz=rate_hz)
    grey = np.full_like(seen.thumbnails, 90)
    grey[: 10 * rate_hz, *tile] = 180
    assert slides.slide_changes(replace(seen, thumbnails=grey), SIZE_PX) == []
    alone = replace(seen, thumbnails=grey, faces=Faces.empty())
    assert slides.slide_changes(alone, SIZE_PX) == [10]
