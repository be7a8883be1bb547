"""The architectures, by name; how they are trained lives in ``train``.

Every model takes ``(n, 48, 48, 1)`` grey faces with values 0 to 255, normalises them itself and
returns ``{"consensus": (n, 7), "fer2013": (n, 7)}`` logits in the order of ``EMOTIONS``.
"""

# Keras is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import keras
from keras import layers

from fer_core.errors import ConfigError, InputError, in_short
from fer_core.records import EMOTIONS, FACE_SIZE_PX
from fer_core.training.faces import HEADS

# Keras ships no usable type information for tensors and layers.
Tensor = Any


def build(name: str) -> keras.Model:
    """Return an untrained model.

    Args:
        name: one of ``ARCHITECTURES``.

    Raises:
        ConfigError: no architecture of that name.
    """
    check(name)
    return ARCHITECTURES[name]()


def check(name: str) -> None:
    """Raise ConfigError if there is no architecture of that name."""
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"There is no architecture '{name}'.",
            hint=f"Choose one of: {', '.join(ARCHITECTURES)}.",
        )


def read_model(path: Path) -> keras.Model:
    """Return a trained model; nothing in its file is run as code.

    Raises:
        InputError: the file is missing or holds no model.
    """
    need_keras_file(path)
    try:
        return cast(keras.Model, keras.saving.load_model(path, compile=False, safe_mode=True))
    # A damaged file makes zipfile, HDF5 and Keras raise almost anything; it means the same.
    except Exception as error:
        raise InputError(
            f"{path} cannot be loaded: {in_short(error)}.",
            hint="Give a .keras file as a training leaves it.",
        ) from error


def has_our_interface(model: keras.Model) -> bool:
    """Return whether a model takes grey faces, and gives seven scores for each of our heads."""
    given = model.output if isinstance(model.output, dict) else {}
    heads = {name: tuple(scores.shape) for name, scores in given.items()}
    faces = (None, FACE_SIZE_PX, FACE_SIZE_PX, 1)
    return model.input_shape == faces and heads == dict.fromkeys(HEADS, (None, len(EMOTIONS)))


def need_keras_file(path: Path) -> None:
    """Raise InputError if a file is missing or no whole ``.keras`` file."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.", hint="Name a .keras file of a training.")
    if not zipfile.is_zipfile(path):  # Keras calls a file that is cut off "not found"
        raise InputError(
            f"{path} is no .keras file, or is cut off.",
            hint="Give a .keras file as a training leaves it.",
        )


def imagenet_weights() -> Path | None:
    """Return the file of ResNet50's ImageNet weights in Keras' own cache; None if not there."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return path if path.is_file() else None


def begin_with(path: Path, model: keras.Model) -> None:
    """Give a model its first weights.

    Args:
        path: a ``.keras`` file of the same architecture; for ``resnet50`` also Keras' ``.h5``
            file of ImageNet weights, which have no heads.
        model: changed in place.

    Raises:
        InputError: the file is missing, holds no model, or one of another architecture.
    """
    try:
        if path.suffix == ".h5":
            trunk = keras.applications.ResNet50(
                include_top=False, weights=str(path), input_shape=(FACE_SIZE_PX, FACE_SIZE_PX, 3)
            )
            for layer in trunk.layers[1:]:
                model.get_layer(layer.name).set_weights(layer.get_weights())
        else:
            model.set_weights(read_model(path).get_weights())
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path} is no model, or one of another architecture.",
            hint="Start from weights of the same architecture.",
        ) from error


def lecturenet(widths: Sequence[int] = (48, 112, 192), name: str = "lecturenet") -> keras.Model:
    """Return the default network: a squeeze-excite residual trunk with two heads.

    The first convolution halves the picture at once: at 48×48 the element-wise layers would
    cost more than all convolutions after them.

    Args:
        widths: channels of each stage, two blocks each; all but the first halve the picture.
        name: of the network.
    """
    faces = keras.Input((FACE_SIZE_PX, FACE_SIZE_PX, 1), name="faces")
    x = _convolve(_normalised(faces), widths[0], size=5, stride=2)
    for stage, width in enumerate(widths):
        for stride in (2 if stage else 1, 1):
            x = _residual(x, width, stride)
    return _with_heads(faces, layers.GlobalAveragePooling2D()(x), name)


def lecturenet_small() -> keras.Model:
    """Return ``lecturenet`` with half of its multiplications, for large classes on few cores."""
    return lecturenet((32, 80, 144), "lecturenet_small")


def custom_cnn() -> keras.Model:
    """Return a plain network of convolutions and pooling, and one hidden dense layer."""
    faces = keras.Input((FACE_SIZE_PX, FACE_SIZE_PX, 1), name="faces")
    x = _convolve(_normalised(faces), 32)
    x = layers.MaxPooling2D()(x)
    for width in (64, 128, 256):
        x = _convolve(_convolve(x, width), width)
        x = layers.Dropout(0.1)(layers.MaxPooling2D()(x))
    x = layers.Dense(256, use_bias=False, kernel_initializer="he_normal")(layers.Flatten()(x))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
    return _with_heads(faces, x, "custom_cnn", dropout=0.5)


