"""A dataset in object storage where the server refuses something, or two write at one time."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest

from fer_core import audit, published, trail
from fer_core import bucket as storage
from fer_core.store import Store
from tests import s3, test_published
from tests.conftest import Command
from tests.s3 import copy_of, settings_of

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
    assert "refuses access" in said
    assert test_published.rows(s3.objects(f"{there}/out")) == [row]
    s3.client().rm(f"{there}/out/lease.json")
    # With the right to delete, the next night does it; nothing was brought back meanwhile.
    assert run(there)[0] == 0
    assert not [name for name in s3.objects(f"{there}/out") if recording_id in name]
    assert Store(copy_of(tmp_path / "one")).recording(recording_id) is None


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
