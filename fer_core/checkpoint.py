"""Work files: what was seen in a finished segment, kept until the recording is committed.

They make a killed run resume where it stopped. They hold boxes, points, probabilities and grey
thumbnails too small to know anybody by, never pictures.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Final

import numpy as np

from fer_core.records import Faces, Observations

_STALE_S: Final = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Effort:
    """What a segment cost in CPU seconds: the decoder, finding faces, reading expressions.

    The latter two are this process's while the stage ran: exact if one segment is worked on at a
    time, shared with the others' work if there are more.
    """

    decode_cpu_s: float = 0.0
    detect_cpu_s: float = 0.0
    classify_cpu_s: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(Effort))
        )


def keep(path: Path, observations: Observations, effort: Effort) -> None:
    """Write a segment's observations, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    faces = observations.faces
    # Its own name: two machines of a cluster may have been given the same segment.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    with _or_not_at_all(part), part.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            rate_hz=observations.rate_hz,
            samples=observations.samples,
            decode_failures=observations.decode_failures,
            content_end_s=observations.content_end_s,
            thumbnails=observations.thumbnails,
            stale=observations.stale,
            effort=[effort.decode_cpu_s, effort.detect_cpu_s, effort.classify_cpu_s],
            **{field.name: getattr(faces, field.name) for field in fields(faces)},
        )
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


@contextmanager
def _or_not_at_all(part: Path) -> Generator[None]:
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def forget_stale(work: Path) -> None:
    """Remove the work files of recordings that no run has come back to for a week."""
    oldest_s = time.time() - _STALE_S
    for folder in work.glob("*"):
        with suppress(OSError):
            if all(path.stat().st_mtime < oldest_s for path in (folder, *folder.rglob("*"))):
                shutil.rmtree(folder)


def restore(path: Path) -> tuple[Observations, Effort] | None:
    """Read a segment's observations; None if there are none or they are damaged."""
    try:
        # Opened here: NumPy leaves a damaged archive open.
        with path.open("rb") as file:
            return unpacked(file)
    # The archive's checksums catch a damaged file; the records catch a wrong one. A damaged
    # header makes zipfile and NumPy raise almost anything, and all of it means the same.
    except Exception:  # noqa: BLE001
        return None


def unpacked(file: IO[bytes]) -> tuple[Observations, Effort]:
    """Read a segment's observations from an open work file; of a damaged one, raise anything."""
    with np.load(file, allow_pickle=False) as stored:
        faces = Faces(**{field.name: stored[field.name] for field in fields(Faces)})
        # A live recording that waits may be of an earlier version, which knew of none.
        none = np.zeros(len(stored["samples"]), np.bool_)
        stale = stored.get("stale", none)
        observations = Observations(
            rate_hz=int(stored["rate_hz"]),
            samples=stored["samples"],
            faces=faces,
            decode_failures=int(stored["decode_failures"]),
            content_end_s=float(stored["content_end_s"]),
            thumbnails=stored["thumbnails"],
            stale=stale,
        )
        return observations, Effort(*map(float, stored["effort"]))
