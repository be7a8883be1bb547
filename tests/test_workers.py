"""Worker processes: the same tables as without them, whoever is killed or stopped meanwhile."""

from __future__ import annotations

import math
import os
import pickle
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core import config, nights, pipeline, progress, segment, stopping, workers
from fer_core.errors import EnvironmentProblem, InputError
from fer_core.inbox import Source
from fer_core.job import Job
from fer_core.outcome import Outcome
from fer_core.pipeline import SegmentResult
from fer_core.planes import bytes_of_video
from fer_core.settings import Video
from fer_core.store import Store
from fer_core.video import find_ffmpeg, plan_segments
from tests import clips
from tests.factories import examples
from tests.test_faults import contents
from tests.test_records import INFO

REPO = Path(__file__).resolve().parent.parent
EXAMPLE = next((REPO / "examples" / "biology-101").glob("*.mp4"))


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 50 s of the bundled class: two segments for two workers."""
    folder = tmp_path_factory.mktemp("inbox")
    small = ["-vf", "scale=960:-2", "-r", "2", "-g", "20", "-t", "50", "-an", *clips.H264]
    clips.ffmpeg("-i", EXAMPLE, *small, folder / "class.mp4")
    return folder


def night(inbox: Path, out: Path, **run: float | str) -> Outcome:
    """Read the recording in this process, the way a night does."""
    flags = {
        "out": str(out),
        "deployment.jurisdiction": "IN",
        "discovery.settle_s": 0,
        "run.min_free_mb": 0,
        "run.retry_delay_s": 0,
    } | {name if "." in name else f"run.{name}": value for name, value in run.items()}
    settings = config.load(None, flags).settings

    def one(source: Source) -> Outcome:
        return pipeline.process_recording(source, settings)

    with stopping.heeding(600), Store(settings.out).writing():
        return nights.work_through([inbox], settings, one).outcomes[0]


@pytest.fixture(scope="module")
def alone(inbox: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables that one process makes, and the page's names."""
    out = tmp_path_factory.mktemp("alone")
    assert night(inbox, out, workers=1).status == "done"
    return contents(out)


