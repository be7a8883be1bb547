"""Publishes trained weights: files of all runtimes, calibration, manifest and the card's figures.

The same weights and data give the same files on one machine, byte for byte, but for the measured
times and the order of the nodes in the file for ONNX Runtime.
"""

# Keras is not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import keras

from fer_core import __version__, assets, classify, processor
from fer_core.errors import AssetCorrupt, ConfigError, InputError
from fer_core.folder import explained
from fer_core.records import EMOTIONS, FACE_SIZE_PX
from fer_core.training import card, evaluate, reliability
from fer_core.training.alignment import realigned
from fer_core.training.faces import HEADS, FaceData
from fer_core.training.quantize import need_packages, to_int8, to_onnx
from fer_core.training.zoo import ARCHITECTURES, has_our_interface, read_model

ALIGNED_FACES: Final = 800
MOST_FILE_BYTES: Final = 20_000_000
"""Larger files are not published: a repository is no place for them."""

SUFFIX: Final = {"litert": ".tflite", "onnx": ".onnx", "keras": ".keras"}

_QUANTISED: Final = {"litert": to_int8, "onnx": to_onnx}
_OURS: Final = "Give a file that lecturepulse model train has written."
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_METRICS: Final = (
    *("faces", "accuracy", "accuracy_without_duplicates", "macro_f1", "ece", "divergence"),
    *("neutral_sad", "ms_per_face", "by_size", "recall"),
)


def export(
    weights: Path,
    train: FaceData,
    valid: FaceData,
    models: Path,
    *,
    say: Callable[[str], None] = print,
) -> dict[str, evaluate.Measures]:
    """Publish weights in a folder of models; return their figures on the validation part.

    Files larger than ``MOST_FILE_BYTES`` are measured, but not published.

    Args:
        weights: a file that ``train`` has written.
        train: faces to read the ranges of the int8 activations off.
        valid: faces to calibrate and measure on.
        models: the folder with ``manifest.toml`` and ``MODEL_CARD.md``.
        say: takes one line for each step.

    Returns:
        the figures by runtime.

    Raises:
        InputError: the weights are no model of ``zoo``, or the faces are too few to quantise, or
            without FER+ votes.
        AssetCorrupt: the manifest or the card that is there cannot be read.
        EnvironmentProblem: the extra ``publish`` is not installed.
        StoreError: the folder cannot be written. Whatever is raised, nothing has been changed.
    """
    _need_truths(valid)
    trunk = read_model(weights)
    if trunk.name not in ARCHITECTURES or not has_our_interface(trunk):
        raise InputError(
            f"{weights} holds '{trunk.name}', none of lecturepulse's own models.",
            hint=_OURS,
        )
    for name, read in ((assets.MANIFEST, assets.read_manifest), (assets.CARD, assets.read_card)):
        if (models / name).exists():
            read(models / name)  # said now, not after all the measuring
    need_packages()
    entry = _entry()
    reports: dict[str, evaluate.Measures] = {}
    with whole(models, "choose another folder with --models") as folder:
        for runtime in assets.RUNTIMES:
            say(f"{trunk.name} for {runtime}: writing, calibrating, measuring")
            path = folder / f"{trunk.name}{SUFFIX[runtime]}"
            if quantise := _QUANTISED.get(runtime):
                # In the order of the file the faces are mixed already; a fixed choice suffices.
                path.write_bytes(quantise(trunk, train.images))
            else:
                save(trunk, path)
            file, reports[runtime] = _measured(trunk.name, path, runtime, entry, valid)
            entry["metrics"][runtime] = _figures(reports[runtime])
            if file["size_bytes"] <= MOST_FILE_BYTES:
                entry["files"][runtime] = file
            else:
                path.unlink()
                say(f"{path.name} has {file['size_bytes'] / 1e6:.0f} MB and is not published")
        _describe(models, folder, trunk.name, entry, reports)
    return reports


