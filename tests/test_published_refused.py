"""A dataset in object storage where the server refuses something, or two write at one time."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest

from fer_core import audit, published, trail
from fer_core import bucket as storage
from fer_core.errors import StoreError
from fer_core.store import Store
from tests import s3, test_published
from tests.conftest import Command
from tests.s3 import copy_of, settings_of
from tests.test_published_moved import publish
from tests.test_retention import keep

__all__ = ["bucket", "impatient", "run", "server", "there"]

bucket, server = s3.bucket, s3.server
run, there, impatient = test_published.run, test_published.there, test_published._impatient


def test_a_purge_that_is_refused_is_told_and_carried_on(
    there: str, run: Command, command: Command, tmp_path: Path
) -> None:
    assert run(there)[0] == 0
    (row,) = test_published.rows(s3.objects(f"{there}/out"))
    recording_id = row.split("/")[-1][:16]
    call = storage._filesystem().call_s3

    def refusing(method: str, **named: Any) -> Any:
        if method == "delete_objects":
            refused = [{**one, "Code": "AccessDenied"} for one in named["Delete"]["Objects"]]
            return {"Errors": refused}
        return call(method, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(storage._filesystem(), "call_s3", refusing)
        code, said = command("purge", "--recording", recording_id, "--yes")
    assert code == 3, said
    assert "Not everything could be kept in" in said
    assert "refuses access" in said
    assert test_published.rows(s3.objects(f"{there}/out")) == [row]
    s3.client().rm(f"{there}/out/lease.json")
    # With the right to delete, the next night does it; nothing was brought back meanwhile.
    assert run(there)[0] == 0
    assert not [name for name in s3.objects(f"{there}/out") if recording_id in name]
    assert Store(copy_of(tmp_path / "one")).recording(recording_id) is None


def named(objects: dict[str, bytes]) -> set[str]:
    return {name.split("/")[-1][:16] for name in test_published.rows(objects)}


@pytest.mark.parametrize("granted", [True, False])
def test_tables_that_are_refused_do_not_end_the_night(
    there: str, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, granted: bool
) -> None:
    # Fails, and so has tables as well; it comes before the other.
    s3.client().pipe_file(f"{there}/inbox/maths/bad.mp4", b"video")
    s3.deny(f"{there}/out/tables/*", "PutObject")
    push = published._Copy.push

    def mended(self: published._Copy) -> None:
        if granted:
            s3.deny(there)
        push(self)

    monkeypatch.setattr(published._Copy, "push", mended)
    code, said = run(there)
    found = named(s3.objects(f"{there}/out"))
    stand = {*Store(copy_of(tmp_path / "one")).places()}
    assert len(stand) == 2
    assert found == (stand if granted else set())
    assert code == (1 if granted else 3), said
    if granted:  # 1, for the recording that is none
        assert "failed  bad.mp4" in said
        assert "done  class.mp4" in said
        return
    assert f"Not everything could be kept in {there}/out: {there}/out refuses access" in said
    assert "Traceback" not in said
    s3.deny(there)
    assert run(there)[0] == 0
    assert named(s3.objects(f"{there}/out")) == stand


def test_one_recording_that_is_refused_keeps_no_other_back(bucket: str, tmp_path: Path) -> None:
    settings = settings_of(bucket, tmp_path)
    for number, letter in enumerate("abc"):
        keep(settings.out, letter * 16, 9 + number)
    s3.deny(f"{bucket}/out/tables/*/bbbb*", "PutObject")
    with pytest.raises(StoreError, match="refuses access") as raised:
        publish(settings)
    assert "AWS_ACCESS_KEY_ID" in raised.value.hint
    assert named(s3.objects(f"{bucket}/out")) == {"a" * 16, "c" * 16}
    assert {*Store(settings.out).places()} == {"a" * 16, "b" * 16, "c" * 16}
    s3.deny(bucket)
    publish(settings)
    assert named(s3.objects(f"{bucket}/out")) == {"a" * 16, "b" * 16, "c" * 16}


def test_a_line_that_is_noted_while_others_arrive_is_kept(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (settings_of(bucket, tmp_path, machine) for machine in ("one", "two"))
    audit.note(one.out, "tried", of="one")
    with published.writing(one):
        pass
    audit.note(two.out, "exported", of="two")
    noting = threading.Thread(target=audit.note, args=(two.out, "exported"), kwargs={"of": "late"})
    waits, lock, write = threading.Event(), fcntl.flock, trail.write_whole

    def locked(file: Any, how: int) -> None:
        if threading.current_thread() is noting:
            waits.set()
        lock(file, how)

    def meanwhile(path: Path, data: bytes) -> None:
        if path.name == audit.LOG:
            noting.start()
            while noting.is_alive() and not waits.wait(0.01):
                pass
        write(path, data)

    monkeypatch.setattr(fcntl, "flock", locked)
    monkeypatch.setattr(trail, "write_whole", meanwhile)
    published.reading(two)
    noting.join()
    assert [line["of"] for line in audit.lines(two.out)] == ["one", "two", "late"]


def test_the_audit_log_is_not_read_anew_for_each_recording(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, counted = settings_of(bucket, tmp_path), trail._lines
    reads: list[object] = []

    def lines(paths: Any) -> Any:
        reads.append(paths)
        return counted(paths)

    def told() -> list[str]:
        found = s3.objects(f"{bucket}/out")
        return [line for n, d in found.items() if "audit/" in n for line in d.decode().split("\n")]

    monkeypatch.setattr(trail, "_lines", lines)
    with published.writing(settings) as publish_one:
        before = len(reads)
        for number, letter in enumerate("abc"):
            keep(settings.out, letter * 16, 9 + number)
            audit.note(settings.out, "tried", of=letter)
            publish_one(letter * 16)
        assert len(reads) == before
        assert named(s3.objects(f"{bucket}/out")) == {"a" * 16, "b" * 16, "c" * 16}
        # Now and then, though: a machine that is lost takes no more than that with it.
        monkeypatch.setattr(published, "_NOTE_EVERY_S", 0)
        publish_one("a" * 16)
        assert len([line for line in told() if '"tried"' in line]) == 3
        audit.note(settings.out, "tried", of="late")
    assert len([line for line in told() if '"tried"' in line]) == 4