def running(parent: int) -> list[int]:
    """Return the ids of a process's workers."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            status = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if b"workers.work" in command and int(status[1]) == parent and status[0] != "Z":
            found.append(int(folder.name))
    return found


def at_advance(count: int, act: Callable[[], None]) -> Callable[[progress.Event], None]:
    """Return a listener that acts once, when so many samples have been seen."""
    seen: list[float] = []

    def listener(event: progress.Event) -> None:
        if event.kind == "advanced":
            seen.append(event.amount)
            if len(seen) == count:
                act()

    return listener


@pytest.mark.slow
def test_two_workers_make_the_tables_of_one(
    inbox: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    most: list[int] = []
    loaded: set[str] = set()

    def note(event: progress.Event) -> None:
        most.append(len(running(os.getpid())))
        if event.kind == "finished":  # they have read faces by now
            loaded.update(*map(packages, running(os.getpid())))

    with progress.listening(note):
        assert night(inbox, tmp_path, workers=2).status == "done"
    assert max(most) == 2
    assert running(os.getpid()) == []
    assert contents(tmp_path) == alone
    # TensorFlow alone takes six seconds and 700 MB.
    assert loaded >= {"cv2", "onnxruntime"}
    assert loaded.isdisjoint({"tensorflow", "pandas", "pyarrow"})


def packages(process: int) -> set[str]:
    """Return the installed packages of which a process has loaded compiled parts."""
    maps = Path(f"/proc/{process}/maps").read_text()
    return set(re.findall(r"/site-packages/(\w+)/", maps))


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others are never asked for memory")
def test_workers_hold_no_pictures_while_the_tables_are_made(inbox: Path, tmp_path: Path) -> None:
    given_back: list[float] = []

    def note(event: progress.Event) -> None:
        if event.kind == "finished":
            given_back.extend(map(given_back_mb, running(os.getpid())))

    with progress.listening(note):
        assert night(inbox, tmp_path, workers=2).status == "done"
    # Eight pictures of 960 x 540 px wait to be looked at, and more are on their way.
    assert len(given_back) == 2
    assert min(given_back) > 20


def given_back_mb(process: int) -> float:
    """Return how much less memory a process holds than it once did."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    most_kb, now_kb = (int(fields[name].split()[0]) for name in ("VmHWM", "VmRSS"))
    return (most_kb - now_kb) / 1000


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(
    inbox: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.append(running(os.getpid())[0])
        os.kill(killed[0], signal.SIGKILL)

    with progress.listening(at_advance(9, kill)):
        assert night(inbox, tmp_path, workers=2).status == "done"
    assert killed
    assert contents(tmp_path) == alone


@pytest.mark.slow
def test_a_killed_run_goes_on_with_fewer_workers(
    inbox: Path, tmp_path: Path, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_only(job: Job) -> list[SegmentResult]:
        assert [(part.start_s, part.end_s) for part in job.segments] == [(0, 40), (40, None)]
        segment.look(job.footage, job.segments[0])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "in_threads", first_only)
        with pytest.raises(KeyboardInterrupt):
            night(inbox, tmp_path, workers=2)
    assert list(tmp_path.glob("work/*/*/*.npz"))
    assert night(inbox, tmp_path, workers=1).status == "done"
    assert contents(tmp_path) == alone


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 9])
def test_a_decoder_that_breaks_off_is_tried_once_more(
    times: int, inbox: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    for number in range(times):
        (left / str(number)).touch()
    dying = tmp_path / "ffmpeg"
    real = find_ffmpeg(None).path
    dying.write_text(f"""#!/bin/sh
case "$*" in *rawvideo*"-frames:v 41"*)
  next=$(ls '{left}' | head -n 1)
  if [ "$next" ]; then
    rm '{left}'/$next
    '{real}' "$@" | head -c {25 * bytes_of_video((960, 540))}
    exit 244
  fi
esac
exec '{real}' "$@"
""")
    dying.chmod(0o755)
    out = tmp_path / "out"
    outcome = night(inbox, out, workers=2, **{"video.ffmpeg": str(dying)})
    assert len(list(left.iterdir())) == max(0, times - 2)
    if times == 1:
        assert outcome.status == "done"
        assert contents(out) == alone
    else:
        assert outcome.status == "partial"
        assert outcome.message == "15 s in the midst of 'class.mp4' cannot be decoded."
        assert Store(out).all("recordings")["seconds_without_frames"].tolist() == [15]


@pytest.mark.slow
def test_a_worker_that_still_looks_at_one_part_is_given_no_other(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(event: progress.Event) -> None:
        if event.kind == "advanced":
            raise OSError(28, "no space left for the log")

    def each(job: Job) -> list[SegmentResult]:
        with progress.listening(broken), pytest.raises(OSError, match="for the log"):
            workers.delegate(job.footage, job.segments[0])
        return [workers.delegate(job.footage, job.segments[1])]

    monkeypatch.setattr(pipeline, "in_threads", each)
    night(inbox, tmp_path, workers=2)
    seconds = Store(tmp_path).all("seconds")
    assert seconds[seconds["frames"] > 0]["second"].min() == 40


def test_no_worker_stays_if_not_all_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def scarce() -> object:
        if made:
            raise OSError(24, "Too many open files")
        made.append(Pipe())
        return made[0]

    monkeypatch.setattr(workers, "Pipe", scarce)
    with (
        pytest.raises(EnvironmentProblem, match="could not be started: Too many open files"),
        workers.employed(2),
    ):
        pass
    assert running(os.getpid()) == []


@pytest.mark.slow
def test_one_that_is_killed_again_and_again_fails_its_recording_only(
    inbox: Path, tmp_path: Path
) -> None:
    def kill(_: progress.Event) -> None:
        for worker in running(os.getpid()):
            os.kill(worker, signal.SIGKILL)

    with progress.listening(kill):
        outcome = night(inbox, tmp_path, workers=2, retries=1)
    assert outcome.status == "failed"
    assert "A worker process ended while it read 'class.mp4'" in outcome.message
    assert "fewer workers" in outcome.hint


@pytest.mark.slow
def test_a_stop_reaches_the_workers_and_nothing_seen_is_lost(
    inbox: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    stop = at_advance(38, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(stopping.Stopped), progress.listening(stop):
        night(inbox, tmp_path, workers=2)
    assert running(os.getpid()) == []
    assert list(tmp_path.glob("work/*/*/segment-*.begun"))
    assert night(inbox, tmp_path, workers=2).status == "done"
    assert contents(tmp_path) == alone


@pytest.mark.slow
def test_no_worker_outlives_its_conductor(
    inbox: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    words = ["run", str(inbox), "--out", str(tmp_path), "--jurisdiction", "IN", "--no-prefect"]
    more = {"DISCOVERY__SETTLE_S": "0", "RUN__MIN_FREE_MB": "0", "RUN__WORKERS": "2"}
    environment = os.environ | {f"LECTUREPULSE_{name}": value for name, value in more.items()}
    run = subprocess.Popen([sys.executable, "-m", "fer_core", *words], cwd=REPO, env=environment)
    deadline = time.monotonic() + 120
    while len(children := running(run.pid)) < 2:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1)
    run.kill()
    run.wait(30)
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert night(inbox, tmp_path, workers=2).status == "done"
    assert contents(tmp_path) == alone


def test_an_error_arrives_with_all_it_has_to_say() -> None:
    known = InputError("It is torn.", hint="Copy it again.", detail="moov")
    sent = pickle.loads(pickle.dumps(workers._Raised(known))).fault
    assert (sent.message, sent.hint, sent.detail) == ("It is torn.", "Copy it again.", "moov")
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 / 0
    sent = pickle.loads(pickle.dumps(workers._Raised(raised.value))).fault
    assert "test_an_error_arrives" in "".join(sent.__notes__)


@examples(100)
@given(st.floats(0.1, 25_000), st.integers(2, 16), st.sampled_from([30, 300, 600]))
def test_segments_are_equal_shares(length_s: float, count: int, segment_s: int) -> None:
    info = replace(INFO, container="mov,mp4", duration_s_from_header=length_s)
    limits = Video()  # pyright: ignore[reportCallIssue]
    planned = plan_segments(info, segment_s, limits, workers=count)
    starts = [part.start_s for part in planned]
    assert starts[0] == 0
    assert starts[1:] == [part.end_s for part in planned[:-1]]
    assert planned[-1].end_s is None
    length = starts[1] if len(starts) > 1 else segment_s
    assert starts == list(range(0, starts[-1] + 1, length))
    assert length <= segment_s
    assert length % 10 == 0
    assert length % 20 == 0 or length == segment_s
    # Nobody waits for long while another still works, unless there is little to do at all.
    if length_s / count >= 30:
        rounds = math.ceil(len(planned) / count)
        assert rounds * length <= length_s / count + 20 * rounds + 1e-6
