"""The shipped weights on any faces, and the cutting out of faces wherever they lie."""

import hashlib
import math
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_core import assets, video
from fer_core.classify import TEMPLATE_PX, KerasClassifier, align_faces
from fer_core.detect import YuNet
from fer_core.errors import AssetCorrupt, AssetMissing, ConfigError
from fer_core.records import EMOTIONS, Segment
from fer_core.settings import Detection, Video

REPO = Path(__file__).parent.parent
CLASS = REPO / "examples" / "biology-101" / "GMT20261103-093000_Recording_gallery_1280x720.mp4"
DOT = 230


@pytest.fixture(scope="module")
def classifier():
    return KerasClassifier(threads=2)


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (70, 48, 48), np.uint8)


def test_probabilities_are_valid(classifier, crops):
    probs = classifier.classify(crops)
    assert probs.shape == (70, len(EMOTIONS))
    assert probs.dtype == np.float32
    assert ((probs >= 0) & (probs <= 1)).all()
    assert probs.sum(axis=1) == pytest.approx(np.ones(70), abs=1e-5)


@pytest.mark.parametrize("grey", [0, 255])
def test_flat_pictures_have_probabilities_too(classifier, grey):
    probs = classifier.classify(np.full((1, 48, 48), grey, np.uint8))
    assert np.isfinite(probs).all()
    assert probs.sum() == pytest.approx(1, abs=1e-5)


def test_no_faces_no_rows(classifier):
    assert classifier.classify(np.zeros((0, 48, 48), np.uint8)).shape == (0, 7)


def test_a_face_is_read_the_same_in_any_company_bit_for_bit(classifier, crops):
    together = classifier.classify(crops)
    alone = np.concatenate([classifier.classify(crop[None]) for crop in crops[::9]])
    assert np.array_equal(together[::9], alone)
    order = np.random.default_rng(1).permutation(len(crops))
    assert np.array_equal(classifier.classify(crops[order]), together[order])


def test_threads_may_share_it(classifier, crops):
    parts = [crops[start : start + 20] for start in range(0, 60, 10)]
    with ThreadPoolExecutor(3) as pool:
        shared = list(pool.map(classifier.classify, parts))
    for part, probs in zip(parts, shared, strict=True):
        assert np.array_equal(probs, classifier.classify(part))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((48, 48), np.uint8),
        np.zeros((1, 47, 48), np.uint8),
        np.zeros((1, 48, 48, 3), np.uint8),
        np.zeros((1, 48, 48), np.float32),
    ],
)
def test_crops_of_another_shape_or_type(classifier, wrong):
    with pytest.raises(ValueError, match="uint8"):
        classifier.classify(wrong)


def test_a_mirror_image_is_read_alike(classifier, class_crops):
    for faces in class_crops.values():
        one, other = classifier.classify(faces), classifier.classify(faces[:, :, ::-1].copy())
        assert np.abs(one - other).max() < 1e-4


@pytest.fixture
def other_models(tmp_path, monkeypatch):
    """A copy of the folder of models that may be damaged."""
    shutil.copytree(REPO / "models", tmp_path / "checkout" / "models")
    monkeypatch.setattr(assets, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(assets, "_IN_WHEEL", tmp_path / "wheel")
    return tmp_path / "checkout" / "models"


def damaged(folder, how):
    path = folder / "lecturenet.keras"
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "altered":
        content[len(content) // 2] ^= 1
    else:
        content = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("how", ["truncated", "altered", "pointer"])
def test_damaged_weights_are_not_loaded(other_models, how):
    damaged(other_models, how)
    with pytest.raises(AssetCorrupt, match="not the published file"):
        KerasClassifier()


@pytest.mark.parametrize("how", ["truncated", "pointer"])
def test_a_file_that_is_listed_but_is_no_model(other_models, how):
    sha256 = hashlib.sha256(damaged(other_models, how).read_bytes()).hexdigest()
    listed = other_models / "manifest.toml"
    listed.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{sha256}"', listed.read_text()))
    with pytest.raises(AssetCorrupt, match="cannot be loaded"):
        KerasClassifier()


def test_missing_weights_and_unknown_models(other_models):
    (other_models / "lecturenet.keras").unlink()
    with pytest.raises(AssetMissing):
        KerasClassifier()
    with pytest.raises(ConfigError, match="lecturenot"):
        KerasClassifier("lecturenot")


def test_labels_of_another_release(other_models):
    listed = other_models / "manifest.toml"
    listed.write_text(listed.read_text().replace('"angry", "disgust"', '"disgust", "angry"'))
    with pytest.raises(AssetCorrupt, match="other labels"):
        KerasClassifier()


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
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), points[None].astype(np.float32)


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
    image = np.repeat(rng.integers(0, 2, (720, 720, 1), np.uint8) * 255, 3, axis=2)
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
    noise = np.random.default_rng(2).integers(0, 60, (36, 64, 3), np.uint8)
    image = image // 2 + cv2.resize(noise, (640, 360), interpolation=cv2.INTER_CUBIC)
    mirrored = points[:, [1, 0, 2, 4, 3]] * [-1, 1] + [639, 0]
    (one,) = align_faces(image, points)
    (other,) = align_faces(image[:, ::-1].copy(), mirrored.astype(np.float32))
    # The template's own middle is not exactly the crop's: compare where both show the same.
    shift = float(TEMPLATE_PX[:, 0].mean() * 2 - 47)
    back = cv2.warpAffine(other[:, ::-1].copy(), np.float32([[1, 0, shift], [0, 1, 0]]), (48, 48))
    gap = np.abs(one.astype(int) - back.astype(int))[4:-4, 4:-4]
    assert np.percentile(gap, 95) < 12


@pytest.fixture(scope="module")
def class_crops():
    """The faces of a neutral and of a laughing second of the bundled class."""
    ffmpeg, limits = video.find_ffmpeg(None), Video()
    info = video.probe(CLASS, ffmpeg, limits)
    detector, found = YuNet(Detection()), {}
    for name, second in (("neutral", 20), ("laughing", 36)):
        segment = Segment(0, second, second + 1)
        with video.Sampler(info, segment, 1, ffmpeg, limits) as sampler:
            frame = next(iter(sampler))
        found[name] = align_faces(frame.image, detector.detect(frame).landmarks)
    return found


def test_the_bundled_class_is_happier_when_it_laughs(classifier, class_crops):
    happy = EMOTIONS.index("happy")
    neutral, laughing = (
        classifier.classify(class_crops[name])[:, happy] for name in ("neutral", "laughing")
    )
    assert len(neutral) == len(laughing) == 9
    assert laughing.mean() > neutral.mean() + 0.2
    assert (laughing > 0.5).sum() >= 4
