"""Turns a trained network into the int8 file that LiteRT runs."""

# TensorFlow and Keras are not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from fer_core.classify import BATCH, silent_stderr
from fer_core.errors import InputError
from fer_core.records import FACE_SIZE_PX

CALIBRATION_BATCHES: Final = 16
"""Batches of training faces that the ranges of the activations are read off."""


def to_int8(model: keras.Model, faces: NDArray[np.uint8]) -> bytes:
    """Return a LiteRT file with int8 weights and activations, for batches of ``classify.BATCH``.

    Quantised after training: each output channel's weights by their own range, activations by the
    range that the given faces show. Faces in and logits out stay float32.

    Args:
        model: takes ``(n, 48, 48, 1)``, gives logits by head.
        faces: ``(n, 48, 48)`` grey, such as the model will see; the first batches are used.

    Raises:
        InputError: fewer faces than one batch, from which no range can be read.
    """
    if len(faces) < BATCH:
        raise InputError(
            f"{len(faces)} faces are too few to quantise a model.",
            hint=f"Give training data with {BATCH} faces at least.",
        )
    import tensorflow as tf

    shape = (BATCH, FACE_SIZE_PX, FACE_SIZE_PX, 1)

    def examples() -> Iterator[list[NDArray[np.float32]]]:
        for start in range(0, min(len(faces) // BATCH, CALIBRATION_BATCHES) * BATCH, BATCH):
            yield [faces[start : start + BATCH].astype(np.float32)[..., None]]

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), silent_stderr():
        warnings.simplefilter("ignore")  # its own interpreter, which only calibrates here
        path = Path(folder) / "saved"
        model.export(
            path,
            format="tf_saved_model",
            verbose=False,
            input_signature=[keras.InputSpec(shape=shape, dtype="float32", name="faces")],
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = examples
        return bytes(converter.convert())
