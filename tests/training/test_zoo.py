"""The architectures: what they take and give, and first weights for them."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras.src.legacy.saving import legacy_h5_format

from fer_core import training
from fer_core.errors import ConfigError, EnvironmentProblem, InputError
from fer_core.records import EMOTIONS
from fer_core.training import train, zoo
from fer_core.training.faces import HEADS
from fer_core.training.recipe import Recipe
from fer_core.training.zoo import LocallyConnected
from tests.training import pictures

# Keras 3.15 itself, while it saves a model under NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

# A rate of next to nothing: whatever the weights are, they stay.
STILL = Recipe(epochs=1, batch=8, warmup_epochs=0, learning_rate=1e-30, mixed_bfloat16=False)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("lecturenet", 2e6),
        ("lecturenet_small", 1e6),
        ("custom_cnn", 2e6),
        ("resnet50", 24e6),
        ("deepface", 4e6),
    ],
)
def test_each_network_takes_faces_and_gives_two_heads(name, most):
    model = zoo.build(name)
    assert model.name == name
    assert model.input_shape == (None, 48, 48, 1)
    assert list(model.output) == list(HEADS)
    assert {tuple(head.shape) for head in model.output.values()} == {(None, len(EMOTIONS))}
    assert most / 2 < model.count_params() < most


def test_deepface_has_the_papers_nine_layers_in_their_order():
    names = [layer.name for layer in zoo.build("deepface").layers]
    own = [name for name in names if name in {"C1", "M2", "C3", "L4", "L5", "L6", "F7"}]
    assert own == ["C1", "M2", "C3", "L4", "L5", "L6", "F7"]
    assert set(names[-2:]) == set(HEADS)  # F8, twice


def test_unknown_architectures():
    with pytest.raises(ConfigError, match="lecturenot"):
        zoo.build("lecturenot")


@pytest.mark.parametrize("stride", [1, 2])
def test_every_place_has_its_own_kernel(stride, tmp_path):
    layer = LocallyConnected(2, 3, stride)
    faces = np.random.default_rng(0).random((2, 7, 9, 3)).astype(np.float32)
    found = np.asarray(layer(faces))
    kernel, bias = (np.asarray(weight) for weight in layer.get_weights())
    assert found.shape == (2, *kernel.shape[:2], 2)
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            window = faces[:, row * stride :, column * stride :][:, :3, :3].reshape(2, -1)
            expected = window @ kernel[row, column] + bias[row, column]
            np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-4, atol=1e-5)


def test_it_is_read_back_from_a_file(tmp_path):
    given = keras.Input((6, 6, 1))
    model = keras.Model(given, LocallyConnected(2, 3)(given))
    model.save(tmp_path / "local.keras")
    faces = np.random.default_rng(0).random((2, 6, 6, 1)).astype(np.float32)
    assert np.array_equal(zoo.read_model(tmp_path / "local.keras")(faces), model(faces))


def tiny() -> keras.Model:
    faces = keras.Input((48, 48, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 8, strides=8)(faces))
    return keras.Model(faces, {head: layers.Dense(7, name=head)(x) for head in HEADS})


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setitem(zoo.ARCHITECTURES, "tiny", tiny)


@pytest.fixture(scope="module")
def data():
    return pictures.faces(24)


@pytest.mark.usefixtures("_tiny")
def test_the_weights_of_the_start_are_where_a_training_begins(data, tmp_path):
    given = tiny()
    rng = np.random.default_rng(0)
    given.set_weights([rng.normal(0, 0.01, w.shape).astype(np.float32) for w in given.weights])
    given.save(tmp_path / "given.keras")
    model = train.train("tiny", data, data, tmp_path / "out", STILL, start=tmp_path / "given.keras")
    for expected, found in zip(given.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.usefixtures("_tiny")
def test_another_architecture_or_no_model_is_refused_by_name(data, tmp_path):
    other, pointer = tmp_path / "other.keras", tmp_path / "pointer.keras"
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save(other)
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    for start in (other, pointer, tmp_path / "absent.keras", tmp_path / "absent.h5"):
        with pytest.raises(InputError, match=start.name):
            train.train("tiny", data, data, tmp_path / "out", STILL, start=start)


@pytest.mark.usefixtures("_tiny")
def test_half_a_checkpoint_is_said_to_be_damaged(data, tmp_path):
    train.train("tiny", data, data, tmp_path, STILL)
    file = tmp_path / train.CHECKPOINT
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        train.train("tiny", data, data, tmp_path, STILL)


@pytest.mark.slow
def test_resnet50_begins_with_imagenets_weights_where_keras_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert zoo.imagenet_weights() is None
    trunk = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(48, 48, 3))
    file = tmp_path / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    file.parent.mkdir()
    with h5py.File(file, "w") as content:  # Keras 2's format, in which those weights are kept
        legacy_h5_format.save_weights_to_hdf5_group(content, trunk)
    assert zoo.imagenet_weights() == file
    model = zoo.build("resnet50")
    zoo.begin_with(file, model)
    for name in ("conv1_conv", "conv3_block2_2_bn", "conv5_block3_3_conv"):
        for one, other in zip(
            trunk.get_layer(name).get_weights(), model.get_layer(name).get_weights(), strict=True
        ):
            assert np.array_equal(one, other)


def test_a_backend_that_is_not_installed_is_told(monkeypatch):
    def importing(name):
        raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(training.importlib, "import_module", importing)
    with pytest.raises(EnvironmentProblem, match="Keras does not start: No module named 'torch'"):
        training.import_keras()
