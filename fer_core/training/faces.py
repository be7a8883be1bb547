"""Labelled faces in memory, and what must hold of them; the formats are ``formats``' work."""

from __future__ import annotations

import io
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_core.errors import InputError
from fer_core.records import EMOTIONS, FACE_SIZE_PX

# Sizes are compared before anything is decoded; Pillow's own limit would only warn.
Image.MAX_IMAGE_PIXELS = None

_FORMATS: Final = ("PNG", "JPEG", "WEBP")

HEADS: Final = ("consensus", "fer2013")
"""What a model gives: the distribution of the FER+ votes, and FER2013's own labels."""

FER_PLUS: Final = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    *("contempt", "unknown", "NF"),
)
"""FER+'s ten answers: the seven classes in the order of ``EMOTIONS``, then those outside them:
contempt, cannot tell, not a face."""


MOST_VOTES: Final = 1_000_000
"""For one answer on one picture; FER+ has ten in all."""


@dataclass(frozen=True, slots=True)
class FaceData:
    """Labelled faces as parallel arrays of length ``n``.

    Attributes:
        images: ``(n, 48, 48)`` uint8, grey.
        labels: ``(n,)`` int64, FER2013's own label as an index into ``EMOTIONS``.
        votes: ``(n, 7)`` float32, share of each class among the votes for the seven classes;
            sums to 1, or a row of zeros where nobody voted for any of them.
        weight: ``(n,)`` float32, share of all votes that went to the seven classes: how much the
            row of ``votes`` is worth. Contempt, "unknown" and "not a face" are no evidence for
            any class, so they are not spread over the others but lower the weight.
        has_majority: ``(n,)`` bool, one of the seven classes has more votes than every other
            answer, contempt, "unknown" and "not a face" included. The consensus head's accuracy
            is measured on these.
        is_duplicate: ``(n,)`` bool, an identical picture is in the training part; None where
            that is not known.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32]
    weight: NDArray[np.float32]
    has_majority: NDArray[np.bool_]
    is_duplicate: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.labels)
        shapes = {
            "images": (n, FACE_SIZE_PX, FACE_SIZE_PX),
            "votes": (n, len(EMOTIONS)),
            "weight": (n,),
            "has_majority": (n,),
            "is_duplicate": (n,),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"{name} must be {shape}, got {value.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def majority(self) -> NDArray[np.int64]:
        """``(n,)`` int64: the class with most votes; meaningful where ``has_majority``."""
        return self.votes.argmax(axis=1).astype(np.int64)

    @property
    def has_votes(self) -> bool:
        """Whether there are FER+ votes at all."""
        return bool(self.weight.any())

    def where(self, rows: NDArray[np.bool_]) -> FaceData:
        """Return the faces that ``rows``, ``(n,)`` bool, picks."""
        return FaceData(
            images=self.images[rows],
            labels=self.labels[rows],
            votes=self.votes[rows],
            weight=self.weight[rows],
            has_majority=self.has_majority[rows],
            is_duplicate=None if self.is_duplicate is None else self.is_duplicate[rows],
        )


def faces_of(
    *,
    labels: NDArray[np.int64],
    images: NDArray[np.uint8],
    votes: NDArray[np.int64] | None = None,
    is_duplicate: NDArray[np.bool_] | None = None,
) -> FaceData:
    """Return labelled faces.

    Args:
        labels: ``(n,)`` indices into ``EMOTIONS``.
        images: ``(n, 48, 48)`` grey.
        votes: ``(n, 10)`` FER+'s counts in the order of ``FER_PLUS``; None where there are none.
        is_duplicate: ``(n,)``, or None where that is not known.
    """
    if votes is None:
        votes = np.zeros((len(labels), len(FER_PLUS)), np.int64)
    ours = votes[:, : len(EMOTIONS)]
    known = ours.sum(axis=1)
    ranked = np.sort(votes, axis=1)
    top = ours.max(axis=1)
    return FaceData(
        images=images,
        labels=labels,
        votes=(ours / np.maximum(known, 1)[:, None]).astype(np.float32),
        weight=(known / np.maximum(votes.sum(axis=1), 1)).astype(np.float32),
        has_majority=(top == ranked[:, -1]) & (top > ranked[:, -2]),
        is_duplicate=is_duplicate,
    )


def need_columns(path: Path, names: set[str], needed: set[str]) -> None:
    """Raise InputError if a column is missing."""
    if missing := sorted(needed - names):
        raise InputError(
            f"{path} lacks the columns {', '.join(missing)}.",
            hint="Labelled faces need: " + ", ".join(sorted(needed)) + ".",
        )


def numbered(path: Path, names: list[Any]) -> NDArray[np.int64]:
    """Return class names as indices into ``EMOTIONS``; InputError for any other word."""
    index = {name: number for number, name in enumerate(EMOTIONS)}
    for row, name in enumerate(names):
        if not isinstance(name, str) or name not in index:
            raise InputError(
                f"{path}, row {row}: unknown label {reprlib.repr(name)}.",
                hint=f"Labels are: {', '.join(EMOTIONS)}.",
            )
    labels = np.array([index[name] for name in names], np.int64)
    need_every_class(str(path), labels)
    return labels


def need_every_class(where: str, labels: NDArray[np.int64]) -> None:
    """Raise InputError if one of the seven classes has no face."""
    if empty := [name for number, name in enumerate(EMOTIONS) if number not in labels]:
        raise InputError(
            f"{where} holds no face labelled {', '.join(empty)}.",
            hint="Every class needs at least one face.",
        )


def counted(path: Path, columns: dict[str, list[Any]]) -> NDArray[np.int64]:
    """Return columns of counts as one array; InputError for what is no count."""
    for name, values in columns.items():
        for row, value in enumerate(values):
            if not isinstance(value, int) or not 0 <= value <= MOST_VOTES:
                raise InputError(
                    f"{path}, row {row}: {name} is {reprlib.repr(value)}.",
                    hint="Votes are counts, 0 or more.",
                )
    return np.stack([np.array(values, np.int64) for values in columns.values()], axis=1)


def decoded(where: str, data: object) -> NDArray[np.uint8]:
    """Return an encoded picture as ``(48, 48)`` grey; InputError for anything else."""
    broken = InputError(f"{where}: the picture cannot be decoded.", hint="Copy the file again.")
    if not isinstance(data, bytes):
        raise broken
    try:
        # Before a pixel is decoded: a small file may declare a picture that fills the memory.
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
    except Exception as error:  # damage makes Pillow raise almost anything
        raise broken from error
    if (width, height) != (FACE_SIZE_PX, FACE_SIZE_PX):
        raise InputError(
            f"{where}: the picture is {width}×{height} px.",
            hint=f"Faces are {FACE_SIZE_PX}×{FACE_SIZE_PX} px.",
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise broken from error
    if image is None or image.shape != (FACE_SIZE_PX, FACE_SIZE_PX):
        raise broken
    return np.asarray(image, np.uint8)
