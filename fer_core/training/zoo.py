"""The architectures, by name; how they are trained lives in ``train``.

Every model takes ``(n, 48, 48, 1)`` grey faces with values 0 to 255, normalises them itself and
returns ``{"consensus": (n, 7), "fer2013": (n, 7)}`` logits in the order of ``EMOTIONS``.
"""

# Keras is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import keras
from keras import layers

from fer_core.errors import ConfigError, InputError
from fer_core.records import EMOTIONS
from fer_core.training.dataset import FACE_SIZE_PX

HEADS: Final = ("consensus", "fer2013")
"""Trained on the FER+ vote distributions, and on FER2013's own labels."""

# Keras ships no usable type information for tensors and layers.
Tensor = Any


def build(name: str) -> keras.Model:
    """Return an untrained model.

    Args:
        name: one of ``ARCHITECTURES``.

    Raises:
        ConfigError: no architecture of that name.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"There is no architecture '{name}'.",
            hint=f"Choose one of: {', '.join(ARCHITECTURES)}.",
        )
    return ARCHITECTURES[name]()


def read_model(path: Path) -> keras.Model:
    """Return a trained model; nothing in its file is run as code.

    Raises:
        InputError: the file is missing or holds no model.
    """
    try:
        return cast(keras.Model, keras.saving.load_model(path, compile=False, safe_mode=True))
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be loaded: {str(error).splitlines()[0]}",
            hint="Give a .keras file as a training leaves it.",
        ) from error


def lecturenet() -> keras.Model:
    """Return the default network: a squeeze-excite residual trunk with two heads.

    The first convolution halves the picture at once: at 48×48 the element-wise layers would
    cost more than all convolutions after them.
    """
    faces = keras.Input((FACE_SIZE_PX, FACE_SIZE_PX, 1), name="faces")
    x = _convolve(_normalised(faces), 32, size=5, stride=2)
    for width, strides in ((32, (1,)), (64, (2, 1)), (160, (2, 1))):
        for stride in strides:
            x = _residual(x, width, stride)
    return _with_heads(faces, layers.GlobalAveragePooling2D()(x), "lecturenet")


def _normalised(faces: Tensor) -> Tensor:
    # Fixed, not per picture: contrast is part of the evidence, and augmentation varies it.
    return layers.Rescaling(1 / 64, offset=-2.0, name="normalised")(faces)


def _convolve(
    x: Tensor, width: int, *, size: int = 3, stride: int = 1, active: bool = True
) -> Tensor:
    x = layers.Conv2D(
        width,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    return layers.ReLU()(x) if active else x


def _residual(x: Tensor, width: int, stride: int) -> Tensor:
    y = _convolve(x, width, stride=stride)
    y = _excite(_convolve(y, width, active=False))
    if stride > 1:
        x = layers.AveragePooling2D(stride)(x)
    if x.shape[-1] != width:
        x = _convolve(x, width, size=1, active=False)
    return layers.ReLU()(layers.Add()([x, y]))


def _excite(x: Tensor) -> Tensor:
    width = int(x.shape[-1])
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(width // 8, 1, activation="relu")(gate)
    gate = layers.Conv2D(width, 1, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])


def _with_heads(faces: Tensor, features: Tensor, name: str) -> keras.Model:
    features = layers.Dropout(0.3)(features)
    heads = {
        head: layers.Dense(len(EMOTIONS), dtype="float32", name=head)(features) for head in HEADS
    }
    return keras.Model(faces, heads, name=name)


ARCHITECTURES: Final[dict[str, Callable[[], keras.Model]]] = {"lecturenet": lecturenet}
"""Every architecture that can be trained, by name."""
