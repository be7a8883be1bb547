"""What a chart consists of on a page: picture, finding, key, notes, and its numbers as a table.

Which chart shows what is the work of the rooms that make figures.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from fer_core.wording import Wording

_DIGITS = 4


class Cell(NamedTuple):
    """One number of a table: as it is read, and as it is computed with (None: there is none)."""

    text: str
    value: str | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers behind a chart.

    Attributes:
        columns: for each column its head, and its name in a CSV file.
        rows: the address that the first cell leads to, and the cells.
        note: what a row is.
    """

    columns: list[tuple[str, str]]
    rows: list[tuple[str | None, list[Cell]]]
    note: str

    @property
    def textual(self) -> list[bool]:
        """Return which columns hold texts: those are read from the left."""
        first = self.rows[0][1] if self.rows else []
        return [isinstance(cell.value, str) for cell in first] or [False] * len(self.columns)

    @property
    def csv(self) -> Markup:
        """Return the table as a ``data:`` address of a CSV file, numbers to 4 digits."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow([name for _, name in self.columns])
        writer.writerows([_plain(cell.value) for cell in cells] for _, cells in self.rows)
        data = quote(file.getvalue(), safe=" ,:;()-._~", errors="replace")
        return Markup(f"data:text/csv;charset=utf-8,{data}")  # noqa: S704  nothing left to escape


def _plain(value: str | float | None) -> str | float:
    if value is None:
        return ""
    if isinstance(value, str):
        # A spreadsheet would take such a text for a formula and compute it.
        return f"'{value}" if value[:1] in tuple("=+-@\t\r") else value
    return round(float(value), _DIGITS) if value % 1 else int(value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart as a template shows it.

    Attributes:
        name: its id on the page.
        finding: what it shows, one sentence; its heading.
        svg: the picture.
        key: samples and names of its lines and areas, with a number or nothing.
        notes: what to know when reading it.
        table: the same numbers.
        scrub: whether it has a slider that reads out the values of a second.
        ends: what stands below the two ends of an axis without labels of its own.
    """

    name: str
    finding: str
    svg: Markup
    key: list[tuple[Markup, str, str]]
    table: Table
    notes: list[str] = field(default_factory=list[str])
    scrub: bool = False
    ends: tuple[str, str] | None = None


def measured(words: Wording, value: float, write: Callable[[float], str]) -> Cell:
    """Return the cell of a number; NaN is a dash and an empty field, never 0."""
    if math.isnan(value):
        return Cell(words("units.none"), None)
    return Cell(write(value), float(value))


def moment_cell(words: Wording, second: float) -> Cell:
    """Return the cell of a position in the recording: read as a clock, computed as seconds."""
    return Cell(words.at(second), float(second))


def said_cell(text: str) -> Cell:
    """Return the cell of a text."""
    return Cell(text, text)
