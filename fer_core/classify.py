"""Reads expressions: alignment of faces, the classifier protocol, and Keras behind it.

The only inference file that imports TensorFlow, and only when the first face is read. How
models are trained lives in ``training``.
"""

# TensorFlow and Keras are not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core import assets
from fer_core.errors import AssetCorrupt
from fer_core.records import EMOTIONS

FACE_SIZE_PX: Final = 48
"""Side of a face as the models take it, pixels."""

TEMPLATE_PX: Final = np.array(
    [[14.9, 17.9], [32.5, 17.9], [23.7, 28.4], [16.7, 35.9], [31.0, 35.9]], np.float64
)
"""Where the five points lie in FER2013's pictures: the medians over the 2,901 faces that YuNet
finds in 3,000 training pictures enlarged fivefold."""

# Results must not depend on which faces share a batch: every batch has this size.
_BATCH: Final = 64
_LEAST_SCALE: Final = 1e-6


class EmotionClassifier(Protocol):
    """Anything that reads the expressions of aligned faces."""

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities ``(n, 7)`` of grey crops ``(n, 48, 48)``."""
        ...


def align_faces(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut faces out as the models know them: upright, eyes and mouth where FER2013 has them.

    A similarity transform, least squares over the five points (Umeyama 1991). Faces larger than
    the crop are shrunk by area first, so that the warp does not alias; beyond the frame's border
    its last pixels go on.

    Args:
        image: ``(height, width, 3)`` the whole frame at native resolution, blue-green-red.
        landmarks: ``(n, 5, 2)`` in pixels of ``image``, in the order of ``records.LANDMARKS``.

    Returns:
        ``(n, 48, 48)`` grey crops.
    """
    crops = np.zeros((len(landmarks), FACE_SIZE_PX, FACE_SIZE_PX), np.uint8)
    for crop, points in zip(crops, landmarks.astype(np.float64), strict=True):
        crop[:] = _align(image, points)
    return crops


def _align(image: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.uint8]:
    matrix = _similarity(points, TEMPLATE_PX)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    # The face's surroundings, wide enough for any rotation of the crop.
    corners = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]) * (FACE_SIZE_PX - 1)
    inside = np.linalg.solve(matrix[:, :2], corners - matrix[:, 2:])
    low = np.floor(inside.min(axis=1)).astype(int) - 2
    high = np.ceil(inside.max(axis=1)).astype(int) + 3
    x0, y0 = np.clip(low, 0, [image.shape[1] - 1, image.shape[0] - 1])
    x1, y1 = np.clip(high, [x0 + 1, y0 + 1], [image.shape[1], image.shape[0]])
    part = np.asarray(cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY), np.uint8)
    shift = np.array([[1.0, 0.0, x0], [0.0, 1.0, y0], [0.0, 0.0, 1.0]])
    full = np.vstack([matrix, [0.0, 0.0, 1.0]]) @ shift
    if scale < 1:
        size = [max(1, round(side * scale)) for side in part.shape[::-1]]
        step = np.array([part.shape[1] / size[0], part.shape[0] / size[1]])
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        # Pixel centres: x_large = (x_small + 0.5) * step - 0.5.
        offset = step / 2 - 0.5
        full = full @ np.array([[step[0], 0, offset[0]], [0, step[1], offset[1]], [0, 0, 1.0]])
    size_px = (FACE_SIZE_PX, FACE_SIZE_PX)
    crop = cv2.warpAffine(
        part, full[:2], size_px, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def _similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ``(2, 3)`` rotation, scale and shift that best brings source onto target."""
    # As complex numbers a similarity is z -> a z + b, and least squares gives a directly.
    z = (source - source.mean(axis=0)) @ np.array([1, 1j])
    w = (target - target.mean(axis=0)) @ np.array([1, 1j])
    a = complex(np.vdot(z, w) / max(float(np.vdot(z, z).real), 1e-9))
    if abs(a) < _LEAST_SCALE:  # five points in one place: no face, but no crash either
        a = 1.0 + 0j
    turn = np.array([[a.real, -a.imag], [a.imag, a.real]])
    return np.column_stack([turn, target.mean(axis=0) - turn @ source.mean(axis=0)])


class KerasClassifier:
    """A Keras model of ``models/``, calibrated; safe to share between threads.

    Args:
        name: its name in the manifest; None for the default.
        threads: threads TensorFlow may use; None for its own choice. Counts for the first
            classifier of a process only.

    Raises:
        ConfigError: no such model.
        AssetMissing, AssetCorrupt: its weights are not there, damaged, or of another shape.
    """

    def __init__(self, name: str | None = None, *, threads: int | None = None) -> None:
        asset = assets.model(name)
        self.name, self.sha256 = asset.name, asset.sha256
        head = str(asset.entry["head"])
        temperature = float(asset.entry["temperature"][head])
        tf, keras = _import_tensorflow(threads)
        try:
            model = keras.saving.load_model(asset.path, compile=False, safe_mode=True)
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise AssetCorrupt(
                f"The model '{asset.name}' cannot be loaded: {str(error).splitlines()[0]}",
                hint="Restore its file, or install lecturepulse again.",
            ) from error
        if list(asset.entry["labels"]) != list(EMOTIONS):
            raise AssetCorrupt(
                f"The model '{asset.name}' has other labels than this lecturepulse.",
                hint="Install weights and program of the same version.",
            )

        def probabilities(faces: Any) -> Any:
            logits = model(tf.cast(faces, tf.float32)[..., None], training=False)[head]
            return tf.nn.softmax(tf.cast(logits, tf.float32) / temperature)

        shape = tf.TensorSpec((_BATCH, FACE_SIZE_PX, FACE_SIZE_PX), tf.uint8)
        self._run = tf.function(probabilities, input_signature=[shape])
        self._lock = threading.Lock()

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities ``(n, 7)`` of grey crops ``(n, 48, 48)`` of 0 to 255.

        Raises:
            ValueError: the crops have another shape or type.
        """
        if crops.shape[1:] != (FACE_SIZE_PX, FACE_SIZE_PX) or crops.dtype != np.uint8:
            raise ValueError(f"crops must be (n, 48, 48) uint8, got {crops.shape} {crops.dtype}")
        result = np.zeros((len(crops), len(EMOTIONS)), np.float64)
        for start in range(0, len(crops), _BATCH):
            part = crops[start : start + _BATCH]
            batch = np.zeros((_BATCH, FACE_SIZE_PX, FACE_SIZE_PX), np.uint8)
            batch[: len(part)] = part
            with self._lock:  # one batch at a time: TensorFlow's own threads fill the cores
                result[start : start + len(part)] = self._run(batch).numpy()[: len(part)]
        result /= np.maximum(result.sum(axis=1, keepdims=True), 1e-12)
        return result.astype(np.float32)


def _import_tensorflow(threads: int | None) -> tuple[Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _silent_stderr():
        import keras
        import tensorflow as tf

        tf.constant(0)  # looks for devices, and talks about it

    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # already running: the first classifier has decided
            pass
    return tf, keras


@contextmanager
def _silent_stderr() -> Generator[None]:
    """Discard what native code writes to the error stream.

    TensorFlow 2.21 reports the processor and missing GPU drivers before its own log level counts.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
