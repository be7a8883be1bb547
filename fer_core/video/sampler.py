"""Pictures of a recording at whole samples of presentation time, segment by segment."""

from __future__ import annotations

import math
import queue
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fer_core import process
from fer_core.errors import InputError, TransientError
from fer_core.records import Frame, Segment, VideoInfo
from fer_core.settings import Video
from fer_core.video import program
from fer_core.video.program import GRACE_S, SHOWINFO, SHOWN, TIME_BASE, Ffmpeg

MAX_RECORDING_S: Final = 24 * 3600
"""Longest recording looked at, seconds; a damaged time stamp can claim centuries."""

# Containers that hold the time of every picture. In the others (MPEG-PS, TS, AVI, GIF …) ffmpeg
# guesses times after a jump, up to 0.1 s wrong as measured: they are only read from the start.
_SEEKABLE: Final = ("mov,", "matroska,", "flv")
# Where a decode may start, seconds before the segment: mostly the first will do. Recordings without
# true key pictures (intra refresh, wrong marks) need a run-up.
_BACK_S: Final = (0, 20)
_READ_AHEAD_BYTES: Final = 64 << 20
_READ_AHEAD_FRAMES: Final = 8
_SETTLE_S: Final = 10.0
_SLACK_S: Final = 1.0
_SLOWEST_DISK_BYTES_PER_S: Final = 5_000_000
_PACKET_UNIT = re.compile(r"#tb (\d+): (\d+)/([1-9]\d*)$")
_PACKET = re.compile(r"(\d+), +-?\d+, +(-?\d+), +(\d+),")
# One line for each damaged picture: ffmpeg 5 and 6; ffmpeg 7 and later; concealed errors in any.
_DAMAGED = re.compile(
    r"Error while decoding stream|Error submitting packet to decoder|corrupt decoded frame"
)


def plan_segments(info: VideoInfo, segment_s: int) -> list[Segment]:
    """Cut a recording into segments; the last is open-ended, since a header may be wrong.

    A container in which one cannot jump to an exact time is one segment.

    Args:
        info: from ``probe``.
        segment_s: length of a segment, whole seconds.
    """
    declared_s = min(info.duration_s_from_header or 0.0, MAX_RECORDING_S)
    if not _is_seekable(info):
        return [Segment(0, 0, None)]
    starts = range(0, max(1, math.ceil(declared_s)), segment_s)
    return [
        Segment(i, start_s, start_s + segment_s if i + 1 < len(starts) else None)
        for i, start_s in enumerate(starts)
    ]


def output_size(info: VideoInfo, max_side_px: int | None) -> tuple[int, int]:
    """Return width and height of sampled pictures: as shown, made smaller to fit if asked."""
    scale = min(1.0, (max_side_px or math.inf) / max(info.width, info.height))
    return max(1, round(info.width * scale)), max(1, round(info.height * scale))


def _is_seekable(info: VideoInfo) -> bool:
    return info.container.startswith(_SEEKABLE)


def _open_timed(info: VideoInfo, limits: Video, **options: object) -> Any:
    """Return the input with times counted from the start of the container."""
    if _is_seekable(info):
        # Only with its own times does a decode from the middle agree with one from the start.
        options |= {"copyts": None, "start_at_zero": None}
    # Otherwise ffmpeg counts from the start by itself, and mends the clock of joined broadcasts.
    return program.open_input(info.path, limits, **options)


