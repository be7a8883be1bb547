"""The face detector, on the bundled class and on pictures without anybody."""

import csv
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from fer_core import assets, video
from fer_core.detect import YuNet
from fer_core.errors import AssetCorrupt
from fer_core.planes import Planes
from fer_core.records import Faces, Frame
from fer_core.settings import Detection, Video
from fer_core.yunet import Network

EXAMPLE = Path(__file__).parent.parent / "examples" / "biology-101"
CLASS = EXAMPLE / "GMT20261103-093000_Recording_gallery_1280x720.mp4"


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """The first picture of the bundled class."""
    ffmpeg, limits = video.find_ffmpeg(None), Video()
    info = video.probe(CLASS, ffmpeg, limits)
    segment = video.plan_segments(info, 10, Video())[0]
    with video.Sampler(info, segment, 1, ffmpeg, limits) as sampler:
        return next(iter(sampler)).planes.image()


@pytest.fixture(scope="module")
def tiles() -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of each person's tile in the first second."""
    with CLASS.with_suffix(".truth.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["second"] == "0"]
    assert len(rows) == 9
    return [tuple(float(row[f"tile_{side}"]) for side in "xywh") for row in rows]


def found_in(image: NDArray[np.uint8], sample: int = 0, **settings) -> Faces:
    return YuNet(Detection(**settings)).detect(
        Frame(sample, Fraction(sample), Planes.of_image(image))
    )


def one_in_each(faces: Faces, tiles, scale: float = 1) -> bool:
    centre = (faces.box[:, :2] + faces.box[:, 2:] / 2) / scale
    counts = [
        int(np.sum((centre >= (x, y)).all(axis=1) & (centre < (x + w, y + h)).all(axis=1)))
        for x, y, w, h in tiles
    ]
    return counts == [1] * len(tiles) and len(faces) == len(tiles)


def test_each_person_of_the_bundled_class_is_found_once(picture, tiles):
    faces = found_in(picture, sample=7)
    assert one_in_each(faces, tiles)
    assert faces.sample.tolist() == [7] * 9
    assert (faces.score >= 0.6).all()
    assert (faces.score <= 1).all()
    assert np.isnan(faces.probs).all()


def test_faces_come_in_reading_order_whatever_the_network_s_own(picture, tiles, monkeypatch):
    """Tile by tile, though no two heads of a row are equally high."""
    search = Network.search
    faces = found_in(picture)
    assert all(one_in_each(faces.only(np.arange(9) == k), [tile]) for k, tile in enumerate(tiles))
    monkeypatch.setattr(Network, "search", lambda network, image: search(network, image)[::-1])
    assert np.array_equal(found_in(picture).box, faces.box)


def test_the_points_are_where_a_face_has_them(picture):
    faces = found_in(picture)
    right_eye, left_eye, nose, right_mouth, left_mouth = faces.landmarks.transpose(1, 0, 2)
    assert (right_eye[:, 0] < left_eye[:, 0]).all()  # the person's own right is on our left
    assert (right_mouth[:, 0] < left_mouth[:, 0]).all()
    assert (np.maximum(right_eye[:, 1], left_eye[:, 1]) < nose[:, 1]).all()
    assert (nose[:, 1] < np.minimum(right_mouth[:, 1], left_mouth[:, 1])).all()
    left, top, width, height = faces.box.T
    for x, y in faces.landmarks.transpose(1, 2, 0):
        assert ((x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)).all()


def test_the_same_picture_gives_the_same_faces_after_others(picture):
    detector = YuNet(Detection())
    before = detector.detect(Frame(0, Fraction(0), Planes.of_image(picture)))
    other = Planes.of_image(np.zeros((90, 160, 3), np.uint8))
    detector.detect(Frame(1, Fraction(1), other))
    after = detector.detect(Frame(0, Fraction(0), Planes.of_image(picture)))
    assert np.array_equal(before.box, after.box)
    assert np.array_equal(before.landmarks, after.landmarks)


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_nobody_is_found_in_a_flat_picture(grey):
    faces = found_in(np.full((360, 640, 3), grey, np.uint8))
    assert len(faces) == 0
    assert faces.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_found_in_noise(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (360, 640, 3), np.uint8)
    assert len(found_in(noise)) == 0


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2000), (2000, 1), (3, 5), (31, 33), (64, 64), (65, 1)]
)
def test_tiny_and_thin_pictures_hold_nobody_and_break_nothing(size):
    assert len(found_in(np.full((*size, 3), 90, np.uint8))) == 0


