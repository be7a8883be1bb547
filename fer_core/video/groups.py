"""Packets that no sample needs: those behind the last sample of a group of pictures.

A decoder has to begin at a key picture and go on to the picture that is wanted, but not to the next
key picture. With samples a second apart and key pictures two seconds apart half of a recording need
not be decoded, and every picture that is shown stays the same, bit for bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_core import process
from fer_core.records import VideoInfo
from fer_core.settings import Video
from fer_core.video import program, timeline
from fer_core.video.program import GRACE_S, Ffmpeg


class _Units(NamedTuple):
    """Kinds of units a codec's packets are made of.

    Attributes:
        clean: pictures before which nothing has to be known. A container's own marks may be
            wrong, and other key pictures may be looked back beyond.
        parameters: what all later pictures may build upon, wherever it stands.
    """

    clean: str
    parameters: str


_UNITS: Final = {
    "h264": _Units(clean="5", parameters="7|8|13|15"),  # IDR; parameter sets
    "hevc": _Units(clean="19|20", parameters="32|33|34"),  # IDR of both kinds; parameter sets
}
_PACKET: Final = re.compile(
    r"(?P<copy>[0-3]), +(?P<dts>-?\d+), +(?P<pts>-?\d+), +\d+, +\d+, 0x[0-9a-f]+"
    r"(?:, F=0x(?P<flags>[0-9A-F]+))?"
)
_DISCARD: Final = 4
# ffmpeg's count of the pictures goes wrong now and then: in two groups of about 64, as seen. Where
# it is the container that does not know their order, nearly all groups differ.
_MOST_DOUBTFUL: Final = 1 / 8
# As much as fits one argument of a command line with ease.
_MOST_GAPS: Final = 1500

Gap = tuple[Fraction, Fraction]
"""Presentation times between which no picture is needed, seconds, both exclusive."""


@dataclass(slots=True)
class Packets:
    """The packets of a video stream in the order of decoding.

    Attributes:
        unit_s: unit of the time stamps, seconds.
        dts: decoding times.
        pts: presentation times.
        order: presentation times by the stream's own count of its pictures, whatever the
            container says.
        clean: presentation times of the pictures at which a decoder may begin.
        parameters: presentation times of the packets that hold what later groups may need.
        shows_all: whether the decoder shows every picture that it has, even if a new group tells it
            not to.
        hidden: whether there are packets that are decoded and not shown.
    """

    unit_s: Fraction
    dts: list[int] = field(default_factory=list[int])
    pts: list[int] = field(default_factory=list[int])
    order: list[int] = field(default_factory=list[int])
    clean: set[int] = field(default_factory=set[int])
    parameters: set[int] = field(default_factory=set[int])
    shows_all: bool = True
    hidden: bool = False

    def gaps(self, wanted_s: Iterable[Fraction]) -> list[Gap]:
        """Return the times between which no picture is needed; none if the times are doubtful.

        Args:
            wanted_s: of the samples, seconds; each is the last picture not after it.
        """
        pts = np.array(self.pts, np.int64)
        groups = list(pairwise(self._starts(pts)))
        doubtful = {group for group in groups if not self._is_ordered(pts, *group)}
        if self._is_doubtful(pts) or len(doubtful) > len(groups) * _MOST_DOUBTFUL:
            return []
        order = np.argsort(pts)
        due = np.array([math.floor(at_s / self.unit_s) for at_s in wanted_s], np.int64)
        needed = np.isin(pts, list(self.parameters))
        needed[order[np.maximum(np.searchsorted(pts[order], due, side="right") - 1, 0)]] = True
        found: list[Gap] = []
        for start, stop in groups:
            if (start, stop) in doubtful:
                continue
            last = start + int(np.flatnonzero(needed[start:stop]).max(initial=0))
            # One more: of interlaced video it may be the other half of the same picture.
            last = min(last + 1, stop - 1)
            kept, then = int(pts[start : last + 1].max()), int(pts[stop])
            if np.any(pts[last + 1 : stop] > kept):
                half = Fraction(1, 2)
                found.append(((kept + half) * self.unit_s, (then - half) * self.unit_s))
        # The last pictures say where the content ends, and how long a picture lasts.
        return found[:-1]

    def _is_ordered(self, pts: NDArray[np.int64], start: int, stop: int) -> bool:
        """Return whether the container knows the order in which a group's pictures are shown."""
        as_counted = np.argsort(self.order[start:stop], kind="stable")
        return np.array_equal(np.argsort(pts[start:stop]), as_counted)

    def _is_doubtful(self, pts: NDArray[np.int64]) -> bool:
        if self.hidden or len(self.order) != len(pts):
            return True
        if np.any(np.diff(self.dts) <= 0) or np.any(np.diff(np.sort(pts)) == 0):
            return True
        return not self.shows_all and bool(np.any(np.diff(pts) < 0))

    def _starts(self, pts: NDArray[np.int64]) -> list[int]:
        """Return the rows of clean pictures that part the packets in time as in decoding."""
        least_after = np.minimum.accumulate(pts[::-1])[::-1]
        most_before = np.maximum.accumulate(pts)
        parting = (least_after == pts) & (most_before == pts)
        return [row for row in np.flatnonzero(parting).tolist() if self.pts[row] in self.clean]


