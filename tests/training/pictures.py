"""Makes labelled faces for tests: random pixels, never a real picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fer_core.records import EMOTIONS
from fer_core.training.dataset import OTHER_VOTE_COLUMNS, VOTE_COLUMNS, FaceData


def columns(n: int = 14, seed: int = 0) -> dict[str, list[Any]]:
    """Return the columns of a data file whose rows go through the classes in turn."""
    rng = np.random.default_rng(seed)
    table: dict[str, list[Any]] = {
        "image": [encoded(rng.integers(0, 256, (48, 48), np.uint8)) for _ in range(n)],
        "label": [EMOTIONS[row % len(EMOTIONS)] for row in range(n)],
        "duplicate_of_train": [row % 3 == 0 for row in range(n)],
    }
    for name in (*VOTE_COLUMNS, *OTHER_VOTE_COLUMNS):
        table[name] = rng.integers(0, 6, n).tolist()
    return table


def encoded(image: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    return cv2.imencode(".png", image)[1].tobytes()


def write(path: Path, table: dict[str, list[Any]]) -> Path:
    """Write columns as a Parquet file."""
    pq.write_table(pa.table(table), path)
    return path


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
