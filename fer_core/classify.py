"""Reads expressions: one classifier over LiteRT, ONNX Runtime, Keras and the deepface package.

The only inference file that runs models of expressions; their runtime is imported when one is
loaded. How faces are cut out is ``align``'s work; how models are trained lives in ``training``.
"""

# TensorFlow, Keras, LiteRT, ONNX Runtime and deepface are not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fer_core import assets
from fer_core.assets import UNCALIBRATED, Calibration, ModelAsset
from fer_core.errors import AssetCorrupt, EnvironmentProblem, in_short
from fer_core.records import EMOTIONS, FACE_SIZE_PX

BATCH: Final = 64
"""Faces TensorFlow reads at once; results must not depend on which faces share a batch, so every
batch has this size."""

_SMALL_BATCH: Final = 4
"""The same for the int8 runtimes, which need no more time for a face in smaller batches, and give
the same bits: so there is less to fill up with nothing."""

_FACE: Final = (FACE_SIZE_PX, FACE_SIZE_PX, 1)

Logits = dict[str, NDArray[np.float32]]
"""Scores before the softmax, ``(n, 7)`` for each head; log-probabilities are scores too."""

_Network = Callable[[NDArray[np.uint8]], Logits]
"""Weights in a runtime: a batch of grey faces ``(batch, 48, 48)`` in, logits of each head out."""

Begun = tuple[_Network, int]
"""A network, and how many faces make a batch of it."""


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities ``(n, classes)`` of logits divided by the temperature."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def probabilities(
    logits: NDArray[np.floating], calibration: Calibration = UNCALIBRATED
) -> NDArray[np.float64]:
    """Return the probabilities ``(n, 7)`` that a head's logits stand for."""
    moved = np.asarray(logits, np.float64) + calibration.offset
    return softmax(moved, calibration.temperature)


