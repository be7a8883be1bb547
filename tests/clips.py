"""Generated recordings for tests, in which every picture shows its own number.

So what a sampler shows can be checked against when each picture was due. Nothing here is specific
to one test.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fer_core.records import Segment, VideoInfo
from fer_core.settings import Video
from fer_core.video import Sampler, find_ffmpeg, probe

TICKS_PER_S: Final = 90_000
"""Unit of the time stamps written: exact for 25, 30, 29.97 and 23.976 pictures a second."""

_GRID: Final = (4, 5)
# The last column is the same in every picture: a turned, mirrored or shifted one is not read.
_CHECK: Final = np.array([True, False, True, True])

H264: Final = (
    *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    # With more threads the file would depend on the number of cores.
    *("-threads", "1"),
)
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
    rate = 1 / (times_s[1] - times_s[0]) if len(times_s) > 1 else 25
    timing = f"settb=1/{TICKS_PER_S},setpts='{_as_expression(ticks)}'"
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}"),
        *("-framerate", str(rate), "-i", "pipe:0"),
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


WHOLE: Final = Segment(0, 0, None)
LIMITS: Final = Video()


def look(path: Path) -> VideoInfo:
    """Probe a recording with the default limits."""
    return probe(path, find_ffmpeg(None), LIMITS)


def take(
    info: VideoInfo, segment: Segment = WHOLE, rate_hz: int = 1
) -> tuple[dict[int, NDArray[np.uint8]], Sampler]:
    """Sample a segment to its end; return its pictures by sample, and the spent sampler."""
    with Sampler(info, segment, rate_hz, find_ffmpeg(None), LIMITS) as frames:
        images = {frame.sample: frame.planes.image() for frame in frames}
    return images, frames


def numbers(images: dict[int, NDArray[np.uint8]]) -> dict[int, int]:
    """Read the number of every picture."""
    return {sample: read_number(image) for sample, image in images.items()}


REORDERED: Final = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-pix_fmt", "yuv420p")
"""Options of an encoder that stores pictures in another order than shown."""

SOUND: Final = ("-f", "lavfi", "-i", "sine=440:duration=13.4")
BOTH: Final = ("-map", "0:v", "-map", "1:a")
"""A sound of 13.4 seconds, and both it and the pictures."""

STEADY = steady(25, 13.4)
FROZEN = tuple(t if t < Fraction(73, 10) else t + 10 for t in steady(25, 13.4))
# Every 15 pictures another rate, from 66 to 11 a second.
UNEVEN = tuple(
    Fraction(int(ms), 1000) for ms in np.cumsum([0, *(15 + n // 15 * 37 % 75 for n in range(240))])
)

RECIPES: Final[dict[str, tuple[Sequence[Fraction], Sequence[str], dict[str, Any]]]] = {
    "steady.mp4": (STEADY, (*REORDERED, "-g", "60"), {}),
    "ntsc.mp4": (steady(Fraction(30000, 1001), 13.4), (*REORDERED, "-g", "60"), {}),
    "frozen.mp4": (FROZEN, (*REORDERED, "-g", "60"), {}),
    "frozen.mkv": (FROZEN, (*H264, "-g", "60"), {}),
    "uneven.mkv": (UNEVEN, (*REORDERED, "-g", "60"), {}),
    "one-key.mp4": (STEADY, (*REORDERED, "-g", "9999"), {}),
    "open-groups.mp4": (
        STEADY,
        (*REORDERED, "-g", "40", "-x264-params", "open-gop=1:scenecut=0"),
        {},
    ),
    "refreshed.mkv": (STEADY, (*REORDERED, "-x264-params", "intra-refresh=1:keyint=50"), {}),
    "late.mkv": (STEADY, (*REORDERED, "-g", "60", "-output_ts_offset", "5.5"), {}),
    "late.mp4": (
        STEADY,
        (*REORDERED, "-g", "60", "-output_ts_offset", "5.5", "-use_editlist", "0"),
        {},
    ),
    "sound.mp4": (
        STEADY,
        (*BOTH, *REORDERED, "-g", "60", "-c:a", "aac", "-movflags", "+faststart"),
        {"inputs": SOUND},
    ),
    "fragments.mp4": (
        STEADY,
        (*REORDERED, "-g", "60", "-movflags", "frag_keyframe+empty_moov"),
        {},
    ),
    "vp8.webm": (
        STEADY,
        ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-g", "60"),
        {},
    ),
    "hevc.mp4": (
        STEADY,
        ("-c:v", "libx265", "-preset", "ultrafast", "-g", "50", "-x265-params", "log-level=none"),
        {},
    ),
    "ten-bit.mkv": (
        STEADY,
        ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-g", "60"),
        {},
    ),
    "screen.flv": (STEADY, (*H264, "-g", "60"), {}),
    "broadcast.ts": (STEADY, (*REORDERED, "-g", "60", "-output_ts_offset", "70"), {}),
    "disc.mpg": (
        STEADY,
        ("-c:v", "mpeg2video", "-q:v", "3", "-g", "15", "-bf", "2"),
        {"unit": "1:25"},
    ),
    "old.avi": (STEADY, ("-c:v", "mpeg4", "-q:v", "3", "-g", "60"), {"unit": "1:25"}),
    "old.wmv": (STEADY, ("-c:v", "wmv2", "-q:v", "3", "-g", "60"), {"unit": "1:25"}),
    "picture.gif": (steady(20, 13), (), {"unit": "1:100"}),
    "interlaced.mp4": (
        STEADY,
        ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct"),
        {},
    ),
    "quick.mp4": (steady(120, 13.4), (*H264, "-g", "240"), {}),
    "portrait.mp4": (STEADY, (*H264, "-g", "60"), {"size": (96, 168)}),
}
"""Recordings of many kinds: times, options of the encoder, further arguments of write_clip."""


class Library:
    """The recordings of ``RECIPES``, each made, probed and sampled as a whole once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cache  # noqa: B019 - lives as long as the tests
    def clip(self, name: str) -> Clip:
        """Return a recording and its truth."""
        times_s, options, more = RECIPES[name]
        return write_clip(self.folder / name, times_s, options, **more)

    @cache  # noqa: B019
    def info(self, name: str) -> VideoInfo:
        """Return what probing it says."""
        return look(self.clip(name).path)

    @cache  # noqa: B019
    def whole(self, name: str) -> tuple[dict[int, NDArray[np.uint8]], Sampler]:
        """Return two samples a second of all of it."""
        return take(self.info(name), rate_hz=2)
