"""A narrower network out of a wider one."""

import keras
import numpy as np
import pytest

from fer_core.training import zoo
from tools import narrow

# Noise of many contrasts: over plain noise what a gate sees would hardly change from face to face.
_RNG = np.random.default_rng(1)
FACES = (_RNG.random((64, 48, 48, 1)) * _RNG.uniform(0, 255, (64, 1, 1, 1))).astype(np.float32)


@pytest.fixture
def _exact():
    """Compute in float64: the convolutions of other widths round in other ways."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def trained_like(width):
    """Return a lecturenet all of whose channels say something: new, its blocks say nothing."""
    keras.utils.set_random_seed(width)
    model = zoo.lecturenet((width, 2 * width, 3 * width))
    rng = np.random.default_rng(width)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            scale, shift, *_ = (rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights())
            # Far from where a ReLU would silence a channel for good.
            layer.set_weights([scale, 3 + shift, 0 * scale, 1 + 0 * scale])
    return model


def outputs(model):
    return np.concatenate([model(FACES[:8], training=False)[head] for head in zoo.HEADS])


def test_a_network_of_the_same_width_is_a_copy():
    wide, copy = trained_like(16), zoo.lecturenet((16, 32, 48))
    narrow.narrowed(wide, copy, FACES)
    assert np.array_equal(outputs(copy), outputs(wide))


@pytest.mark.usefixtures("_exact")
def test_channels_that_say_nothing_are_those_left_out():
    wide, smaller = trained_like(16), zoo.lecturenet((8, 16, 24))
    rng = np.random.default_rng(3)
    silent = {size: rng.permutation(size)[size // 2 :] for size in (16, 32, 48)}
    for layer in wide.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            for values in weights[:2]:  # scale and shift
                values[silent[len(values)]] = 0
        elif isinstance(layer, keras.layers.Conv2D) and weights[0].shape[-1] in {2, 4, 6}:
            hidden = weights[0].shape[-1]  # of a gate
            weights[0][..., rng.permutation(hidden)[hidden // 2 :]] = 0
        layer.set_weights(weights)
    narrow.narrowed(wide, smaller, FACES)
    np.testing.assert_allclose(outputs(smaller), outputs(wide), rtol=1e-4, atol=1e-4)
