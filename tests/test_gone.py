"""What has to go, goes: in object storage however a night ends, and of what has no row, too."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fer_core import arrivals, audit, nights, pages, published, retention
from fer_core.bucket import Bucket
from fer_core.store import Store
from tests import clips, s3
from tests.conftest import Command
from tests.s3 import settings_of
from tests.test_retention import ALL, NOW, keep, there
from tests.test_retention import settings_of as settings_here

__all__ = ["server", "storage"]

server, storage = s3.server, s3.bucket

ONE, OTHER = "a" * 16, "b" * 16


def test_what_is_due_goes_there_however_the_night_ends(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(storage, tmp_path)
    for recording_id, days in ((ONE, 40), (OTHER, 20)):
        store = keep(settings.out, recording_id, days, title=f"Lesson {days}")
    with published.writing(settings):
        pages.write_index(store, settings)
    found = s3.objects(f"{storage}/out")
    assert len([name for name in found if ONE in name]) == 7
    assert b"Lesson 40" in found["reports/index.html"]

    due = {"retention.days": 30, "retention.tables": {"faces": 10}}
    settings = settings_of(storage, tmp_path, **due)
    monkeypatch.setattr(arrivals, "lay_out", None)  # a fault of ours, as good as a power cut
    with pytest.raises(TypeError), published.writing(settings) as publish:
        nights.work_through([], settings, lambda _: pytest.fail("read"), publish)

    found = s3.objects(f"{storage}/out")
    assert not [name for name, data in found.items() if ONE in name or b"Lesson 40" in data]
    tables = [name.split("/")[1] for name in found if name.startswith("tables/")]
    assert sorted(tables) == ["marks", "moments", "recordings", "runs", "seconds", "tracks"]
    assert any(b'"expired"' in data for name, data in found.items() if name.startswith("audit/"))


NIGHT = ("run", "inbox", "--jurisdiction", "IN", "--no-prefect")


def begun(clip: Path, path: Path, days_ago: int) -> None:
    """Write a recording whose container says that it began some days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    when = f"{datetime.now(UTC) - timedelta(days_ago):%Y-%m-%dT%H:%M:%SZ}"
    clips.ffmpeg("-i", clip, "-c", "copy", "-metadata", f"creation_time={when}", path)


def test_a_container_knows_better_than_its_file_how_old_it_is(
    clip: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTUREPULSE_RETENTION__DAYS", "30")
    inbox, long_ago = tmp_path / "inbox", 315_532_800  # the first day of 1980, as on a stick
    begun(clip, inbox / "stick.mp4", 1)
    begun(clip, inbox / "copied.mp4", 400)
    (inbox / "silent.mp4").write_bytes(clip.read_bytes())
    (inbox / "torn.mp4").write_bytes(b"no video")
    for name in ("stick", "silent", "torn"):
        os.utime(inbox / f"{name}.mp4", (long_ago, long_ago))
    for _ in range(2):
        code, said = command(*NIGHT)
        assert code == 0, said
        assert said.count("Older than retention.days; nothing about it is kept.") == 3
        assert list(Store(tmp_path / "out").all("recordings")["source_name"]) == ["stick.mp4"]
    events = [line["event"] for line in audit.lines(tmp_path / "out")]
    assert events == ["settings", "processed"]
    assert not (tmp_path / "out" / "logs").exists()


def test_an_object_that_is_too_old_is_not_downloaded_again(
    clip: Path, storage: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTUREPULSE_RETENTION__DAYS", "30")
    begun(clip, tmp_path / "aged.mp4", 400)
    s3.client().put(str(tmp_path / "aged.mp4"), f"{storage}/inbox/aged.mp4")
    night = ("run", f"{storage}/inbox", *NIGHT[2:])
    code, said = command(*night)
    assert (code, "Older than retention.days" in said) == (0, True), said
    monkeypatch.setattr(Bucket, "fetch", None)
    assert command(*night)[0] == 0
    assert Store(tmp_path / "out").all("recordings").empty


def test_of_a_failure_that_was_purged_nothing_is_kept_again(
    clip: Path, command: Command, tmp_path: Path
) -> None:
    path, store = tmp_path / "inbox" / "torn.mp4", Store(tmp_path / "out")
    path.parent.mkdir()
    path.write_bytes(b"no video")
    path.with_name("odd.mp4").write_bytes(b"its sidecar cannot be read")
    path.with_name("odd.toml").write_bytes(b"=")
    assert command(*NIGHT)[0] == 1
    for recording_id in store.all("recordings")["recording_id"]:
        assert command("purge", "--recording", recording_id, "--yes")[0] == 0

    code, said = command(*NIGHT)

    assert code == 0
    assert said.count("What was kept about it was deleted; --retry-failed keeps it again.") == 2
    assert store.all("recordings").empty
    assert not [*(store.root / "logs").glob("*"), *store.reports.glob("*/*")]
    events = [line["event"] for line in audit.lines(store.root)]
    assert events.count("processed") == 2
    # One that was mended is like any other, and so is one that somebody asks for.
    assert command(*NIGHT, "--retry-failed")[0] == 1
    assert len(store.all("recordings")) == 2
    path.write_bytes(clip.read_bytes())
    path.with_name("odd.mp4").unlink()
    assert command(*NIGHT)[0] == 0
    assert set(store.all("recordings")["status"]) == {"done", "failed"}


def left(out: Path, recording_id: str) -> list[str]:
    paths = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    return [path for path in paths if recording_id in path]


def test_what_is_left_over_of_a_recording_without_a_row_goes_in_its_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    damaged, uncommitted, kept = ONE, OTHER, "c" * 16
    for recording_id in (damaged, uncommitted, kept):
        keep(tmp_path, recording_id, 1)
    with store.writing():
        pages.write_lecture(store, damaged, settings_here(tmp_path))
    for name in (f"uploads/{damaged}/one.mp4", f"logs/{damaged}.log", f"logs/{damaged}.old.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for path in (tmp_path / "tables" / "recordings").rglob("*.parquet"):
        if path.stem == damaged:
            path.write_bytes(path.read_bytes()[:100])
        elif path.stem == uncommitted:
            path.unlink()
    settings = settings_here(tmp_path, days=30, tables={})
    with store.writing():
        nights.tidy(store, settings)
    assert len(left(tmp_path, damaged)) == 11
    assert len(left(tmp_path, uncommitted)) == 6
    ids = [removal.recording_id for removal in retention.made_before(store, NOW.date())]
    assert ids == [kept]  # the others are of today
    assert retention.one(store, damaged).name == "left over"

    long_ago = (NOW - timedelta(31)).timestamp()
    for path in tmp_path.rglob("*"):
        if damaged in path.name or uncommitted in path.name:
            os.utime(path, (long_ago, long_ago))
    with store.writing():
        nights.tidy(store, settings)
    assert left(tmp_path, damaged) == [f"logs/{damaged}.old.log"]  # nothing of ours
    assert left(tmp_path, uncommitted) == []
    assert there(store, kept) == ALL
    noted = [*audit.lines(tmp_path)]
    assert noted[-1]["recordings"] == sorted(map(audit.reference, (damaged, uncommitted)))
    with store.writing():
        nights.tidy(store, settings)
    assert [*audit.lines(tmp_path)] == noted