def calibrate(
    name: str, valid: FaceData, *, say: Callable[[str], None] = print
) -> dict[str, dict[str, assets.Calibration]]:
    """Calibrate a published model anew, and measure it again; return what was found.

    Args:
        name: a model of the manifest.
        valid: labelled faces, none of them learned from.
        say: takes one line for each step.

    Returns:
        calibrations by runtime and head.

    Raises:
        ConfigError: no such model, or not one of ours.
        InputError: the faces are without FER+ votes.
        AssetMissing, AssetCorrupt: not its published files.
        StoreError: the manifest cannot be written. Whatever is raised, nothing has been changed.
    """
    _need_truths(valid)
    if name == assets.DEEPFACE:
        raise ConfigError(
            f"The model '{name}' cannot be calibrated: its files are not ours.",
            hint="Name a model that `lecturepulse model list` shows files of.",
        )
    published = assets.model(name)
    entry = published.entry
    reports: dict[str, evaluate.Measures] = {}
    for runtime in entry["files"]:
        say(f"{name} for {runtime}: calibrating, measuring")
        path = assets.model(name, runtime=runtime).path
        entry["files"][runtime], reports[runtime] = _measured(name, path, runtime, entry, valid)
        entry["metrics"][runtime] = _figures(reports[runtime])
    models = published.path.parent
    with whole(models, "make it writable") as folder:
        _describe(models, folder, name, entry, reports)
    return {
        runtime: {
            head: assets.Calibration(report[head]["temperature"], tuple(report[head]["offset"]))
            for head in HEADS
        }
        for runtime, report in reports.items()
    }


def _need_truths(valid: FaceData) -> None:
    for head in HEADS:
        if not evaluate.truth_of(head, valid)[1].any():
            raise InputError(
                f"The part 'valid' has nothing to calibrate the head '{head}' on.",
                hint="Give data that has FER+ votes.",
            )


def _figures(report: evaluate.Measures) -> dict[str, Any]:
    """Return what the manifest tells of a runtime's figures, by head."""
    return {
        head: {name: report[head][name] for name in _METRICS if name in report[head]}
        | {"int8_instructions": processor.multiplies_int8()}
        for head in HEADS
        if head in report
    }