def read_packets(
    info: VideoInfo, ffmpeg: Ffmpeg, limits: Video, seek: dict[str, object], stop_s: float
) -> Packets | None:
    """Read a recording's packets without decoding any.

    Args:
        info: from ``probe``.
        ffmpeg: from ``find_ffmpeg``.
        limits: the decoder's limits.
        seek: options of the input that the decode will have, too.
        stop_s: presentation time up to which they are wanted, seconds.

    Returns:
        None where nothing can be left out: another codec, a container without exact times, an
        ffmpeg that cannot leave packets out, a file that cannot be read.
    """
    units = _UNITS.get(info.codec)
    if units is None or not timeline.is_seekable(info) or not ffmpeg.drops_packets:
        return None
    stream = timeline.open_timed(info, limits, **seek)[str(info.stream_index)]
    end = {} if math.isinf(stop_s) else {"to": stop_s}
    filters = {
        "bsf:v:1": f"filter_units=pass_types={units.clean}",
        "bsf:v:2": f"filter_units=pass_types={units.parameters}",
        "bsf:v:3": "dts2pts",
    }
    copies = [stream] * (1 + len(filters))
    output = program.output(copies, format="framecrc", c="copy", **filters, **end)
    # Of H.265 the decoder heeds a mark that pictures still waiting are not to be shown.
    found = Packets(Fraction(0), shows_all=info.codec == "h264")

    def note(line: str) -> None:
        if unit := timeline.PACKET_UNIT.match(line):
            found.unit_s = Fraction(int(unit[2]), int(unit[3]))
        elif packet := _PACKET.match(line):
            copy, pts = int(packet["copy"]), int(packet["pts"])
            if copy:
                (found.clean.add, found.parameters.add, found.order.append)[copy - 1](pts)
                return
            found.dts.append(int(packet["dts"]))
            found.pts.append(pts)
            found.hidden |= bool(int(packet["flags"] or "0", 16) & _DISCARD)

    try:
        ended = process.run_lines(
            program.command(ffmpeg, limits, output),
            limit_s=GRACE_S + info.size_bytes / timeline.SLOWEST_DISK_BYTES_PER_S,
            take=note,
            max_memory_mb=limits.max_process_mb,
        )
    except TimeoutError:
        return None
    return None if ended.returncode or not found.pts else found


def dropping(gaps: Sequence[Gap]) -> str:
    """Return the bit stream filter that leaves out the packets within the gaps.

    Args:
        gaps: one at least, in their order; of very many, the first are used.
    """
    return f"noise=drop='{_expression(gaps[:_MOST_GAPS])}'"


def _expression(gaps: Sequence[Gap]) -> str:
    # A tree: a packet is compared with few gaps, and ffmpeg refuses what is nested too deep.
    if len(gaps) == 1:
        ((begin_s, end_s),) = gaps
        # Digits enough for a time base of nanoseconds.
        return f"between(pts*tb,{float(begin_s):.12f},{float(end_s):.12f})"
    left, right = gaps[: len(gaps) // 2], gaps[len(gaps) // 2 :]
    return f"if(lt(pts*tb,{float(right[0][0]):.12f}),{_expression(left)},{_expression(right)})"
