"""Those who look at a live camera: so many at once, each known by a secret, ended when it is quiet.

One picture is worked on for every two cores. Viewers are told how often they may send one, so that
nobody waits; a picture that would have to wait for long is refused, so that the others stay quick.
What was recorded is concluded in a thread of its own.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fer_core import aired, audit, inbox, pages, published
from fer_core.aired import OnAir
from fer_core.errors import (
    Busy,
    EnvironmentProblem,
    Gone,
    InputError,
    StoreError,
    TransientError,
)
from fer_core.folder import need_space
from fer_core.live import RATE_HZ, THREADS, Seen, Take, View
from fer_core.settings import Settings
from fer_core.store import Store

_log = logging.getLogger("lecturepulse")

AIM_S: Final = 0.17
"""A picture is refused rather than answered later than that; 30 of 200 ms are left to the page."""

_LEAST_PATIENCE_S: Final = 0.02
_FILLED: Final = 0.75
_LIVELY_S: Final = 2.0
_NEWEST: Final = 0.2
_LOOK_S: Final = 1.0
_COURSE: Final = "live"


@dataclass
class _Viewer:
    view: View
    seen_at: float
    on_air: OnAir | None = None
    take: Take | None = None
    ending: threading.Lock = field(default_factory=threading.Lock)
    # A page that sends two pictures at once is told so, not queued.
    looking: threading.Lock = field(default_factory=threading.Lock)


class Viewers:
    """Everybody who looks at a live camera through this process.

    Args:
        settings: all settings.
        clock: seconds, never going back.

    Attributes:
        store: where recordings go.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = Store(settings.out)
        self._settings, self._clock = settings, clock
        self._viewers: dict[str, _Viewer] = {}
        self._entrance = threading.Lock()
        self._places = max(1, (os.cpu_count() or 1) // THREADS)
        self._free = threading.BoundedSemaphore(self._places)
        self._work_s = 0.0
        self._put_by = threading.Event()
        self._shut = threading.Event()
        self._concluding = threading.Event()
        self._waits_for = ""
        self._keeper: threading.Thread | None = None

    def start(self) -> None:
        """Begin to end quiet views and to conclude recordings, those of an earlier process too."""
        with self._entrance:
            if self._keeper is None:
                self._put_by.set()
                self._keeper = threading.Thread(target=self._keep, name="live", daemon=True)
                self._keeper.start()

    def open(self) -> tuple[str, View]:
        """Let one more look; return the secret it is known by, and its view.

        Raises:
            Busy: there are as many as may be.
            PolicyError, AssetMissing, AssetCorrupt: as ``View``.
        """
        self.start()
        self.end_quiet()
        with self._entrance:
            self._need_room()
        # Outside: it takes a while, and the others must not wait for that.
        view = View(self._settings, self._clock)
        with self._entrance:
            self._need_room()
            secret = secrets.token_urlsafe(16)
            self._viewers[secret] = _Viewer(view, self._clock())
        gate = view.permission
        audit.note(self.store.root, "tried", what="live", mode=gate.mode, ground=gate.reason)
        return secret, view

    def _need_room(self) -> None:
        if len(self._viewers) >= self._settings.live.viewers:
            most = self._settings.live.viewers
            raise Busy(
                f"{most} are looking at live cameras, and no more may at once."
                if most
                else "The live view is switched off.",
                hint="Wait until one of them has ended. The setting is live.viewers.",
                retry_after_s=3,
            )

    def see(self, secret: str, data: bytes, captured_s: float) -> Seen:
        """Look at a picture of one of them.

        Raises:
            Gone: there is no such view (any more).
            Busy: it would have to wait too long, or its last picture is still looked at.
            InputError: as ``View.see``.
        """
        viewer = self._viewer(secret)
        viewer.seen_at = self._clock()
        if not viewer.looking.acquire(blocking=False):
            raise Busy("The last picture is still looked at.", hint="Send one at a time.")
        try:
            if not self._free.acquire(timeout=max(_LEAST_PATIENCE_S, AIM_S - self._work_s)):
                raise Busy(
                    "The machine has as many pictures to look at as it can.",
                    hint="Send fewer a second.",
                )
            try:
                seen = viewer.view.see(data, captured_s)
            finally:
                self._free.release()
            self._work_s += _NEWEST * (seen.looked_s - self._work_s)
            return seen
        finally:
            viewer.looking.release()

    def pause_s(self) -> float:
        """Return how long a viewer is to wait from one picture to the next, seconds.

        So that all who look now fill three quarters of the time there is to work in.
        """
        since = self._clock() - _LIVELY_S
        lively = sum(viewer.seen_at >= since for viewer in list(self._viewers.values()))
        return max(1 / RATE_HZ, lively * self._work_s / self._places / _FILLED)

    def record(self, secret: str, course: str) -> OnAir:
        """Collect what one of them sees from now on.

        Args:
            secret: which view.
            course: what the recording belongs to; empty for ``live``.

        Raises:
            Gone: there is no such view (any more).
            InputError: it is being recorded already.
            StoreError: the disk is too full.
        """
        viewer = self._viewer(secret)
        need_space(self.store.root, self._settings.run.min_free_mb)
        with viewer.ending:
            if viewer.on_air is not None:
                raise InputError("This view is being recorded.", hint="Stop it first.")
            named = inbox.printable(course, _COURSE)
            viewer.on_air = OnAir.now(named, viewer.view.permission, self._settings)
            viewer.view.record(60 * self._settings.live.max_minutes)
        return viewer.on_air

    def stop(self, secret: str, *, keep: bool = True) -> OnAir | None:
        """End a recording and put by what was seen; None if there was nothing.

        Args:
            secret: which view.
            keep: whether it is wanted at all.

        Raises:
            Gone: there is no such view (any more).
            StoreError: it cannot be put by; it is not lost, and to be stopped again.
        """
        return self._stop(self._viewer(secret), keep=keep)

    def close(self, secret: str) -> None:
        """End a view; what was recorded until then is kept.

        Raises:
            StoreError: it cannot be put by; the view is not ended.
        """
        if viewer := self._viewers.get(secret):
            self._stop(viewer, keep=True)
            self._viewers.pop(secret, None)

    def end_quiet(self) -> None:
        """End the views that have not sent a picture for ``live.idle_s``."""
        before = self._clock() - self._settings.live.idle_s
        for secret, viewer in list(self._viewers.items()):
            if viewer.seen_at < before:
                self._close_or_warn(secret)

    def _close_or_warn(self, secret: str) -> None:
        try:
            self.close(secret)
        except StoreError as error:
            _log.warning("A live recording cannot be put by: %s %s", error.message, error.hint)

    def shut(self) -> None:
        """End everything and conclude it; what has to wait is left to the next process."""
        self._shut.set()
        for secret in list(self._viewers):
            self._close_or_warn(secret)
        if self._keeper is not None:
            self._keeper.join()
        self._conclude()

    def state(self, recording_id: str) -> tuple[aired.State, str]:
        """Return how far a recording has come, and what it waits for."""
        state = aired.state(self.store, recording_id)
        page = pages.path(self.store, recording_id) if state == "done" else None
        if page and not page.exists() and self._concluding.is_set():
            state = "waiting"  # for its page
        return state, self._waits_for if state == "waiting" else ""

    def _viewer(self, secret: str) -> _Viewer:
        try:
            return self._viewers[secret]
        except KeyError as error:
            raise Gone("This live view has ended.", hint="Start it again.") from error

    def _stop(self, viewer: _Viewer, *, keep: bool) -> OnAir | None:
        with viewer.ending:
            viewer.take = viewer.take or viewer.view.stop()
            on_air, take = viewer.on_air, viewer.take
            if on_air is not None and take is not None and keep:
                aired.put_by(self.store, on_air, take)
                self._put_by.set()
            viewer.on_air = viewer.take = None
        return on_air if take and keep else None

    def _keep(self) -> None:
        """Until all is shut: end quiet views, conclude what is put by."""
        while not self._shut.is_set():
            try:
                self.end_quiet()
                if self._put_by.is_set():
                    self._conclude()
            except Exception:  # noqa: BLE001 - it must go on looking
                _log.exception("unexpected error while live views are looked after")
            self._shut.wait(_LOOK_S)

    def _conclude(self) -> None:
        self._put_by.clear()
        self._concluding.set()
        try:
            if aired.waiting(self.store):
                with published.writing(self._settings) as publish:
                    for outcome in aired.conclude_waiting(self.store, self._settings):
                        publish(outcome.recording_id)
                        _log.info("live recording %s: %s", outcome.recording_id, outcome.status)
            self._waits_for = ""
        # A night is running, the disk is full, weights are away, too many files are open, object
        # storage does not answer: tried again.
        except (StoreError, EnvironmentProblem, TransientError) as error:
            self._waits_for = error.message  # the hint is for a command line
            self._put_by.set()
        finally:
            self._concluding.clear()
