"""Runs one child program under guard; what the program does is not known here.

Its own process group, a limit on the time waited for it, its error stream always drained, bounded
memory, and never left behind.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final, Self, TypeVar, cast

from fer_core.errors import PASSING, EnvironmentProblem, TransientError

_CHUNK_BYTES: Final = 1 << 16
_LINE_BYTES: Final = 4096
_TAIL_LINES: Final = 40
_DRAIN_GRACE_S: Final = 5.0
_LONGEST_WAIT_S: Final = 0.25
_REAP_PAUSE_S: Final = 0.005

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Program:
    """What a child is, and what helps if it cannot be started.

    Attributes:
        command: program and arguments; no shell is involved.
        env: its whole environment.
        hint: what the reader can do if the system refuses to start it.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    hint: str


def our_python(*words: str, variables: Mapping[str, str] | None = None) -> Program:
    """Return the Python that runs this, for a child that imports these very packages.

    Nothing is imported from the working folder, in which anything may lie.

    Args:
        words: of its command line, such as ``-c`` and what it has to do.
        variables: more for its environment.
    """
    here = str(Path(__file__).resolve().parents[1])
    path = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return Program(
        [sys.executable, "-P", *words],
        os.environ | {"PYTHONPATH": os.pathsep.join(path)} | dict(variables or {}),
        "Install lecturepulse again; its Python is not where it was when this was started.",
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        returncode: its exit status; negative for the signal that ended it.
        cpu_s: processor time it used, user and system, seconds.
        tail: the last lines of its error stream that nobody claimed.
    """

    returncode: int
    cpu_s: float
    tail: tuple[str, ...]


class Child:
    """A running child; a context manager that kills its whole process group on the way out.

    Only the time spent waiting for the child counts against the limit, so that a slow reader
    of its output is not mistaken for a slow child.

    Args:
        program: what to start.
        limit_s: gives the seconds the child may keep its reader waiting, all waits together; asked
            again and again, so that it may grow with the progress made.
        max_memory_mb: most address space it may take, MB; None for no limit. Linux only.
        claim: called with every line of the error stream, from another thread; True keeps the
            line out of the tail.

    Raises:
        EnvironmentProblem: the program cannot be started.
        TransientError: the machine has no process or memory to spare just now.
    """

    def __init__(
        self,
        program: Program,
        *,
        limit_s: Callable[[], float],
        max_memory_mb: int | None = None,
        claim: Callable[[str], bool] | None = None,
    ) -> None:
        self._claim = claim
        self._limit_s = limit_s
        self._waited_s = 0.0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._ended: Ended | None = None
        try:
            self._popen = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                env=program.env,
            )
        except OSError as error:
            raise _not_started(program, error) from error
        _confine(self._popen.pid, max_memory_mb)
        self._stdout = cast("IO[bytes]", self._popen.stdout)
        self._poller = select.poll()
        self._poller.register(self._stdout, select.POLLIN)
        self._drainer = threading.Thread(target=self._drain, name="drain-stderr", daemon=True)
        self._drainer.start()

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer from the child's output.

        Returns:
            Bytes read; fewer than asked for only at the end of the output.

        Raises:
            TimeoutError: the limit is used up.
        """
        filled = 0
        while filled < len(buffer):
            self._wait(lambda pause_s: self._poller.poll(1000 * pause_s) or None)
            count = cast("int", self._stdout.readinto(buffer[filled:]))  # type: ignore[attr-defined]
            if not count:
                break
            filled += count
        return filled

    def finish(self) -> Ended:
        """Wait for the child to end by itself, and reap it.

        Raises:
            TimeoutError: the limit is used up.
        """
        return self._settle(self._wait(self._reap))

    def kill(self) -> None:
        """Kill the whole group at once; safe from any thread, and when nothing runs any more."""
        if self._popen.returncode is None:
            try:
                os.killpg(self._popen.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._popen.kill()

    def stop(self) -> Ended:
        """Kill the child if it still runs, reap it and close its streams; safe to repeat."""
        self.kill()
        while (ended := self._reap(_REAP_PAUSE_S)) is None:
            pass
        return self._settle(ended)

    def _wait(self, ready: Callable[[float], _T | None]) -> _T:
        while True:
            left_s = self._limit_s() - self._waited_s
            begun = time.monotonic()
            result = ready(max(0.0, min(_LONGEST_WAIT_S, left_s)))
            self._waited_s += time.monotonic() - begun
            if result is not None:
                return result
            # Asked anew: there may have been progress meanwhile.
            if self._waited_s >= (limit_s := self._limit_s()):
                raise TimeoutError(f"no answer within {limit_s:.0f} s")

    def _reap(self, pause_s: float) -> Ended | None:
        if self._ended is None:
            # wait4 is the one call that also gives the processor time of this child alone.
            pid, status, usage = os.wait4(self._popen.pid, os.WNOHANG)
            if pid:
                self._popen.returncode = os.waitstatus_to_exitcode(status)
                cpu_s = usage.ru_utime + usage.ru_stime
                self._ended = Ended(self._popen.returncode, cpu_s, ())
            else:
                time.sleep(min(pause_s, _REAP_PAUSE_S))
        return self._ended

    def _settle(self, ended: Ended) -> Ended:
        if not self._stdout.closed:
            # A grandchild that inherited the stream could keep it open for ever.
            self._drainer.join(_DRAIN_GRACE_S)
            self._stdout.close()
            self._ended = replace(ended, tail=tuple(self._tail))
        return self._ended or ended

    def _drain(self) -> None:
        stderr = cast("IO[bytes]", self._popen.stderr)
        with stderr:
            for line in _lines(iter(lambda: stderr.read(_CHUNK_BYTES), b"")):
                if line.strip() and not (self._claim and self._claim(line)):
                    self._tail.append(line)


def run(
    program: Program,
    *,
    limit_s: float,
    max_output_bytes: int,
    max_memory_mb: int | None = None,
    claim: Callable[[str], bool] | None = None,
) -> tuple[bytes, Ended]:
    """Run a child to its end.

    Args:
        program: what to start.
        limit_s: seconds it may take.
        max_output_bytes: output beyond it is read and dropped.
        max_memory_mb: as for ``Child``.
        claim: as for ``Child``.

    Returns:
        The beginning of its output, and how it ended.

    Raises:
        EnvironmentProblem, TransientError: it cannot be started.
        TimeoutError: it took longer than ``limit_s``; it is dead.
    """
    output = bytearray()
    with Child(program, limit_s=lambda: limit_s, max_memory_mb=max_memory_mb, claim=claim) as child:
        for chunk in _chunks(child):
            output += chunk[: max_output_bytes - len(output)]
        return bytes(output), child.finish()


def run_lines(
    program: Program,
    *,
    limit_s: float,
    take: Callable[[str], None],
    max_memory_mb: int | None = None,
) -> Ended:
    """Run a child to its end, and hand over its output line by line.

    Args:
        program: what to start.
        limit_s: seconds it may take.
        take: called with every line.
        max_memory_mb: as for ``Child``.

    Raises:
        EnvironmentProblem, TransientError, TimeoutError: as for ``run``.
    """
    with Child(program, limit_s=lambda: limit_s, max_memory_mb=max_memory_mb) as child:
        for line in _lines(_chunks(child)):
            take(line)
        return child.finish()


def _chunks(child: Child) -> Iterator[bytes]:
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while count := child.read_into(buffer):
        yield bytes(buffer[:count])


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Cut a stream of bytes into lines of bounded length."""
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        pending = pending[:_LINE_BYTES]
        yield from (line[:_LINE_BYTES].decode("utf-8", "replace") for line in lines)
    if pending:
        yield pending.decode("utf-8", "replace")


def _confine(pid: int, max_memory_mb: int | None) -> None:
    """Limit what a child may do to the machine: memory, and not one byte written to a file."""
    # Set from here: between fork and exec no Python may run in a process with threads.
    if sys.platform != "linux":
        return
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    if max_memory_mb is not None:
        limits[resource.RLIMIT_AS] = max_memory_mb * 1_000_000
    for kind, most in limits.items():
        with suppress(ProcessLookupError):  # it has ended already
            _, allowed = resource.prlimit(pid, kind)
            # Only an administrator may raise it.
            limit = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
            resource.prlimit(pid, kind, (limit, limit))


def _not_started(program: Program, error: OSError) -> EnvironmentProblem | TransientError:
    name = program.command[0]
    if error.errno in PASSING:
        return TransientError(
            f"{name} could not be started: {error.strerror}.",
            hint="The machine is short of memory, processes or open files; run fewer workers.",
        )
    return EnvironmentProblem(
        f"{name} could not be started: {error.strerror or error}.", hint=program.hint
    )
