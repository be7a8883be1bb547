"""Packets that no sample needs: behind the last sample of a group, or a picture of use to no other.

A decoder has to begin at a key picture and go on to the picture that is wanted, but not to the next
key picture; and on its way it need not decode pictures on which no other builds. With samples a
second apart and key pictures two seconds apart half of a recording and more need not be decoded,
and every picture that is shown stays the same, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_core.records import VideoInfo
from fer_core.settings import Video
from fer_core.video import timeline
from fer_core.video.packets import Packet, read_packets
from fer_core.video.program import Ffmpeg


class _Units(NamedTuple):
    """Kinds of units a codec's packets are made of.

    Attributes:
        clean: pictures before which nothing has to be known. A container's own marks may be
            wrong, and other key pictures may be looked back beyond.
        parameters: what all later pictures may build upon, wherever it stands.
        pictures: of any kind, where a picture itself says whether others may build upon it.
    """

    clean: str
    parameters: str
    pictures: str | None


_UNITS: Final = {
    # IDR; parameter sets; slices.
    "h264": _Units(clean="5", parameters="7|8|13|15", pictures="1-5"),
    # IDR of both kinds; parameter sets. Pictures that are no references may be some all the same,
    # of pictures at higher rates.
    "hevc": _Units(clean="19|20", parameters="32|33|34", pictures=None),
}
# ffmpeg's count of the pictures goes wrong now and then: in two groups of about 64, as seen. Where
# it is the container that does not know their order, nearly all groups differ.
_MOST_DOUBTFUL: Final = 1 / 8
# As much as fits one argument of a command line with ease.
_MOST_CHARACTERS: Final = 100_000
# Spans that are compared one by one; and what each costs the expression besides its own text.
_LEAF: Final = 8
_NODE_CHARACTERS: Final = 8

_Span = tuple[int, int]
"""Presentation times of the first and the last of some packets, both inclusive, in time units."""


@dataclass(slots=True)
class Pictures:
    """The packets of a video stream, a picture each, in the order of decoding.

    Attributes:
        unit_s: unit of the time stamps, seconds.
        dts: decoding times.
        pts: presentation times.
        order: presentation times by the stream's own count of its pictures, whatever the
            container says.
        clean: presentation times of the pictures at which a decoder may begin.
        parameters: presentation times of the packets that hold what later groups may need.
        references: presentation times of the pictures on which others may build; None where the
            stream does not tell.
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
    references: set[int] | None = None
    shows_all: bool = True
    hidden: bool = False

    def unneeded(self, wanted_s: Iterable[Fraction]) -> list[_Span]:
        """Return the packets that no sample needs; none if the times are doubtful.

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
        shown = np.zeros(len(pts), np.bool_)
        shown[order[np.maximum(np.searchsorted(pts[order], due, side="right") - 1, 0)]] = True
        fixed = np.isin(pts, list(self.parameters)) | shown
        builds = np.isin(pts, list(self.pts if self.references is None else self.references))
        left = np.zeros(len(pts), np.bool_)
        # The last pictures say where the content ends, and how long a picture lasts.
        for start, stop in groups[:-1]:
            if (start, stop) not in doubtful:
                left[start:stop] = _unneeded(fixed[start:stop], builds[start:stop])
        return _runs(pts[order], left[order])

    def _is_ordered(self, pts: NDArray[np.int64], start: int, stop: int) -> bool:
        """Return whether the container knows the order in which a group's pictures are shown."""
        if stop - start == 1:
            return True
        as_counted = np.argsort(self.order[start:stop], kind="stable")
        return np.array_equal(np.argsort(pts[start:stop]), as_counted)

    def _is_doubtful(self, pts: NDArray[np.int64]) -> bool:
        # Where one may begin at every picture ffmpeg cannot count them, and need not.
        counted = len(self.order) == len(pts) or len(self.clean) == len(pts)
        if self.hidden or not counted:
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


def _unneeded(fixed: NDArray[np.bool_], builds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which packets of a group are not needed.

    Args:
        fixed: those that are needed themselves, in the order of decoding.
        builds: those on which others may build.
    """
    if not fixed.any():
        return ~fixed
    fixed = fixed.copy()
    fixed[0] = True
    needed = fixed | builds
    needed[np.flatnonzero(fixed).max() + 1 :] = False
    # Of interlaced video a neighbour may be the other half of the same picture.
    needed[1:] |= fixed[:-1]
    needed[:-1] |= fixed[1:]
    return ~needed


def _runs(times: NDArray[np.int64], chosen: NDArray[np.bool_]) -> list[_Span]:
    """Return first and last time of each run of chosen ones."""
    edges = np.diff(chosen.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(times[starts].tolist(), times[stops - 1].tolist(), strict=True))


def read_pictures(
    info: VideoInfo, ffmpeg: Ffmpeg, limits: Video, seek: dict[str, object], stop_s: float
) -> Pictures | None:
    """Read what is known of a recording's pictures without decoding any.

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
    if units.pictures:
        filters["bsf:v:4"] = f"filter_units=pass_types={units.pictures}:discard=nonref"
    # Of H.265 the decoder heeds a mark that pictures still waiting are not to be shown.
    found = Pictures(Fraction(0), shows_all=info.codec == "h264")
    references: set[int] = set()
    notes = (found.clean.add, found.parameters.add, found.order.append, references.add)
    if units.pictures:
        found.references = references

    def note(packet: Packet) -> None:
        if packet.stream:
            notes[packet.stream - 1](packet.pts)
            return
        found.dts.append(packet.dts)
        found.pts.append(packet.pts)
        found.hidden |= packet.hidden

    copies = [stream] * (1 + len(filters))
    try:
        ended, unit_s = read_packets(info, ffmpeg, limits, copies, note, **filters, **end)
    except TimeoutError:
        return None
    if ended.returncode or not found.pts:
        return None
    found.unit_s = unit_s[0]
    return found


def dropping(spans: Sequence[_Span], unit_s: Fraction) -> str:
    """Return the bit stream filter that leaves packets out.

    Args:
        spans: the packets, one at least, in their order; of very many, the widest are left out.
        unit_s: unit of their times, seconds.
    """
    widest = sorted(spans, key=lambda span: span[0] - span[1])
    lengths = accumulate(len(_within(span)) + _NODE_CHARACTERS for span in widest)
    fitting = sum(length <= _MOST_CHARACTERS for length in lengths)
    # In any other unit the times would mean other packets.
    known = f"eq(tb,{unit_s.numerator}/{unit_s.denominator})"
    return f"noise=drop='if({known},{_expression(sorted(widest[:fitting]))})'"


def _expression(spans: Sequence[_Span]) -> str:
    # A tree: a packet is compared with few spans, and ffmpeg refuses what is nested too deep.
    if len(spans) <= _LEAF:
        return "+".join(map(_within, spans))
    half = len(spans) // 2
    return f"if(lt(pts,{spans[half][0]}),{_expression(spans[:half])},{_expression(spans[half:])})"


def _within(span: _Span) -> str:
    first, last = span
    return f"eq(pts,{first})" if first == last else f"between(pts,{first},{last})"
