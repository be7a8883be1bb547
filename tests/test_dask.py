"""The runner on a Dask cluster: a real one on this machine; its tables, and a worker killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from fer_core import config
from fer_core.errors import ConfigError, EnvironmentProblem
from fer_core.store import Store
from flows import runners
from tests import clips
from tests.test_faults import contents
from tests.test_workers import EXAMPLE, REPO, night


def start(folder: Path, out: Path, home: Path, *more: str) -> subprocess.Popen[str]:
    words = ["run", str(folder), "--out", str(out), "--jurisdiction", "IN", *more]
    environment = os.environ | {
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "LECTUREPULSE_DISCOVERY__SETTLE_S": "0",
        "LECTUREPULSE_RUN__MIN_FREE_MB": "0",
        "LECTUREPULSE_RUN__WORKERS": "2",
    }
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen(
        [sys.executable, "-m", "fer_core", *words],
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def decoders_of(session: int) -> dict[int, int]:
    """Return the process that each decoder of a session's descendants was started by.

    Only those that make pictures: what asks a recording about itself is an ffmpeg, too, and may be
    the conductor's own.
    """
    stats: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition(" (")[2].rpartition(") ")
        except OSError:
            continue
        stats[int(folder.name)] = (int(rest.split()[1]), name)

    def ours(pid: int) -> bool:
        return pid == session or (pid in stats and pid > 1 and ours(stats[pid][0]))

    def makes_pictures(pid: int) -> bool:
        try:
            return b"\0rawvideo\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    return {
        pid: parent
        for pid, (parent, name) in stats.items()
        if name.startswith("ffmpeg") and ours(pid) and makes_pictures(pid)
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two recordings of two segments each."""
    folder = tmp_path_factory.mktemp("two")
    # Long enough that a fast machine is still at it when a decoder has been found.
    small = ["-vf", "scale=960:-2", "-r", "2", "-g", "20", "-t", "120", "-an", *clips.H264]
    for name, start_s in (("class.mp4", "0"), ("later.mp4", "75")):
        clips.ffmpeg("-stream_loop", "-1", "-ss", start_s, "-i", EXAMPLE, *small, folder / name)
    return folder


@pytest.fixture(scope="module")
def both(two: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of both, read one after the other."""
    out = tmp_path_factory.mktemp("both")
    assert night(two, out, workers=2).status == "done"
    return contents(out)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_home")
def test_a_cluster_makes_the_tables_of_one_process_though_a_worker_is_killed(
    two: Path, tmp_path: Path, both: dict[str, bytes]
) -> None:
    run = start(two, tmp_path / "out", tmp_path, "--runner", "dask")
    deadline = time.monotonic() + 240
    # Both are at work on a segment each; one of them goes.
    while len(found := decoders_of(run.pid)) < 2:
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(next(iter(found.values())), signal.SIGKILL)
    said, _ = run.communicate(timeout=240)
    assert run.returncode == 0, said
    assert "done  class.mp4" in said
    assert "done  later.mp4" in said
    assert "distributed" not in said
    # Read side by side: the second was begun before the first was done.
    runs = Store(tmp_path / "out").all("runs").sort_values("run_started_at")
    ends = runs["run_started_at"] + pd.to_timedelta(runs["wall_s"], unit="s")
    assert runs["run_started_at"].iloc[1] < ends.iloc[0]
    assert contents(tmp_path / "out") == both


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_home")
def test_a_run_that_is_told_to_end_does_not_wait_for_its_cluster(two: Path, tmp_path: Path) -> None:
    run = start(two, tmp_path / "out", tmp_path, "--runner", "dask")
    deadline = time.monotonic() + 240
    while len(decoders_of(run.pid)) < 2:
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Nobody goes on reading, so that only the signal can end it.
    asleep = [*decoders_of(run.pid)]
    for decoder in asleep:
        os.kill(decoder, signal.SIGSTOP)
    try:
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=45)
    finally:
        for decoder in asleep:
            with suppress(ProcessLookupError):
                os.kill(decoder, signal.SIGKILL)
    assert run.returncode == 143, said
    assert "run again to go on" in said


def test_a_scheduler_that_does_not_answer_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runners, "_PATIENCE_S", 1)
    settings = config.load(None, {"run.runner": "dask://127.0.0.1:9"}).settings
    with (
        pytest.raises(EnvironmentProblem, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"),
        runners.task_runner(settings.run),
    ):
        pass


@pytest.mark.parametrize("word", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_listens_there_but_is_no_scheduler_is_not_waited_for(
    word: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "_PATIENCE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    callers.append(server.accept()[0])
                    callers[-1].sendall(word)

        callers: list[socket.socket] = []
        threading.Thread(target=answer, daemon=True).start()
        address = f"dask://127.0.0.1:{server.getsockname()[1]}"
        settings = config.load(None, {"run.runner": address}).settings
        with (
            pytest.raises(EnvironmentProblem, match="No Dask scheduler answers"),
            runners.task_runner(settings.run),
        ):
            pass
    for caller in callers:
        caller.close()


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    settings = config.load(None, {"run.runner": "dask"}).settings
    with pytest.raises(EnvironmentProblem) as raised, runners.task_runner(settings.run):
        pass
    assert "lecturepulse[dask]" in raised.value.hint


@pytest.mark.parametrize("runner", ["spark", "dask://", "dask://host", "dask://a b:1", ""])
def test_a_runner_that_is_none(runner: str) -> None:
    with pytest.raises(ConfigError):
        config.load(None, {"run.runner": runner})
