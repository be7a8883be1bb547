"""Publishing weights: both files, calibration, manifest and card."""

import hashlib
import re
import shutil
import tomllib
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from fer_core import assets, classify, cli
from fer_core.errors import InputError, StoreError
from fer_core.training import dataset, evaluate, export, quantize, zoo
from fer_core.training.faces import HEADS
from fer_core.training.quantize import to_int8, to_onnx
from tests.training import pictures

# Keras 3.15 saves through TensorFlow 2.21's `__array__`, which numpy 2 finds too old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODELS = Path(__file__).parent.parent.parent / "models"
CARD = """# Card
<!-- models -->
<!-- /models -->
between
<!-- figures -->
from before
<!-- /figures -->
prose
"""


def network(name: str, seed: int = 6) -> keras.Model:
    """A network with the interface of one of ours, with large random weights."""
    keras.utils.set_random_seed(seed)
    faces = keras.Input((48, 48, 1), name="faces")
    x = layers.Conv2D(6, 8, strides=8, activation="relu")(layers.Rescaling(1 / 64)(faces))
    x = layers.Flatten()(x)
    heads = {head: layers.Dense(7, name=head)(x) for head in HEADS}
    return keras.Model(faces, heads, name=name)


def run(*words) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["model", *map(str, words)])
    return ended.value.code


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A checkout whose models were written by the command: first the default, then another."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "models").mkdir()
    (folder / "models" / "MODEL_CARD.md").write_text(CARD)
    pictures.write(folder / "train.parquet", pictures.columns(140))
    pictures.write(folder / "valid.parquet", pictures.columns(70, seed=1))
    for seed, name in enumerate(("lecturenet", "custom_cnn")):
        network(name, seed).save(folder / f"trained-{name}.keras")
        words = ["--data", folder, "--models", folder / "models"]
        assert run("export", folder / f"trained-{name}.keras", *words) == 0
    return folder


