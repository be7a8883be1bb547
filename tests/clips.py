"""Generated recordings for tests, in which every picture shows its own number.

So what a sampler shows can be checked against when each picture was due. Nothing here is specific
to one test.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core.video import find_ffmpeg

TICKS_PER_S: Final = 90_000
"""Unit of the time stamps written: exact for 25, 30, 29.97 and 23.976 pictures a second."""

_GRID: Final = (4, 5)
# The last column is the same in every picture: a turned, mirrored or shifted one is not read.
_CHECK: Final = np.array([True, False, True, True])

H264: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
"""Options of a quick encoder without pictures out of order."""


@dataclass(frozen=True)
class Clip:
    """A generated recording and the truth about it.

    Attributes:
        path: the file.
        times_s: when each numbered picture is due, from the first one, ascending.
    """

    path: Path
    times_s: tuple[Fraction, ...]

    def number_at(self, time_s: Fraction | int) -> int:
        """Return the number of the last picture due at or before a time; 0 if there is none."""
        return max((n for n, due_s in enumerate(self.times_s) if due_s <= time_s), default=0)


def steady(rate: Fraction | int, length_s: Fraction | float) -> tuple[Fraction, ...]:
    """Return the times of pictures at a constant rate."""
    return tuple(n / Fraction(rate) for n in range(round(length_s * rate)))


def ffmpeg(*arguments: str | Path, stdin: bytes = b"") -> None:
    """Run the ffmpeg under test to make a file; never to judge one."""
    program = find_ffmpeg(None).path
    command = [program, "-v", "error", "-y", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-500:])


def draw_number(number: int, width: int = 160, height: int = 128) -> NDArray[np.uint8]:
    """Return a grey picture that shows a number of up to 16 bits as black and white cells."""
    rows, columns = _GRID
    bits = np.array([bool(number >> bit & 1) for bit in range(rows * (columns - 1))])
    cells = np.column_stack([bits.reshape(rows, columns - 1), _CHECK])
    row_of = np.arange(height) * rows // height
    column_of = np.arange(width) * columns // width
    return np.where(cells[np.ix_(row_of, column_of)], 235, 16).astype(np.uint8)


def read_number(image: NDArray[np.uint8]) -> int:
    """Read the number a picture shows, at any size.

    Raises:
        ValueError: it shows none, or is not upright.
    """
    rows, columns = _GRID
    height, width = image.shape[:2]
    row_at = (np.arange(rows) * 2 + 1) * height // (2 * rows)
    column_at = (np.arange(columns) * 2 + 1) * width // (2 * columns)
    cells = image[np.ix_(row_at, column_at)].reshape(rows, columns, -1).mean(axis=2)
    if np.any(np.abs(cells - 128) < 40) or not np.array_equal(cells[:, -1] > 128, _CHECK):
        raise ValueError(f"no upright number in this picture: {cells.round().tolist()}")
    bits = (cells[:, :-1] > 128).ravel()
    return int(sum(1 << bit for bit, on in enumerate(bits) if on))


def write_clip(
    path: Path,
    times_s: Sequence[Fraction],
    options: Sequence[str] = H264,
    *,
    size: tuple[int, int] = (160, 128),
    unit: str = f"1:{TICKS_PER_S}",
    filters: str = "",
    inputs: Sequence[str] = (),
) -> Clip:
    """Encode numbered pictures, each at its own time.

    Args:
        path: the file to write; its ending chooses the container.
        times_s: when each picture is due, seconds, ascending.
        options: ffmpeg's options of the output.
        size: width and height of the pictures, pixels.
        unit: the encoder's unit of time, seconds; some accept no finer one than their rate.
        filters: further filters, after the times are set.
        inputs: further inputs with their options, such as a sound.
    """
    width, height = size
    pictures = b"".join(draw_number(n, width, height).tobytes() for n in range(len(times_s)))
    ticks = [round(time_s * TICKS_PER_S) for time_s in times_s]
    timing = f"settb=1/{TICKS_PER_S},setpts='{_as_expression(ticks)}'"
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-i", "pipe:0"),
        *inputs,
        *("-vf", ",".join(part for part in (timing, filters) if part)),
        *("-fps_mode", "passthrough", "-enc_time_base", unit, *options),
        *(("-video_track_timescale", str(TICKS_PER_S)) if path.suffix in (".mp4", ".mov") else ()),
        f"file:{path}",
        stdin=pictures,
    )
    return Clip(path, tuple(times_s))


def _as_expression(ticks: Sequence[int]) -> str:
    """Write time stamps as an expression of the picture's number N: a line, and its bends."""
    steps = [after - before for before, after in pairwise(ticks)] or [0]
    bends = [(n, steps[n] - steps[n - 1]) for n in range(1, len(steps)) if steps[n] != steps[n - 1]]
    return f"{ticks[0]}+N*{steps[0]}" + "".join(f"+max(0,N-{n})*({by})" for n, by in bends)
