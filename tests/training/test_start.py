"""Beginning a training with given weights, and files that such weights cannot come from."""

import keras
import numpy as np
import pytest
from keras import layers

from fer_core.errors import InputError
from fer_core.training import zoo
from fer_core.training.train import CHECKPOINT, Recipe, train
from tests.training import pictures

# Keras 3.15 itself, while it saves a model under NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

# A rate of next to nothing: whatever the weights are, they stay.
STILL = Recipe(epochs=1, batch=8, warmup_epochs=0, learning_rate=1e-30)


def tiny() -> keras.Model:
    faces = keras.Input((48, 48, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 8, strides=8)(faces))
    return keras.Model(faces, {head: layers.Dense(7, name=head)(x) for head in zoo.HEADS})


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(zoo.ARCHITECTURES, "tiny", tiny)


@pytest.fixture(scope="module")
def data():
    return pictures.faces(24)


def test_the_weights_of_the_start_are_where_a_training_begins(data, tmp_path):
    given = tiny()
    rng = np.random.default_rng(0)
    given.set_weights([rng.normal(0, 0.01, w.shape).astype(np.float32) for w in given.weights])
    given.save(tmp_path / "given.keras")
    model = train(
        "tiny", data, data, tmp_path / "out", STILL, start=tmp_path / "given.keras", say=str
    )
    for expected, found in zip(given.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_another_architecture_or_no_model_is_refused_by_name(data, tmp_path):
    other, pointer = tmp_path / "other.keras", tmp_path / "pointer.keras"
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save(other)
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    for start in (other, pointer, tmp_path / "absent.keras"):
        with pytest.raises(InputError, match=start.name):
            train("tiny", data, data, tmp_path / "out", STILL, start=start, say=str)


def test_half_a_checkpoint_is_said_to_be_damaged(data, tmp_path):
    train("tiny", data, data, tmp_path, STILL, say=str)
    file = tmp_path / CHECKPOINT
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        train("tiny", data, data, tmp_path, STILL, say=str)
