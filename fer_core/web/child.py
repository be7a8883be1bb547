"""The process in which one uploaded video is worked on: the night's own job, and its outcome.

It ends with the server that started it, and knows nothing of the web.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fer_core import nights, pipeline, published, stopping
from fer_core.errors import (
    EnvironmentProblem,
    InputError,
    LecturePulseError,
    PolicyError,
    StoreError,
)
from fer_core.outcome import Outcome
from fer_core.settings import Settings
from fer_core.store import Store

WAITS: Final = "waits"
"""The line that tells that another run is writing to the dataset just now."""

_LOOK_S: Final = 1.0


def work_on_video() -> None:
    """Work on one video; print the outcome as a line of JSON.

    Standard input tells which, as JSON: ``path``, ``settings``, ``limit_s`` that it may take once
    the dataset is held, ``parent``, the process that asks, and ``kept_minutes``, after which all
    that comes of it is deleted; null where it is kept.
    """
    task: dict[str, Any] = json.load(sys.stdin)
    settings, path = Settings(**task["settings"]), Path(task["path"])
    try:
        with stopping.heeding(threading.TIMEOUT_MAX, with_parent=True):
            if os.getppid() != task["parent"]:  # gone before anybody looked
                raise stopping.Stopped
            # The time that another run takes is no fault of the video.
            with _writing(settings) as publish, stopping.heeding(task["limit_s"]):
                night = nights.work_through(
                    [path],
                    settings,
                    lambda source: pipeline.process_recording(
                        source, settings, kept_minutes=task["kept_minutes"]
                    ),
                    publish,
                    remembered=False,  # one video is no night: the index goes on to tell of that
                )
    except KeyboardInterrupt:
        sys.exit(143)  # nobody waits for it any more
    except LecturePulseError as error:
        late = isinstance(error, EnvironmentProblem) and stopping.requested.is_set()
        if late:
            minutes = f"{task['limit_s'] / 60:g}"
            error = InputError(
                f"It took longer than the {minutes} minutes that one video may take.",
                hint="Send a shorter one.",
            )
        sys.stderr.write(f"{error.message} {error.hint}\n")
        shown = isinstance(error, PolicyError | InputError)
        _tell(status="failed", message=error.message if shown else "", hint=error.hint)
    else:
        (outcome,) = night.outcomes
        _tell_outcome(outcome, Store(settings.out))


@contextmanager
def _writing(settings: Settings) -> Generator[Callable[[str | None], None]]:
    """Hold the dataset for writing, however long another run takes."""
    waiting = False
    while True:
        writing = published.writing(settings)
        try:
            publish = writing.__enter__()
            break
        except StoreError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
        if not waiting:
            waiting = True
            sys.stdout.write(f"{WAITS}\n")
            sys.stdout.flush()
        time.sleep(_LOOK_S)
    try:
        yield publish
    finally:
        writing.__exit__(*sys.exc_info())


def _tell_outcome(outcome: Outcome, store: Store) -> None:
    page = outcome.page
    _tell(
        status=outcome.status,
        recording_id=outcome.recording_id,
        message=outcome.message,
        hint=outcome.hint,
        page=page.relative_to(store.reports).as_posix() if page else None,
    )


def _tell(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