@pytest.fixture
def checkout(published, tmp_path, monkeypatch) -> Path:
    """A copy of it that may be changed, and is where models are looked for."""
    shutil.copytree(published, tmp_path / "checkout")
    monkeypatch.setattr(assets, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(assets, "_IN_WHEEL", tmp_path / "wheel")
    return tmp_path / "checkout"


def manifest(checkout: Path) -> dict:
    return tomllib.loads((checkout / "models" / "manifest.toml").read_text(encoding="utf-8"))


def test_the_file_loads_in_safe_mode_and_gives_the_same(tmp_path):
    model, faces = network("lecturenet"), pictures.faces(5).images[..., None].astype(np.float32)
    export.save(model, tmp_path / "one.keras")
    read = keras.saving.load_model(tmp_path / "one.keras", compile=False, safe_mode=True)
    for head, values in read(faces).items():
        assert np.array_equal(values, model(faces)[head])
    export.save(model, tmp_path / "two.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_manifest_describes_the_files(published):
    listed = manifest(published)
    assert listed["default"] == "lecturenet"
    assert list(listed["models"]) == ["lecturenet", "custom_cnn"]
    for entry in listed["models"].values():
        assert list(entry["files"]) == list(assets.RUNTIMES)
        for runtime, file in entry["files"].items():
            content = (published / "models" / file["file"]).read_bytes()
            assert file["sha256"] == hashlib.sha256(content).hexdigest()
            assert file["size_bytes"] == len(content)
            assert file["temperature"].keys() == set(HEADS)
            assert entry["metrics"][runtime].keys() == set(HEADS)
            assert 0 <= entry["metrics"][runtime]["fer2013"]["accuracy"] <= 1
        assert entry["input"]["range"] == [0, 255]
        assert entry["head"] in HEADS


def test_what_is_published_is_measured_as_it_was(checkout):
    faces = dataset.read_dataset(checkout, "valid").part("valid")
    for runtime in assets.RUNTIMES:
        again = evaluate.evaluate(evaluate.open_model("custom_cnn", runtime=runtime), faces)
        known = manifest(checkout)["models"]["custom_cnn"]["metrics"][runtime]
        for head in HEADS:
            assert again[head]["accuracy"] == pytest.approx(known[head]["accuracy"], abs=1e-4)
            assert again[head]["ece"] == pytest.approx(known[head]["ece"], abs=1e-4)


def test_the_card_gets_the_figures_of_the_default_and_keeps_its_prose(published):
    card = (published / "models" / "MODEL_CARD.md").read_text()
    assert "from before" not in card
    assert card.startswith("# Card\n<!-- models -->\n| model |")
    assert card.endswith("<!-- /figures -->\nprose\n")
    models, figures = card.split("\nbetween\n")
    assert models.count("| `lecturenet` |") == models.count("| `custom_cnn` |") == 3
    sha256 = manifest(published)["models"]["lecturenet"]["files"]["litert"]["sha256"]
    assert f"`{sha256[:12]}` (litert)" in figures
    assert (published / "models" / "reliability-lecturenet.svg").is_file()


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_int8_gives_nearly_the_same(runtime, checkout):
    faces = pictures.faces(64, seed=9).images
    exact = classify.load_classifier(assets.model(runtime="keras")).logits(faces)
    given = classify.load_classifier(assets.model(runtime=runtime)).logits(faces)
    for head in HEADS:
        spread = exact[head].std()
        assert np.abs(given[head] - exact[head]).mean() < 0.1 * spread


def test_the_same_weights_give_the_same_int8_file():
    faces = pictures.faces(140).images
    model = network("lecturenet")
    assert to_int8(model, faces) == to_int8(model, faces)


def test_the_file_for_onnx_runtime_gives_the_same_whenever_it_is_made(tmp_path):
    model, faces = network("lecturenet"), pictures.faces(140).images
    given = []
    for name in ("one.onnx", "two.onnx"):
        (tmp_path / name).write_bytes(to_onnx(model, faces))
        entry = {"labels": list(assets.EMOTIONS), "head": HEADS[0]}
        asset = assets.ModelAsset(name, tmp_path / name, "", entry, "onnx")
        given.append(classify.load_classifier(asset).logits(faces))
    for head in HEADS:
        assert np.array_equal(given[0][head], given[1][head])


def int8_weights(content: bytes) -> list[np.ndarray]:
    return [
        onnx.numpy_helper.to_array(each).astype(int)
        for each in onnx.load_from_string(content).graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1
    ]


def test_weights_for_onnx_runtime_leave_a_bit_unused():
    """Of 8 bits they would overflow on the processors the file is made for."""
    weights = int8_weights(to_onnx(network("lecturenet"), pictures.faces(64).images))
    assert len(weights) == 1 + len(HEADS)
    for shipped in MODELS.glob("*.onnx"):
        weights += int8_weights(shipped.read_bytes())
    assert len(weights) > 20
    assert all(np.abs(each).max() <= 64 for each in weights)


@pytest.mark.parametrize("quantise", [to_int8, to_onnx])
def test_too_few_faces_to_quantise_are_refused(quantise):
    with pytest.raises(InputError, match="63 faces are too few"):
        quantise(network("lecturenet"), pictures.faces(63).images)


def test_without_the_packages_that_write_it_a_model_is_not_published(checkout, monkeypatch, capsys):
    monkeypatch.setattr(quantize, "_PACKAGES", ("onnx", "no_such_package"))
    before = contents(checkout / "models")
    words = ["--data", checkout, "--models", checkout / "models"]
    assert run("export", checkout / "trained-lecturenet.keras", *words) == 3
    said = capsys.readouterr()
    assert "lecturepulse[publish]" in said.err
    assert "no_such_package" in said.err
    assert "measuring" not in said.out  # told at once
    assert contents(checkout / "models") == before


def test_temperatures_are_fitted_anew(checkout, capsys):
    path = checkout / "models" / "manifest.toml"
    before = path.read_text()
    path.write_text(re.sub(r"temperature = .*", "temperature = { consensus = 9.0 }", before))
    assert run("calibrate", "custom_cnn", "--data", checkout) == 0
    assert "custom_cnn litert consensus: temperature" in capsys.readouterr().out
    was = tomllib.loads(before)["models"]["custom_cnn"]["files"]
    now = manifest(checkout)["models"]["custom_cnn"]["files"]
    for runtime, file in was.items():
        assert now[runtime]["temperature"] == pytest.approx(file["temperature"], rel=1e-3)


def test_what_is_calibrated_anew_is_measured_anew(checkout, capsys):
    """Manifest, card and plot tell of the temperatures that are used."""
    models = checkout / "models"
    before = manifest(checkout)["models"]["lecturenet"]
    pictures.write(checkout / "valid.parquet", pictures.columns(70, seed=2))
    drawn = (models / "reliability-lecturenet.svg").read_bytes()
    assert run("calibrate", "lecturenet", "--data", checkout) == 0
    after = manifest(checkout)["models"]["lecturenet"]
    for runtime, file in after["files"].items():
        assert file["sha256"] == before["files"][runtime]["sha256"]
        assert after["metrics"][runtime] != before["metrics"][runtime]
        opened = evaluate.open_model("lecturenet", runtime=runtime)
        again = evaluate.evaluate(opened, dataset.read_dataset(checkout, "valid").part("valid"))
        for head in HEADS:
            assert after["metrics"][runtime][head]["ece"] == pytest.approx(
                again[head]["ece"], abs=1e-4
            )
    temperature = after["files"]["litert"]["temperature"]["consensus"]
    assert f"| temperature | {temperature:.3f} |" in (models / "MODEL_CARD.md").read_text()
    assert (models / "reliability-lecturenet.svg").read_bytes() != drawn
    assert "lecturenet for onnx: calibrating, measuring" in capsys.readouterr().out


def test_without_votes_nothing_is_published_and_no_calibration_lost(checkout, capsys):
    columns = pictures.columns(70, seed=1)
    unvoted = {name: columns[name] for name in ("image", "label", "duplicate_of_train")}
    pictures.write(checkout / "valid.parquet", unvoted)
    folder = checkout / "models"
    before = {file: file.read_bytes() for file in folder.iterdir()}
    file = checkout / "trained-lecturenet.keras"
    assert run("export", file, "--data", checkout, "--models", folder) == 1
    assert "'consensus'" in capsys.readouterr().err
    assert run("calibrate", "custom_cnn", "--data", checkout) == 1
    assert "'consensus'" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_only_our_own_models_are_calibrated(checkout, capsys):
    assert run("calibrate", assets.DEEPFACE, "--data", checkout) == 2
    assert "not ours" in capsys.readouterr().err


def test_a_file_too_large_for_a_repository_is_measured_only(checkout, monkeypatch):
    monkeypatch.setattr(export, "MOST_FILE_BYTES", 100)
    data = dataset.read_dataset(checkout)
    network("resnet50", 3).save(checkout / "large.keras")
    said = []
    export.export(
        checkout / "large.keras",
        data.part("train"),
        data.part("valid"),
        checkout / "models",
        say=said.append,
    )
    entry = manifest(checkout)["models"]["resnet50"]
    assert entry["files"] == {}  # the list of models must stay readable
    assert entry["metrics"]["keras"].keys() == set(HEADS)
    assert "not published" in said[-1]
    assert not list((checkout / "models").glob("resnet50.*"))
    assert "not shipped" in (checkout / "models" / "MODEL_CARD.md").read_text()


def test_weights_that_are_none(checkout, tmp_path, capsys):
    (tmp_path / "none.keras").write_bytes(b"nothing")
    network("another").save(tmp_path / "other.keras")
    before = (checkout / "models" / "manifest.toml").read_bytes()
    words = ["--data", checkout, "--models", checkout / "models"]
    for file, word in (("none.keras", "none.keras"), ("other.keras", "'another'")):
        assert run("export", tmp_path / file, *words) == 1
        assert word in capsys.readouterr().err
    assert run("export", tmp_path / "none.keras", "--data", checkout, "--models", "nowhere") == 2
    assert (checkout / "models" / "manifest.toml").read_bytes() == before
    with pytest.raises(InputError):
        zoo.read_model(tmp_path / "none.keras")


def no_numbers() -> keras.Model:
    model = network("lecturenet")
    model.set_weights([np.full(w.shape, np.nan) for w in model.get_weights()])
    return model


def other_heads() -> keras.Model:
    faces = keras.Input((48, 48, 1))
    scores = layers.Dense(7, name="consensus")(layers.Flatten()(faces))
    return keras.Model(faces, {"consensus": scores}, name="lecturenet")


@pytest.mark.parametrize("made", [no_numbers, other_heads])
def test_networks_that_only_have_the_name_of_ours(made, checkout, capsys):
    made().save(checkout / "foreign.keras")
    before = contents(checkout / "models")
    words = ["--data", checkout, "--models", checkout / "models"]
    assert run("export", checkout / "foreign.keras", *words) == 1
    assert contents(checkout / "models") == before
    assert "Hint: Give a file that lecturepulse model train" in capsys.readouterr().err


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("ends", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", range(4))
def test_all_files_get_into_place_or_none(ends, after, tmp_path, monkeypatch):
    (tmp_path / "one").write_text("before")
    (tmp_path / "two").write_text("before")
    replace, moves = Path.replace, []

    def moved(path, target):
        moves.append(target)
        if len(moves) == after:
            raise ends
        return replace(path, target)

    def fill():
        with export.whole(tmp_path, "choose another") as fresh:
            for name in ("one", "two", "three"):
                (fresh / name).write_text("after")

    monkeypatch.setattr(Path, "replace", moved)
    if after:
        with pytest.raises(KeyboardInterrupt if ends is KeyboardInterrupt else StoreError):
            fill()
    else:
        fill()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    before = {"one": "before", "two": "before"}
    assert found == (before if after else dict.fromkeys(("one", "two", "three"), "after"))


@pytest.mark.parametrize("name", [assets.MANIFEST, assets.CARD])
def test_what_cannot_be_read_is_not_published_over(name, checkout, capsys):
    (checkout / "models" / name).write_bytes(b"\xff\xfe")
    before = contents(checkout / "models")
    words = ["--data", checkout, "--models", checkout / "models"]
    assert run("export", checkout / "trained-lecturenet.keras", *words) == 3
    assert contents(checkout / "models") == before
    assert "Restore" in capsys.readouterr().err


def test_the_shipped_card_is_of_the_shipped_weights():
    listed = tomllib.loads((MODELS / "manifest.toml").read_text(encoding="utf-8"))
    card = (MODELS / "MODEL_CARD.md").read_text(encoding="utf-8")
    files = listed["models"][listed["default"]]["files"]
    for runtime, file in files.items():
        assert f"`{file['sha256'][:12]}` ({runtime})" in card
        assert (MODELS / file["file"]).stat().st_size == file["size_bytes"] < export.MOST_FILE_BYTES
    for name in listed["models"]:
        assert f"| `{name}` |" in card
