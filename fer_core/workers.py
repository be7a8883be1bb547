"""Worker processes: segments are looked at side by side, with one thread of every library each.

Threads of one process get in each other's way, and two processes with one thread each read more
than one with two. A worker is a plain child that ends with
its end of a pipe: none outlives whoever conducts, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import threading
import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Final

from fer_core import process, progress, segment, stopping
from fer_core.errors import EnvironmentProblem, LecturePulseError, TransientError
from fer_core.records import Segment
from fer_core.segment import Footage

_PROGRAM: Final = "import sys; from fer_core import workers; workers.work(int(sys.argv[1]))"
_LOOK_S: Final = 0.2
_END_S: Final = 10.0
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Without limits a worker grows by half over its first segments. With tighter ones every picture is
# new memory from the system, here and in the decoder, which costs more than to convert it (glibc;
# others do not know these names).
_FRUGAL: Final = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 24),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 25),
}


def delegate(footage: Footage, part: Segment) -> Path:
    """Look at one segment in the next free worker; here, if there are none.

    A recording of a single segment is looked at here, too: a process would only cost its start.

    Raises:
        InputError, TransientError, Stopped: as ``segment.look``.
        TransientError: the worker was killed.
    """
    if _crews and footage.segments > 1:
        return _crews[-1].look(footage, part)
    return segment.look(footage, part)


@contextmanager
def employed(count: int) -> Generator[None]:
    """Have ``delegate`` use so many worker processes within the block; none for one.

    They are started now, beside whatever is planned meanwhile, and kept, with the model they
    loaded.

    Raises:
        EnvironmentProblem: a process cannot be started.
    """
    if count == 1:
        yield
        return
    crew = _Crew(count)
    _crews.append(crew)
    try:
        yield
    finally:
        _crews.remove(crew)
        crew.dismiss()


class _Crew:
    def __init__(self, count: int) -> None:
        # The one that came free last is taken first: it has loaded its model.
        self._places: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._count = count
        try:
            for _ in range(count):
                self._places.put(_Worker())
        except EnvironmentProblem:
            self._count = self._places.qsize()
            self.dismiss()
            raise

    def look(self, footage: Footage, part: Segment) -> Path:
        worker = self._places.get()
        try:
            worker = worker or _Worker()
            answer = worker.look(footage, part)
        except BaseException as fault:
            # It may still be busy with this part: what it says next must not be taken for the
            # answer to another.
            how = worker.end() if worker else None
            worker = None
            if not isinstance(fault, _GoneError):
                raise
            raise TransientError(
                f"A worker process ended while it read {footage.name!r} (exit status {how}).",
                hint="The machine may be short of memory: run fewer workers.",
            ) from fault
        finally:
            self._places.put(worker)
        if isinstance(answer, _Raised):
            raise answer.fault
        return answer

    def dismiss(self) -> None:
        for _ in range(self._count):
            if worker := self._places.get():
                worker.dismiss()


_crews: Final[list[_Crew]] = []


class _GoneError(Exception):
    """The process at the other end of the pipe has ended."""


class _Worker:
    """One child process, as seen by its conductor; used by one thread at a time."""

    def __init__(self) -> None:
        try:
            self._pipe, theirs = Pipe()
        except OSError as error:
            raise _not_started(error) from error
        program = process.our_python("-c", _PROGRAM, str(theirs.fileno()))
        try:
            self._child = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**program.env, **_ONE_THREAD, **_FRUGAL},
                # Ctrl-C is for the conductor, which has everybody keep what was seen.
                start_new_session=True,
            )
        except OSError as error:
            self._pipe.close()
            raise _not_started(error) from error
        finally:
            theirs.close()

    def look(self, footage: Footage, part: Segment) -> Path | _Raised:
        answer: progress.Event | Path | _Raised | None
        with _missing():
            self._pipe.send((footage, part))
        stopped = False
        while True:
            with _missing():
                if stopping.requested.is_set() and not stopped:
                    stopped = True
                    self._pipe.send(None)
                answer = self._pipe.recv() if self._pipe.poll(_LOOK_S) else None
            if isinstance(answer, progress.Event):
                progress.tell(answer.kind, answer.name, answer.amount)
            elif answer is not None:
                return answer

    def dismiss(self) -> None:
        """End the process at once: it has nothing to do, and may still be starting."""
        self._child.kill()
        self.end()

    def end(self) -> int:
        """End the process and return its exit status."""
        self._pipe.close()
        try:
            return self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()


@contextmanager
def _missing() -> Generator[None]:
    """Take a broken pipe for what it means: nobody is there."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise _GoneError from error


def _not_started(error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"A worker process could not be started: {error.strerror}.",
        hint="The machine is short of memory, processes or open files; set run.workers to 1.",
    )


class _Raised:
    """An exception on its way to the conductor: not the exception that the conductor may meet."""

    def __init__(self, fault: BaseException) -> None:
        self.fault = fault
        if not isinstance(fault, LecturePulseError | stopping.Stopped):
            fault.add_note("".join(traceback.format_exception(fault)))


def work(handle: int) -> None:
    """Be a worker: look at what the conductor sends, one segment after the other, until it is gone.

    Args:
        handle: file descriptor of this process's end of the pipe.
    """
    pipe: Connection[Any, Any] = Connection(handle)
    # A service manager signals every process of a service; only the conductor decides. A handler,
    # since to ignore a signal would pass on to the decoder.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _heed_not)
    segment.use_threads(1)
    given: queue.SimpleQueue[tuple[Footage, Segment]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, given), daemon=True).start()
    with progress.listening(pipe.send):
        while True:
            footage, part = given.get()
            try:
                answer: Path | _Raised = segment.look(footage, part)
            except BaseException as fault:  # noqa: BLE001 - it is raised again by the conductor
                answer = _Raised(fault)
            _give_back()
            pipe.send(answer)


def _give_back() -> None:
    """Give free memory back to the system, where the C library can: what comes next may be a wait.

    The pictures of a segment are 60 MB, which the conductor needs for the tables of a long day.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _heed_not(_number: int, _frame: FrameType | None) -> None:
    pass


def _listen(pipe: Any, given: queue.SimpleQueue[tuple[Footage, Segment]]) -> None:
    with suppress(EOFError, OSError):
        while True:
            message = pipe.recv()
            if message is None:
                stopping.requested.set()
            else:
                given.put(message)
    # At once, whatever is being done: the next run may begin with the same segment.
    os._exit(0)
