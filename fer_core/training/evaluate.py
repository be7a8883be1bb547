"""Measures an expression model on labelled faces; making and publishing it lives elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_core import assets, classify
from fer_core.assets import UNCALIBRATED, UNMOVED, Calibration
from fer_core.classify import BATCH, Classifier, Logits, probabilities
from fer_core.errors import AssetCorrupt, ConfigError, InputError
from fer_core.records import EMOTIONS, FACE_SIZE_PX
from fer_core.training import metrics
from fer_core.training.faces import HEADS, FaceData
from fer_core.training.zoo import need_keras_file

THRESHOLDS: Final = (0.3, 0.35, 0.4, 0.5)
"""Top probabilities below which a face might be called uncertain."""

SIZES_PX: Final = (24, 36, 48)
"""Heights of a face at which accuracy is measured: shrunk to it, and enlarged again."""

BALANCED: Final = ("fer2013",)
"""Heads that find the rarest class more often than it is likely: of FER2013's faces 1.5 % show
disgust, and macro-F1 and recall count them as much as the quarter that are happy. Never the
consensus head: the mean of its probabilities has to be the share of faces."""

BALANCE_COSTS: Final = 0.0005
"""Accuracy that balancing may cost."""

_TIMED_BATCHES: Final = 30

Measures = dict[str, Any]
"""The figures of one model in one runtime by name, those of each head below the head's name."""

Reports = Mapping[str, Measures]
"""The same by runtime."""

Opened = tuple[assets.ModelAsset, Classifier]
"""A model with what is known of its file."""


def ms_per_face(classifier: Classifier) -> float:
    """Return the time for a face in batches of 64, milliseconds, flip averaging included.

    The fastest of several batches: what the model needs when nothing else runs.
    """
    shape = (BATCH, FACE_SIZE_PX, FACE_SIZE_PX)
    faces = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    classifier.classify(faces)
    times: list[float] = []
    for _ in range(_TIMED_BATCHES):
        began = time.perf_counter()
        classifier.classify(faces)
        times.append(time.perf_counter() - began)
    return min(times) / BATCH * 1000


def truth_of(head: str, data: FaceData) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return what is right for a head, ``(n,)`` indices, and which faces it is known for.

    The fer2013 head is measured on every face; the consensus head on those where one of the
    seven classes has more FER+ votes than every other answer.
    """
    if head == "consensus":
        return data.majority, data.has_majority
    return data.labels, np.ones(len(data), np.bool_)


def share(flags: NDArray[np.bool_]) -> float | None:
    """Return the share of true ones; None of none at all."""
    return float(flags.mean()) if len(flags) else None


def shown(value: float | None, form: str) -> str:
    """Return a figure as text; a dash for what could not be measured."""
    return "–" if value is None else format(value, form)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value  # NaN is no JSON


def best_calibration(given: Logits, data: FaceData) -> dict[str, Calibration]:
    """Return each head's calibration: the temperature that makes the truth likeliest.

    For the heads in ``BALANCED`` also an offset, found before it. A head that the faces have no
    truth for is left out.
    """
    found: dict[str, Calibration] = {}
    for head, logits in given.items():
        truth, known = truth_of(head, data)
        if not known.any():
            continue
        scores, right = logits[known], truth[known]
        moved = metrics.balance(scores, right, BALANCE_COSTS) if head in BALANCED else UNMOVED
        offset = tuple(round(float(value), 4) for value in moved)
        temperature = metrics.best_temperature(scores + offset, right)
        found[head] = Calibration(round(temperature, 4), offset)
    return found


def measure(given: Logits, data: FaceData, calibration: dict[str, Calibration]) -> Measures:
    """Return the figures of each head that the faces have a truth for, by name.

    Args:
        given: the model's logits, ``(n, 7)`` by head.
        data: the same faces with their labels and, for the consensus head, votes.
        calibration: by head.
    """
    return {
        head: _measure_head(head, given[head], data, calibration.get(head, UNCALIBRATED))
        for head in HEADS
        if head in given and truth_of(head, data)[1].any()
    }


def _measure_head(
    head: str, given: NDArray[np.float32], data: FaceData, calibration: Calibration
) -> Measures:
    truth, known = truth_of(head, data)
    probs = probabilities(given, calibration)
    found, right = probs.argmax(axis=1), probs.argmax(axis=1) == truth
    fresh = None if data.is_duplicate is None else known & ~data.is_duplicate
    counts = metrics.confusion(truth[known], found[known], len(EMOTIONS))
    report: Measures = {
        "faces": int(known.sum()),
        "accuracy": share(right[known]),
        "accuracy_without_duplicates": None if fresh is None else share(right[fresh]),
        "faces_without_duplicates": None if fresh is None else int(fresh.sum()),
        "macro_f1": metrics.macro_f1(counts),
        "recall": {
            name: _known(value)
            for name, value in zip(EMOTIONS, metrics.recall(counts).tolist(), strict=True)
        },
        "confusion": counts.tolist(),
        "temperature": calibration.temperature,
        "offset": list(calibration.offset),
        "ece": metrics.calibration_error(probs[known], truth[known]),
        "ece_before": metrics.calibration_error(probabilities(given)[known], truth[known]),
        "reliability": metrics.reliability(probs[known], truth[known]),
        "neutral_sad": _mixed_up(counts, "neutral", "sad"),
    }
    if head == "consensus":
        voted = data.weight > 0
        report["divergence"] = metrics.divergence(data.votes[voted], probs[voted])
        report["divergence_before"] = metrics.divergence(
            data.votes[voted], probabilities(given)[voted]
        )
        rows: list[dict[str, float | None]] = []
        for least in THRESHOLDS:
            kept, accuracy = metrics.kept_above(probs[known], truth[known], least)
            rows.append({"least": least, "kept": kept, "accuracy": _known(accuracy)})
        report["thresholds"] = rows
    return report


def _mixed_up(counts: NDArray[np.int64], one: str, other: str) -> float | None:
    """Return the share of the faces of two classes that are taken for the other of the two."""
    i, j = EMOTIONS.index(one), EMOTIONS.index(other)
    faces = int(counts[[i, j]].sum())
    return float(counts[i, j] + counts[j, i]) / faces if faces else None


def by_size(opened: Opened, data: FaceData, given: Logits) -> dict[str, dict[str, float | None]]:
    """Return each head's accuracy on faces shrunk to each of ``SIZES_PX`` and enlarged again.

    Args:
        opened: what reads the smaller faces.
        data: faces of 48 px with their truth.
        given: the model's logits for them as they are.
    """
    asset, classifier = opened
    found: dict[str, dict[str, float | None]] = {}
    for size in SIZES_PX:
        whole = size >= FACE_SIZE_PX
        logits = given if whole else classifier.logits(shrunk(data.images, size))
        for head in logits:
            truth, known = truth_of(head, data)
            if known.any():
                scores = logits[head] + asset.calibration.get(head, UNCALIBRATED).offset
                right = scores.argmax(axis=1) == truth
                found.setdefault(head, {})[str(size)] = share(right[known])
    return found


def shrunk(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return faces ``(n, 48, 48)`` as they are cut out of pictures where they are smaller."""
    small = (size, size)
    large = (FACE_SIZE_PX, FACE_SIZE_PX)
    result = np.empty_like(images)
    for row in range(len(images)):
        face = np.asarray(images[row], np.uint8)
        result[row] = cv2.resize(cv2.resize(face, small, interpolation=cv2.INTER_AREA), large)
    return result


