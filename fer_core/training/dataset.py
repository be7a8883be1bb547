"""Reads labelled faces: FER2013's pictures, its own labels and the FER+ votes.

Augmentation and batching live in ``train``; nothing is written here.
"""

# The stubs of pyarrow leave much open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_core.errors import InputError
from fer_core.records import EMOTIONS

FACE_SIZE_PX: Final = 48
"""Height and width of every face."""

VOTE_COLUMNS: Final = (
    "votes_anger",
    "votes_disgust",
    "votes_fear",
    "votes_happiness",
    "votes_neutral",
    "votes_sadness",
    "votes_surprise",
)
"""FER+ columns of the seven classes, in the order of ``EMOTIONS``."""

OTHER_VOTE_COLUMNS: Final = ("votes_contempt", "votes_unknown", "votes_nf")
"""FER+ votes outside the seven classes: contempt, cannot tell, not a face."""

PARTS: Final = {"train": "fer2013-train.parquet", "valid": "fer2013-valid.parquet"}
"""File of each part within a data folder; ``valid`` is the contest's PublicTest."""


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
        is_duplicate: ``(n,)`` bool, an identical picture is in the training part.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32]
    weight: NDArray[np.float32]
    has_majority: NDArray[np.bool_]
    is_duplicate: NDArray[np.bool_]

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
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def majority(self) -> NDArray[np.int64]:
        """``(n,)`` int64: the class with most votes; meaningful where ``has_majority``."""
        return self.votes.argmax(axis=1).astype(np.int64)


def read_part(folder: Path, part: str) -> FaceData:
    """Read one part of a data folder.

    Args:
        folder: holds the files named in ``PARTS``.
        part: ``train`` or ``valid``.

    Raises:
        InputError: no such part or file, or its content is wrong.
    """
    if part not in PARTS:
        raise InputError(f"There is no part '{part}'.", hint=f"Choose one of: {', '.join(PARTS)}.")
    return read_parquet(folder / PARTS[part])


def read_parquet(path: Path) -> FaceData:
    """Read labelled faces from one Parquet file.

    Args:
        path: columns ``image`` (an encoded picture), ``label`` (a class name),
            ``duplicate_of_train`` and the FER+ ``votes_*``.

    Raises:
        InputError: the file is missing, unreadable or empty, a column is missing or holds the
            wrong kind of value, a picture cannot be decoded or is not 48×48, a label is unknown,
            votes are negative, or a class has no face; names file and row.
    """
    table = _read_table(path)
    columns = {name: table.column(name) for name in table.column_names}
    labels = _labels(path, columns["label"].to_pylist())
    votes = _counts(path, columns, VOTE_COLUMNS)
    others = _counts(path, columns, OTHER_VOTE_COLUMNS)
    ours = votes.sum(axis=1, keepdims=True)
    total = ours[:, 0] + others.sum(axis=1)
    ranked = np.sort(np.concatenate([votes, others], axis=1), axis=1)
    top = votes.max(axis=1)
    return FaceData(
        images=_images(path, columns["image"].to_pylist()),
        labels=labels,
        votes=(votes / np.maximum(ours, 1)).astype(np.float32),
        weight=(ours[:, 0] / np.maximum(total, 1)).astype(np.float32),
        has_majority=(top == ranked[:, -1]) & (top > ranked[:, -2]),
        is_duplicate=_flags(path, columns["duplicate_of_train"].to_pylist()),
    )


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(
            f"The data file {path} does not exist.",
            hint=f"A data folder holds {' and '.join(PARTS.values())}.",
        )
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {error}.", hint="Copy the file again."
        ) from error
    needed = ("image", "label", "duplicate_of_train", *VOTE_COLUMNS, *OTHER_VOTE_COLUMNS)
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InputError(
            f"{path} lacks the columns {', '.join(missing)}.",
            hint="Labelled faces need: " + ", ".join(needed) + ".",
        )
    if not table.num_rows:
        raise InputError(f"{path} holds no faces.", hint="Copy the file again.")
    return table.select(list(needed))


def _labels(path: Path, names: list[Any]) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(EMOTIONS)}
    for row, name in enumerate(names):
        if name not in index:
            raise InputError(
                f"{path}, row {row}: unknown label {name!r}.",
                hint=f"Labels are: {', '.join(EMOTIONS)}.",
            )
    labels = np.array([index[name] for name in names], np.int64)
    empty = [name for number, name in enumerate(EMOTIONS) if not (labels == number).any()]
    if empty:
        raise InputError(
            f"{path} holds no face labelled {', '.join(empty)}.",
            hint="Every class needs at least one face.",
        )
    return labels


def _counts(path: Path, columns: dict[str, Any], names: tuple[str, ...]) -> NDArray[np.int64]:
    counts: list[NDArray[np.int64]] = []
    for name in names:
        column = columns[name]
        if not pa.types.is_integer(column.type):
            raise InputError(
                f"{path}: column {name} holds {column.type}, not whole numbers.",
                hint="Votes are counts of taggers.",
            )
        values: list[int | None] = column.to_pylist()
        for row, value in enumerate(values):
            if value is None or value < 0:
                raise InputError(
                    f"{path}, row {row}: {name} is {value}.", hint="Votes are counts, 0 or more."
                )
        counts.append(np.array(values, np.int64))
    return np.stack(counts, axis=1)


def _flags(path: Path, values: list[Any]) -> NDArray[np.bool_]:
    for row, value in enumerate(values):
        if not isinstance(value, bool):
            raise InputError(
                f"{path}, row {row}: duplicate_of_train is {value!r}.", hint="It is true or false."
            )
    return np.array(values, np.bool_)


def _images(path: Path, encoded: list[Any]) -> NDArray[np.uint8]:
    images = np.empty((len(encoded), FACE_SIZE_PX, FACE_SIZE_PX), np.uint8)
    for row, data in enumerate(encoded):
        image = _decode(data)
        if image is None:
            raise InputError(
                f"{path}, row {row}: the picture cannot be decoded.", hint="Copy the file again."
            )
        if image.shape != images.shape[1:]:
            height, width = image.shape
            raise InputError(
                f"{path}, row {row}: the picture is {width}×{height} px.",
                hint=f"Faces are {FACE_SIZE_PX}×{FACE_SIZE_PX} px.",
            )
        images[row] = image
    return images


def _decode(data: object) -> NDArray[np.uint8] | None:
    if not isinstance(data, bytes) or not data:
        return None
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        return None
    return None if decoded is None else np.asarray(decoded, np.uint8)
