"""What may befall a cluster: workers that see no files or die, a scheduler that goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from distributed import KilledWorker

from fer_core import config, progress, stopping, workers
from fer_core.errors import EnvironmentProblem, InputError, TransientError, Unseen
from fer_core.job import Job
from fer_core.records import Segment
from fer_core.segment import Footage
from flows import recording, runners
from tests import clips
from tests.test_dask import start
from tests.test_faults import contents, mounted
from tests.test_workers import EXAMPLE, REPO, night

RUN = config.load(None, {"run.runner": "dask", "run.retry_delay_s": 0}).settings


class Future:
    """A task that ended with this; with a Dask error, if it is the cluster that raises it."""

    def __init__(self, end: Path | Exception | None) -> None:
        self.end = end
        self.wrapped_future = SimpleNamespace(done=lambda: end is not None, result=self._lost)

    def wait(self, _seconds: float) -> None:
        pass

    def result(self) -> Path:
        assert self.end is not None
        if isinstance(self.end, Exception):
            raise self.end
        return self.end

    def _lost(self) -> None:
        if isinstance(self.end, KilledWorker | CancelledError | OSError):
            raise self.end


def footage(folder: Path, runner: str = "dask") -> Footage:
    run = RUN.model_copy(update={"run": RUN.run.model_copy(update={"runner": runner})})
    about: Any = SimpleNamespace(
        name="one.mp4", info=SimpleNamespace(path=folder / "one.mp4"), work=folder, settings=run
    )
    return about


def in_tasks(
    monkeypatch: pytest.MonkeyPatch,
    ends: list[Path | Exception | None],
    present: set[str] | None = None,
) -> list[tuple[int, Any]]:
    """Work through two segments whose tasks, as they are submitted, end like this.

    Returns:
        Which segments were submitted, and the workers that each might go to; None for any.
    """
    submitted: list[tuple[int, Any]] = []
    typed: Any = dask

    def submit(_footage: object, part: Segment) -> Future:
        submitted.append((part.index, typed.get_annotations().get("workers")))
        end = ends.pop(0)
        if isinstance(end, OSError | RuntimeError):
            raise end
        return Future(end)

    def with_options(**_options: object) -> Any:
        return SimpleNamespace(submit=submit)

    monkeypatch.setattr(recording, "segment_task", SimpleNamespace(with_options=with_options))
    monkeypatch.setattr(runners, "present", lambda: present or {"a", "b"})
    job: Any = SimpleNamespace(
        settings=RUN,
        footage=footage(Path()),
        segments=[Segment(0, 0, 10), Segment(1, 10, 20)],
        source=SimpleNamespace(path=Path("one.mp4")),
    )
    work: Job = job
    assert recording.in_tasks(work) == [Path("0"), Path("1")]
    return submitted


def unseen(worker: str) -> Unseen:
    return Unseen("A Dask worker does not see the file 'one.mp4'.", worker=worker)


def test_a_worker_that_does_not_see_a_file_is_not_the_file_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "_own_address", lambda: "tcp://1.2.3.4:5")
    with pytest.raises(Unseen, match=r"A Dask worker does not see the file 'one\.mp4'\.") as raised:
        recording.segment_task.fn(footage(tmp_path), Segment(0, 0, None))
    assert "same paths" in raised.value.hint
    assert raised.value.worker == "tcp://1.2.3.4:5"
    assert not isinstance(raised.value, InputError)
    (tmp_path / "one.mp4").touch()
    runners.need_sight(footage(tmp_path))
    about = footage(tmp_path)
    monkeypatch.setattr(about, "work", tmp_path / "work")
    with pytest.raises(Unseen, match="the work folder of 'one"):
        runners.need_sight(about)
    # The conductor's own processes see what it sees.
    runners.need_sight(footage(tmp_path / "elsewhere", "processes"))


def test_a_file_that_a_worker_sees_no_more_is_not_the_file_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(_footage: object, _part: object) -> None:
        (tmp_path / "one.mp4").unlink()
        raise InputError("one.mp4 cannot be read: No such file or directory.")

    monkeypatch.setattr(runners, "_own_address", lambda: "tcp://1.2.3.4:5")
    monkeypatch.setattr(workers, "delegate", lose)
    (tmp_path / "one.mp4").touch()
    with pytest.raises(Unseen):
        recording.segment_task.fn(footage(tmp_path), Segment(0, 0, None))


def test_a_segment_that_one_worker_does_not_see_goes_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submitted = in_tasks(monkeypatch, [unseen("a"), Path("1"), Path("0")])
    assert submitted == [(0, None), (1, None), (0, ["b"])]


def test_a_segment_is_not_left_to_workers_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    present = {"a", "b"}
    ends: list[Path | Exception | None] = [unseen("a"), Path("1"), None, Path("0")]

    def wait(_future: Future, _seconds: float) -> None:
        if len(ends) == 1:  # the task that may go to b only is there, and b starts anew as c
            present.discard("b")
            present.add("c")

    monkeypatch.setattr(Future, "wait", wait)
    submitted = in_tasks(monkeypatch, ends, present)
    assert submitted == [(0, None), (1, None), (0, ["b"]), (0, ["c"])]


def test_a_segment_that_no_worker_sees_may_be_seen_the_next_night(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Unseen, match="does not see"):
        in_tasks(monkeypatch, [unseen("a"), Path("1"), unseen("b")])
    assert not stopping.requested.is_set()


def test_a_segment_that_kills_its_workers_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last: Any = SimpleNamespace(address="tcp://1.2.3.4:5")
    with pytest.raises(TransientError, match="A worker process ended") as raised:
        in_tasks(monkeypatch, [KilledWorker("segment", last, 3), Path("1")])
    assert "run fewer workers" in raised.value.hint
    assert not stopping.requested.is_set()


@pytest.mark.parametrize("fault", [CancelledError(), OSError("Timed out trying to connect")])
def test_a_scheduler_that_goes_ends_the_night_for_want_of_it(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EnvironmentProblem, match=r"The Dask scheduler is gone\."):
        in_tasks(monkeypatch, [fault, Path("1")])


def test_an_error_of_one_recording_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="of Prefect"):
        in_tasks(monkeypatch, [RuntimeError("of Prefect"), Path("1")])
    assert not stopping.requested.is_set()


def test_a_scheduler_without_workers_is_told_of() -> None:
    class Client:
        def __init__(self, addresses: list[str]) -> None:
            self.addresses = addresses

        def scheduler_info(self) -> dict[str, list[str]]:
            return {"workers": self.addresses}

    told: list[str] = []
    with progress.listening(lambda event: told.append(event.name)):
        for addresses in [[], ["tcp://1.2.3.4:5"]]:
            runners.tell_if_nobody_works(Client(addresses))
    assert told == ["The Dask scheduler has no workers yet; waiting."]


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Generator[subprocess.Popen[Any]]:
    """End a process with the block."""
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def dask_process(folder: Path, *words: str, prefix: tuple[str, ...] = ()) -> Any:
    """Start a scheduler or a worker, which takes whatever port is free."""
    common = ["--host", "127.0.0.1", "--no-dashboard", *words[1:]]
    program = [*prefix, sys.executable, "-m", "dask", words[0], *common]
    with (folder / "dask.log").open("ab") as log:
        return ended(
            subprocess.Popen(
                program, cwd=REPO, env=os.environ | {"HOME": str(folder)}, stdout=log, stderr=log
            )
        )


@contextmanager
def scheduler(folder: Path) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """Have a scheduler; its process and HOST:PORT."""
    told = folder / "scheduler.json"
    with dask_process(folder, "scheduler", "--port", "0", "--scheduler-file", str(told)) as process:
        deadline = time.monotonic() + 120
        while not told.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.2)
        yield process, json.loads(told.read_text())["address"].removeprefix("tcp://")


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Return a folder with 24 s of the bundled class: three segments of 10 s at most."""
    folder = tmp_path / "short"
    folder.mkdir()
    small = ["-vf", "scale=480:-2", "-r", "2", "-g", "4", "-t", "24", "-an", *clips.H264]
    clips.ffmpeg("-i", EXAMPLE, *small, folder / "class.mp4")
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_home")
@pytest.mark.parametrize("blind", [False, True])
def test_workers_of_a_scheduler_make_the_tables_of_processes(
    blind: bool, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTUREPULSE_SAMPLING__SEGMENT_S", "10")
    beside: tuple[str, ...] = (*mounted("size=1m"), str(short), "-") if blind else ()
    assert night(short, tmp_path / "here", workers=2).status == "done"
    with scheduler(tmp_path) as (_, address), ExitStack() as stack:
        for prefix in ((), beside):
            words = ("worker", f"tcp://{address}", "--nthreads", "1", "--no-nanny")
            local = ("--local-directory", str(tmp_path / "local"))
            stack.enter_context(dask_process(tmp_path, *words, *local, prefix=prefix))
        run = start(short, tmp_path / "out", tmp_path, "--runner", f"dask://{address}")
        with ended(run):
            said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    assert "done  class.mp4" in said
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_home")
def test_a_scheduler_without_workers_is_waited_for_until_it_is_gone(
    short: Path, tmp_path: Path
) -> None:
    shutil.copy(short / "class.mp4", short / "later.mp4")
    with (short / "later.mp4").open("ab") as file:
        file.write(bytes(8))  # another recording
    said = ""
    with scheduler(tmp_path) as (process, address):
        run = start(short, tmp_path / "out", tmp_path, "--runner", f"dask://{address}")
        with ended(run):
            assert run.stdout is not None
            with run.stdout:
                for line in run.stdout:
                    said += line
                    if "The Dask scheduler has no workers yet; waiting." in line:
                        process.kill()
            run.wait(120)
    assert run.returncode == 3, said
    assert "The Dask scheduler is gone." in said
    for word in ("failed", "Stopped", "Traceback"):
        assert word not in said
