"""Normalising in one kernel: the same numbers as Keras' own layers, only sooner."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from fer_core.training.fused import (
    SMALL_PX,
    FusedBatchNormalization,
    MatrixConvolution,
    with_fast_layers,
)


def plain() -> keras.Model:
    faces = keras.Input((12, 12, 1))
    x = layers.Conv2D(4, 3, use_bias=False)(faces)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    # As custom_cnn does; the kernel knows pictures only.
    x = layers.BatchNormalization(momentum=0.8)(layers.Dense(5)(x))
    return keras.Model(faces, layers.Dense(3)(x))


def test_training_gives_keras_own_numbers_and_statistics():
    one = plain()
    other = with_fast_layers(one)
    assert [type(x) for x in other.layers if "batch" in x.name] == [FusedBatchNormalization] * 2
    before = one.get_weights()
    other.set_weights(before)
    faces = np.random.default_rng(0).normal(3, 2, (16, 12, 12, 1)).astype(np.float32)
    expected, found = one(faces, training=True), other(faces, training=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    changed = 0
    for old, a, b in zip(before, one.get_weights(), other.get_weights(), strict=True):
        # The kernel's variance divides by n - 1 instead of n, with n = 16 * 10 * 10.
        np.testing.assert_allclose(a, b, rtol=1e-3)
        changed += not np.array_equal(old, b)
    assert changed == 4  # the moving means and variances


def test_reading_uses_the_moving_statistics_as_keras_does():
    one = plain()
    other = with_fast_layers(one)
    weights = [np.abs(w) + 0.1 for w in one.get_weights()]
    for model in (one, other):
        model.set_weights(weights)
    faces = np.random.default_rng(1).normal(0, 5, (4, 12, 12, 1)).astype(np.float32)
    np.testing.assert_allclose(
        other(faces, training=False), one(faces, training=False), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2), (2, 1)])
def test_kernels_learn_keras_own_gradients(size, stride, padding):
    rng = np.random.default_rng(size)
    pictures = tf.constant(rng.normal(0, 1, (4, 9, 8, 3)), tf.float32)
    options = {"strides": stride, "padding": padding, "use_bias": True}
    one, other = (kind(5, size, **options) for kind in (layers.Conv2D, MatrixConvolution))
    found = []
    for layer in (one, other):
        layer.build(pictures.shape)
        layer.set_weights(
            [one.get_weights()[0], rng.normal(0, 1, 5)] if layer is one else one.get_weights()
        )
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            given = layer(pictures)
            loss = tf.reduce_sum(given**2)
        found.append(
            [given, *tape.gradient(loss, [pictures, layer.kernel.value, layer.bias.value])]
        )
    for expected, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_large_pictures_keep_tensorflow_s_own_way():
    layer = MatrixConvolution(2, 3)
    pictures = tf.zeros((1, SMALL_PX + 1, 3, 1))
    expected = layers.Conv2D(2, 3)
    assert layer(pictures).shape == expected(pictures).shape