@pytest.mark.parametrize("odd", [(719, 1279), (361, 643)])
def test_odd_sizes_are_no_trouble(picture, tiles, odd):
    image = cv2.resize(picture, odd[::-1], interpolation=cv2.INTER_AREA)
    assert one_in_each(found_in(image), tiles, scale=odd[0] / 720)


def test_a_large_picture_of_large_faces_is_searched_small_and_answered_in_its_own_pixels(
    picture, tiles
):
    large = cv2.resize(picture, (2560, 1440), interpolation=cv2.INTER_LINEAR)
    faces = found_in(large)
    assert one_in_each(faces, tiles, scale=2)
    small = found_in(picture)
    assert np.abs(faces.box / 2 - small.box).max() < 8
    assert np.abs(faces.landmarks / 2 - small.landmarks).max() < 8


def test_small_faces_in_a_large_picture_are_searched_for_again(picture, tiles):
    # The class 64 times, a quarter as wide each: faces about 40 pixels high, searched at 10.
    quarter = cv2.resize(picture, (320, 180), interpolation=cv2.INTER_AREA)
    crowd = np.tile(quarter, (8, 8, 1))
    small = [
        (x / 4 + left, y / 4 + top, w / 4, h / 4)
        for left in range(0, 2560, 320)
        for top in range(0, 1440, 180)
        for x, y, w, h in tiles
    ]
    once = found_in(crowd, longest_side_px=640, small_face_px=0)
    assert len(once) < len(small) / 2
    assert one_in_each(found_in(crowd, longest_side_px=640), small)


def test_without_a_small_face_there_is_no_second_search(picture, monkeypatch):
    sizes: list[int] = []
    search = YuNet._search

    def watched(self, image, longest_side_px):
        sizes.append(longest_side_px)
        return search(self, image, longest_side_px)

    monkeypatch.setattr(YuNet, "_search", watched)
    found_in(picture, small_face_px=1000)  # not larger than the search, whatever it shows
    assert sizes == [1280]
    halved = {"longest_side_px": 640, "longest_side_small_px": 1280}
    least = int(found_in(picture, **halved).box[:, 3].min())
    found_in(picture, small_face_px=least, **halved)
    assert sizes == [1280, 640, 640]
    found_in(picture, small_face_px=least + 1, **halved)
    assert sizes == [1280, 640, 640, 640, 1280]


def test_the_threshold_is_the_one_set(picture):
    score = np.sort(found_in(picture).score)
    between = float(score[3] + score[4]) / 2
    assert len(found_in(picture, min_score=between)) == 5
    assert len(found_in(picture, min_score=1.0)) == 0


@pytest.mark.parametrize("side", [1280, 643, 320])
def test_boxes_and_points_are_those_of_opencv_s_own_detector(picture, side):
    image = cv2.resize(picture, (side, side * 9 // 16), interpolation=cv2.INTER_AREA)
    theirs = cv2.FaceDetectorYN.create(
        str(assets.yunet()), "", (side, side * 9 // 16), 0.6, 0.3
    ).detect(image)[1]
    ours = Network(assets.yunet(), min_score=0.6, nms_iou=0.3).search(image)
    assert len(ours) == 9
    # Of faces that are equally sure the order is nobody's.
    apart = np.abs(ours[:, None] - theirs[None]).max(axis=2).min(axis=1)
    assert apart.max() < 1e-2


def test_a_file_that_is_not_the_published_one_is_told(tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(assets.yunet().read_bytes()[:1000])
    with pytest.raises(AssetCorrupt, match=r"other\.onnx"):
        Network(other, min_score=0.6, nms_iou=0.3)


def test_the_runtime_has_no_means_to_report_its_use():
    library = Path(onnxruntime.__file__).parent / "capi" / "onnxruntime_pybind11_state.so"
    found = [library] if library.exists() else [*library.parent.glob("*pybind11_state*")]
    assert found
    for file in found:
        assert b"telemetry_1ds" not in file.read_bytes()
