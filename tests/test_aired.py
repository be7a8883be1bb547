"""Live recordings in the tables: the code path of the nightly job, and nothing lost on the way."""

from __future__ import annotations

import errno
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer_core import aired, audit, doctor, retention
from fer_core.errors import AssetMissing, StoreError
from fer_core.records import EMOTIONS
from fer_core.store import Store
from fer_core.viewers import Viewers
from tests import cameras, clips, pages
from tests.conftest import Command
from tests.test_viewers import Open, conclude, files, opened, record, settings_of, show

assert opened
PROBS = [f"p_{name}" for name in EMOTIONS]


def test_what_waits_is_faces_and_numbers_never_a_picture(opened: Open, tmp_path: Path):
    registry = opened()
    recording_id = record(registry)

    folder = tmp_path / "out" / "work" / recording_id / "live"
    assert files(folder) == {"about.json", "seen.npz"}
    with np.load(folder / "seen.npz", allow_pickle=False) as arrays:
        assert {arrays[name].ndim for name in arrays} <= {0, 1, 2, 3}
        assert arrays["thumbnails"].shape == (12, 27, 48)
        assert sum(arrays[name].nbytes for name in arrays) < 40_000
    for path in folder.iterdir():
        assert b"\xff\xd8\xff" not in path.read_bytes()


