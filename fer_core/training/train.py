"""Trains an architecture of ``zoo``: batches, schedule, checkpoints, weight averaging.

``python -m fer_core.training.train NAME --data FOLDER --out FOLDER --minutes 40`` starts or
continues a training; measuring the result is ``evaluate``'s work.
"""

# Keras is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import argparse
import json
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from fer_core.errors import ConfigError, InputError, LecturePulseError
from fer_core.records import EMOTIONS
from fer_core.training import zoo
from fer_core.training.augment import augmented
from fer_core.training.dataset import FaceData, read_part
from fer_core.training.fused import with_fused_normalization

CHECKPOINT: Final = "checkpoint.npz"

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that changes what a training gives; stored in its checkpoint.

    Attributes:
        epochs: length of the schedule; ``minutes`` may stop earlier, to go on another time.
        batch: faces a step.
        learning_rate: its peak, after the warm-up; falls to 0 as a cosine.
        warmup_epochs: epochs of linear rise.
        weight_decay: AdamW's, not on biases and batch normalisation.
        label_smoothing: of the fer2013 head, whose labels are wrong for about a third.
        averaging: share of the mean kept each step, in the exponential mean of the weights.
        seed: of initial weights, order, augmentation and dropout.
        mixed_bfloat16: compute in bfloat16, keep the weights in float32.
    """

    epochs: int = 40
    batch: int = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 2.0
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    averaging: float = 0.998
    seed: int = 1
    mixed_bfloat16: bool = False


class Batches(keras.utils.PyDataset):
    """One epoch of shuffled, varied faces; the same seed and epoch give the same batches."""

    def __init__(self, data: FaceData, recipe: Recipe, epoch: int) -> None:
        super().__init__()
        self._data = data
        self._recipe = recipe
        self._epoch = epoch
        self._order = np.random.default_rng([recipe.seed, epoch]).permutation(len(data))

    def __len__(self) -> int:
        # The rest of an epoch is dropped: a batch of a few faces would spoil the statistics.
        return max(1, len(self._data) // self._recipe.batch)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], dict[str, Any], dict[str, Any]]:
        """Return faces, targets and weights of one step; the latter two by head."""
        batch, data = self._recipe.batch, self._data
        rows = self._order[index * batch : (index + 1) * batch]
        rng = np.random.default_rng([self._recipe.seed, self._epoch, index])
        faces = augmented(data.images[rows], rng).astype(np.float32)[..., None]
        one_hot = np.eye(len(EMOTIONS), dtype=np.float32)[data.labels[rows]]
        return (
            faces,
            {"consensus": data.votes[rows], "fer2013": one_hot},
            {"consensus": data.weight[rows], "fer2013": np.ones(len(rows), np.float32)},
        )


def train(
    name: str,
    train_data: FaceData,
    valid_data: FaceData,
    out: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    minutes: float | None = None,
    say: Callable[[str], None] = print,
) -> keras.Model:
    """Start or continue a training; return the averaged float32 model.

    After every epoch ``out`` holds the checkpoint and the averaged model, ``NAME.keras``.

    Args:
        name: an architecture of ``zoo``.
        train_data: faces to learn from.
        valid_data: faces to be measured on after each epoch.
        out: folder of the checkpoint; created.
        recipe: must be the one the checkpoint was started with, if there is one.
        start: a model of the same architecture whose weights to begin with, unless ``out``
            holds a checkpoint already; None to begin at random.
        minutes: stop at the end of the first epoch after so many; None for no limit.
        say: takes one line of progress.

    Raises:
        ConfigError: no such architecture, or the checkpoint was made with another recipe.
        InputError: the checkpoint is damaged, or ``start`` cannot be used.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    model, averaged = _compiled(name, recipe, len(train_data)), zoo.build(name)
    if start is not None:
        _begin_with(start, model)
    mean: Arrays = model.get_weights()
    first = 0
    if (out / CHECKPOINT).exists():
        first, mean = _restore(out / CHECKPOINT, name, recipe, model)
        say(f"continuing after epoch {first} of {recipe.epochs}")
    averaged.set_weights(mean)
    for epoch in range(first, recipe.epochs):
        began = time.monotonic()
        loss = _epoch(model, Batches(train_data, recipe, epoch), mean, recipe)
        averaged.set_weights(mean)
        _save(out / CHECKPOINT, name, recipe, epoch + 1, model, mean)
        _replace(out / f"{name}.keras", averaged.save)
        say(
            f"epoch {epoch + 1}/{recipe.epochs} loss {loss:.4f} {_progress(averaged, valid_data)} "
            f"{time.monotonic() - began:.0f} s"
        )
        if minutes is not None and time.monotonic() - started > minutes * 60:
            say(f"stopping after {minutes:g} minutes; the same command continues")
            break
    return averaged