def save(model: keras.Model, path: Path) -> None:
    """Write a model; the same weights give the same bytes (Keras' own file holds the time)."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / "timed.keras"
        model.save(fresh)
        with zipfile.ZipFile(fresh) as timed, zipfile.ZipFile(path, "w") as archive:
            for name in sorted(timed.namelist()):
                content = timed.read(name)
                if name == "metadata.json":
                    known = json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}
                    content = json.dumps(known).encode()
                archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content)


def _measured(
    name: str, path: Path, runtime: str, entry: dict[str, Any], valid: FaceData
) -> tuple[dict[str, Any], evaluate.Measures]:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    plain = assets.ModelAsset(name, path, sha256, entry, runtime)
    try:
        classifier = classify.load_classifier(plain)
    except AssetCorrupt as error:
        raise InputError(error.message, hint=_OURS) from error
    given = classifier.logits(valid.images)
    calibration = evaluate.best_calibration(given, valid)
    asset = assets.ModelAsset(name, path, sha256, entry, runtime, calibration)
    report = evaluate.evaluate((asset, classifier), valid, given)
    once = classify.load_classifier(plain, mirror=False).logits(valid.images)
    report["single"] = evaluate.measure(once, valid, calibration)
    report["alignment"] = _alignment(classifier, given, valid)
    file = {
        "file": path.name,
        "sha256": sha256,
        "size_bytes": path.stat().st_size,
    }
    return file | _as_table(calibration) | {"once": _once(once, valid)}, report


def _once(given: classify.Logits, valid: FaceData) -> dict[str, float]:
    """Return the temperature of the head that the job reads, without mirror images."""
    read = {HEADS[0]: given[HEADS[0]]}
    return {head: c.temperature for head, c in evaluate.best_calibration(read, valid).items()}


def _as_table(calibration: dict[str, assets.Calibration]) -> dict[str, Any]:
    return {
        "temperature": {head: found.temperature for head, found in calibration.items()},
        "offset": {
            head: list(found.offset) for head, found in calibration.items() if any(found.offset)
        },
    }


def _alignment(
    classifier: classify.Classifier, given: classify.Logits, faces: FaceData
) -> evaluate.Measures:
    crops, found = realigned(faces.images[:ALIGNED_FACES])
    again = classifier.logits(crops)
    report: evaluate.Measures = {"faces": len(crops), "found": int(found.sum())}
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


def _entry() -> dict[str, Any]:
    return {
        "labels": list(EMOTIONS),
        "head": HEADS[0],
        "mirror": True,
        "input": {
            "size_px": FACE_SIZE_PX,
            "colour": "grey",
            "range": [0, 255],
            "normalisation": "inside the model",
            "alignment": "align.TEMPLATE_PX",
        },
        "output": "logits of each head, in the order of the labels",
        "data": "FER2013 (Goodfellow et al. 2013) with FER+ votes (Barsoum et al. 2016)",
        "code_version": __version__,
        "files": {},
        "metrics": {},
    }


def _describe(
    models: Path,
    fresh: Path,
    name: str,
    entry: dict[str, Any],
    reports: dict[str, evaluate.Measures],
) -> None:
    """Write into ``fresh`` what ``models`` has to say of a model: manifest, card and plot."""
    listed: dict[str, Any] = {"default": name, "models": {}}
    if (models / assets.MANIFEST).exists():
        listed = assets.read_manifest(models / assets.MANIFEST)
    listed["models"][name] = entry
    # The default first, then as the source names them.
    known = [listed["default"], *ARCHITECTURES]
    listed["models"] = {
        key: listed["models"][key] for key in dict.fromkeys(known) if key in listed["models"]
    }
    (fresh / assets.MANIFEST).write_text(_toml_document(listed), encoding="utf-8")
    if (models / assets.CARD).exists():
        text = card.filled(assets.read_card(models / assets.CARD), listed, name, reports)
        (fresh / assets.CARD).write_text(text, encoding="utf-8")
        if reports:
            plot = fresh / f"reliability-{name}.svg"
            plot.write_text(reliability.reliability_svg(name, reports), encoding="utf-8")


@contextmanager
def whole(models: Path, remedy: str) -> Generator[Path]:
    """Give a folder to write files into that belong in ``models``; all of them get there, or none.

    A manifest that does not fit its files would stop every job.
    """
    with explained(models, remedy), tempfile.TemporaryDirectory(dir=models) as folder:
        fresh, before = Path(folder, "fresh"), Path(folder, "before")
        fresh.mkdir()
        before.mkdir()
        yield fresh
        names = [path.name for path in fresh.iterdir()]
        for name in names:
            if (models / name).exists():
                shutil.copy2(models / name, before / name)
        try:
            for name in names:
                (fresh / name).replace(models / name)
        except BaseException:  # Ctrl-C too
            for name in names:
                if (before / name).exists():
                    (before / name).replace(models / name)
                else:
                    (models / name).unlink(missing_ok=True)
            raise


def _toml_document(listed: dict[str, Any]) -> str:
    lines = [f"default = {json.dumps(listed['default'])}"]
    for name, entry in listed["models"].items():
        lines += ["", f"[models.{name}]"]
        lines += [
            f"{key} = {_toml(value)}"
            for key, value in entry.items()
            if key not in ("files", "metrics")
        ]
        if not entry["files"]:  # measured, not shipped
            lines += ["", f"[models.{name}.files]"]
        for runtime, file in entry["files"].items():
            lines += ["", f"[models.{name}.files.{runtime}]"]
            lines += [f"{key} = {_toml(value)}" for key, value in file.items()]
        for runtime, heads in entry["metrics"].items():
            for head, figures in heads.items():
                lines += ["", f"[models.{name}.metrics.{runtime}.{head}]"]
                lines += [
                    f"{key} = {_toml(value)}" for key, value in figures.items() if value is not None
                ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        known = {key: inner for key, inner in value.items() if inner is not None}
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in known.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if isinstance(value, float):
        # Finer than any page shows it: rounded twice, a half would go either way.
        return str(round(value, 6))
    return json.dumps(value)
