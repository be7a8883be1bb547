"""Publishing weights: the mirrored model, files that do not change, manifest and card."""

import hashlib
import re
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from fer_core.errors import InputError
from fer_core.training import evaluate, export, metrics, zoo
from tests.training import pictures

# Keras 3.15 saves through TensorFlow 2.21's `__array__`, which numpy 2 finds too old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODELS = Path(__file__).parent.parent.parent / "models"


@pytest.fixture(scope="module")
def trunk() -> keras.Model:
    """A network of lecturenet's name and interface, with large random weights."""
    keras.utils.set_random_seed(6)
    faces = keras.Input((48, 48, 1), name="faces")
    x = layers.Flatten()(layers.AveragePooling2D(8)(layers.Rescaling(1 / 64)(faces)))
    heads = {head: layers.Dense(7, name=head)(x) for head in zoo.HEADS}
    return keras.Model(faces, heads, name="lecturenet")


@pytest.fixture(scope="module")
def published(trunk, tmp_path_factory) -> Path:
    """A folder of models, written by the command."""
    folder = tmp_path_factory.mktemp("models")
    trunk.save(folder / "trained.keras")
    pictures.write(folder / "fer2013-valid.parquet", pictures.columns(70))
    (folder / "MODEL_CARD.md").write_text(
        "# Card\n<!-- figures -->\nfrom before\n<!-- /figures -->\nprose\n"
    )
    arguments = ["--weights", folder / "trained.keras", "--data", folder, "--models", folder]
    assert export.main([str(argument) for argument in arguments]) == 0
    return folder


def test_the_mirrored_model_averages_both_probabilities(trunk):
    images = pictures.faces(10).images
    given = evaluate.logits(export.mirrored(trunk), images)
    plain, flipped = (evaluate.logits(trunk, i) for i in (images, images[:, :, ::-1]))
    for head in zoo.HEADS:
        mean = (metrics.softmax(plain[head]) + metrics.softmax(flipped[head])) / 2
        np.testing.assert_allclose(given[head], np.log(mean), atol=1e-4)


def test_a_mirror_image_is_read_alike(trunk):
    model, images = export.mirrored(trunk), pictures.faces(10).images
    one, other = (evaluate.logits(model, i) for i in (images, images[:, :, ::-1]))
    for head in zoo.HEADS:
        np.testing.assert_allclose(one[head], other[head], atol=1e-5)


def test_certain_faces_stay_finite(trunk):
    sure = keras.models.clone_model(trunk)
    sure.set_weights([weight * 1e4 for weight in trunk.get_weights()])
    given = evaluate.logits(export.mirrored(sure), pictures.faces(5).images)
    assert all(np.isfinite(values).all() for values in given.values())


def test_the_file_loads_in_safe_mode_and_gives_the_same(trunk, tmp_path):
    model, images = export.mirrored(trunk), pictures.faces(5).images
    export.save(model, tmp_path / "one.keras")
    read = keras.saving.load_model(tmp_path / "one.keras", compile=False, safe_mode=True)
    for head, values in evaluate.logits(read, images).items():
        assert np.array_equal(values, evaluate.logits(model, images)[head])
    export.save(model, tmp_path / "two.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_manifest_describes_the_file(published):
    listed = tomllib.loads((published / "manifest.toml").read_text())
    entry = listed["models"][listed["default"]]
    content = (published / entry["file"]).read_bytes()
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["size_bytes"] == len(content)
    assert entry["input"]["range"] == [0, 255]
    assert entry["head"] in entry["temperature"]
    assert entry["metrics"].keys() == set(zoo.HEADS)
    assert 0 <= entry["metrics"]["fer2013"]["accuracy"] <= 1


def test_the_card_gets_its_figures_and_keeps_its_prose(published):
    card = (published / "MODEL_CARD.md").read_text()
    assert "from before" not in card
    assert card.startswith("# Card\n<!-- figures -->\n")
    assert card.endswith("<!-- /figures -->\nprose\n")
    assert "| accuracy | " in card


def test_published_weights_are_not_published_again(published, capsys):
    arguments = ["--weights", published / "lecturenet.keras", "--data", published]
    arguments += ["--models", published]
    assert export.main([str(argument) for argument in arguments]) == 1
    assert "lecturenet_mirrored" in capsys.readouterr().err


def test_weights_that_are_none(published, tmp_path):
    (tmp_path / "none.keras").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"none\.keras"):
        export.export(tmp_path / "none.keras", published, tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        export.export(published / "trained.keras", tmp_path, tmp_path)
    assert not (tmp_path / "lecturenet.keras").exists()


def test_the_shipped_card_is_of_the_shipped_weights():
    listed = tomllib.loads((MODELS / "manifest.toml").read_text(encoding="utf-8"))
    card = (MODELS / "MODEL_CARD.md").read_text(encoding="utf-8")
    sha256 = listed["models"]["lecturenet"]["sha256"]
    assert re.findall(r"Weights `(\w+)`", card) == [sha256[:12]]
    assert export.CARD_FIGURES.search(card)
