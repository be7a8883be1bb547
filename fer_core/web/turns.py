"""A waiting room: a few work at once, a few more wait for their turn, the rest are sent away."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

from fer_core.web.problems import Problem

_LONGEST_WAIT_S: Final = 20.0
_AGAIN_S: Final = 10


class Turns:
    """Turns at one kind of work. Safe to use from any thread.

    Args:
        at_once: how many work at the same time.
        waiting: how many more may wait. Each takes a thread: some must be left for everything else.
        what: what they come with, for the sentence that sends one away.
    """

    def __init__(self, at_once: int, waiting: int, what: str) -> None:
        self._what = what
        self._turns = BoundedSemaphore(at_once)
        self._places = BoundedSemaphore(at_once + waiting)

    @contextmanager
    def taken(self) -> Generator[None]:
        """Wait for a turn, and have it while the block lasts.

        Raises:
            Problem: too many wait already, or it took too long.
        """
        if not self._places.acquire(blocking=False):
            raise self._busy()
        try:
            if not self._turns.acquire(timeout=_LONGEST_WAIT_S):
                raise self._busy()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()

    def _busy(self) -> Problem:
        return Problem("busy", f"Too many {self._what} wait already.", retry_after_s=_AGAIN_S)
