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
from typing import Final

import numpy as np

from fer_core import process
from fer_core.records import VideoInfo
from fer_core.settings import Video
from fer_core.video import program, timeline
from fer_core.video.program import GRACE_S, Ffmpeg

# Units that begin pictures before which nothing has to be known (H.264: IDR; H.265: both kinds of
# IDR). A container's own marks may be wrong, and other key pictures may be looked back beyond.
_CLEAN_UNITS: Final = {"h264": "5", "hevc": "19|20"}
_PACKET: Final = re.compile(
    r"(?P<stream>[01]), +(?P<dts>-?\d+), +(?P<pts>-?\d+), +\d+, +\d+, 0x[0-9a-f]+"
    r"(?:, F=0x(?P<flags>[0-9A-F]+))?"
)
_DISCARD: Final = 4
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
        clean: presentation times of the pictures at which a decoder may begin.
        hidden: whether there are packets that are decoded and not shown.
    """

    unit_s: Fraction
    dts: list[int] = field(default_factory=list[int])
    pts: list[int] = field(default_factory=list[int])
    clean: set[int] = field(default_factory=set[int])
    hidden: bool = False

    def gaps(self, wanted_s: Iterable[Fraction]) -> list[Gap]:
        """Return the times between which no picture is needed; none if the times are doubtful.

        Args:
            wanted_s: of the samples, seconds; each is the last picture not after it.
        """
        pts, dts = np.array(self.pts, np.int64), np.array(self.dts, np.int64)
        if self.hidden or len(pts) < 2 or np.any(np.diff(dts) <= 0):
            return []
        order = np.argsort(pts)
        shown = pts[order]
        if np.any(np.diff(shown) == 0):
            return []
        due = [math.floor(at_s / self.unit_s) for at_s in wanted_s]
        rows = np.searchsorted(shown, np.array(due, np.int64), side="right") - 1
        needed = np.zeros(len(pts), np.bool_)
        needed[order[np.maximum(rows, 0)]] = True
        found: list[Gap] = []
        starts = self._starts(pts)
        for start, stop in pairwise(starts):
            last = start + int(np.flatnonzero(needed[start:stop]).max(initial=0))
            kept, then = int(pts[start : last + 1].max()), int(pts[stop])
            if np.any(pts[last + 1 : stop] > kept):
                found.append(
                    ((kept + Fraction(1, 2)) * self.unit_s, (then - Fraction(1, 2)) * self.unit_s)
                )
        # The last pictures say where the content ends, and how long a picture lasts.
        return found[:-1]

    def _starts(self, pts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
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
    units = _CLEAN_UNITS.get(info.codec)
    if units is None or not timeline.is_seekable(info) or not ffmpeg.drops_packets:
        return None
    stream = timeline.open_timed(info, limits, **seek)[str(info.stream_index)]
    end = {} if math.isinf(stop_s) else {"to": stop_s}
    output = program.output(
        [stream, stream],
        format="framecrc",
        c="copy",
        **{"bsf:v:1": f"filter_units=pass_types={units}"},
        **end,
    )
    found: list[Packets] = []

    def note(line: str) -> None:
        if unit := timeline.PACKET_UNIT.match(line):
            found.append(Packets(Fraction(int(unit[2]), int(unit[3]))))
        elif found and (packet := _PACKET.match(line)):
            first = found[0]
            if packet["stream"] == "1":
                first.clean.add(int(packet["pts"]))
                return
            first.dts.append(int(packet["dts"]))
            first.pts.append(int(packet["pts"]))
            first.hidden |= bool(int(packet["flags"] or "0", 16) & _DISCARD)

    try:
        ended = process.run_lines(
            program.command(ffmpeg, limits, output),
            limit_s=GRACE_S + info.size_bytes / timeline.SLOWEST_DISK_BYTES_PER_S,
            take=note,
            max_memory_mb=limits.max_process_mb,
        )
    except TimeoutError:
        return None
    program.raise_if_killed(info.path, ended)
    return found[0] if found and len({packets.unit_s for packets in found}) == 1 else None


def dropping(gaps: Sequence[Gap]) -> str:
    """Return the bit stream filter that leaves out the packets within the gaps."""
    # A sum of sums: ffmpeg refuses expressions that are nested deeper than a hundred.
    terms = [f"between(pts*tb,{float(a):.7f},{float(b):.7f})" for a, b in gaps[:_MOST_GAPS]]
    while len(terms) > 1:
        terms = [f"({'+'.join(terms[i : i + 2])})" for i in range(0, len(terms), 2)]
    return f"noise=drop='{terms[0]}'"