def open_model(name: str, *, runtime: str | None = None, weights: Path | None = None) -> Opened:
    """Open a model to be measured.

    Args:
        name: a published model, ``deepface-package``, or a ``.keras`` file that ``train`` wrote.
        runtime: what runs it; None for the product's choice.
        weights: the file of ``deepface-package``; None for that package's own.

    Raises:
        ConfigError: no such model.
        AssetMissing, AssetCorrupt: its weights are not there or not the published ones.
        InputError: the file is no model.
    """
    path = Path(name)
    if path.suffix != ".keras":
        asset = assets.model(name, runtime=runtime, weights=weights)
        return asset, classify.load_classifier(asset)
    if runtime not in (None, "keras") or weights is not None:
        raise ConfigError(
            f"{path} is run by Keras and brings its own weights.",
            hint="Leave --runtime and --weights away, or name a published model.",
        )
    need_keras_file(path)
    entry = {"labels": list(EMOTIONS), "head": HEADS[0], "mirror": True}
    asset = assets.ModelAsset(path.stem, path, assets.file_sha256(path), entry)
    try:
        return asset, classify.load_classifier(asset)
    except AssetCorrupt as error:
        raise InputError(error.message, hint="Name a file that a training has written.") from error


def evaluate(opened: Opened, data: FaceData, given: Logits | None = None) -> Measures:
    """Measure a model the way the product uses it.

    Args:
        opened: what ``open_model`` returned.
        data: labelled faces.
        given: the model's logits for them; None to read the faces now.
    """
    asset, classifier = opened
    speed = ms_per_face(classifier)
    given = classifier.logits(data.images) if given is None else given
    heads = measure(given, data, asset.calibration)
    sizes = by_size(opened, data, given)
    report: Measures = {"model": asset.name, "runtime": asset.runtime, "sha256": asset.sha256}
    report["size_bytes"] = asset.path.stat().st_size
    for head, figures in heads.items():
        report[head] = figures | {"by_size": sizes[head], "ms_per_face": speed}
    return report


def as_text(report: Measures) -> str:
    """Return a report for a terminal."""
    lines = [f"{report['model']} ({report['runtime']}, sha256 {report['sha256'][:12]})"]
    for head in HEADS:
        if head not in report:
            lines += ["", f"{head}: these faces have no such labels, or the model no such head"]
            continue
        of = report[head]
        lines += [
            "",
            f"{head}: {of['faces']} faces, {of['ms_per_face']:.2f} ms each",
            f"  accuracy {of['accuracy']:.2%}, macro-F1 {of['macro_f1']:.3f}",
            f"  the same on faces not in train: {shown(of['accuracy_without_duplicates'], '.2%')}",
            "  accuracy by height of the face: "
            + ", ".join(
                f"{size} px {shown(right, '.2%')}" for size, right in of["by_size"].items()
            ),
            f"  ECE {of['ece']:.3f} ({of['ece_before']:.3f} before calibration)",
            f"  neutral and sad faces taken for each other: {shown(of['neutral_sad'], '.1%')}",
        ]
        if "divergence" in of:
            lines.append(f"  divergence from the votes {of['divergence']:.3f} nats")
            lines += [
                f"  top probability ≥ {row['least']}: {row['kept']:.1%} of the faces, "
                f"{shown(row['accuracy'], '.1%')} right"
                for row in of["thresholds"]
            ]
        lines.append("  recall, and what each true class (row) was taken for:")
        lines.append(" " * 20 + "".join(f"{name:>9}" for name in EMOTIONS))
        lines += [
            f"  {name:>9} {shown(of['recall'][name], '.1%'):>7}" + "".join(f"{n:>9}" for n in row)
            for name, row in zip(EMOTIONS, of["confusion"], strict=True)
        ]
    return "\n".join(lines)
