"""What is happening, told to whoever listens: a terminal, a flow, a page; or nobody.

The pipeline tells and never prints; who listens decides what to show.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

_Kind = Literal["found", "started", "advanced", "finished", "note"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: ``found`` (how many recordings), ``started`` and ``finished`` a recording,
            ``advanced`` by seconds of video, or ``note``: a sentence for the person.
        name: name of the recording, or the sentence.
        amount: seconds of video, or number of recordings.
    """

    kind: _Kind
    name: str
    amount: float = 0.0


Listener = Callable[[Event], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Tell ``listener`` every event of this process until the block ends, from any thread."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(kind: _Kind, name: str, amount: float = 0.0) -> None:
    """Tell all listeners."""
    for listener in tuple(_listeners):
        listener(Event(kind, name, amount))
