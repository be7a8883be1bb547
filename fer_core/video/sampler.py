"""Pictures of a recording at whole samples of presentation time, segment by segment."""

from __future__ import annotations

import math
import queue
import re
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from fer_core import process
from fer_core.errors import InputError, TransientError
from fer_core.planes import Planes, bytes_of_video
from fer_core.records import Frame, Segment, VideoInfo
from fer_core.settings import Video
from fer_core.video import groups, program, timeline
from fer_core.video.program import GRACE_S, SHOWINFO, SHOWN, TIME_BASE, Ffmpeg

# Where a decode may start, seconds before the segment: mostly the first will do. Recordings without
# true key pictures (intra refresh, wrong marks) need a run-up.
_BACK_S: Final = (0, 20)
_READ_AHEAD_BYTES: Final = 32 << 20
_READ_AHEAD_FRAMES: Final = 8
_SETTLE_S: Final = 10.0
# Packets behind the segment of which is read, too, whether they are needed: seconds.
_AHEAD_S: Final = 2
# One line for each damaged picture: ffmpeg 5 and 6; ffmpeg 7 and later; concealed errors in any.
_DAMAGED = re.compile(
    r"Error while decoding stream|Error submitting packet to decoder|corrupt decoded frame"
)


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

    Attributes:
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
    ) -> None:
        self.cpu_s = 0.0
        self.content_end_s: float | None = None
        self._info, self._segment, self._rate_hz = info, segment, rate_hz
        self._ffmpeg, self._limits = ffmpeg, limits
        self._log: _Log | None = None
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
        said = ""
        back_s = _BACK_S if timeline.is_seekable(self._info) else ()
        for seek_s in sorted({max(0, start_s - back) for back in back_s} | {0}, reverse=True):
            with self._decode(seek_s) as decode:
                picture = decode.next_picture()
                if picture is not None and (seek_s == 0 or decode.log.starts_in_time()):
                    yield from self._frames_of(decode, picture)
                    return
                ended = decode.end()
                self.cpu_s += ended.cpu_s
                said = "\n".join(ended.tail)
                if picture is None and seek_s and self._ends_before(decode.log):
                    return
        if start_s == 0:
            raise InputError(
                f"Nothing of {program.name_of(path)} can be decoded.",
                hint="Play it in a media player; if that fails too, export it again.",
                detail=said,
            )

    def _frames_of(self, decode: _Decode, first: NDArray[np.uint8]) -> Generator[Frame, None, None]:
        segment, rate_hz = self._segment, self._rate_hz
        self._log = decode.log
        size_px, matrix = (self._info.width, self._info.height), self._info.matrix
        picture: NDArray[np.uint8] | None = first
        sample = segment.start_s * rate_hz
        stop = rate_hz * self._last_s()
        try:
            while picture is not None and sample < stop:
                planes = Planes.of_video(picture, size_px, matrix)
                yield Frame(sample, Fraction(sample, rate_hz), planes)
                sample += 1
                picture = decode.next_picture()
        finally:
            self.cpu_s += decode.end().cpu_s
        end_s = Fraction(sample, rate_hz)
        if picture is None and decode.log.end_s is not None:
            # Never at odds with the number of samples, whatever the last picture's duration says.
            end_s = min(max(decode.log.end_s, end_s - Fraction(1, rate_hz)), end_s)
        self.content_end_s = float(end_s)

    def failures_between(self, start_s: int, end_s: int | None) -> int:
        """Return how many pictures the decoder reported as damaged in ``[start_s, end_s)``.

        Args:
            start_s: whole second of presentation time.
            end_s: the same; None for the end of the content.

        Returns:
            All of them once the decoder has ended; until then, what has been reported.
        """
        last = math.inf if end_s is None else end_s
        failures = self._log.failures.items() if self._log else ()
        return sum(n for at, n in failures if start_s <= at < last)

    def stale(self, samples: NDArray[np.int64], longest_s: float) -> NDArray[np.bool_]:
        """Return which samples show a picture that is too old to tell anything, ``(m,)``.

        A player shows the last picture for as long as no other comes: where a call was paused, or
        where the recording is damaged, for minutes.

        Args:
            samples: ``(m,)`` numbers of samples of this segment.
            longest_s: age up to which a picture stands for what is going on, seconds; twice the
                time between two pictures, if the header tells a longer one.
        """
        longest_s = max(longest_s, float(2 / (self._info.frame_rate_from_header or 1)))
        at_s, stale = samples / self._rate_hz, np.zeros(len(samples), np.bool_)
        for last_s, next_s in self._log.pauses if self._log else ():
            if next_s - last_s > longest_s:
                stale |= (at_s > float(last_s) + longest_s) & (at_s < float(next_s))
        return stale

    def _last_s(self) -> int:
        """Return where the segment ends at the latest, in seconds."""
        end_s, most_s = self._segment.end_s, self._limits.max_duration_s
        return most_s if end_s is None else min(end_s, most_s)

    def _ends_before(self, log: _Log) -> bool:
        """Whether a decode without any sample means that the content ended before the segment."""
        if log.starts_in_time():
            return True
        end_s = timeline.data_end_s(
            self._info, self._ffmpeg, self._limits, str(self._info.stream_index)
        )
        return end_s is not None and end_s <= self._segment.start_s

    def _decode(self, seek_s: int) -> _Decode:
        segment, rate_hz = self._segment, self._rate_hz
        width, height = self._info.width, self._info.height
        # One more than wanted: it tells whether the content goes on beyond the segment.
        count = max(1, (self._last_s() - segment.start_s) * rate_hz + 1)
        seek: dict[str, object] = {"ss": seek_s, "noaccurate_seek": None} if seek_s else {}
        seek |= self._left_out(seek)
        source = timeline.open_timed(
            self._info,
            self._limits,
            threads=1,  # the other cores belong to other workers
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
            .filter(
                # As it is, if it is so already: colours are made of it where they are needed.
                *("scale", width, height),
                flags="bicubic",
                out_range="tv",
                out_color_matrix=self._info.matrix,
            )
        )
        output = program.output(
            [pictures],
            format="rawvideo",
            pix_fmt="yuv420p",
            fps_mode="passthrough",
            **{"frames:v": count},
        )
        log = _Log(segment, 1 / (self._info.frame_rate_from_header or Fraction(25)))
        return _Decode(
            self._info.path,
            program.command(self._ffmpeg, self._limits, output),
            bytes_of_video((width, height)),
            log,
            lambda: GRACE_S + self._limits.timeout_factor * log.progress_s,
            self._limits.max_process_mb,
        )

    def _left_out(self, seek: dict[str, object]) -> dict[str, object]:
        """Return the option that leaves out the packets which no sample of this segment needs."""
        if not self._limits.skip_unneeded:
            return {}
        segment, rate_hz = self._segment, self._rate_hz
        stop_s = math.inf if segment.end_s is None else self._last_s() + _AHEAD_S
        pictures = groups.read_pictures(self._info, self._ffmpeg, self._limits, seek, stop_s)
        if pictures is None:
            return {}
        last_s = min(self._last_s(), max(pictures.pts) * pictures.unit_s)
        wanted = range(segment.start_s * rate_hz, math.floor(last_s * rate_hz) + 1)
        spans = pictures.unneeded(Fraction(sample, rate_hz) for sample in wanted)
        return {"bsf:v": groups.dropping(spans, pictures.unit_s)} if spans else {}


