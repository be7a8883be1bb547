"""A run that has to end: what was seen is kept, and the next run gives the same tables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

from fer_core import __main__ as beginning
from fer_core import checkpoint, config, pipeline, progress, segment, stopping
from fer_core.errors import EnvironmentProblem
from fer_core.inbox import discover
from fer_core.outcome import Outcome
from fer_core.settings import Settings
from fer_core.store import Store
from fer_core.video import find_ffmpeg
from tests import clips

EXAMPLE = next((Path(__file__).resolve().parent.parent / "examples").rglob("*.mp4"))


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, stopping.Stopped), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_ends_the_block_and_every_thread(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    def work() -> None:
        with stopping.heeding(60):
            assert not stopping.requested.is_set()
            os.kill(os.getpid(), number)
            time.sleep(10)

    before = handlers()
    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert type(caught.value) is raised
    assert stopping.requested.is_set()
    assert handlers() == before
    with stopping.heeding(60):
        assert not stopping.requested.is_set()


def test_a_run_that_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="took longer than"), stopping.heeding(0.3):
        time.sleep(30)
    assert time.monotonic() - began < 20
    assert stopping.requested.is_set()


def test_a_run_in_time_is_left_alone() -> None:
    with stopping.heeding(0.2):
        pass
    time.sleep(0.5)


def test_a_process_that_hangs_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(stopping, "_GRACE_S", 0.1)
    monkeypatch.setattr(stopping.os, "_exit", lambda code: ended.set() if code == 3 else None)
    with stopping.heeding(0.2):
        # As a driver would hang: no exception gets through.
        for _ in range(2):
            try:
                assert ended.wait(20)
            except EnvironmentProblem:
                continue
    assert ended.is_set()


def test_another_thread_cannot_heed() -> None:
    before = handlers()
    seen: list[object] = []

    def work() -> None:
        with stopping.heeding(60):
            seen.extend(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before


def one_recording(inbox: Path, out: Path, flags: dict[str, object]) -> Outcome:
    settings: Settings = config.load(
        None, {"out": str(out), "deployment.jurisdiction": "IN", **flags}
    ).settings
    (source,) = discover([inbox], settings.discovery).sources
    with stopping.heeding(600), Store(settings.out).writing():
        return pipeline.process_recording(source, settings)


def tables(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in (out / "tables").rglob("*.parquet")
        if "runs" not in path.parts
    }


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    quick = ["-pix_fmt", "yuv420p", "-preset", "ultrafast", "-an", "-threads", "1"]
    cut = ["-ss", "25", "-i", str(EXAMPLE), "-t", "24", "-r", "2", "-g", "10", *quick]
    program = str(find_ffmpeg(None).path)
    subprocess.run(
        [program, "-v", "error", *cut, f"file:{folder}/class.mp4"], check=True, timeout=120
    )
    return folder


@pytest.mark.slow
def test_a_run_told_to_stop_keeps_what_it_saw(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "_BATCH_FACES", 64)
    flags: dict[str, object] = {
        "discovery.settle_s": 0,
        "sampling.rate_hz": 2,
        "run.workers": 1,
        "run.min_free_mb": 0,
    }
    whole = one_recording(inbox, tmp_path / "whole", flags)
    assert whole.status == "done"

    out, kept = tmp_path / "out", []
    for frames in (20, 14):
        seen: list[float] = []

        def listener(event: progress.Event, seen: list[float] = seen, most: int = frames) -> None:
            # What an earlier run kept is told in one piece.
            if event.kind == "advanced" and event.amount == 0.5:
                seen.append(event.amount)
                if len(seen) == most:
                    os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(stopping.Stopped), progress.listening(listener):
            one_recording(inbox, out, flags)
        (begun,) = out.glob("work/*/*/*")
        assert begun.name == "segment-0-end.begun"
        stored = checkpoint.restore(begun)
        assert stored is not None
        kept.append(len(stored[0].samples))
    assert 0 < kept[0] <= 20
    assert kept[0] < kept[1]

    again = one_recording(inbox, out, flags)

    assert again.status == "done"
    assert tables(out) == tables(tmp_path / "whole")
    assert not list(out.glob("work/*/*/*"))


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_home")
@pytest.mark.parametrize("conductor", ["--no-prefect", "--prefect"])
def test_a_signal_ends_a_run_in_good_order(conductor: str, inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", str(inbox), "--out", str(out), "--jurisdiction", "IN", conductor]
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "LECTUREPULSE_DISCOVERY__SETTLE_S": "0",
        "LECTUREPULSE_RUN__WORKERS": "1",
    }
    environment.pop("PREFECT_API_URL", None)
    run = subprocess.Popen(
        [sys.executable, "-m", "fer_core", *words],
        cwd=EXAMPLE.parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("work/*/*")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert run.returncode == 143, said
    assert said.rstrip().endswith("Stopped. What is finished is kept; run again to go on.")
    assert "Traceback" not in said
    assert not list(out.glob("tables/*"))


@pytest.mark.parametrize("last", [10, 12])
def test_a_stop_at_the_last_sample_of_a_segment_leaves_one_to_go_on_with(
    last: int, tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    clips.write_clip(folder / "class.mp4", clips.steady(Fraction(5), 11.6))
    # Presence mode: without expressions every second could be the last one kept.
    flags: dict[str, object] = {
        "deployment.jurisdiction": "DE",
        "discovery.settle_s": 0,
        "sampling.segment_s": 10,
        "run.workers": 1,
        "run.min_free_mb": 0,
    }
    assert one_recording(folder, tmp_path / "whole", flags).status == "done"
    seen: list[float] = []

    def listener(event: progress.Event) -> None:
        if event.kind == "advanced":
            seen.append(event.amount)
            if len(seen) == last:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(stopping.Stopped), progress.listening(listener):
        one_recording(folder, tmp_path / "out", flags)
    assert one_recording(folder, tmp_path / "out", flags).status == "done"
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")


def test_a_conductor_that_is_gone_ends_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_LOOK_S", 0.05)

    def work() -> None:
        with stopping.heeding(60, with_parent=True):
            monkeypatch.setattr(stopping.os, "getppid", lambda: 1)
            time.sleep(20)

    with pytest.raises(stopping.Stopped):
        work()


def test_ctrl_c_while_the_program_is_still_being_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "fer_core.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "fer_core.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        beginning.start()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Stopped before anything was begun.\n"
