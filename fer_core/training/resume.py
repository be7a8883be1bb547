"""What a training leaves in its folder so that it can go on; how it learns is ``train``'s work."""

# Keras is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from fer_core.errors import ConfigError, InputError, in_short
from fer_core.folder import explained
from fer_core.training.recipe import Recipe

CHECKPOINT: Final = "checkpoint.npz"

_DEFAULTS: Final = {each.name: each.default for each in fields(Recipe) if each.default != MISSING}

Arrays = list[NDArray[Any]]

Origin = dict[str, Any]
"""What a training is made of, as JSON can hold it: a change of any of it is another training."""


def save_training(path: Path, origin: Origin, epoch: int, model: keras.Model, mean: Arrays) -> None:
    """Write a checkpoint.

    Args:
        path: replaced once the new file is whole.
        origin: what the training is made of.
        epoch: epochs that are finished.
        model: with its optimizer's state.
        mean: the averaged weights.

    Raises:
        StoreError: it cannot be written; the checkpoint of before stays.
    """
    arrays: dict[str, Any] = {f"mean_{i}": value for i, value in enumerate(mean)}
    for kind, variables in _state(model).items():
        arrays |= {f"{kind}_{i}": v.numpy() for i, v in enumerate(variables)}
    header = json.dumps({"epoch": epoch, "origin": origin})

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.savez(file, header=np.array(header), **arrays)

    replace(path, write)


def restore_training(path: Path, origin: Origin, model: keras.Model) -> tuple[int, Arrays]:
    """Give a model the state of a checkpoint; return the finished epochs and averaged weights.

    Raises:
        ConfigError: it belongs to another training.
        InputError: it is damaged.
    """
    try:
        # NumPy leaves a file that it opened itself open when the content is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        header = json.loads(str(arrays["header"]))
        # Of settings that there were not yet, today's default is what it was made with.
        epoch, began_with = int(header["epoch"]), _DEFAULTS | dict(header["origin"])
        _need_same(path, began_with, origin)
        mean = [arrays[f"mean_{i}"] for i in range(len(model.weights))]
        _need_fit(epoch, mean, origin, model)
        for kind, variables in _state(model).items():
            for i, variable in enumerate(variables):
                variable.assign(arrays[f"{kind}_{i}"])
        return epoch, mean
    except ConfigError:
        raise
    # A damaged header makes zipfile, NumPy and JSON raise almost anything; it means the same.
    except Exception as error:
        raise InputError(
            f"The checkpoint {path} is damaged: {in_short(error)}.",
            hint="Delete it to start the training again.",
        ) from error


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file by what ``write`` leaves at the path that it is given.

    Raises:
        StoreError: it cannot be written; the file of before stays.
    """
    fresh = path.with_name(f"new-{path.name}")
    with explained(path):
        try:
            write(fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def _need_same(path: Path, began_with: Origin, origin: Origin) -> None:
    differ = [
        f"{name} was {began_with.get(name)}, now {origin.get(name)}"
        for name in sorted(began_with.keys() | origin.keys())
        if began_with.get(name) != origin.get(name)
    ]
    if differ:
        raise ConfigError(
            f"{path} belongs to another training: {'; '.join(differ)}.",
            hint="Use the same settings, faces and teacher, or another output folder.",
        )


def _need_fit(epoch: int, mean: Arrays, origin: Origin, model: keras.Model) -> None:
    if not 1 <= epoch <= origin["epochs"]:
        raise ValueError(f"it has finished {epoch} of {origin['epochs']} epochs")
    if [each.shape for each in mean] != [tuple(weight.shape) for weight in model.weights]:
        raise ValueError("its averaged weights are of another shape")


def _state(model: keras.Model) -> dict[str, list[Any]]:
    return {"model": list(model.variables), "optimizer": list(model.optimizer.variables)}