class Classifier:
    """A network, made whole: batches, flip averaging, calibration; safe to share between threads.

    Args:
        network: the weights in a runtime.
        head: the head whose probabilities ``classify`` gives.
        calibration: of that head.
        mirror: whether the probabilities of a face and of its mirror image are averaged.
        batch: faces the network takes at once.
    """

    def __init__(
        self,
        network: _Network,
        *,
        head: str,
        calibration: Calibration = UNCALIBRATED,
        mirror: bool = False,
        batch: int = BATCH,
    ) -> None:
        self._network, self._mirror, self._batch = network, mirror, batch
        self._head, self._calibration = head, calibration
        self._lock = threading.Lock()

    def logits(self, crops: NDArray[np.uint8]) -> Logits:
        """Return uncalibrated logits ``(n, 7)`` of every head, for crops ``(n, 48, 48)``.

        Raises:
            ValueError: the crops have another shape or type.
        """
        if crops.shape[1:] != (FACE_SIZE_PX, FACE_SIZE_PX) or crops.dtype != np.uint8:
            raise ValueError(f"crops must be (n, 48, 48) uint8, got {crops.shape} {crops.dtype}")
        if not self._mirror:
            return self._in_batches(crops)
        # In the same batches: a few faces and their mirror images need one batch, not two.
        both = self._in_batches(np.concatenate([crops, crops[:, :, ::-1]]))
        n = len(crops)
        return {
            head: np.logaddexp(_log_softmax(values[:n]), _log_softmax(values[n:])) - np.log(2)
            for head, values in both.items()
        }

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities ``(n, 7)`` of grey crops ``(n, 48, 48)`` of 0 to 255.

        Raises:
            ValueError: the crops have another shape or type.
        """
        return probabilities(self.logits(crops)[self._head], self._calibration).astype(np.float32)

    def _in_batches(self, crops: NDArray[np.uint8]) -> Logits:
        found: list[Logits] = []
        for start in range(0, max(1, len(crops)), self._batch):
            part = crops[start : start + self._batch]
            batch = np.zeros((self._batch, FACE_SIZE_PX, FACE_SIZE_PX), np.uint8)
            batch[: len(part)] = part
            with self._lock:  # one batch at a time: the runtime's own threads fill the cores
                given = self._network(batch)
            found.append({head: values[: len(part)] for head, values in given.items()})
        return {head: np.concatenate([part[head] for part in found]) for head in found[0]}


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def load_classifier(
    asset: ModelAsset, *, threads: int | None = None, mirror: bool = True
) -> Classifier:
    """Return the classifier of weights that ``assets.model`` has found and checked.

    Args:
        asset: the weights.
        threads: threads the runtime may use; None for every core. TensorFlow heeds the first
            classifier of a process only.
        mirror: average the probabilities of a face and its mirror image, if the model is made for
            it; takes twice the time.

    Raises:
        AssetCorrupt: the file is no model, or one of other labels.
        EnvironmentProblem: the runtime is not installed as it should be.
    """
    if list(asset.entry["labels"]) != list(EMOTIONS):
        raise AssetCorrupt(
            f"The model '{asset.name}' has other labels than this lecturepulse.",
            hint="Install weights and program of the same version.",
        )
    head = str(asset.entry["head"])
    try:
        with silent_stderr():  # LiteRT announces itself, and its delegate at the first run
            network, batch = _RUNTIMES[asset.runtime](asset.path, threads)
            _need_scores(network, head, batch)
    except ImportError as error:
        raise EnvironmentProblem(
            f"The runtime '{asset.runtime}' does not start: {in_short(error)}.",
            hint="Install lecturepulse again, or choose another with classification.runtime.",
        ) from error
    # A damaged file makes zipfile, HDF5 and the runtimes raise almost anything.
    except Exception as error:
        raise AssetCorrupt(
            f"The model '{asset.name}' cannot be loaded: {in_short(error)}.",
            hint="Restore its file, or install lecturepulse again.",
        ) from error
    mirror = mirror and bool(asset.entry.get("mirror", False))
    once = asset.calibration | asset.calibration_once
    return Classifier(
        network,
        head=head,
        calibration=(asset.calibration if mirror else once).get(head, UNCALIBRATED),
        mirror=mirror,
        batch=batch,
    )


def _need_scores(network: _Network, head: str, batch: int) -> None:
    given = network(np.zeros((batch, FACE_SIZE_PX, FACE_SIZE_PX), np.uint8))
    if head not in given:
        raise ValueError(f"it gives no '{head}'")
    for name, scores in given.items():
        if scores.shape != (batch, len(EMOTIONS)):
            raise ValueError(f"its '{name}' is {scores.shape[1:]} a face, not seven scores")
        if not np.isfinite(scores).all():
            raise ValueError(f"its '{name}' is no number")


def _litert(path: Path, threads: int | None) -> Begun:
    from ai_edge_litert.interpreter import Interpreter

    def begun(batch: int) -> _Network:
        # From memory: what was checked is what runs, and a damaged file cannot crash a mapping.
        interpreter: Any = Interpreter(
            model_content=path.read_bytes(), num_threads=threads or os.cpu_count()
        )
        (given,) = interpreter.get_input_details()
        if given["shape"][0] != batch:
            interpreter.resize_tensor_input(given["index"], [batch, *_FACE], strict=False)
        run = interpreter.get_signature_runner()
        (name,) = run.get_input_details()

        def network(faces: NDArray[np.uint8]) -> Logits:
            return dict(run(**{name: faces.astype(np.float32)[..., None]}))

        network(np.zeros((batch, *_FACE[:2]), np.uint8))
        return network

    try:
        return begun(_SMALL_BATCH), _SMALL_BATCH
    except RuntimeError:  # its graph holds the size of the batches it was made for
        return begun(BATCH), BATCH


def _onnx(path: Path, threads: int | None) -> Begun:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    heads = [head.name for head in session.get_outputs()]

    def network(faces: NDArray[np.uint8]) -> Logits:
        answers = session.run(heads, {given.name: faces.astype(np.float32)[..., None]})
        scores = (np.asarray(answer, np.float32) for answer in answers)
        return dict(zip(heads, scores, strict=True))

    return network, _SMALL_BATCH


def _keras(path: Path, threads: int | None) -> Begun:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with silent_stderr():
        import keras
    tf = _import_tensorflow(threads) if keras.config.backend() == "tensorflow" else None
    model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    if not isinstance(model.output, dict) or model.input_shape[1:] != _FACE:
        raise ValueError(f"it reads {model.input_shape[1:]}, not grey faces, or has no named heads")
    if tf is None:  # where a model is trained with JAX or PyTorch

        def predicted(faces: NDArray[np.uint8]) -> Logits:
            given = model.predict_on_batch(faces.astype(np.float32)[..., None])
            return {head: np.asarray(values) for head, values in given.items()}

        return predicted, BATCH
    shape = tf.TensorSpec((BATCH, FACE_SIZE_PX, FACE_SIZE_PX), tf.uint8)

    @tf.function(input_signature=[shape])
    def run(faces: Any) -> Any:
        return model(tf.cast(faces, tf.float32)[..., None], training=False)

    def network(faces: NDArray[np.uint8]) -> Logits:
        return {head: values.numpy() for head, values in run(faces).items()}

    return network, BATCH


def _deepface(path: Path, threads: int | None) -> Begun:
    del threads  # the package decides
    # It looks into its own folder only, makes that when imported, and would download what it
    # misses there.
    with tempfile.TemporaryDirectory() as home:
        weights = Path(home) / ".deepface" / "weights"
        weights.mkdir(parents=True)
        (weights / assets.DEEPFACE_FILE).symlink_to(path.absolute())
        with _environment(DEEPFACE_HOME=home, DEEPFACE_BACKEND_ENGINE="onnx"):
            from deepface import DeepFace

            client: Any = DeepFace.build_model("Emotion", task="facial_attribute")
    order = [_DEEPFACE_LABELS.index(name) for name in EMOTIONS]

    def network(faces: NDArray[np.uint8]) -> Logits:
        colour = np.repeat(faces[..., None].astype(np.float32) / 255, 3, axis=-1)
        probs = np.asarray(client.predict(colour), np.float32).reshape(len(faces), -1)[:, order]
        return {"fer2013": np.log(np.maximum(probs, np.float32(1e-12)))}

    return network, BATCH


_DEEPFACE_LABELS: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

_RUNTIMES: Final[dict[str, Callable[[Path, int | None], Begun]]] = {
    "litert": _litert,
    "onnx": _onnx,
    "keras": _keras,
    "deepface": _deepface,
}


def _import_tensorflow(threads: int | None) -> Any:
    with silent_stderr():
        import tensorflow as tf

        tf.constant(0)  # looks for devices, and talks about it

    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # already running: the first classifier has decided
            pass
    return tf


@contextmanager
def _environment(**values: str) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_silence: Final = threading.RLock()


@contextmanager
def silent_stderr() -> Generator[None]:
    """Discard what native code writes to the error stream.

    TensorFlow 2.21 reports the processor and missing GPU drivers before its own log level counts.
    One at a time: the stream is the whole process's, and a second one would put back the first's.
    """
    with _silence:
        sys.stderr.flush()
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
