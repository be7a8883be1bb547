"""Faults of the machine and of the hour, on whole runs: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fer_core import assets, pipeline
from fer_core.errors import StoreError
from fer_core.job import Job
from fer_core.store import Store
from tests import clips

REPO = Path(__file__).resolve().parent.parent
# Without it the limits' own messages would come first.
ENVIRONMENT = {"LECTUREPULSE_DISCOVERY__SETTLE_S": "0", "LECTUREPULSE_RUN__MIN_FREE_MB": "0"}

Night = Callable[..., tuple[int, str]]


def start(inbox: Path, out: Path, *before: str) -> subprocess.Popen[str]:
    """Start a run as a process, behind a program that prepares its surroundings, if given."""
    words = ["run", str(inbox.parent), "--out", str(out), "--jurisdiction", "IN", "--no-prefect"]
    return subprocess.Popen(
        [*before, sys.executable, "-m", "fer_core", *words],
        cwd=REPO,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in (out / "tables").rglob("*.parquet")
        if "runs" not in path.parts
    }


def mounted(options: str) -> list[str]:
    """Return what runs a command in its own view of the file system, with a tmpfs for its output.

    Its first argument is the folder to mount on. Skips where no user may mount anything.
    """
    own = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    if not shutil.which("unshare") or subprocess.run([*own, ":"], capture_output=True).returncode:
        pytest.skip("needs mount namespaces for users")
    return [*own, f'mount -t tmpfs -o {options} none "$0"; shift; exec "$@"']


@pytest.mark.slow
def test_a_disk_that_is_full_ends_the_run_and_harms_nothing(inbox: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    kept = tmp_path / "kept"
    # Room enough for the work file, not for all tables and the page; what is there is taken out.
    look = f'"$@" ; code=$?; cp -r "{small}/out" "{kept}"; exit $code'
    program = mounted("size=64k")
    program[-1] = program[-1].replace('shift; exec "$@"', f"shift; {look}")
    run = start(inbox, small / "out", *program, str(small), "-")
    said, _ = run.communicate(timeout=120)

    assert run.returncode == 3, said
    assert "cannot be written: No space left on device." in said
    assert "Hint: The disk is full: free some space and run again; nothing is lost." in said
    assert "Traceback" not in said
    assert not list(kept.rglob("*.part"))
    assert len(Store(kept).all("recordings")) <= 1

    # With room again the run goes on from what is there, to the tables of an undisturbed one.
    for out in (kept, tmp_path / "whole"):
        run = start(inbox, out)
        said, _ = run.communicate(timeout=120)
        assert run.returncode == 0, said
    assert contents(kept) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_output_that_is_read_only_is_told(inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run = start(inbox, out, *mounted("ro"), str(out), "-")
    said, _ = run.communicate(timeout=120)

    assert run.returncode == 3, said
    assert "cannot be written: Read-only file system." in said
    assert "Hint: The folder is read-only: choose another folder with --out." in said
    assert "Traceback" not in said


@pytest.mark.parametrize("step", range(12))
def test_a_disk_that_is_full_at_any_write_loses_nothing(
    step: int, night: Night, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert night()[0] == 0
    before = contents(tmp_path / "out")
    clips.write_clip(inbox / "class.mp4", clips.steady(Fraction(5), 7))

    fsync, calls = os.fsync, [0]

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > step:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        code, said = night()
    assert code == 3
    assert "The disk is full" in said
    left = contents(tmp_path / "out")
    # Whatever had been committed stands, whole: the earlier recording until the new one does.
    store = Store(tmp_path / "out")
    for row in store.all("recordings").to_dict("records"):
        assert len(store.read("seconds", row["recording_id"])) == row["seconds"]
    assert {path: left[path] for path in before if path in left} == {
        path: before[path] for path in before if path in left
    }
    assert not list((tmp_path / "out").rglob("*.part"))

    assert night()[0] == 0
    assert list(store.all("recordings")["seconds"]) == [7]
    again = tmp_path / "again"
    assert night(out="again")[0] == 0
    assert contents(tmp_path / "out") == contents(again)


@pytest.mark.slow
def test_of_two_runs_that_start_together_one_works(inbox: Path, tmp_path: Path) -> None:
    runs = [start(inbox, tmp_path / "out") for _ in range(2)]
    said = {run.communicate(timeout=120)[0]: run.returncode for run in runs}
    assert sorted(said.values()) in ([0, 3], [0, 0]), said
    assert all("Another run is writing to" in words for words, code in said.items() if code == 3)
    assert list(Store(tmp_path / "out").all("recordings")["status"]) == ["done"]
    run = start(inbox, tmp_path / "alone")
    run.communicate(timeout=120)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_a_file_replaced_while_it_is_read_gives_no_rows(
    night: Night, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_threads = pipeline.in_threads

    def replacing(job: Job) -> list[pipeline.SegmentResult]:
        results = in_threads(job)
        clips.write_clip(inbox / "class.mp4", clips.steady(Fraction(5), 5))
        return results

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "in_threads", replacing)
        code, said = night()
    assert code == 1
    assert "changed while it was being read" in said
    assert list(Store(tmp_path / "out").all("recordings")["status"]) == ["failed"]
    assert Store(tmp_path / "out").all("seconds").empty

    assert night()[0] == 0
    (row,) = Store(tmp_path / "out").all("recordings").to_dict("records")
    assert (row["status"], row["seconds"]) == ("done", 5)
    assert not [path for path in (tmp_path / "out" / "work").rglob("*") if path.is_file()]


def test_a_file_removed_while_it_is_read_gives_no_rows(
    night: Night, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_threads = pipeline.in_threads

    def removing(job: Job) -> list[pipeline.SegmentResult]:
        results = in_threads(job)
        (inbox / "class.mp4").unlink()
        return results

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "in_threads", removing)
        code, said = night()
    assert code == 1
    assert "changed while it was being read" in said
    assert Store(tmp_path / "out").all("seconds").empty


def test_a_damaged_work_file_is_made_again(
    night: Night, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "finish", interrupted)
        assert night()[0] == 130
    (work,) = (tmp_path / "out").glob("work/*/*/*.npz")
    data = bytearray(work.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    work.write_bytes(data)
    assert night()[0] == 0
    again = tmp_path / "again"
    assert night(out="again")[0] == 0
    assert contents(tmp_path / "out") == contents(again)


@pytest.mark.parametrize("table", ["recordings", "seconds", "runs", "marks"])
def test_a_damaged_table_costs_no_night(
    table: str, night: Night, inbox: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips.write_clip(inbox / "other.mp4", clips.steady(Fraction(5), 4))
    assert night()[0] == 0
    before = contents(tmp_path / "out")
    ids = Store(tmp_path / "out").all("recordings")["recording_id"]
    (path,) = (tmp_path / "out" / "tables" / table).rglob(f"{ids[0]}.parquet")
    path.write_bytes(path.read_bytes()[:-20])

    code, said = night()

    assert code == 0, said
    assert "damaged tables were set aside" in caplog.text
    assert contents(tmp_path / "out") == before
    assert len(list((tmp_path / "out" / "set-aside").rglob(f"{ids[0]}.parquet"))) == 5


def missing(path: Path) -> None:
    path.unlink()


def another(path: Path) -> None:
    path.write_bytes(b"other weights")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [missing, another, cut])
def test_without_its_weights_nothing_is_begun(
    damage: Callable[[Path], None],
    night: Night,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkout = tmp_path / "checkout"
    for folder in ("models", "reports"):
        shutil.copytree(REPO / folder, checkout / folder)
    monkeypatch.setattr(assets, "_CHECKOUT", checkout)
    monkeypatch.setattr(assets, "_IN_WHEEL", tmp_path / "no-wheel")
    for path in (checkout / "models").glob("lecturenet*.*"):
        damage(path)

    code, said = night()

    assert code == 3, said
    assert "lecturenet" in said
    assert "Hint: " in said
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.slow
def test_two_hundred_faces_are_counted(tmp_path: Path, night: Night) -> None:
    example = next((REPO / "examples").rglob("*.mp4"))
    folder = tmp_path / "inbox" / "hall"
    folder.mkdir(parents=True)
    # One frame of the class shown 25 times over: nine people each at the most.
    tiles = "scale=512:-2,loop=24:1:0,tile=5x5,loop=3:1:0,setpts=N/TB"
    options = ("-vf", tiles, "-frames:v", "4", "-r", "1", "-an", *clips.H264, "-crf", "10")
    clips.ffmpeg("-ss", "40", "-i", example, *options, folder / "hall.mp4")
    assert night()[0] == 0
    (row,) = Store(tmp_path / "out").all("recordings").to_dict("records")
    faces = Store(tmp_path / "out").all("seconds")["faces"].to_numpy()
    assert np.all(faces >= 200), faces
    assert row["people_max"] >= 200


def test_a_refusal_to_write_names_what_to_do() -> None:
    from fer_core.folder import explained

    with pytest.raises(StoreError, match="cannot be written") as caught, explained(Path("x")):
        raise OSError(122, "Disk quota exceeded")
    assert "quota" in caught.value.hint
