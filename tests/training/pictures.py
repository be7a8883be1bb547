"""Makes labelled faces for tests: random pixels, never a real picture."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fer_core.records import EMOTIONS
from fer_core.training.faces import FER_PLUS, FaceData
from fer_core.training.formats import VOTE_COLUMNS


def columns(n: int = 14, seed: int = 0) -> dict[str, list[Any]]:
    """Return the columns of a data file whose rows go through the classes in turn."""
    rng = np.random.default_rng(seed)
    table: dict[str, list[Any]] = {
        "image": [encoded(rng.integers(0, 256, (48, 48), np.uint8)) for _ in range(n)],
        "label": [EMOTIONS[row % len(EMOTIONS)] for row in range(n)],
        "duplicate_of_train": [row % 3 == 0 for row in range(n)],
    }
    for name in VOTE_COLUMNS:
        table[name] = rng.integers(0, 6, n).tolist()
    return table


def encoded(image: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    return cv2.imencode(".png", image)[1].tobytes()


def write(path: Path, table: dict[str, list[Any]]) -> Path:
    """Write columns as a Parquet file."""
    pq.write_table(pa.table(table), path)
    return path


# The contest's classes, by its own numbers.
CONTEST = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def contest(n: int = 42, seed: int = 0) -> list[dict[str, str]]:
    """Return the rows of a fer2013.csv: two thirds to train, a sixth for each other part."""
    rng = np.random.default_rng(seed)
    usage = ["Training"] * (n - 2 * (n // 6))
    usage += ["PublicTest"] * (n // 6) + ["PrivateTest"] * (n // 6)
    return [
        {
            "emotion": str(row % 7),
            "pixels": " ".join(map(str, rng.integers(0, 256, 48 * 48))),
            "Usage": usage[row],
        }
        for row in range(n)
    ]


def fer_plus(rows: list[dict[str, str]], seed: int = 0) -> list[dict[str, str]]:
    """Return the rows of a fer2013new.csv for the rows of a fer2013.csv."""
    rng = np.random.default_rng(seed)
    return [
        {"Usage": row["Usage"], "Image name": f"fer{number:07}.png"}
        | {name: str(rng.integers(0, 6)) for name in FER_PLUS}
        for number, row in enumerate(rows)
    ]


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def kaggle(folder: Path, parts: dict[str, int], seed: int = 0) -> Path:
    """Write folders of pictures by class, so many of each class in each part."""
    rng = np.random.default_rng(seed)
    for part, count in parts.items():
        for label in EMOTIONS:
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 256, (48, 48), np.uint8)
                (folder / part / label / f"{number}.png").write_bytes(encoded(image))
    return folder


def faces(n: int = 42, seed: int = 0) -> FaceData:
    """Return random faces with random votes, every class present."""
    rng = np.random.default_rng(seed)
    votes = rng.dirichlet(np.ones(len(EMOTIONS)), n).astype(np.float32)
    return FaceData(
        images=rng.integers(0, 256, (n, 48, 48), np.uint8),
        labels=np.arange(n) % len(EMOTIONS),
        votes=votes,
        weight=rng.uniform(0.5, 1, n).astype(np.float32),
        has_majority=rng.random(n) < 0.9,
        is_duplicate=rng.random(n) < 0.2,
    )
