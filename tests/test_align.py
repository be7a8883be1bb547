"""The cutting out of faces, wherever they lie in a frame."""

import math

import cv2
import numpy as np
import pytest

from fer_core.align import TEMPLATE_PX, align_faces

DOT = 230


def face(scale, turn_deg, at, size=(360, 640)):
    """A dark frame with a soft bright dot at each of five points, and the points."""
    a = scale * complex(math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg)))
    z = (TEMPLATE_PX - TEMPLATE_PX.mean(axis=0)) @ np.array([1, 1j]) * a
    points = np.column_stack([z.real, z.imag]) + np.array(at)
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.zeros(size)
    for px, py in points:
        image += np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * max(1.2 * scale, 0.7) ** 2))
    grey = (image.clip(0, 1) * DOT).astype(np.uint8)
    return grey, points[None].astype(np.float32)


def dots(crop):
    """Return the centre of light around each point of the template."""
    found = []
    for x, y in TEMPLATE_PX:
        left, top = round(x) - 4, round(y) - 4
        part = crop[top : top + 9, left : left + 9].astype(float)
        rows, columns = np.mgrid[top : top + 9, left : left + 9]
        found.append([(part * columns).sum() / part.sum(), (part * rows).sum() / part.sum()])
    return np.array(found)


@pytest.mark.parametrize("turn_deg", [0, 20, -45, 90, 180])
@pytest.mark.parametrize("scale", [0.6, 1, 1.5, 3, 5.5])
def test_the_points_come_to_lie_on_the_template(scale, turn_deg):
    image, points = face(scale, turn_deg, (321.3, 178.6))
    (crop,) = align_faces(image, points)
    assert crop.shape == (48, 48)
    assert np.abs(dots(crop) - TEMPLATE_PX).max() < 0.5


@pytest.mark.parametrize("at", [(60, 50), (580, 310), (60.4, 310.7)])
def test_wherever_the_face_is(at):
    image, points = face(1.5, 12, at)
    assert np.abs(dots(align_faces(image, points)[0]) - TEMPLATE_PX).max() < 0.5


@pytest.mark.parametrize("at", [(30, 25), (610, 335), (320, 25), (610, 180)])
def test_at_the_border_its_last_pixels_go_on(at):
    image, points = face(2, 0, at)
    lit = np.full_like(image, 90)
    (crop,) = align_faces(np.maximum(image, lit), points)
    assert np.abs(dots(crop.astype(int) - 89) - TEMPLATE_PX).max() < 0.5
    assert crop.min() >= 88


def test_a_large_face_is_shrunk_without_aliasing():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2, (720, 720), np.uint8) * 255
    points = ((TEMPLATE_PX - 23.5) * 12 + 360)[None].astype(np.float32)
    (crop,) = align_faces(image, points)
    assert abs(float(crop.mean()) - 127.5) < 3
    assert crop.std() < 30  # the mean of 144 coin tosses, not single pixels


@pytest.mark.parametrize("place", [(100.0, 100.0), (0.0, 0.0), (639.0, 359.0), (-50.0, 900.0)])
def test_points_all_in_one_place_do_not_crash(place):
    image, _ = face(1, 0, (320, 180))
    crops = align_faces(image, np.full((1, 5, 2), place, np.float32))
    assert crops.shape == (1, 48, 48)


def test_a_face_beyond_the_frame_does_not_crash():
    image, points = face(1, 0, (320, 180))
    assert align_faces(image, points + 5000).shape == (1, 48, 48)
    assert align_faces(image[:1, :1], points).shape == (1, 48, 48)


def test_no_landmarks_no_crops():
    image, _ = face(1, 0, (320, 180))
    assert align_faces(image, np.zeros((0, 5, 2), np.float32)).shape == (0, 48, 48)


@pytest.mark.parametrize("scale", [0.8, 2.5])
def test_a_mirrored_frame_gives_the_mirrored_crop(scale):
    image, points = face(scale, 15, (300, 170))
    noise = np.random.default_rng(2).integers(0, 60, (36, 64), np.uint8)
    image = image // 2 + cv2.resize(noise, (640, 360), interpolation=cv2.INTER_CUBIC)
    mirrored = points[:, [1, 0, 2, 4, 3]] * [-1, 1] + [639, 0]
    (one,) = align_faces(image, points)
    (other,) = align_faces(image[:, ::-1].copy(), mirrored.astype(np.float32))
    # The template's own middle is not exactly the crop's: compare where both show the same.
    shift = float(TEMPLATE_PX[:, 0].mean() * 2 - 47)
    back = cv2.warpAffine(other[:, ::-1].copy(), np.float32([[1, 0, shift], [0, 1, 0]]), (48, 48))
    gap = np.abs(one.astype(int) - back.astype(int))[4:-4, 4:-4]
    assert np.percentile(gap, 95) < 12