def test_what_waits_is_on_the_disk_before_anybody_is_told(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Both files, and last of all the folder that names them: a power cut may follow at once."""
    fsync, stored = os.fsync, list[int]()

    def noted(handle: int) -> None:
        fsync(handle)
        stored.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    folder = tmp_path / "out" / "work" / record(opened()) / "live"

    in_order = [folder / "seen.npz", folder / "about.json", folder]
    assert stored[-3:] == [path.stat().st_ino for path in in_order]


def test_a_live_recording_becomes_what_a_file_of_it_becomes(
    opened: Open, tmp_path: Path, command: Command
):
    """The same pictures, live and at night: the same people, and nearly the same expressions."""
    registry = opened()
    recording_id = record(registry)
    (outcome,) = conclude(registry)
    (tmp_path / "inbox" / "biology 101").mkdir(parents=True)
    file = tmp_path / "inbox" / "biology 101" / "lesson.mp4"
    clips.ffmpeg("-i", cameras.EXAMPLE, "-t", "11.6", "-c", "copy", "-an", file)
    code, said = command("run", "inbox", "--jurisdiction", "IN", "--no-prefect")

    assert code == 0, said
    assert (outcome.status, outcome.people) == ("done", cameras.PEOPLE)
    store = Store(tmp_path / "out")
    rows = store.all("recordings").set_index("recording_id")
    live, night = rows.loc[recording_id], rows.drop(recording_id).iloc[0]
    same = "course mode jurisdiction rate_hz seconds seconds_suppressed min_group settings_hash"
    same += " model model_sha256 schema_version width height people_median people_max"
    for column in (*same.split(), "tracks", "detector_sha256", "engagement_weights"):
        assert live[column] == night[column], column
    assert live["source_path"] == "" and pd.isna(live["source_sha256"])
    assert live["source_name"].startswith("live 20")
    assert (live["container"], live["decode_failures"], live["source_bytes"]) == ("live", 0, 0)
    one = store.read("seconds", recording_id)
    other = store.read("seconds", night.name)
    for column in ("second", "frames", "faces", "suppressed", "left_out"):
        assert one[column].tolist() == other[column].tolist(), column
    # What JPEG does to a face moves its probabilities a little.
    assert (one[PROBS] - other[PROBS]).abs().mean(axis=None) < 0.02
    assert store.read("runs", recording_id)["runner"].tolist() == ["live"]
    # Both stand on pages of one kind, and in one index.
    root = pages.check(Path(str(outcome.page)).read_text("utf-8"))
    assert "a live camera; its pictures were not kept" in pages.text_of(root)
    assert "9 people" in pages.text_of(pages.by_id(root, "minute"))
    assert recording_id in (tmp_path / "out/reports/index.html").read_text("utf-8")
    lines = [line for line in audit.lines(tmp_path / "out") if line["event"] == "processed"]
    assert [line["live"] for line in lines] == [True, False]


@pytest.fixture
def kept(opened: Open) -> tuple[Viewers, str]:
    """A short live recording in the tables."""
    registry = opened()
    recording_id = record(registry, count=5)
    conclude(registry)
    return registry, recording_id


def test_nights_reports_purges_and_doctors_know_live_recordings(
    kept: tuple[Viewers, str], inbox: Path, night: Any, command: Command, tmp_path: Path
):
    registry, recording_id = kept
    store = registry.store
    before = {path: path.read_bytes() for path in store.tables.rglob(f"{recording_id}.parquet")}

    assert night()[0] == 0
    assert night()[0] == 0
    (inbox / "class.mp4").rename(inbox / "moved.mp4")
    assert night()[0] == 0

    assert {p: p.read_bytes() for p in store.tables.rglob(f"{recording_id}.parquet")} == before
    findings = {found.name: found for found in doctor.examine(settings_of(registry))}
    assert findings["dataset"].good, findings["dataset"].seen
    assert findings["tables"].seen == "2 done"
    page = next(store.reports.rglob(f"{recording_id}.html"))
    page.unlink()
    assert command("report", "--all")[0] == 0
    links = [
        e.get("href") or "" for e in pages.check(page.read_text("utf-8")).iter() if e.get("href")
    ]
    assert not [link for link in links if "live" in link or "#t=" in link]
    code, said = command("purge", "--recording", recording_id)
    assert code == 0 and "live 20" in said and "1 would be deleted" in said
    code, said = command("purge", "--recording", recording_id, "--yes")
    assert code == 0 and "still there" not in said
    assert not [name for name in files(tmp_path / "out") if recording_id in name]
    assert audit.reference(recording_id) in audit.purged(store.root)


def test_retention_counts_from_the_start(kept: tuple[Viewers, str], monkeypatch: Any):
    registry, recording_id = kept
    limited = settings_of(registry).model_copy(
        update={"retention": settings_of(registry).retention.model_copy(update={"days": 3})}
    )
    now = datetime.now(UTC)
    assert retention.expired(registry.store, limited, now + timedelta(3)) == []
    (found,) = retention.expired(registry.store, limited, now + timedelta(5))
    assert (found.recording_id, found.source) == (recording_id, None)


def test_while_a_night_is_running_it_waits_and_says_so(opened: Open, tmp_path: Path):
    registry = opened()
    recording_id = record(registry, count=4)
    with Store(tmp_path / "out").writing():
        registry._conclude()
        state, why = registry.state(recording_id)
        assert state == "waiting" and "Another run is writing" in why
        with pytest.raises(StoreError):
            conclude(registry)

        registry.shut()
    assert registry.state(recording_id)[0] == "waiting"

    # This process has ended; another one finds what was put by.
    later = Viewers(settings_of(registry))
    later.start()
    deadline = time.monotonic() + 60
    while later.state(recording_id)[0] == "waiting":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert later.state(recording_id) == ("done", "")
    later.shut()
    assert not (tmp_path / "out" / "work" / recording_id).exists()
    assert later.state("0" * 16)[0] == "unknown"


def test_settings_of_later_do_not_change_what_was_recorded(opened: Open):
    registry = opened(privacy={"min_group": 3}, sampling={"rate_hz": 2})
    recording_id = record(registry, count=6)

    later = opened(privacy={"min_group": 20}, deployment={"jurisdiction": "DE"})
    conclude(later)

    row = later.store.recording(recording_id)
    assert row is not None
    assert (row["min_group"], row["rate_hz"], row["mode"]) == (3, 2, "emotion")
    assert row["jurisdiction"] == "IN"


def test_presence_mode_writes_no_expression(opened: Open):
    registry = opened(deployment={"jurisdiction": "DE"})
    recording_id = record(registry, count=6)
    (outcome,) = conclude(registry)

    seconds = registry.store.read("seconds", recording_id)
    assert seconds[[*PROBS, "engagement", "uncertain"]].isna().all(axis=None)
    assert seconds["faces"].tolist() == [cameras.PEOPLE] * 3
    assert "Article 5(1)(f)" in Path(str(outcome.page)).read_text("utf-8")


def test_beyond_its_limit_a_recording_is_partial(opened: Open, monkeypatch: pytest.MonkeyPatch):
    registry = opened(live={"max_minutes": 1})
    secret, _ = registry.open()
    registry.record(secret, "")
    for start_s in (0, 52, 61):
        registry._clock.now += 60
        show(registry, secret, 3, start_s)
    on_air = registry.stop(secret)

    (outcome,) = conclude(registry)

    assert outcome.status == "partial" and "only those were recorded" in outcome.message
    assert on_air is not None
    row = registry.store.recording(on_air.recording_id)
    assert row is not None and (row["seconds"], row["seconds_without_frames"]) == (54, 49)


def test_one_that_cannot_be_concluded_does_not_stop_the_others(
    opened: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    registry = opened()
    broken, good = record(registry, count=3), record(registry, count=3)
    (tmp_path / "out/work" / broken / "live/seen.npz").write_bytes(b"torn")

    (outcome,) = conclude(registry)

    assert outcome.recording_id == good
    assert registry.state(broken)[0] == "failed"
    assert "cannot be concluded" in caplog.text
    caplog.clear()


@pytest.mark.parametrize("trouble", ["weights", "files", "memory"])
def test_what_passes_costs_no_live_recording(
    opened: Open, monkeypatch: pytest.MonkeyPatch, trouble: str
):
    registry = opened()
    one = record(registry, count=3)
    other = record(registry, count=3) if trouble != "weights" else ""
    folder = registry.store.root / "work" / one / "live"
    open_file = Path.open

    def away(*_: Any) -> None:
        raise AssetMissing("The weights are missing.")

    def short(self: Path, *words: Any, **more: Any) -> Any:
        if self == folder / "seen.npz":
            raise MemoryError if trouble == "memory" else OSError(errno.EMFILE, "Too many files")
        return open_file(self, *words, **more)

    with monkeypatch.context() as patched:
        if trouble == "weights":
            patched.setattr(aired.assets, "chosen", away)
        else:
            patched.setattr(Path, "open", short)
        registry._conclude()

    state, why = registry.state(one)
    assert state == "waiting" and why
    if other:
        assert registry.state(other)[0] == "done", "nobody else waits for it"
    registry._conclude()
    assert registry.state(one) == ("done", "")