class Sampler:
    """The pictures of one segment: sample ``k`` is what a player shows at ``k / rate_hz``.

    Time runs from the start of the container. The picture is the last one whose presentation
    time is not after the sample's; the first one if there is none. A segment gives the same
    pictures, bit for bit, as a decode from the start would.

    Use it as a context manager, iterate once, then read the results::

        with Sampler(info, segment, 1, ffmpeg, limits) as frames:
            for frame in frames: ...
        frames.content_end_s

    Args:
        info: from ``probe``.
        segment: from ``plan_segments``.
        rate_hz: samples a second.
        ffmpeg: from ``find_ffmpeg``.
        limits: the decoder's limits.
        max_side_px: longest side of the pictures, pixels; None for the size as shown.
        threads: threads of the decoder.

    Attributes:
        decode_failures: pictures the decoder reported as damaged, within the segment.
        cpu_s: processor time of the decoder, seconds.
        content_end_s: presentation time at which the content of this segment ends, seconds: the
            segment's own end when there is more; None when it has no content at all.
    """

    def __init__(
        self,
        info: VideoInfo,
        segment: Segment,
        rate_hz: int,
        ffmpeg: Ffmpeg,
        limits: Video,
        *,
        max_side_px: int | None = None,
        threads: int = 1,
    ) -> None:
        self.decode_failures = 0
        self.cpu_s = 0.0
        self.content_end_s: float | None = None
        self._info, self._segment, self._rate_hz = info, segment, rate_hz
        self._ffmpeg, self._limits, self._threads = ffmpeg, limits, threads
        self._size = output_size(info, max_side_px)
        self._frames = self._sample()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoder, if it still runs."""
        self._frames.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the samples in order.

        Raises:
            InputError: the file is gone, or nothing of it can be decoded.
            TransientError: the decoder was killed or stuck.
            EnvironmentProblem: ffmpeg cannot be started.
        """
        return self._frames

    def _sample(self) -> Generator[Frame, None, None]:
        path, start_s = self._info.path, self._segment.start_s
        program.check_file(path)
        back_s = _BACK_S if _is_seekable(self._info) else ()
        for seek_s in sorted({max(0, start_s - back) for back in back_s} | {0}, reverse=True):
            with self._decode(seek_s) as decode:
                image = decode.next_image()
                if image is not None and (seek_s == 0 or decode.log.starts_in_time()):
                    yield from self._frames_of(decode, image)
                    return
                self.cpu_s += decode.end().cpu_s
                if image is None and seek_s and self._ends_before(decode.log):
                    return
        if start_s == 0:
            raise InputError(
                f"Nothing of {program.name_of(path)} can be decoded.",
                hint="Play it in a media player; if that fails too, export it again.",
            )

    def _frames_of(self, decode: _Decode, first: NDArray[np.uint8]) -> Generator[Frame, None, None]:
        segment, rate_hz = self._segment, self._rate_hz
        image: NDArray[np.uint8] | None = first
        sample = segment.start_s * rate_hz
        stop = None if segment.end_s is None else segment.end_s * rate_hz
        while image is not None and sample != stop:
            yield Frame(sample, Fraction(sample, rate_hz), image)
            sample += 1
            image = decode.next_image()
        self.cpu_s += decode.end().cpu_s
        self.decode_failures = decode.log.failures
        end_s = Fraction(sample, rate_hz)
        if image is None and decode.log.end_s is not None:
            # Never at odds with the number of samples, whatever the last picture's duration says.
            end_s = min(max(decode.log.end_s, end_s - Fraction(1, rate_hz)), end_s)
        self.content_end_s = float(end_s)

    def _ends_before(self, log: _Log) -> bool:
        """Whether a decode without any sample means that the content ended before the segment."""
        if log.starts_in_time():
            return True
        end_s = _data_end_s(self._info, self._ffmpeg, self._limits, str(self._info.stream_index))
        return end_s is not None and end_s <= self._segment.start_s

    def _decode(self, seek_s: int) -> _Decode:
        segment, rate_hz = self._segment, self._rate_hz
        width, height = self._size
        # One more than wanted: it tells whether the content goes on beyond the segment.
        end_s = MAX_RECORDING_S if segment.end_s is None else segment.end_s
        count = max(1, (end_s - segment.start_s) * rate_hz + 1)
        seek: dict[str, object] = {"ss": seek_s, "noaccurate_seek": None} if seek_s else {}
        source = _open_timed(
            self._info,
            self._limits,
            threads=self._threads,
            # A new filter graph at every change of size would start counting samples anew.
            reinit_filter=0,
            **seek,
        )
        # Rounding up gives the last picture not after the sample; the default takes the nearest,
        # up to half a sample early.
        pictures = (
            source[str(self._info.stream_index)]
            .filter("showinfo", checksum=0)
            .filter("fps", fps=rate_hz, round="up", start_time=segment.start_s)
            .filter("scale", width, height, flags="bicubic+accurate_rnd+full_chroma_int")
        )
        output = program.output(
            [pictures],
            format="rawvideo",
            pix_fmt="bgr24",
            fps_mode="passthrough",
            **{"frames:v": count},
        )
        log = _Log(segment, 1 / (self._info.frame_rate_from_header or Fraction(25)))
        return _Decode(
            self._info.path,
            program.command(self._ffmpeg, self._limits, output),
            (height, width),
            log,
            lambda: GRACE_S + self._limits.timeout_factor * log.progress_s,
        )


class _Log:
    """What the decoder reports about its pictures, line by line, from another thread."""

    def __init__(self, segment: Segment, interval_s: Fraction) -> None:
        self.failures = 0
        self.progress_s = 0.0
        self.end_s: Fraction | None = None
        self._segment = segment
        self._unit_s = Fraction(0)
        self._first_s: Fraction | None = None
        self._last_s: Fraction | None = None
        self._interval_s = interval_s
        self._key_s: Fraction | None = None
        self._settled = threading.Event()

    def claim(self, line: str) -> bool:
        """Take a line of the error stream; True if it is of no use to anybody else."""
        if prefix := SHOWINFO.match(line):
            if shown := SHOWN.match(line, prefix.end()):
                self._note(shown)
            elif (config := TIME_BASE.match(line, prefix.end())) and int(config[2]):
                self._unit_s = Fraction(int(config[1]), int(config[2]))
            return True
        if _DAMAGED.search(line) and self._is_within(self._last_s):
            self.failures += 1
        return line.startswith("[info]")

    def starts_in_time(self) -> bool:
        """Whether decoding began at a key picture not later than the segment."""
        # A sample comes out after the report of its picture, but on another pipe.
        self._settled.wait(_SETTLE_S)
        return self._key_s is not None and self._key_s <= self._segment.start_s

    def end(self) -> None:
        """Note that no more lines will come."""
        self._settled.set()

    def _note(self, shown: re.Match[str]) -> None:
        at_s = int(shown["pts"]) * self._unit_s
        if self._first_s is None or self._last_s is None:
            self._first_s = self._last_s = at_s
        elif at_s > self._last_s:
            self._interval_s, self._last_s = at_s - self._last_s, at_s
        self.progress_s = float(self._last_s - self._first_s)
        self.end_s = self._last_s + (int(shown["duration"] or 0) * self._unit_s or self._interval_s)
        if shown["key"] == "1" and self._key_s is None:
            self._key_s = at_s
        if self._key_s is not None or at_s > self._segment.start_s:
            self._settled.set()

    def _is_within(self, at_s: Fraction | None) -> bool:
        start_s, end_s = self._segment.start_s, self._segment.end_s
        if at_s is None:
            return start_s == 0
        return at_s >= start_s and (end_s is None or at_s < end_s)


