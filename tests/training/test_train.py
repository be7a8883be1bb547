"""Training: batches from a seed, resuming, the kept mean, and checkpoints that do not fit."""

import keras
import numpy as np
import pytest
from keras import layers

from fer_core.errors import ConfigError, InputError
from fer_core.training import train, zoo
from fer_core.training.augment import augmented
from fer_core.training.train import Batches, Recipe
from tests.training import pictures

# Keras 3.15 saves through TensorFlow 2.21's `__array__`, which numpy 2 finds too old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RECIPE = Recipe(epochs=2, batch=8, warmup_epochs=0.5, seed=4)


def tiny() -> keras.Model:
    """The shape of a real model: normalisation, batch normalisation, dropout, two heads."""
    faces = keras.Input((48, 48, 1), name="faces")
    x = layers.Rescaling(1 / 64, offset=-2.0)(faces)
    x = layers.Conv2D(4, 5, strides=4, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(faces, {head: layers.Dense(7, name=head)(x) for head in zoo.HEADS})


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(zoo.ARCHITECTURES, "tiny", tiny)


@pytest.fixture(scope="module")
def data():
    return pictures.faces(24)


def run(data, out, recipe=RECIPE, **options):
    said: list[str] = []
    model = train.train("tiny", data, data, out, recipe, say=said.append, **options)
    return model.get_weights(), said


def test_a_resumed_training_gives_what_an_uninterrupted_one_gives(data, tmp_path):
    whole, _ = run(data, tmp_path / "whole")
    _, first = run(data, tmp_path / "parts", minutes=0)
    resumed, second = run(data, tmp_path / "parts", minutes=0)
    assert first[-1].startswith("stopping after 0 minutes")
    assert second[0] == "continuing after epoch 1 of 2"
    assert second[1].startswith("epoch 2/2 loss ")
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_file_holds_the_averaged_float32_model(data, tmp_path):
    weights, _ = run(data, tmp_path, RECIPE.__class__(epochs=1, batch=8, mixed_bfloat16=True))
    stored = keras.saving.load_model(tmp_path / "tiny.keras", compile=False, safe_mode=True)
    assert all(np.array_equal(a, b) for a, b in zip(stored.get_weights(), weights, strict=True))
    assert {layer.compute_dtype for layer in stored.layers} == {"float32"}
    assert not list(tmp_path.glob("new-*"))


def test_a_finished_training_is_only_read_back(data, tmp_path):
    weights, _ = run(data, tmp_path)
    again, said = run(data, tmp_path)
    assert said == ["continuing after epoch 2 of 2"]
    assert all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True))


def test_a_checkpoint_of_another_recipe_or_none_at_all(data, tmp_path):
    run(data, tmp_path, minutes=0)
    with pytest.raises(ConfigError, match="another training"):
        run(data, tmp_path, Recipe(epochs=2, batch=8, seed=5))
    (tmp_path / train.CHECKPOINT).write_bytes(b"PK not a checkpoint")
    with pytest.raises((InputError, ConfigError)) as caught:
        run(data, tmp_path)
    assert "damaged" in caught.value.message


def test_batches_depend_on_seed_and_epoch_only(data):
    one, same = Batches(data, RECIPE, 3), Batches(data, RECIPE, 3)
    assert len(one) == 3
    for index in range(3):
        assert np.array_equal(one[index][0], same[index][0])
    assert not np.array_equal(one[0][0], Batches(data, RECIPE, 4)[0][0])
    faces, targets, weights = one[0]
    assert faces.shape == (8, 48, 48, 1)
    assert targets["fer2013"].sum(axis=1).tolist() == [1] * 8
    assert targets["consensus"].sum(axis=1) == pytest.approx(np.ones(8))
    assert (weights["consensus"] < 1).all()


def test_variations_leave_the_original_alone_and_stay_pictures(data):
    before = data.images.copy()
    varied = augmented(data.images, np.random.default_rng(0))
    assert varied.shape == data.images.shape
    assert varied.dtype == np.uint8
    assert np.array_equal(data.images, before)
    assert not np.array_equal(varied, before)


def test_the_default_network_takes_faces_and_gives_two_heads():
    model = zoo.build("lecturenet")
    assert model.input_shape == (None, 48, 48, 1)
    assert list(model.output) == list(zoo.HEADS)
    assert {tuple(head.shape) for head in model.output.values()} == {(None, 7)}
    assert model.count_params() < 3_000_000
    with pytest.raises(ConfigError, match="lecturenot"):
        zoo.build("lecturenot")
