"""Labelled faces of a data set, by part; the formats they come in are ``formats``' work.

A data set is what people have of FER2013: a folder with Parquet files (pictures, labels, FER+
votes) or one such file; the contest's ``fer2013.csv``, with FER+'s ``fer2013new.csv`` beside it
or not; Kaggle's folder or zip archive of pictures by class. Nothing is written here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from fer_core.classify import silent_stderr
from fer_core.errors import InputError
from fer_core.records import EMOTIONS
from fer_core.training import formats
from fer_core.training.faces import FaceData

PARTS: Final = ("train", "valid", "test")
"""To learn from, to choose by, and to be measured on once: the contest's Training, PublicTest and
PrivateTest. Kaggle's ``test`` holds the latter two."""

VALID_SHARE: Final = 10
"""One picture in so many is kept from training, where a data set has no part ``valid``."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The parts of a data set that are there.

    Attributes:
        path: where it lies.
        parts: by name, in the order of ``PARTS``.
        is_split: whether ``valid`` was kept of ``train``, since the data set has none.
    """

    path: Path
    parts: dict[str, FaceData]
    is_split: bool = False

    def part(self, name: str) -> FaceData:
        """Return one part.

        Raises:
            InputError: it is not there.
        """
        if name not in self.parts:
            raise InputError(
                f"{self.path} has no part '{name}'.",
                hint=f"It has: {', '.join(self.parts) or 'none'}.",
            )
        return self.parts[name]

    def overlaps(self) -> list[str]:
        """Return a sentence for each part that shares pictures with ``train``, or with itself."""
        said: list[str] = []
        if self.is_split:
            said.append(
                f"valid: there is none; it is one picture in {VALID_SHARE} of train, which only a "
                "model that was trained on this data set has not learned from"
            )
        for name, data in self.parts.items():
            again = len(data) - len(set(_digests(data)))
            if again:
                said.append(f"{name}: {again:,} of {len(data):,} pictures are there more than once")
            if name != "train" and data.is_duplicate is not None and data.is_duplicate.any():
                said.append(
                    f"{name}: {int(data.is_duplicate.sum()):,} of {len(data):,} pictures are in "
                    "train too"
                )
        if "valid" in self.parts and "test" in self.parts:
            chosen_by = set(_digests(self.parts["valid"]))
            shared = sum(digest in chosen_by for digest in _digests(self.parts["test"]))
            if shared:
                said.append(
                    f"test: {shared:,} of {len(self.parts['test']):,} pictures are in valid too"
                )
        return said


def read_dataset(path: Path, only: str | None = None) -> Dataset:
    """Read a data set.

    Args:
        path: a file or folder of one of the formats above.
        only: the one part that is wanted, where the others can be left unread; None for all.

    Raises:
        InputError: it is missing, of no known format, or its content is wrong; names file and row.
    """
    with silent_stderr():  # libpng and libjpeg speak of damaged pictures themselves
        found = formats.read_parts(path, only)
        if only and path.is_dir() and (only not in found or found[only].is_duplicate is None):
            # The faces to compare with, or to keep some of, are elsewhere.
            found = formats.read_parts(path)
    parts = {name: found[name] for name in PARTS if name in found}
    is_split = "train" in parts and "valid" not in parts and only != "test"
    if is_split:
        parts |= _split(path, parts["train"])
    if "train" in parts:
        known = set(_digests(parts["train"]))
        for name, data in parts.items():
            if name != "train" and data.is_duplicate is None:
                shared = np.array([digest in known for digest in _digests(data)], np.bool_)
                parts[name] = replace(data, is_duplicate=shared)
    dataset = Dataset(path, {name: parts[name] for name in PARTS if name in parts}, is_split)
    if only is not None:
        dataset.part(only)
    return dataset


def _split(path: Path, train: FaceData) -> dict[str, FaceData]:
    # By content, so that copies of a picture stay on one side, whatever their order or names.
    kept = np.array([digest[0] % VALID_SHARE == 0 for digest in _digests(train)], np.bool_)
    sides = [np.unique(train.labels[rows]).size for rows in (kept, ~kept)]
    if min(sides) < len(EMOTIONS):
        raise InputError(
            f"{path} has too few pictures to keep some of each class for validation: {len(train)}.",
            hint="Give the whole data set.",
        )
    return {"train": train.where(~kept), "valid": train.where(kept)}


def _digests(data: FaceData) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in data.images]
