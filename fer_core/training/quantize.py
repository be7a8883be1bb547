"""Turns a trained network into the int8 files that LiteRT and ONNX Runtime run."""

# TensorFlow and Keras are not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from fer_core.classify import BATCH, silent_stderr
from fer_core.errors import EnvironmentProblem, InputError
from fer_core.records import FACE_SIZE_PX

CALIBRATION_BATCHES: Final = 16
"""Batches of training faces that the ranges of the activations are read off."""

_OPSET: Final = 17
_PACKAGES: Final = ("onnx", "tf2onnx", "sympy")


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
    import tensorflow as tf

    batches = list(_batches(faces))
    shape = batches[0].shape

    def examples() -> Iterator[list[NDArray[np.float32]]]:
        return ([batch] for batch in batches)

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


def need_packages() -> None:
    """Raise EnvironmentProblem if packages of the extra ``publish`` are not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentProblem(
            f"Publishing a model needs packages that are not installed: {', '.join(missing)}.",
            hint="Install them: python -m pip install 'lecturepulse[publish]'",
        )


def to_onnx(model: keras.Model, faces: NDArray[np.uint8]) -> bytes:
    """Return a file for ONNX Runtime with int8 weights and activations, for batches of any size.

    As ``to_int8``, but the weights use 7 of their 8 bits: without instructions for 8-bit networks a
    processor adds two products in 16 bits, which would overflow with more. For such processors the
    file is made; the others run LiteRT's. The same faces get the same answers whenever it is made,
    but the order of its nodes may differ.

    Args:
        model: takes ``(n, 48, 48, 1)``, gives logits by head.
        faces: ``(n, 48, 48)`` grey, such as the model will see; the first batches are used.

    Raises:
        InputError: fewer faces than one batch.
        EnvironmentProblem: as ``need_packages``.
    """
    need_packages()
    import onnx
    import tensorflow as tf
    import tf2onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches = iter(list(_batches(faces)))

    class Examples(quantization.CalibrationDataReader):
        def get_next(self) -> Any:  # None ends it, whatever the type of the method says
            batch = next(batches, None)
            return None if batch is None else {"faces": batch}

    given = [tf.TensorSpec((None, FACE_SIZE_PX, FACE_SIZE_PX, 1), tf.float32, name="faces")]

    def read(faces: Any) -> Any:
        return model(faces, training=False)

    run = tf.function(read, input_signature=given)
    with tempfile.TemporaryDirectory() as folder, silent_stderr():
        whole, prepared, small = (Path(folder, name) for name in ("whole", "prepared", "small"))
        graph, _ = tf2onnx.convert.from_function(run, input_signature=given, opset=_OPSET)
        onnx.save(graph, whole)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            small,
            Examples(),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        return small.read_bytes()


def _batches(faces: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    if len(faces) < BATCH:
        raise InputError(
            f"{len(faces)} faces are too few to quantise a model.",
            hint=f"Give training data with {BATCH} faces at least.",
        )
    for start in range(0, min(len(faces) // BATCH, CALIBRATION_BATCHES) * BATCH, BATCH):
        yield faces[start : start + BATCH].astype(np.float32)[..., None]
