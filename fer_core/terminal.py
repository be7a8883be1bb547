"""What a person at a terminal sees: progress while it works, one line per recording at the end.

A bar with the time left on a terminal, plain lines in a log. Nothing is decided here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fer_core import progress

if TYPE_CHECKING:
    from fer_core.errors import LecturePulseError
    from fer_core.outcome import Outcome

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

_PLAIN_EVERY_S = 30.0
_STYLES = {"done": "green", "partial": "yellow", "failed": "red", "skipped": "dim"}


def line(*parts: str, style: str = "", console: Console = out) -> None:
    """Print one line of plain text: names are data, never markup or control codes."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(parts))
    console.print(Text(text.encode("utf-8", "replace").decode("utf-8"), style=style))


def complain(error: LecturePulseError) -> None:
    """Print an error as its sentence and its hint, to the error stream."""
    line(f"Error: {error.message}", style="red", console=err)
    if error.hint:
        line(f"Hint: {error.hint}", console=err)


def report(outcome: Outcome) -> None:
    """Print how one recording ended."""
    facts = [outcome.path.name]
    if outcome.status in ("done", "partial"):
        speed = outcome.video_s / outcome.wall_s if outcome.wall_s else 0
        facts += [
            f"{outcome.video_s:.0f} s of video in {outcome.wall_s:.0f} s ({speed:.1f}×),",
            f"{outcome.people or 0:.0f} {'person' if outcome.people == 1 else 'people'} visible",
        ]
    line(f"{outcome.status:>8} ", *facts, style=_STYLES[outcome.status])
    for extra in (outcome.message, outcome.hint, str(outcome.page or "")):
        if extra:
            line("         ", extra)


@contextmanager
def watching(verb: str = "Reading", unit: str = "s of video") -> Generator[None]:
    """Show the progress of everything done inside the block, counted in ``unit``."""
    watch = _bars(unit) if err.is_terminal else _lines(verb, unit)
    with watch as listener, progress.listening(listener):
        yield


@contextmanager
def _bars(unit: str) -> Generator[progress.Listener]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=err, transient=True) as bars:

        def listener(event: progress.Event) -> None:
            if event.kind == "note":
                bars.console.print(Text(event.name))
            elif event.kind == "started":
                total = round(event.amount) or None
                if event.name in tasks:
                    bars.update(tasks[event.name], total=total)
                else:
                    tasks[event.name] = bars.add_task(_short(event.name), total=total)
            elif event.kind == "advanced" and event.name in tasks:
                bars.advance(tasks[event.name], event.amount)
            elif event.kind == "finished" and event.name in tasks:
                bars.remove_task(tasks.pop(event.name))

        yield listener


@contextmanager
def _lines(verb: str, unit: str) -> Generator[progress.Listener]:
    totals: dict[str, float] = {}
    done: dict[str, float] = {}
    told = [time.monotonic()]

    def listener(event: progress.Event) -> None:
        if event.kind == "note":
            line(event.name, console=err)
        elif event.kind == "started" and event.amount:
            totals[event.name], done[event.name] = event.amount, 0.0
            line(f"{verb} {event.name} ({event.amount:.0f} {unit})", console=err)
        elif event.kind == "advanced" and event.name in done:
            done[event.name] += event.amount
            if time.monotonic() - told[0] >= _PLAIN_EVERY_S:
                told[0] = time.monotonic()
                share = done[event.name] / totals[event.name]
                line(f"{verb} {event.name}: {min(share, 1):.0%}", console=err)

    yield listener
    sys.stderr.flush()


def _short(name: str, width: int = 36) -> str:
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print all rows and columns of a table, whatever the terminal's width, to the right."""
    lines = [[_one_line(cell) for cell in row] for row in (names, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        line(*(" " * (w - cell_len(cell)) + cell for w, cell in zip(widths, row, strict=True)))
    if len(lines) == 1:
        line("0 rows")


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
