"""Publishes trained weights: flip averaging, calibration, manifest and the card's figures.

``python -m fer_core.training.export --weights FILE --data FOLDER`` rewrites ``models/``; the same
weights and data give the same files, byte for byte, but for the measured time.
"""

# Keras is not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import keras

from fer_core import __version__
from fer_core.errors import InputError, LecturePulseError
from fer_core.records import EMOTIONS
from fer_core.training import evaluate
from fer_core.training.alignment import realigned
from fer_core.training.card import figures
from fer_core.training.dataset import FACE_SIZE_PX, FaceData, read_part
from fer_core.training.zoo import HEADS, read_model

NAME: Final = "lecturenet"
MIRRORED: Final = "_mirrored"
"""End of the name of a model that averages over the mirror image itself."""

ALIGNED_FACES: Final = 800
CARD_FIGURES: Final = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- /figures -->)", re.DOTALL)

_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_MANIFEST_METRICS: Final = (
    *("faces", "accuracy", "accuracy_without_duplicates", "macro_f1", "ece", "divergence"),
    *("ms_per_face", "recall"),
)


def mirrored(trunk: keras.Model) -> keras.Model:
    """Return a model that averages the probabilities of a face and of its mirror image.

    It takes the trunk's input and gives, under the same names, the logarithms of the mean
    probabilities: logits as any other for a softmax or a temperature. Only Keras' own operations,
    so that it loads in safe mode and on any backend.
    """
    faces = keras.Input((FACE_SIZE_PX, FACE_SIZE_PX, 1), name="faces")
    plain, flipped = trunk(faces), trunk(keras.ops.flip(faces, axis=2))
    heads: dict[str, Any] = {}
    for head in HEADS:
        both: Any = keras.ops.logaddexp(
            keras.ops.log_softmax(plain[head]), keras.ops.log_softmax(flipped[head])
        )
        heads[head] = both - math.log(2)
    return keras.Model(faces, heads, name=trunk.name + MIRRORED)


def save(model: keras.Model, path: Path) -> None:
    """Write a model; the same weights give the same bytes (Keras' own file holds the time)."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh, final = Path(folder) / "timed.keras", Path(folder) / path.name
        model.save(fresh)
        with zipfile.ZipFile(fresh) as timed, zipfile.ZipFile(final, "w") as archive:
            for name in sorted(timed.namelist()):
                content = timed.read(name)
                if name == "metadata.json":
                    known = json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}
                    content = json.dumps(known).encode()
                archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content)
        final.replace(path)


def export(weights: Path, data: Path, models: Path) -> evaluate.Report:
    """Publish weights in a folder of models; return their figures on the validation part.

    Args:
        weights: a file that ``train`` has written.
        data: folder of the labelled faces.
        models: the folder with ``manifest.toml`` and ``MODEL_CARD.md``.

    Raises:
        InputError: the weights are an exported model already, or the data cannot be read.
        InputError: the weights are no Keras model.
    """
    trunk = read_model(weights)
    if trunk.name != NAME:
        raise InputError(
            f"{weights} holds '{trunk.name}', not a freshly trained '{NAME}'.",
            hint="Give the file that fer_core.training.train has written.",
        )
    faces = read_part(data, "valid")
    path = models / f"{NAME}.keras"
    save(mirrored(trunk), path)
    model = read_model(path)
    given = evaluate.logits(model, faces.images)
    temperatures = {head: round(t, 4) for head, t in evaluate.calibrate(given, faces).items()}
    report = evaluate.measure(given, faces, temperatures)
    report["single"] = evaluate.measure(evaluate.logits(trunk, faces.images), faces, temperatures)
    report["alignment"] = _alignment(model, given, faces)
    speed = evaluate.ms_per_face(model)
    for head in HEADS:
        report[head]["ms_per_face"] = speed
    content = path.read_bytes()
    report |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    _replace(models / "manifest.toml", _manifest(report, temperatures))
    card = models / "MODEL_CARD.md"
    if card.exists():
        text, table = card.read_text(encoding="utf-8"), figures(report)
        _replace(card, CARD_FIGURES.sub(lambda _: table, text))
    return report


def _alignment(model: keras.Model, given: evaluate.Logits, faces: FaceData) -> evaluate.Report:
    crops, found = realigned(faces.images[:ALIGNED_FACES])
    again = evaluate.logits(model, crops)
    report: evaluate.Report = {"faces": len(crops), "found": int(found.sum())}
    for head in HEADS:
        truth, known = (values[: len(crops)] for values in evaluate.truth_of(head, faces))
        counted = known & found
        as_is = given[head][: len(crops)].argmax(axis=1) == truth
        aligned = again[head].argmax(axis=1) == truth
        report[head] = {
            "faces": int(counted.sum()),
            "as_is": evaluate.share(as_is[counted]),
            "aligned": evaluate.share(aligned[counted]),
        }
    return report


def _manifest(report: evaluate.Report, temperatures: dict[str, float]) -> str:
    entry = {
        "file": f"{NAME}.keras",
        "sha256": report["sha256"],
        "size_bytes": report["size_bytes"],
        "labels": list(EMOTIONS),
        "head": "consensus",
        "temperature": temperatures,
        "input": {
            "size_px": FACE_SIZE_PX,
            "colour": "grey",
            "range": [0, 255],
            "normalisation": "inside the model",
            "alignment": "classify.TEMPLATE_PX",
        },
        "output": "logarithms of the mean probabilities of a face and its mirror image",
        "data": "FER2013 (Goodfellow et al. 2013) with FER+ votes (Barsoum et al. 2016)",
        "code_version": __version__,
    }
    tables = [f'default = "{NAME}"', _table(f"models.{NAME}", entry)]
    for head in HEADS:
        known = {key: report[head][key] for key in _MANIFEST_METRICS if key in report[head]}
        tables.append(_table(f"models.{NAME}.metrics.{head}", {"part": "valid"} | known))
    return "\n\n".join(tables) + "\n"


def _table(name: str, values: dict[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return str(round(value, 4)) if isinstance(value, float) else json.dumps(value)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f"new-{path.name}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Publish from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fer_core.training.export")
    parser.add_argument("--weights", type=Path, required=True, help="file written by train")
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet files")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder to rewrite")
    chosen = parser.parse_args(arguments)
    try:
        report = export(chosen.weights, chosen.data, chosen.models)
    except LecturePulseError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(figures(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