class _Log:
    """What the decoder reports about its pictures, line by line, from another thread."""

    def __init__(self, segment: Segment, interval_s: Fraction) -> None:
        self.failures: Counter[int] = Counter()
        """Pictures reported as damaged in each second."""
        self.pauses: list[tuple[Fraction, Fraction]] = []
        """Times of two successive pictures that lie more than a second apart."""
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
        if _DAMAGED.search(line):
            self.failures[math.floor(self._last_s or 0)] += 1
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
            if at_s - self._last_s > 1:
                self.pauses.append((self._last_s, at_s))
            self._interval_s, self._last_s = at_s - self._last_s, at_s
        self.progress_s = float(self._last_s - self._first_s)
        self.end_s = self._last_s + (int(shown["duration"] or 0) * self._unit_s or self._interval_s)
        if shown["key"] == "1" and self._key_s is None:
            self._key_s = at_s
        if self._key_s is not None or at_s > self._segment.start_s:
            self._settled.set()


class _Decode:
    """One run of the decoder, read ahead of its consumer by a thread."""

    def __init__(
        self,
        path: Path,
        command: process.Program,
        picture_bytes: int,
        log: _Log,
        limit_s: Callable[[], float],
        max_memory_mb: int,
    ) -> None:
        self.log = log
        self._path = path
        self._picture_bytes = picture_bytes
        ahead = _READ_AHEAD_BYTES // picture_bytes
        self._pictures: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(
            max(1, min(ahead, _READ_AHEAD_FRAMES))
        )
        self._fault: Exception | None = None
        self._child = process.Child(
            command, limit_s=limit_s, max_memory_mb=max_memory_mb, claim=log.claim
        )
        self._reader = threading.Thread(target=self._read, name="read-ahead", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def next_picture(self) -> NDArray[np.uint8] | None:
        """Return the bytes of the next picture, or None at the end.

        Raises:
            TransientError: the decoder was killed or stuck, or there is no memory: not the end.
        """
        picture = self._pictures.get()
        if picture is None:
            self._finish()
        return picture

    def end(self) -> process.Ended:
        """Stop the decoder where it is, and say how it ended."""
        return self._stop()

    def _finish(self) -> None:
        try:
            if self._fault is not None:
                raise self._fault
            ended = self._child.finish()
        except TimeoutError as error:
            raise TransientError(
                f"The decoder got stuck in {program.name_of(self._path)}: {error}.",
                hint="The machine may be overloaded; raise the setting video.timeout_factor.",
            ) from error
        except MemoryError as error:
            raise TransientError(
                f"There was no memory for a picture of {program.name_of(self._path)}.",
                hint="The machine is short of memory: run fewer workers.",
            ) from error
        self.log.end()
        program.raise_if_killed(self._path, ended)

    def _stop(self) -> process.Ended:
        self._child.kill()
        # The reader may be waiting for room in the queue.
        while self._reader.is_alive():
            with suppress(queue.Empty):
                self._pictures.get(timeout=0.01)
        self.log.end()
        return self._child.stop()

    def _read(self) -> None:
        try:
            while True:
                picture = np.empty(self._picture_bytes, np.uint8)
                if self._child.read_into(picture.data) < self._picture_bytes:
                    break
                self._pictures.put(picture)
        except Exception as error:  # noqa: BLE001 - raised again where the picture is waited for
            self._fault = error
        self._pictures.put(None)
