"""Measures an expression model on labelled faces; making and publishing it lives elsewhere.

``python -m fer_core.training.evaluate lecturenet --data FOLDER [--part valid] [--json]``
measures shipped weights with the temperatures of ``models/manifest.toml``.
"""

# Keras is not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from fer_core import assets
from fer_core.errors import LecturePulseError
from fer_core.records import EMOTIONS
from fer_core.training import metrics
from fer_core.training.dataset import PARTS, FaceData, read_part
from fer_core.training.zoo import HEADS, read_model

BATCH: Final = 64
THRESHOLDS: Final = (0.3, 0.35, 0.4, 0.5)
"""Top probabilities below which a face might be called uncertain."""

_TIMED_BATCHES: Final = 30

Logits = dict[str, NDArray[np.float32]]
Report = dict[str, Any]


def logits(model: keras.Model, images: NDArray[np.uint8]) -> Logits:
    """Return what a model gives for faces ``(n, 48, 48)``: ``(n, 7)`` for each head."""
    given: Logits = model.predict(
        images[..., None].astype(np.float32),
        BATCH,
        verbose=0,  # pyright: ignore[reportArgumentType]
    )
    return given


def ms_per_face(model: keras.Model) -> float:
    """Return the time for a face in batches of 64, milliseconds.

    The fastest of several batches: what the model needs when nothing else runs.
    """
    faces = np.random.default_rng(0).integers(0, 256, (BATCH, 48, 48, 1)).astype(np.float32)
    model.predict_on_batch(faces)
    times: list[float] = []
    for _ in range(_TIMED_BATCHES):
        began = time.perf_counter()
        model.predict_on_batch(faces)
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


def share(flags: NDArray[np.bool_]) -> float:
    """Return the share of true ones; NaN of none at all."""
    return float(flags.mean()) if len(flags) else float("nan")


def calibrate(given: Logits, data: FaceData) -> dict[str, float]:
    """Return for each head the temperature that makes its truth likeliest."""
    found: dict[str, float] = {}
    for head in HEADS:
        truth, known = truth_of(head, data)
        found[head] = metrics.best_temperature(given[head][known], truth[known])
    return found


def measure(given: Logits, data: FaceData, temperatures: dict[str, float]) -> Report:
    """Return the figures of each head, by name.

    Args:
        given: the model's logits, ``(n, 7)`` by head.
        data: the same faces with their labels and votes.
        temperatures: by head.
    """
    return {head: _measure_head(head, given[head], data, temperatures[head]) for head in HEADS}


def _measure_head(
    head: str, given: NDArray[np.float32], data: FaceData, temperature: float
) -> Report:
    truth, known = truth_of(head, data)
    probs = metrics.softmax(given, temperature)
    found, right = probs.argmax(axis=1), probs.argmax(axis=1) == truth
    counts = metrics.confusion(truth[known], found[known], len(EMOTIONS))
    report: Report = {
        "faces": int(known.sum()),
        "accuracy": share(right[known]),
        "accuracy_without_duplicates": share(right[known & ~data.is_duplicate]),
        "faces_without_duplicates": int((known & ~data.is_duplicate).sum()),
        "macro_f1": metrics.macro_f1(counts),
        "recall": dict(zip(EMOTIONS, metrics.recall(counts).tolist(), strict=True)),
        "confusion": counts.tolist(),
        "temperature": temperature,
        "ece": metrics.calibration_error(probs[known], truth[known]),
        "ece_before": metrics.calibration_error(metrics.softmax(given)[known], truth[known]),
    }
    if head == "consensus":
        voted = data.weight > 0
        report["divergence"] = metrics.divergence(data.votes[voted], probs[voted])
        report["divergence_before"] = metrics.divergence(
            data.votes[voted], metrics.softmax(given)[voted]
        )
        report["thresholds"] = [
            dict(
                zip(
                    ("least", "kept", "accuracy"),
                    (least, *metrics.kept_above(probs[known], truth[known], least)),
                    strict=True,
                )
            )
            for least in THRESHOLDS
        ]
    return report


def evaluate(name: str, data: FaceData) -> Report:
    """Measure shipped weights as the product uses them.

    Args:
        name: a model of ``models/manifest.toml``.
        data: labelled faces.

    Raises:
        ConfigError: no such model.
        AssetMissing, AssetCorrupt: its weights are not there or not the published ones.
    """
    asset = assets.model(name)
    model = read_model(asset.path)
    speed = ms_per_face(model)
    heads = measure(logits(model, data.images), data, asset.entry["temperature"])
    return {"model": asset.name, "sha256": asset.sha256} | {
        head: report | {"ms_per_face": speed} for head, report in heads.items()
    }


def as_text(report: Report) -> str:
    """Return a report for a terminal."""
    lines: list[str] = [f"{report['model']} {report['sha256'][:12]}"]
    for head in HEADS:
        of = report[head]
        lines += [
            "",
            f"{head}: {of['faces']} faces, {of['ms_per_face']:.2f} ms each",
            f"  accuracy {of['accuracy']:.2%}, macro-F1 {of['macro_f1']:.3f}",
            f"  the same on faces not in train: {of['accuracy_without_duplicates']:.2%}",
            f"  ECE {of['ece']:.3f} ({of['ece_before']:.3f} before calibration)",
        ]
        if "divergence" in of:
            lines.append(f"  divergence from the votes {of['divergence']:.3f} nats")
            lines += [
                f"  top probability ≥ {row['least']}: {row['kept']:.1%} of the faces, "
                f"{row['accuracy']:.1%} right"
                for row in of["thresholds"]
            ]
        lines.append("  recall, and what each true class (row) was taken for:")
        lines.append(" " * 20 + "".join(f"{name:>9}" for name in EMOTIONS))
        lines += [
            f"  {name:>9} {of['recall'][name]:>7.1%}" + "".join(f"{n:>9}" for n in row)
            for name, row in zip(EMOTIONS, of["confusion"], strict=True)
        ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fer_core.training.evaluate")
    parser.add_argument("name", help="a model of models/manifest.toml")
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet files")
    parser.add_argument("--part", choices=sorted(PARTS), default="valid")
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    chosen = parser.parse_args(arguments)
    try:
        report = evaluate(chosen.name, read_part(chosen.data, chosen.part)) | {"part": chosen.part}
    except LecturePulseError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(report, indent=2) if chosen.json else as_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
