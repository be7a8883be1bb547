"""How good probabilities are: accuracy, calibration, divergence; plain functions of arrays.

Nothing here knows a model or a file; classes are columns, in the order of ``EMOTIONS``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core.classify import softmax

Floats = NDArray[np.floating]
Indices = NDArray[np.integer]

ECE_BINS: Final = 15
TEMPERATURES: Final = (0.05, 20.0)
"""Least and greatest temperature that calibration may give."""

OFFSETS: Final = tuple(step / 5 for step in range(1, 11))
"""By how much balancing may raise the logit of the rarest class."""

_HALVINGS: Final = 60
_LEAST_PROBABILITY: Final = 1e-12


def confusion(truth: Indices, found: Indices, classes: int) -> NDArray[np.int64]:
    """Return counts ``(classes, classes)``: a row for each true class, a column for each found."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, found), 1)
    return counts


def recall(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share found of each true class of a confusion matrix; NaN for an absent one."""
    total = counts.sum(axis=1)
    return np.where(total > 0, counts.diagonal() / np.maximum(total, 1), np.nan)


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Return the unweighted mean of F1 over the classes that occur, truly or found."""
    right = counts.diagonal()
    either = counts.sum(axis=0) + counts.sum(axis=1)
    occurs = either > 0
    return float((2 * right[occurs] / either[occurs]).mean())


def calibration_error(probs: Floats, truth: Indices, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error of the top class (Naeini et al. 2015).

    The gap between mean top probability and accuracy, over bins of equal width, weighted by
    faces. A probability on a bin's border belongs to the bin below.
    """
    gaps = [
        row["faces"] * abs(row["right"] - row["said"]) for row in reliability(probs, truth, bins)
    ]
    return float(sum(gaps) / len(truth))


def reliability(probs: Floats, truth: Indices, bins: int = ECE_BINS) -> list[dict[str, float]]:
    """Return the bins of a reliability diagram that hold faces, from low to high.

    Each with ``low`` and ``high`` (top probabilities it holds), ``faces``, ``said`` (their mean
    top probability) and ``right`` (the share of them that are right).
    """
    top = probs.max(axis=1)
    right = probs.argmax(axis=1) == truth
    place = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    return [
        {
            "low": number / bins,
            "high": (number + 1) / bins,
            "faces": int(inside.sum()),
            "said": float(top[inside].mean()),
            "right": float(right[inside].mean()),
        }
        for number in range(bins)
        if (inside := place == number).any()
    ]


def divergence(votes: Floats, probs: Floats) -> float:
    """Return the mean Kullback-Leibler divergence of probabilities from votes, in nats.

    Args:
        votes: ``(n, classes)``, each row sums to 1.
        probs: ``(n, classes)``.
    """
    wanted = np.maximum(votes, _LEAST_PROBABILITY)
    given = np.maximum(probs, _LEAST_PROBABILITY)
    return float((votes * np.log(wanted / given)).sum(axis=1).mean())


def best_temperature(logits: Floats, truth: Indices) -> float:
    """Return the temperature that makes the true classes likeliest (Guo et al. 2017).

    The negative log-likelihood is convex in ``1 / temperature``, so its slope is brought to zero
    by halving an interval: no step size, no start value, always the same answer.

    Args:
        logits: ``(n, classes)``; log-probabilities will do.
        truth: ``(n,)`` indices of the true classes.
    """
    scores = np.asarray(logits, np.float64)
    of_truth = scores[np.arange(len(truth)), truth].mean()

    def slope(inverse: float) -> float:
        return float((softmax(scores, 1 / inverse) * scores).sum(axis=1).mean() - of_truth)

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def balance(logits: Floats, truth: Indices, costs: float) -> NDArray[np.float64]:
    """Return offsets of the logits, ``(classes,)``, that favour the rarest class alone.

    It gets the greatest of ``OFFSETS`` that lowers accuracy by ``costs`` at most. An offset for
    every class by its frequency (Menon et al. 2021) costs several times as much for the same
    recall.

    Args:
        logits: ``(n, classes)``.
        truth: ``(n,)`` indices of the true classes.
        costs: a share of the faces.
    """
    classes, counts = np.unique(truth, return_counts=True)
    rarest = classes[counts.argmin()]
    least = (logits.argmax(axis=1) == truth).mean() - costs
    best = np.zeros(logits.shape[1])
    for by in OFFSETS:
        offset = np.zeros(logits.shape[1])
        offset[rarest] = by
        if ((logits + offset).argmax(axis=1) == truth).mean() >= least:
            best = offset
    return best


def kept_above(probs: Floats, truth: Indices, least: float) -> tuple[float, float]:
    """Return the share of faces whose top probability reaches ``least``, and their accuracy."""
    kept = probs.max(axis=1) >= least
    if not kept.any():
        return 0.0, float("nan")
    return float(kept.mean()), float((probs.argmax(axis=1) == truth)[kept].mean())
