"""The same layers as sums that a CPU does sooner, for training with TensorFlow only.

Keras normalises in several element-wise passes, which is half the time of a step; and TensorFlow's
convolutions learn their kernels slowly where pictures are small and channels many, several times
slower than a matrix product of the same numbers. The weights are the same, so a model trained
with these layers is exported with Keras' own.
"""

# Keras is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any, Final

import keras

SMALL_PX: Final = 12
"""Height and width of a picture up to which a matrix product is the sooner one."""


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer with TensorFlow's fused kernel while training; channels last."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise ``(n, ..., channels)``, and track mean and variance; fused at rank 4."""
        if not training or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        weights: Any = self  # built by now; its type says that they may be None

        normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=weights.gamma.value,
            offset=weights.beta.value,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        for moving, batch in ((weights.moving_mean, mean), (weights.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return normalised


class MatrixConvolution(keras.layers.Conv2D):
    """Keras' layer, but the gradient of its kernel is one matrix product; channels last."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve ``(n, height, width, channels)``."""
        layer: Any = self
        size, stride, padding = layer.kernel_size, layer.strides, layer.padding.upper()
        if max(inputs.shape[1:3]) > SMALL_PX or layer.dilation_rate != (1, 1) or layer.groups > 1:
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        steps = [1, *stride, 1]

        def convolve(x: Any, weights: Any) -> Any:
            def gradient(change: Any) -> Any:
                flat = tf.reshape(change, (-1, change.shape[-1]))
                seen = _windows(x, size, stride, change.shape[1:3], padding)
                toward_weights = tf.matmul(seen, flat, transpose_a=True)
                if size == stride == (1, 1):
                    toward_x = tf.matmul(flat, weights[0, 0], transpose_b=True)
                    toward_x = tf.reshape(toward_x, tf.shape(x))
                else:
                    toward_x = tf.raw_ops.Conv2DBackpropInput(
                        input_sizes=tf.shape(x),
                        filter=weights,
                        out_backprop=change,
                        strides=steps,
                        padding=padding,
                    )
                return toward_x, tf.reshape(toward_weights, weights.shape)

            return tf.nn.conv2d(x, weights, steps, padding), gradient

        # Of the numbers: a variable inside would want its gradient told apart.
        return tf.custom_gradient(convolve)(inputs, tf.identity(kernel))


def _windows(x: Any, size: Any, stride: Any, across: Any, padding: str) -> Any:
    """Return what each place of a kernel sees, ``(n * places, height * width * channels)``."""
    import tensorflow as tf

    # TensorFlow's own function for this takes three times as long.
    (high, wide), (down, right) = across, stride
    if padding == "SAME":
        spare = [
            max((out - 1) * step + window - side, 0)
            for out, step, window, side in zip(across, stride, size, x.shape[1:3], strict=True)
        ]
        # The odd one goes below and to the right.
        x = tf.pad(x, [(0, 0), *((each // 2, each - each // 2) for each in spare), (0, 0)])
    seen = [
        x[
            :,
            row : row + (high - 1) * down + 1 : down,
            column : column + (wide - 1) * right + 1 : right,
        ]
        for row in range(size[0])
        for column in range(size[1])
    ]
    whole = seen[0] if len(seen) == 1 else tf.concat(seen, axis=-1)
    return tf.reshape(whole, (-1, whole.shape[-1]))


_SOONER: Final[dict[type, type]] = {
    keras.layers.BatchNormalization: FusedBatchNormalization,
    keras.layers.Conv2D: MatrixConvolution,
}


def with_fast_layers(model: keras.Model) -> keras.Model:
    """Return a copy of a model, with its weights, whose layers are sooner done on a CPU.

    On backends other than TensorFlow the copy keeps Keras' own layers.
    """

    def copied(layer: Any) -> Any:
        kind = type(layer)
        if keras.backend.backend() == "tensorflow":
            kind = _SOONER.get(kind, kind)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=copied)
    copy.set_weights(model.get_weights())
    return copy