def _compiled(name: str, recipe: Recipe, faces: int) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.mixed_bfloat16 else "float32")
    try:
        model = with_fused_normalization(zoo.build(name))
    finally:
        keras.config.set_dtype_policy(before)
    steps = max(1, faces // recipe.batch)
    warmup = int(recipe.warmup_epochs * steps)
    optimizer = keras.optimizers.AdamW(
        learning_rate=keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=recipe.learning_rate / 100 if warmup else recipe.learning_rate,
            decay_steps=max(1, recipe.epochs * steps - warmup),
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        ),
        weight_decay=recipe.weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(model.trainable_variables)
    losses = keras.losses
    model.compile(
        optimizer,
        loss={
            "consensus": losses.CategoricalCrossentropy(from_logits=True),
            "fer2013": losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=recipe.label_smoothing
            ),
        },
        # XLA on a CPU has no fast convolutions: several times slower than TensorFlow's own.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return model


def _begin_with(path: Path, model: keras.Model) -> None:
    try:
        model.set_weights(zoo.read_model(path).get_weights())
    except ValueError as error:
        raise InputError(
            f"{path} is a model of another architecture.",
            hint="Start from a model of the same architecture.",
        ) from error


def _epoch(model: keras.Model, batches: Batches, mean: Arrays, recipe: Recipe) -> float:
    total = 0.0
    for index in range(len(batches)):
        faces, targets, weights = batches[index]
        logs = model.train_on_batch(faces, targets, sample_weight=weights, return_dict=True)
        total = float(logs["loss"])
        step = int(model.optimizer.iterations)
        # A young mean forgets faster, or the random start would stay in it for long.
        keep = min(recipe.averaging, step / (step + 10))
        for i, now in enumerate(model.get_weights()):
            mean[i] += (1 - keep) * (now - mean[i])
    model.reset_metrics()
    return total


def _progress(model: keras.Model, data: FaceData) -> str:
    logits = model.predict(data.images[..., None].astype(np.float32), batch_size=256, verbose=0)
    right = logits["fer2013"].argmax(axis=1) == data.labels
    agreed = (logits["consensus"].argmax(axis=1) == data.majority)[data.has_majority]
    return f"consensus {agreed.mean():.4f} fer2013 {right.mean():.4f}"


def _save(
    path: Path, name: str, recipe: Recipe, epoch: int, model: keras.Model, mean: Arrays
) -> None:
    arrays: dict[str, Any] = {f"mean_{i}": value for i, value in enumerate(mean)}
    for kind, variables in _state(model).items():
        arrays |= {f"{kind}_{i}": v.numpy() for i, v in enumerate(variables)}
    header = json.dumps({"name": name, "epoch": epoch, "recipe": asdict(recipe)})

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.savez(file, header=np.array(header), **arrays)

    _replace(path, write)


def _restore(path: Path, name: str, recipe: Recipe, model: keras.Model) -> tuple[int, Arrays]:
    try:
        # NumPy leaves a file that it opened itself open when the content is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        header = json.loads(str(arrays["header"]))
        began_with = (header["name"], header["recipe"])
        if began_with != (name, asdict(recipe)):
            raise ConfigError(
                f"{path} belongs to another training: {began_with[0]}, {began_with[1]}.",
                hint="Use the same settings, or another output folder.",
            )
        for kind, variables in _state(model).items():
            for i, variable in enumerate(variables):
                variable.assign(arrays[f"{kind}_{i}"])
        return int(header["epoch"]), [
            np.array(arrays[f"mean_{i}"]) for i in range(len(model.weights))
        ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The checkpoint {path} is damaged: {error}.",
            hint="Delete it to start the training again.",
        ) from error


def _state(model: keras.Model) -> dict[str, list[Any]]:
    return {"model": list(model.variables), "optimizer": list(model.optimizer.variables)}


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    fresh = path.with_name(f"new-{path.name}")
    write(fresh)
    fresh.replace(path)


def has_fast_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 matrices in hardware (AMX)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False


def main(arguments: list[str] | None = None) -> int:
    """Run a training from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fer_core.training.train", description=__doc__)
    parser.add_argument("name", choices=sorted(zoo.ARCHITECTURES))
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet files")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and model")
    parser.add_argument("--minutes", type=float, help="stop after the epoch that passes this")
    parser.add_argument("--start", type=Path, help="a .keras file to take the first weights from")
    for field in fields(Recipe):
        flag = f"--{field.name.replace('_', '-')}"
        if field.name == "mixed_bfloat16":
            action = argparse.BooleanOptionalAction
            parser.add_argument(flag, action=action, default=has_fast_bfloat16())
        else:
            parser.add_argument(flag, type=type(field.default), default=field.default)
    chosen = parser.parse_args(arguments)
    recipe = Recipe(**{field.name: getattr(chosen, field.name) for field in fields(Recipe)})
    try:
        train(
            chosen.name,
            read_part(chosen.data, "train"),
            read_part(chosen.data, "valid"),
            chosen.out,
            recipe,
            start=chosen.start,
            minutes=chosen.minutes,
            say=lambda line: print(line, flush=True),
        )
    except LecturePulseError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
