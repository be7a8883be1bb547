"""Trains an architecture of ``zoo``: batches, schedule, checkpoints, weight averaging.

Measuring the result is ``evaluate``'s work. Runs on any backend of Keras.
"""

# Keras is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from fer_core import progress
from fer_core.classify import Logits, softmax
from fer_core.errors import ConfigError
from fer_core.folder import explained, held
from fer_core.records import EMOTIONS
from fer_core.training import resume, zoo
from fer_core.training.augment import augmented
from fer_core.training.faces import HEADS, FaceData
from fer_core.training.fused import with_fast_layers
from fer_core.training.recipe import Recipe
from fer_core.training.resume import CHECKPOINT, Arrays, Origin

# Reading the weights of a few million parameters back takes a fifth of a step.
_AVERAGED_EVERY: Final = 8


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained network to learn from.

    Attributes:
        name: tells it from every other one.
        logits: of each head, ``(n, 7)``, for grey faces ``(n, 48, 48)``.
    """

    name: str
    logits: Callable[[NDArray[np.uint8]], Logits]


class Batches:
    """One epoch of shuffled, varied faces; the same seed and epoch give the same batches.

    Args:
        data: faces with labels. Without FER+ votes the labels stand in for them.
        recipe: size of a batch, seed, share of the teacher.
        epoch: counted from 0.
        taught: the teachers' probabilities for the faces as they are, ``(n, 7)`` by head.
    """

    def __init__(
        self, data: FaceData, recipe: Recipe, epoch: int, taught: Logits | None = None
    ) -> None:
        self._data, self._recipe, self._epoch, self._taught = data, recipe, epoch, taught or {}
        self._order = np.random.default_rng([recipe.seed, epoch]).permutation(len(data))

    def __len__(self) -> int:
        # The rest of an epoch is dropped: a batch of a few faces would spoil the statistics.
        return max(1, len(self._data) // self._recipe.batch)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], dict[str, Any], dict[str, Any]]:
        """Return faces, targets and weights of one step; the latter two by head."""
        batch, data, recipe = self._recipe.batch, self._data, self._recipe
        rows = self._order[index * batch : (index + 1) * batch]
        rng = np.random.default_rng([recipe.seed, self._epoch, index])
        faces = augmented(data.images[rows], rng, recipe.augmentation).astype(np.float32)
        one_hot = np.eye(len(EMOTIONS), dtype=np.float32)[data.labels[rows]]
        votes, sure = (data.votes, data.weight) if data.has_votes else (None, None)
        targets = {
            "consensus": one_hot if votes is None else votes[rows],
            "fer2013": _smoothed(one_hot, recipe.label_smoothing),
        }
        weights = {
            "consensus": np.ones(len(rows), np.float32) if sure is None else sure[rows],
            "fer2013": np.ones(len(rows), np.float32),
        }
        share = np.float32(recipe.teacher_share)
        for head, probs in self._taught.items():
            # Where nobody voted, the teacher's share is all there is; a target sums to one.
            own = targets[head] * (1 - share)
            targets[head] = own + (1 - own.sum(axis=1, keepdims=True)) * probs[rows]
            # A face that nobody voted on is as good as any other for learning from a teacher.
            weights[head] = (1 - share) * weights[head] + share
        if recipe.mixing:
            kept = rng.beta(recipe.mixing, recipe.mixing, len(rows)).astype(np.float32)
            kept = np.maximum(kept, 1 - kept)
            faces = _mixed(faces, kept)
            for head, weight in weights.items():
                weighted = _mixed(targets[head] * weight[:, None], kept)
                weights[head] = _mixed(weight, kept)
                targets[head] = weighted / np.maximum(weights[head], 1e-6)[:, None]
        return faces[..., None], targets, weights


def _mixed(values: NDArray[np.float32], kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share ``kept``, ``(n,)``, of each value and the rest of the one before it."""
    shares = kept.reshape(-1, *[1] * (values.ndim - 1))
    mixed = shares * values + (1 - shares) * np.roll(values, 1, axis=0)
    return mixed.astype(np.float32, copy=False)


