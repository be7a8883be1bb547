"""What is left out of a recording before anybody looks: parts of the picture, stretches of time.

The pixels are blackened before faces are searched, so nothing of what they showed is in any
number, work file or page.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fer_core.planes import NO_COLOUR
from fer_core.records import Frame

_MOST_COVERED = 0.25
_TIME = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{2})")


def _seconds(value: object) -> object:
    if isinstance(value, str) and (match := _TIME.fullmatch(value.strip())):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return 3600 * hours + 60 * minutes + seconds
    if isinstance(value, bool):
        raise ValueError("needs seconds or a time such as 12:34")  # noqa: TRY004 - pydantic's way
    return value


Offset = Annotated[float, Field(ge=0, lt=1e6, allow_inf_nan=False), BeforeValidator(_seconds)]
"""Seconds from the start of a recording; 754, "12:34" and "1:02:03" are the same kind of thing."""

# As tables keep it: what they hold must be sound when it is read back.
_Share = Annotated[
    float, Field(ge=0, le=1, allow_inf_nan=False), AfterValidator(lambda share: round(share, 6))
]
_Count = Annotated[int, Field(ge=1, le=100)]


class Exclusion(BaseModel):
    """A part of the picture, for all of the recording or a stretch of it; or the whole picture.

    Attributes:
        what: whom or what it covers, in a word for the report; never a name.
        area: left, top, right and bottom, as shares of the picture's width and height.
        tile: column and row of a gallery's tile, from 1.
        grid: columns and rows of that gallery.
        start: first second of it.
        end: the second after its last; None for the end of the recording.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: Annotated[str, Field(pattern=r"^[a-z][a-z -]{0,39}$")] = "left out"
    area: tuple[_Share, _Share, _Share, _Share] | None = None
    tile: tuple[_Count, _Count] | None = None
    grid: tuple[_Count, _Count] | None = None
    start: Offset = 0
    end: Offset | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.tile is None) != (self.grid is None) or (self.tile and self.area):
            raise ValueError("needs an area, or a tile and its grid, or neither")
        if self.tile and self.grid and (self.tile[0] > self.grid[0] or self.tile[1] > self.grid[1]):
            raise ValueError("names a tile outside its grid")
        if self.area and not (self.area[0] < self.area[2] and self.area[1] < self.area[3]):
            raise ValueError("needs left below right and top below bottom")
        if self.end is not None and self.end <= self.start:
            raise ValueError("ends before it starts")
        if self.rectangle == (0, 0, 1, 1) and math.floor(self.start) == 0 and self.end is None:
            raise ValueError("leaves nothing of the recording")
        return self

    @property
    def rectangle(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom as shares of the picture."""
        if self.tile and self.grid:
            (column, row), (columns, rows) = self.tile, self.grid
            return (column - 1) / columns, (row - 1) / rows, column / columns, row / rows
        return self.area or (0, 0, 1, 1)

    def holds(self, time_s: float) -> bool:
        """Say whether it covers a time; its edges are moved outwards to whole seconds."""
        end = math.inf if self.end is None else math.ceil(self.end)
        return math.floor(self.start) <= time_s < end


def black_out(
    image: NDArray[np.uint8], exclusions: Sequence[Exclusion], time_s: float
) -> NDArray[np.uint8]:
    """Return a picture, ``(height, width, 3)``, without what is left out at that time.

    Edges are moved outwards to whole pixels. The picture itself is not changed.
    """
    return _filled(image, _left_out(exclusions, time_s, image.shape[1], image.shape[0]), 0)


def black_out_frame(frame: Frame, exclusions: Sequence[Exclusion]) -> Frame:
    """Return a frame without what is left out at its time."""
    if not exclusions:
        return frame
    planes, (width, height) = frame.planes, frame.planes.size_px
    parts = _left_out(exclusions, float(frame.time_s), width, height)
    # Chroma of a pixel left out goes with it, whatever other pixels share it.
    high, wide = planes.blue.shape
    coarse = [
        (
            slice(rows.start * high // height, -(-rows.stop * high // height)),
            slice(columns.start * wide // width, -(-columns.stop * wide // width)),
        )
        for rows, columns in parts
    ]
    blue, red = (_filled(plane, coarse, NO_COLOUR) for plane in (planes.blue, planes.red))
    grey = _filled(planes.grey, parts, 0)
    return replace(frame, planes=replace(planes, grey=grey, blue=blue, red=red))


def _left_out(
    exclusions: Sequence[Exclusion], time_s: float, width: int, height: int
) -> list[tuple[slice, slice]]:
    """Return rows and columns of what is left out at a time."""
    now = [exclusion.rectangle for exclusion in exclusions if exclusion.holds(time_s)]
    return [
        (
            slice(math.floor(top * height), math.ceil(bottom * height)),
            slice(math.floor(left * width), math.ceil(right * width)),
        )
        for left, top, right, bottom in now
    ]


def _filled(
    picture: NDArray[np.uint8], parts: Sequence[tuple[slice, slice]], value: int
) -> NDArray[np.uint8]:
    if not parts:
        return picture
    picture = picture.copy()
    for part in parts:
        picture[part] = value
    return picture


def uncovered(
    boxes: NDArray[np.float32],
    exclusions: Sequence[Exclusion],
    time_s: float,
    size_px: tuple[int, int],
) -> NDArray[np.bool_]:
    """Return which faces are not of somebody left out, ``(n,)``: a quarter is covered at most.

    Somebody at the edge of a rectangle drawn too small may still be found by the half that shows.

    Args:
        boxes: ``(n, 4)`` left, top, width, height, pixels.
        exclusions: what is left out.
        time_s: of the picture.
        size_px: its width and height.
    """
    covered = np.zeros(len(boxes))
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    for exclusion in exclusions:
        if exclusion.holds(time_s):
            corners = np.array(exclusion.rectangle).reshape(2, 2) * size_px
            common = np.minimum(high, corners[1]) - np.maximum(low, corners[0])
            # Where two of them overlap it counts twice: rather one face too many is dropped.
            covered += np.maximum(common, 0).prod(axis=1)
    return covered <= _MOST_COVERED * boxes[:, 2:].prod(axis=1)


def seconds_left_out(exclusions: Sequence[Exclusion], length: int) -> NDArray[np.bool_]:
    """Return which of a recording's seconds have the whole picture left out, ``(length,)``."""
    out = np.zeros(length, np.bool_)
    for exclusion in exclusions:
        if exclusion.rectangle == (0, 0, 1, 1):
            end = length if exclusion.end is None else math.ceil(exclusion.end)
            out[math.floor(exclusion.start) : end] = True
    return out


def spans(exclusions: Sequence[Exclusion]) -> list[tuple[float, float]]:
    """Return ``(start, end)`` of the stretches in which the whole picture is left out, seconds."""
    return [
        (math.floor(each.start), math.inf if each.end is None else math.ceil(each.end))
        for each in exclusions
        if each.rectangle == (0, 0, 1, 1)
    ]


def spans_of(kept: str | None) -> list[tuple[float, float]]:
    """Return the same of exclusions as they stand in a table's column."""
    return spans([Exclusion.model_validate(each) for each in (json.loads(kept) if kept else ())])


def edges(exclusions: Sequence[Exclusion]) -> list[int]:
    """Return the seconds at which something begins or ceases to be left out, ascending."""
    times = [exclusion.start for exclusion in exclusions if exclusion.start]
    times += [exclusion.end for exclusion in exclusions if exclusion.end is not None]
    return sorted({math.floor(time) for time in times})


def as_json(exclusions: Sequence[Exclusion]) -> str | None:
    """Return exclusions for a table's column, the same text for the same ones; None for none."""
    if not exclusions:
        return None
    kept = [
        {
            "what": exclusion.what,
            "area": [round(share, 6) for share in exclusion.rectangle],
            "start": exclusion.start,
            "end": exclusion.end,
        }
        for exclusion in exclusions
    ]
    return json.dumps(kept)
