"""The time axis of a recording: its segments, where one may jump, and where its data ends."""

from __future__ import annotations

import math
from typing import Any, Final

from fer_core.records import Segment, VideoInfo
from fer_core.settings import Video
from fer_core.video import program
from fer_core.video.packets import Packet, read_packets
from fer_core.video.program import Ffmpeg

# Containers that hold the time of every picture. In the others (MPEG-PS, TS, AVI, GIF …) ffmpeg
# guesses times after a jump, up to 0.1 s wrong as measured: they are only read from the start.
_SEEKABLE: Final = ("mov,", "matroska,", "flv")
_SLACK_S: Final = 1.0
_PAUSE_S: Final = 3600
_LEAST_SEGMENT_S: Final = 30
# Segments begin where the search for faces begins anew, too (``detection.quick_s``): elsewhere it
# would have to look at frames before.
_STEP_S: Final = 20


def plan_segments(
    info: VideoInfo, segment_s: int, limits: Video, *, workers: int = 1
) -> list[Segment]:
    """Cut a recording into segments; the last is open-ended, since a header may be wrong.

    A damaged time stamp can claim centuries: beyond ``limits.max_duration_s`` nothing is planned.

    A container in which one cannot jump to an exact time is one segment.

    Args:
        info: from ``probe``.
        segment_s: length of a segment at most, whole seconds.
        limits: the decoder's limits.
        workers: how many segments are worked on at once; there are so many, or a multiple of it,
            of equal length, if there is enough to do for all.
    """
    declared_s = min(info.duration_s_from_header or 0.0, limits.max_duration_s)
    if not is_seekable(info):
        return [Segment(0, 0, None)]
    if workers > 1:
        rounds = math.ceil(declared_s / segment_s / workers)
        each_s = max(_LEAST_SEGMENT_S, declared_s / max(1, rounds * workers))
        segment_s = min(segment_s, _STEP_S * math.ceil(each_s / _STEP_S))
    starts = range(0, max(1, math.ceil(declared_s)), segment_s)
    return [
        Segment(i, start_s, start_s + segment_s if i + 1 < len(starts) else None)
        for i, start_s in enumerate(starts)
    ]


def is_seekable(info: VideoInfo) -> bool:
    """Whether a decode from the middle is sure to agree with one from the start."""
    return info.container.startswith(_SEEKABLE)


def open_timed(info: VideoInfo, limits: Video, **options: object) -> Any:
    """Return the input with times counted from the start of the container."""
    if is_seekable(info):
        # Only with its own times does a decode from the middle agree with one from the start.
        options |= {"copyts": None, "start_at_zero": None}
    else:
        # ffmpeg counts from the start by itself, and mends the clock of joined broadcasts. What
        # jumps ahead by less is a pause: what comes after it keeps its time.
        options |= {"dts_delta_threshold": _PAUSE_S}
    return program.open_input(info.path, limits, **options)


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
    end_s = data_end_s(info, ffmpeg, limits, "v", "a?")
    return end_s is None or end_s < declared_s - _SLACK_S


def has_more(info: VideoInfo, at_s: float, ffmpeg: Ffmpeg, limits: Video) -> bool:
    """Whether a file holds pictures beyond a time, whether they can be decoded or not."""
    end_s = data_end_s(info, ffmpeg, limits, str(info.stream_index))
    return end_s is not None and end_s > at_s + _SLACK_S


def data_end_s(info: VideoInfo, ffmpeg: Ffmpeg, limits: Video, *streams: str) -> float | None:
    """Return the presentation time at which the data in the file ends, without decoding."""
    source = open_timed(info, limits)
    ends: dict[int, int] = {}

    def note(packet: Packet) -> None:
        end = packet.pts + packet.duration
        ends[packet.stream] = max(end, ends.get(packet.stream, end))

    try:
        ended, units = read_packets(info, ffmpeg, limits, [source[s] for s in streams], note)
    except TimeoutError:
        return None
    program.raise_if_killed(info.path, ended)
    return max((float(end * units[stream]) for stream, end in ends.items()), default=None)