def _smoothed(one_hot: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    return one_hot * np.float32(1 - share) + np.float32(share / one_hot.shape[1])


def train(
    name: str,
    train_data: FaceData,
    valid_data: FaceData,
    out: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    teachers: Sequence[Teacher] = (),
    minutes: float | None = None,
) -> keras.Model:
    """Start or continue a training; return the averaged float32 model.

    Tells ``progress`` every step, and a line an epoch. After every epoch ``out`` holds the
    checkpoint, the averaged model ``NAME.keras``, and TensorBoard's figures in ``tensorboard/``.

    Args:
        name: an architecture of ``zoo``.
        train_data: faces to learn from.
        valid_data: faces to be measured on after each epoch.
        out: folder of the checkpoint; created.
        recipe: must be the one the checkpoint was started with, if there is one.
        start: a model of the same architecture whose weights to begin with, unless ``out``
            holds a checkpoint already; None to begin at random.
        teachers: trained networks to learn from as well, ``recipe.teacher_share`` of the mean of
            their probabilities. They read each face once, as it is: for the varied ones they would
            slow every step.
        minutes: stop at the end of the first epoch after so many; None for no limit.

    Raises:
        ConfigError: no such architecture, the checkpoint belongs to another training, or the loss
            has become infinite; the checkpoint of the epoch before stays then.
        InputError: the checkpoint is damaged, or ``start`` cannot be used.
        StoreError: ``out`` cannot be written, or another training holds it.
    """
    zoo.check(name)
    if minutes is not None and not minutes >= 0:
        raise ConfigError(f"A training cannot last {minutes} minutes.", hint="Give 0 or more.")
    with held(out):
        return _train(
            name,
            train_data,
            valid_data,
            out,
            recipe,
            start=start,
            teachers=teachers,
            minutes=minutes,
        )


def _train(
    name: str,
    train_data: FaceData,
    valid_data: FaceData,
    out: Path,
    recipe: Recipe,
    *,
    start: Path | None,
    teachers: Sequence[Teacher],
    minutes: float | None,
) -> keras.Model:
    started = time.monotonic()
    keras.utils.set_random_seed(recipe.seed)
    model, averaged = _compiled(name, recipe, len(train_data)), zoo.build(name)
    origin = _origin(name, train_data, recipe, teachers)
    if (out / CHECKPOINT).exists():
        first, mean = resume.restore_training(out / CHECKPOINT, origin, model)
        progress.tell("note", f"continuing after epoch {first} of {recipe.epochs}")
    else:
        if start is None and name == "resnet50":
            start = zoo.imagenet_weights()
        if start is not None:
            zoo.begin_with(start, model)
            progress.tell("note", f"beginning with the weights of {start}")
        first, mean = 0, model.get_weights()
    averaged.set_weights(mean)
    published = out / f"{name}.keras"
    if first and not published.exists():
        resume.replace(published, averaged.save)
    if teachers:
        progress.tell("note", "the faces are read by: " + ", ".join(each.name for each in teachers))
    taught = _taught(teachers, train_data)
    steps = len(Batches(train_data, recipe, 0))
    progress.tell("started", name, steps * recipe.epochs)
    progress.tell("advanced", name, steps * first)
    from tensorboardX import SummaryWriter  # a second of its own

    with explained(out / "tensorboard"):
        writer = SummaryWriter(str(out / "tensorboard"))
    with writer as log:
        for epoch in range(first, recipe.epochs):
            began = time.monotonic()
            loss = _epoch(model, Batches(train_data, recipe, epoch, taught), mean, recipe)
            if not math.isfinite(loss):
                raise ConfigError(
                    f"The loss is {loss} after epoch {epoch + 1}: the training has run away.",
                    hint="Start again in another folder with a lower --learning-rate.",
                )
            averaged.set_weights(mean)
            # In this order: killed in between, the epoch is done again, and nothing is missing.
            resume.replace(published, averaged.save)
            resume.save_training(out / CHECKPOINT, origin, epoch + 1, model, mean)
            figures = {"loss": loss} | _accuracy(averaged, valid_data)
            for key, value in figures.items():
                log.add_scalar(key, value, epoch + 1)
            log.flush()
            told = ", ".join(f"{key} {value:.4f}" for key, value in figures.items())
            took = time.monotonic() - began
            progress.tell("note", f"epoch {epoch + 1}/{recipe.epochs}: {told}, {took:.0f} s")
            if minutes is not None and time.monotonic() - started > minutes * 60:
                progress.tell("note", f"Stopping after {minutes:g} minutes; run again to go on.")
                break
    progress.tell("finished", name)
    return averaged


def _taught(teachers: Sequence[Teacher], data: FaceData) -> Logits:
    """Return the mean of the teachers' probabilities, ``(n, 7)``, for the heads they all have."""
    given = [teacher.logits(data.images) for teacher in teachers]
    heads = [head for head in HEADS if given and all(head in logits for logits in given)]
    return {
        head: np.mean([softmax(logits[head]) for logits in given], axis=0).astype(np.float32)
        for head in heads
    }


def _origin(name: str, data: FaceData, recipe: Recipe, teachers: Sequence[Teacher]) -> Origin:
    faces = hashlib.sha256()
    for values in (data.images, data.labels, data.votes):
        faces.update(values.tobytes())
    return asdict(recipe) | {
        "name": name,
        "faces": faces.hexdigest()[:12],
        "teachers": [teacher.name for teacher in teachers],
    }


def _compiled(name: str, recipe: Recipe, faces: int) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.mixed_bfloat16 else "float32")
    try:
        model = with_fast_layers(zoo.build(name))
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
            "fer2013": losses.CategoricalCrossentropy(from_logits=True),
        },
        loss_weights={"consensus": 1.0, "fer2013": recipe.label_weight},
        # XLA on a CPU has no fast convolutions: several times slower than TensorFlow's own.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return model


def _epoch(model: keras.Model, batches: Batches, mean: Arrays, recipe: Recipe) -> float:
    loss = 0.0
    # The next batch is varied while this one is learned from.
    with ThreadPoolExecutor(1) as ahead:
        pending = ahead.submit(batches.__getitem__, 0)
        for index in range(len(batches)):
            faces, targets, weights = pending.result()
            if index + 1 < len(batches):
                pending = ahead.submit(batches.__getitem__, index + 1)
            logs = model.train_on_batch(faces, targets, sample_weight=weights, return_dict=True)
            loss = float(logs["loss"])
            step = int(model.optimizer.iterations)
            if step % _AVERAGED_EVERY == 0:
                # A young mean forgets faster, or the random start would stay in it for long.
                keep = min(recipe.averaging**_AVERAGED_EVERY, step / (step + 80))
                for i, now in enumerate(model.get_weights()):
                    mean[i] += (1 - keep) * (now - mean[i])
            progress.tell("advanced", model.name, 1)
    model.reset_metrics()
    return loss


def _accuracy(model: keras.Model, data: FaceData) -> dict[str, float]:
    logits = model.predict(data.images[..., None].astype(np.float32), batch_size=256, verbose=0)
    right = {"fer2013": logits["fer2013"].argmax(axis=1) == data.labels}
    if data.has_majority.any():
        agreed = logits["consensus"].argmax(axis=1) == data.majority
        right["consensus"] = agreed[data.has_majority]
    return {head: float(flags.mean()) for head, flags in right.items()}
