"""The shipped weights on any faces, in every runtime."""

import hashlib
import itertools
import os
import re
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fer_core import assets, classify, video
from fer_core.align import align_faces
from fer_core.assets import Calibration
from fer_core.classify import Classifier
from fer_core.detect import YuNet
from fer_core.errors import AssetCorrupt, AssetMissing, ConfigError, EnvironmentProblem
from fer_core.records import EMOTIONS, Segment
from fer_core.settings import Detection, Video

REPO = Path(__file__).parent.parent
CLASS = REPO / "examples" / "biology-101" / "GMT20261103-093000_Recording_gallery_1280x720.mp4"


def load(name=None, **choice):
    return classify.load_classifier(assets.model(name, **choice), threads=2)


@pytest.fixture(scope="module", params=assets.RUNTIMES)
def classifier(request):
    return load(runtime=request.param)


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


def damaged(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "altered":
        content[len(content) // 2] ^= 1
    else:
        content = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    path.write_bytes(content)
    return path


def file_of(folder, runtime):
    # Not through `model`: it remembers the checksum of what it has read.
    return folder / assets.manifest()["models"]["lecturenet"]["files"][runtime]["file"]


@pytest.mark.parametrize("runtime", assets.RUNTIMES)
@pytest.mark.parametrize("how", ["truncated", "altered", "pointer"])
def test_damaged_weights_are_not_loaded(other_models, how, runtime):
    damaged(file_of(other_models, runtime), how)
    with pytest.raises(AssetCorrupt, match="not the published file"):
        load(runtime=runtime)


@pytest.mark.parametrize("runtime", assets.RUNTIMES)
@pytest.mark.parametrize("how", ["truncated", "pointer"])
def test_a_file_that_is_listed_but_is_no_model(other_models, how, runtime):
    path = damaged(file_of(other_models, runtime), how)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    listed = other_models / "manifest.toml"
    listed.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{sha256}"', listed.read_text()))
    with pytest.raises(AssetCorrupt, match="cannot be loaded"):
        load(runtime=runtime)


def test_a_runtime_that_does_not_start_is_no_damaged_file(monkeypatch):
    def broken(path, threads):
        raise ImportError("libfoo.so.1: cannot open shared object file")

    monkeypatch.setitem(classify._RUNTIMES, "litert", broken)
    with pytest.raises(EnvironmentProblem, match=r"'litert' does not start: libfoo\.so\.1"):
        load(runtime="litert")


def test_keras_on_another_backend_says_the_same(monkeypatch, crops):
    """As a machine without TensorFlow reads with a teacher's file."""
    import keras

    with_tensorflow = load(runtime="keras").logits(crops)
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    monkeypatch.setattr(classify, "_import_tensorflow", None)
    without = load(runtime="keras").logits(crops)
    assert without.keys() == with_tensorflow.keys()
    for head, scores in with_tensorflow.items():
        np.testing.assert_allclose(without[head], scores, atol=1e-3)


def test_missing_weights_and_unknown_models(other_models):
    file_of(other_models, "litert").unlink()
    with pytest.raises(AssetMissing):
        load(runtime="litert")
    with pytest.raises(ConfigError, match="lecturenot"):
        load("lecturenot")


def test_labels_of_another_release(other_models):
    listed = other_models / "manifest.toml"
    listed.write_text(listed.read_text().replace('"angry", "disgust"', '"disgust", "angry"'))
    with pytest.raises(AssetCorrupt, match="other labels"):
        load()


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_the_int8_files_say_what_the_keras_model_says(runtime, class_crops):
    one, other = load(runtime=runtime), load(runtime="keras")
    for faces in class_crops.values():
        brighter = [cv2.convertScaleAbs(faces, beta=by) for by in (0, 15, 30)]
        varied = np.concatenate([*brighter, *(np.roll(faces, by, axis=2) for by in (-2, -1, 1, 2))])
        quantised, exact = one.classify(varied), other.classify(varied)
        # As far as `make bench` lets the probabilities be off.
        assert np.abs(quantised - exact).mean() < 0.01
        assert (quantised.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.95


def network(faces):
    """Scores that depend on where the light is, so that a mirror image has others."""
    left = faces[:, :, :24].mean(axis=(1, 2)) / 32
    zero = np.zeros((len(faces), 5), np.float32)
    right = faces[:, :, 24:].mean(axis=(1, 2)) / 64
    return {"consensus": np.column_stack([left, right, zero]).astype(np.float32)}


def test_flip_averaging_and_calibration_by_hand(crops):
    crops = crops.copy()
    crops[:, :, 24:] //= 3
    offset = (0.3, -0.2, 0.0, 0.0, 0.1, 0.0, 0.0)
    calibration = Calibration(1.7, offset)
    plain = Classifier(network, head="consensus", calibration=calibration, mirror=False)
    mirrored = Classifier(network, head="consensus", calibration=calibration, mirror=True)

    def softmax(scores):
        powers = np.exp(scores.astype(float))
        return powers / powers.sum(axis=1, keepdims=True)

    one, other = network(crops)["consensus"], network(crops[:, :, ::-1])["consensus"]
    np.testing.assert_allclose(plain.classify(crops), softmax((one + offset) / 1.7), atol=1e-6)
    mean = (softmax(one) + softmax(other)) / 2
    expected = softmax((np.log(mean) + offset) / 1.7)
    np.testing.assert_allclose(mirrored.classify(crops), expected, atol=1e-5)
    assert np.abs(one - other).max() > 0.5


def test_certain_faces_stay_finite(crops):
    sure = Classifier(
        lambda faces: {"consensus": np.tile(np.float32([4000, -4000, 0, 0, 0, 0, 0]), (64, 1))},
        head="consensus",
        mirror=True,
    )
    assert np.isfinite(sure.classify(crops)).all()


def test_the_deepface_package_reads_through_the_same_door(tmp_path, monkeypatch, crops):
    """The package itself is large; a stand-in shows what it is given and how it is read."""
    seen = {}

    class Client:
        def predict(self, images):
            seen["images"] = images
            return np.tile(np.float32([0.1, 0.2, 0.05, 0.3, 0.04, 0.06, 0.25]), (len(images), 1))

    def build_model(name, task):
        weights = Path(os.environ["DEEPFACE_HOME"]) / ".deepface" / "weights"
        seen["weights"] = (weights / "facial_expression_model_weights.onnx").read_bytes()
        seen["engine"] = os.environ["DEEPFACE_BACKEND_ENGINE"]
        seen["asked"] = (name, task)
        return Client()

    monkeypatch.setitem(
        sys.modules, "deepface", SimpleNamespace(DeepFace=SimpleNamespace(build_model=build_model))
    )
    monkeypatch.setenv("DEEPFACE_HOME", "/elsewhere")
    (tmp_path / "mine.onnx").write_bytes(b"weights")
    entry = {"labels": list(EMOTIONS), "head": "fer2013"}
    asset = assets.ModelAsset("deepface-package", tmp_path / "mine.onnx", "0", entry, "deepface")
    probs = classify.load_classifier(asset).classify(crops[:3])
    # Its order: angry, disgust, fear, happy, sad, surprise, neutral.
    assert probs[2] == pytest.approx([0.1, 0.2, 0.05, 0.3, 0.25, 0.04, 0.06])
    assert seen["weights"] == b"weights"
    assert (seen["engine"], seen["asked"]) == ("onnx", ("Emotion", "facial_attribute"))
    assert seen["images"].shape == (64, 48, 48, 3)
    assert seen["images"][2, 5, 7].tolist() == pytest.approx([crops[2, 5, 7] / 255] * 3)
    assert os.environ["DEEPFACE_HOME"] == "/elsewhere"
    assert "DEEPFACE_BACKEND_ENGINE" not in os.environ


def test_the_error_stream_comes_back_from_two_who_silence_it_at_once():
    before = os.fstat(2)
    both = threading.Barrier(2)

    def silence(wait_s):
        both.wait(10)
        time.sleep(wait_s)
        with classify.silent_stderr():
            time.sleep(0.1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(silence, (0.0, 0.05)))
    assert os.path.samestat(os.fstat(2), before)


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
        grey = frame.planes.grey
        found[name] = align_faces(grey, detector.detect(frame).landmarks)
    return found


def test_the_bundled_class_is_happier_when_it_laughs(classifier, class_crops):
    happy = EMOTIONS.index("happy")
    neutral, laughing = (
        classifier.classify(class_crops[name])[:, happy] for name in ("neutral", "laughing")
    )
    assert len(neutral) == len(laughing) == 9
    assert laughing.mean() > neutral.mean() + 0.2
    # Both in reading order, so person by person. If the seconds were alike, each difference might
    # as well be the other way round: less than one in fifty such tries adds up to as much. How sure
    # a network is of drawn people says little of real ones; two of the nine are not read as happy.
    signs = np.array(list(itertools.product((1, -1), repeat=9)))
    apart = laughing - neutral
    assert (signs @ apart >= apart.sum() - 1e-6).mean() < 0.02
