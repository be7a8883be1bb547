"""Lists the packets of a recording's streams, by ffmpeg, without decoding any."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from fer_core import process
from fer_core.records import VideoInfo
from fer_core.settings import Video
from fer_core.video import program
from fer_core.video.program import GRACE_S, Ffmpeg

# What reading a file without decoding it may take at worst.
_SLOWEST_DISK_BYTES_PER_S: Final = 5_000_000
_UNIT: Final = re.compile(r"#tb (\d+): (\d+)/([1-9]\d*)$")
_PACKET: Final = re.compile(
    r"(?P<stream>\d+), +(?P<dts>-?\d+), +(?P<pts>-?\d+), +(?P<duration>\d+), +\d+, 0x[0-9a-f]+"
    r"(?:, F=0x(?P<flags>[0-9A-F]+))?"
)
_DISCARD: Final = 4


class Packet(NamedTuple):
    """A packet, as ffmpeg's ``framecrc`` tells of it.

    Attributes:
        stream: number of the stream among those asked for.
        dts: decoding time, in the stream's unit.
        pts: presentation time.
        duration: of what it shows.
        hidden: whether it is decoded and not shown.
    """

    stream: int
    dts: int
    pts: int
    duration: int
    hidden: bool


def read_packets(
    info: VideoInfo,
    ffmpeg: Ffmpeg,
    limits: Video,
    streams: Sequence[Any],
    take: Callable[[Packet], None],
    **options: object,
) -> tuple[process.Ended, dict[int, Fraction]]:
    """Tell of every packet of some streams, in the order of the file.

    Args:
        info: from ``probe``.
        ffmpeg: from ``find_ffmpeg``.
        limits: the decoder's limits.
        streams: of an input, any of them several times.
        take: is given each packet.
        options: of the output, such as bit stream filters.

    Returns:
        how ffmpeg ended, and the unit of each stream's times, seconds.

    Raises:
        TimeoutError: it took longer than any disk would.
    """
    output = program.output(streams, format="framecrc", c="copy", **options)
    units: dict[int, Fraction] = {}

    def note(line: str) -> None:
        if unit := _UNIT.match(line):
            units[int(unit[1])] = Fraction(int(unit[2]), int(unit[3]))
        elif said := _PACKET.match(line):
            stream, dts, pts, duration = map(int, said.group("stream", "dts", "pts", "duration"))
            hidden = bool(int(said["flags"] or "0", 16) & _DISCARD)
            take(Packet(stream, dts, pts, duration, hidden))

    ended = process.run_lines(
        program.command(ffmpeg, limits, output),
        limit_s=GRACE_S + info.size_bytes / _SLOWEST_DISK_BYTES_PER_S,
        take=note,
        max_memory_mb=limits.max_process_mb,
    )
    return ended, units
