"""Ending a run in good order: on Ctrl-C, on SIGTERM, or when it has taken too long.

Whoever works in threads looks at ``requested`` now and then, keeps what it has, and raises
``Stopped``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

from fer_core.errors import EnvironmentProblem

requested: Final = threading.Event()
"""Set when every thread of this process has to come to an end."""

_GRACE_S: Final = 60.0
_LOOK_S: Final = 1.0


class Stopped(KeyboardInterrupt):
    """The run has to end now; what is finished is kept."""


@contextmanager
def heeding(limit_s: float, *, with_parent: bool = False) -> Generator[None]:
    """Have Ctrl-C, SIGTERM and a limit of time end the block in good order.

    Only the main thread can heed signals; in any other this does nothing.

    Args:
        limit_s: seconds the block may take. If it has not ended a minute later, the process is
            ended as it is: a run that is stuck must not cost the nights to come.
        with_parent: whether the block ends, too, once the process that started this one is gone.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Stopped: SIGTERM.
        EnvironmentProblem: it took too long.
    """
    requested.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main = threading.get_ident()
    overdue = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        requested.set()
        if overdue.is_set():
            raise EnvironmentProblem(
                f"The run took longer than {limit_s / 3600:g} hours and was ended.",
                hint="Run again to go on. If nothing hangs, raise the setting run.max_hours.",
            )
        raise Stopped if number == signal.SIGTERM else KeyboardInterrupt

    def expire() -> None:
        overdue.set()
        # To that thread: another one that gets the signal would leave it asleep.
        signal.pthread_kill(main, signal.SIGTERM)
        end.start()

    def follow(parent: int) -> None:
        while not done.wait(_LOOK_S):
            if os.getppid() != parent:
                signal.pthread_kill(main, signal.SIGTERM)
                return

    done = threading.Event()
    clock = threading.Timer(limit_s, expire)
    end = threading.Timer(_GRACE_S, os._exit, (EnvironmentProblem.exit_code,))
    clock.daemon = end.daemon = True
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    clock.start()
    if with_parent:
        threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        clock.cancel()
        end.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