def resnet50() -> keras.Model:
    """Return Keras' ResNet50 with our heads, at random; ``begin_with`` knows ImageNet's weights."""
    faces = keras.Input((FACE_SIZE_PX, FACE_SIZE_PX, 1), name="faces")
    # As the ImageNet weights know pictures: blue-green-red, each channel's mean taken away.
    x = layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68])(
        layers.Concatenate()([faces, faces, faces])
    )
    trunk = keras.applications.ResNet50(
        include_top=False, weights=None, input_tensor=x, pooling="avg"
    )
    return _with_heads(faces, trunk.output, "resnet50")


def deepface() -> keras.Model:
    """Return the nine-layer network of Taigman et al. (2014), for faces of 48 px and 7 classes.

    Layers, order, filters and strides (C1 M2 C3 L4 L5 L6 F7 F8) are the paper's. Its windows
    (11, 9, 9, 7 and 5 px) were chosen for faces of 152 px; here they are 5 and 3 px.
    """
    faces = keras.Input((FACE_SIZE_PX, FACE_SIZE_PX, 1), name="faces")
    x = layers.Conv2D(32, 5, activation="relu", name="C1")(_normalised(faces))
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="M2")(x)
    x = layers.Conv2D(16, 3, activation="relu", name="C3")(x)
    for name, stride in (("L4", 1), ("L5", 2), ("L6", 1)):
        x = layers.ReLU()(LocallyConnected(16, 3, stride, name=name)(x))
    x = layers.Dense(4096, activation="relu", name="F7")(layers.Flatten()(x))
    return _with_heads(faces, x, "deepface", dropout=0.5)


@keras.saving.register_keras_serializable("lecturepulse")
class LocallyConnected(layers.Layer):
    """A convolution whose kernel is another one at every place; Keras 3 has none of its own.

    Takes ``(n, height, width, channels)``, without padding.

    Args:
        filters: channels it gives.
        size: height and width of the window.
        stride: step between windows.
        name: of the layer.
    """

    def __init__(self, filters: int, size: int, stride: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.filters, self.size, self.stride = filters, size, stride

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make a kernel for every place."""
        _, rows, columns, channels = (int(side or 0) for side in input_shape)
        rows, columns = ((side - self.size) // self.stride + 1 for side in (rows, columns))
        window = self.size**2 * channels
        self.kernel = self.add_weight(
            shape=(rows, columns, window, self.filters),
            # Each place sees only its own window: the fan-in that "he_normal" would guess wrong.
            initializer=keras.initializers.RandomNormal(stddev=(2 / window) ** 0.5),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(rows, columns, self.filters), initializer="zeros", name="bias"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Return ``(n, rows, columns, filters)``."""
        patches = keras.ops.image.extract_patches(
            inputs, self.size, strides=self.stride, padding="valid", data_format="channels_last"
        )
        return keras.ops.einsum("nhwp,hwpf->nhwf", patches, self.kernel) + self.bias

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal layer."""
        own = {"filters": self.filters, "size": self.size, "stride": self.stride}
        return super().get_config() | own


def _normalised(faces: Tensor) -> Tensor:
    # Fixed, not per picture: contrast is part of the evidence, and augmentation varies it.
    return layers.Rescaling(1 / 64, offset=-2.0, name="normalised")(faces)


def _convolve(
    x: Tensor,
    width: int,
    *,
    size: int = 3,
    stride: int = 1,
    active: bool = True,
    gamma: str = "ones",
) -> Tensor:
    x = layers.Conv2D(
        width,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    x = layers.BatchNormalization(momentum=0.95, gamma_initializer=gamma)(x)
    return layers.ReLU()(x) if active else x


def _residual(x: Tensor, width: int, stride: int) -> Tensor:
    y = _convolve(x, width, stride=stride)
    # A block begins as the identity, which steadies the first epochs (Goyal et al. 2017).
    y = _excite(_convolve(y, width, active=False, gamma="zeros"))
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


def _with_heads(faces: Tensor, features: Tensor, name: str, *, dropout: float = 0.3) -> keras.Model:
    features = layers.Dropout(dropout)(features)
    heads = {
        head: layers.Dense(len(EMOTIONS), dtype="float32", name=head)(features) for head in HEADS
    }
    return keras.Model(faces, heads, name=name)


ARCHITECTURES: Final[dict[str, Callable[[], keras.Model]]] = {
    "lecturenet": lecturenet,
    "lecturenet_small": lecturenet_small,
    "custom_cnn": custom_cnn,
    "resnet50": resnet50,
    "deepface": deepface,
}
"""Every architecture that can be trained, by name."""