class _Decode:
    """One run of the decoder, read ahead of its consumer by a thread."""

    def __init__(
        self,
        path: Path,
        command: list[str],
        size: tuple[int, int],
        log: _Log,
        limit_s: Callable[[], float],
    ) -> None:
        self.log = log
        self._path = path
        self._shape = (*size, 3)
        ahead = _READ_AHEAD_BYTES // math.prod(self._shape)
        self._images: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(
            max(1, min(ahead, _READ_AHEAD_FRAMES))
        )
        self._stuck: TimeoutError | None = None
        self._child = process.Child(command, limit_s=limit_s, claim=log.claim)
        self._reader = threading.Thread(target=self._read, name="read-ahead", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def next_image(self) -> NDArray[np.uint8] | None:
        """Return the next picture, or None at the end.

        Raises:
            TransientError: the decoder was killed or stuck, so that this is not the end.
        """
        image = self._images.get()
        if image is None:
            self._finish()
        return image

    def end(self) -> process.Ended:
        """Stop the decoder where it is, and say how it ended."""
        return self._stop()

    def _finish(self) -> None:
        try:
            if self._stuck is not None:
                raise self._stuck
            ended = self._child.finish()
        except TimeoutError as error:
            raise TransientError(
                f"The decoder got stuck in {program.name_of(self._path)}: {error}.",
                hint="The machine may be overloaded; raise the setting video.timeout_factor.",
            ) from error
        self.log.end()
        program.raise_if_killed(self._path, ended)

    def _stop(self) -> process.Ended:
        self._child.kill()
        # The reader may be waiting for room in the queue.
        while self._reader.is_alive():
            with suppress(queue.Empty):
                self._images.get(timeout=0.01)
        self.log.end()
        return self._child.stop()

    def _read(self) -> None:
        try:
            while True:
                image = np.empty(self._shape, np.uint8)
                buffer = image.data.cast("B")
                if self._child.read_into(buffer) < len(buffer):
                    break
                self._images.put(image)
        except TimeoutError as error:
            self._stuck = error
        self._images.put(None)


def is_cut_short(
    info: VideoInfo, content_end_s: float | None, ffmpeg: Ffmpeg, limits: Video
) -> bool:
    """Whether a recording is shorter than it declares because a part of the file is missing.

    A video that ends before its sound does is whole: the file still has data up to the end.

    Args:
        info: from ``probe``.
        content_end_s: the latest ``Sampler.content_end_s`` of its segments; None if none has any.
        ffmpeg: from ``find_ffmpeg``.
        limits: the decoder's limits.
    """
    declared_s = info.duration_s_from_header
    if declared_s is None or (content_end_s or 0.0) >= declared_s - _SLACK_S:
        return False
    end_s = _data_end_s(info, ffmpeg, limits, "v", "a?")
    return end_s is None or end_s < declared_s - _SLACK_S


def _data_end_s(info: VideoInfo, ffmpeg: Ffmpeg, limits: Video, *streams: str) -> float | None:
    """Return the presentation time at which the data in the file ends, without decoding."""
    source = _open_timed(info, limits)
    output = program.output((source[s] for s in streams), format="framecrc", c="copy")
    units: dict[str, Fraction] = {}
    ends: dict[str, int] = {}

    def note(line: str) -> None:
        if unit := _PACKET_UNIT.match(line):
            units[unit[1]] = Fraction(int(unit[2]), int(unit[3]))
        elif packet := _PACKET.match(line):
            end = int(packet[2]) + int(packet[3])
            ends[packet[1]] = max(end, ends.get(packet[1], end))

    limit_s = GRACE_S + info.size_bytes / _SLOWEST_DISK_BYTES_PER_S
    try:
        command = program.command(ffmpeg, limits, output)
        ended = process.run_lines(command, limit_s=limit_s, take=note)
    except TimeoutError:
        return None
    program.raise_if_killed(info.path, ended)
    return max((float(end * units[stream]) for stream, end in ends.items()), default=None)
