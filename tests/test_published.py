"""A dataset in object storage, on a real server: one truth, whoever is killed or cut off when."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from fer_core import bucket as storage
from fer_core import lease, published
from fer_core.bucket import Bucket
from fer_core.errors import TransientError
from fer_core.store import Store
from tests import pages, s3
from tests.conftest import Command
from tests.s3 import copy_of, settings_of
from tests.test_faults import contents

__all__ = ["bucket", "elsewhere", "server"]

bucket, elsewhere, server = s3.bucket, s3.elsewhere, s3.server

COMMIT = re.compile(r"-\d{6}-[0-9a-f]{8}(?=\.parquet$)")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECTUREPULSE_RUN__RETRY_DELAY_S", "0")
    monkeypatch.setenv("LECTUREPULSE_RUN__MIN_FREE_MB", "0")
    # The same few pages again and again, which others look at.
    monkeypatch.setattr(pages, "check", lambda _: None)


@pytest.fixture
def there(bucket: str, inbox: Path, tmp_path: Path) -> str:
    """Return a bucket with the recording in its inbox, and nothing yet in its ``out``."""
    s3.client().put(str(inbox / "class.mp4"), f"{bucket}/inbox/maths/class.mp4")
    return bucket


@pytest.fixture
def run(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the night of a machine from one bucket's inbox to its ``out``."""

    def night(there: str, *more: str, machine: str = "one") -> tuple[int, str]:
        monkeypatch.setenv("LECTUREPULSE_SCRATCH", str(tmp_path / machine))
        monkeypatch.setenv("LECTUREPULSE_PUBLISH_TO", f"{there}/out")
        monkeypatch.setenv("LECTUREPULSE_OUT", str(copy_of(tmp_path / machine)))
        place = ("--jurisdiction", "IN", "--no-prefect")
        # The fixture gives --out; it stands for this machine's copy.
        (tmp_path / "out").unlink(missing_ok=True)
        copy_of(tmp_path / machine).mkdir(parents=True, exist_ok=True)
        (tmp_path / "out").symlink_to(copy_of(tmp_path / machine))
        return command("run", f"{there}/inbox", *place, *more)

    return night


def rows(objects: Iterable[str], table: str = "recordings") -> list[str]:
    return [name for name in objects if name.startswith(f"tables/{table}/")]


def test_from_bucket_to_bucket_and_read_by_others(
    there: str, run: Command, night: Command, tmp_path: Path, inbox: Path
) -> None:
    assert night(out="local")[0] == 0
    code, said = run(there)
    assert code == 0, said
    assert "done  class.mp4" in said
    assert f"Kept in: {there}/out" in said

    found = s3.objects(f"{there}/out")
    local = {name: data for name, data in contents(tmp_path / "local").items() if "seconds" in name}
    ours = {COMMIT.sub("", name): data for name, data in found.items()}
    for name, data in contents(tmp_path / "local").items():
        if not name.startswith("tables/recordings/"):  # which names where the recording lies
            assert ours[name] == data
    assert len(local) == 1
    # One commit: the same for every table.
    assert len({COMMIT.findall(name)[0] for name in found if name.startswith("tables/")}) == 1
    assert any(name.startswith("reports/maths/") for name in found)
    assert {"reports/index.html", "last-night.json", "contents.json"} <= found.keys()
    assert "lease.json" not in found

    connection = duckdb.connect()
    connection.register_filesystem(s3.client())
    (row,) = connection.sql(
        f"select source_path, source_name, seconds, course from read_parquet("
        f"'{there}/out/tables/recordings/*/*/*.parquet', hive_partitioning = true)"
    ).fetchall()
    assert row == (f"{there}/inbox/maths/class.mp4", "class.mp4", 12, "maths")
    frame = pd.read_parquet(f"{there}/out/tables/seconds")
    assert list(frame["second"]) == list(range(12))
    # Nothing of the recording stays on this machine, and nothing tells how we came in.
    copy = copy_of(tmp_path / "one")
    assert not (copy / "inbox").exists()
    for path in copy.rglob("*"):
        assert path.is_dir() or s3.SECRET.encode() not in path.read_bytes()
    assert all(s3.SECRET.encode() not in data for data in found.values())
    assert s3.SECRET not in said


def test_what_is_done_is_neither_read_nor_downloaded_again(
    there: str, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(there)[0] == 0
    before = s3.objects(f"{there}/out")
    fetched: list[str] = []
    fetch = Bucket.fetch

    def noted(self: Bucket, name: str, path: Path) -> None:
        fetched.append(name)
        fetch(self, name, path)

    monkeypatch.setattr(Bucket, "fetch", noted)
    code, said = run(there)
    assert (code, fetched) == (0, []), said
    assert "Nothing has changed since it was done." in said
    # Another machine, which has nothing, knows it, too.
    code, said = run(there, machine="two")
    assert (code, fetched) == (0, []), said
    assert "skipped  class.mp4" in said
    after = s3.objects(f"{there}/out")
    assert {n: d for n, d in after.items() if n in rows(before)} == {
        n: d for n, d in before.items() if n in rows(before)
    }
    # The same bytes under another name have to be looked at once, and are the same lecture.
    s3.client().copy(f"{there}/inbox/maths/class.mp4", f"{there}/inbox/maths/twin.mp4")
    assert "Same content as 'class.mp4'" in run(there)[1]
    assert fetched == ["twin.mp4"]
    assert "Same content as 'class.mp4'" in run(there, machine="two")[1]
    assert fetched == ["twin.mp4"]
    s3.client().touch(f"{there}/inbox/maths/class.mp4", truncate=True)


def test_a_transcript_that_comes_later_is_taken_without_the_recording(
    there: str, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(there)[0] == 0
    words = "WEBVTT\n\n00:01.000 --> 00:05.000\nLight and sugar\n"
    s3.client().pipe_file(f"{there}/inbox/maths/class.vtt", words.encode())
    monkeypatch.setattr(Bucket, "fetch", None)
    code, said = run(there, machine="two")
    assert code == 0, said
    assert "Nothing has changed but the transcript" in said
    found = s3.objects(f"{there}/out")
    (page,) = [name for name in found if name.startswith("reports/maths/")]
    assert b"Light and sugar" not in found[page]  # no moment to quote it at
    (row,) = rows(found)
    assert row.split("-")[-2] == "000002"
    assert len(rows(found, "seconds")) == 1


class Killed(BaseException):
    """What a process that is killed meets: no code of ours sees it."""


def dying(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Have the process die before the first object whose name begins so is written."""
    write = Bucket.write

    def until(self: Bucket, name: str, data: bytes, kind: str = "") -> str:
        if name.startswith(at):
            raise Killed
        return write(self, name, data, kind)

    monkeypatch.setattr(Bucket, "write", until)
    monkeypatch.setattr(lease.Lease, "give_back", lambda _: None)


def test_killed_before_the_row_nothing_is_seen_and_the_next_run_completes(
    there: str, run: Command, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        dying(patched, "tables/recordings/")
        with pytest.raises(Killed):
            run(there)
    found = s3.objects(f"{there}/out")
    assert rows(found, "seconds") and not rows(found)
    # A reader sees nothing of it.
    assert published.reading(settings_of(there, tmp_path, "reader")).all("seconds").empty
    # The lease of whoever was killed stands; then it expires.
    code, said = run(there, machine="two")
    assert code == 3
    assert "Another run is writing to" in said
    s3.client().rm(f"{there}/out/lease.json")
    code, said = run(there, machine="two")
    assert code == 0, said
    after = s3.objects(f"{there}/out")
    assert len(rows(after)) == len(rows(after, "seconds")) == 1
    assert not set(rows(found, "seconds")) & set(after)


@pytest.mark.parametrize("at", ["tables/recordings/", "reports/"])
def test_killed_while_a_new_commit_is_written_the_old_one_stands(
    at: str, there: str, run: Command, tmp_path: Path
) -> None:
    assert run(there)[0] == 0
    before = s3.objects(f"{there}/out")
    with pytest.MonkeyPatch.context() as patched:
        dying(patched, at)
        with pytest.raises(Killed):
            run(there, "--force")
    seen = published.reading(settings_of(there, tmp_path, "reader"))
    assert list(seen.all("seconds")["second"]) == list(range(12))
    s3.client().rm(f"{there}/out/lease.json")
    # The same machine goes on, or another one.
    machine = "one" if at == "reports/" else "two"
    assert run(there, machine=machine)[0] == 0
    after = s3.objects(f"{there}/out")
    for table in ("recordings", "seconds", "moments", "marks", "runs"):
        assert len(rows(after, table)) == len(rows(before, table)) == 1, table
    assert len({COMMIT.findall(name)[0] for name in rows(after, "")}) <= 1
    assert exactly(there, "seconds") == [*range(12)]


def exactly(there: str, table: str) -> list[int]:
    """Return the seconds by the question that docs/operation.md gives for a run in progress."""
    text = (Path(__file__).parents[1] / "docs" / "operation.md").read_text(encoding="utf-8")
    (sql,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    connection = duckdb.connect()
    connection.register_filesystem(s3.client())
    found = connection.sql(sql.replace("s3://school/pulse", f"{there}/out")).df()
    return sorted(found["second"])


def test_the_documented_question_sees_committed_rows_only(there: str, run: Command) -> None:
    assert run(there)[0] == 0
    for at in ("tables/recordings/", "contents"):
        with pytest.MonkeyPatch.context() as patched:
            dying(patched, at)
            if at == "contents":  # the new row stands, and the old objects, too
                patched.setattr(published._Copy, "_remove", lambda *_: None)
            with pytest.raises(Killed):
                run(there, "--force")
        assert len(rows(s3.objects(f"{there}/out"), "seconds")) == 2
        assert exactly(there, "seconds") == [*range(12)]
        s3.client().rm(f"{there}/out/lease.json")
        if at == "tables/recordings/":
            assert run(there)[0] == 0
            assert len(rows(s3.objects(f"{there}/out"), "seconds")) == 1


def test_a_network_that_fails_in_the_middle_costs_nothing(
    there: str, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = {"tables/recordings/": 2, "reports/": 1, "tables/seconds/": 1}
    put = storage._filesystem().call_s3
    met: list[str] = []

    def sometimes(method: str, **named: Any) -> Any:
        for part, left in faults.items():
            if method == "put_object" and part in named["Key"] and left:
                faults[part] -= 1
                met.append(part)
                raise ConnectionResetError("cut")
        return put(method, **named)

    monkeypatch.setattr(storage._filesystem(), "call_s3", sometimes)
    code, said = run(there)
    monkeypatch.undo()
    assert code == 0, said
    assert sorted(met) == [
        "reports/",
        "tables/recordings/",
        "tables/recordings/",
        "tables/seconds/",
    ]


def test_a_network_that_fails_for_good_keeps_it_here(
    there: str, run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched:

        def refuse(self: Bucket, name: str, data: bytes, kind: str = "") -> str:
            raise TransientError("The object storage does not answer.")

        patched.setattr(Bucket, "write", refuse)
        code, said = run(there)
    assert code == 3
    assert "Not everything could be kept in" in said
    assert len(Store(copy_of(tmp_path / "one")).all("seconds")) == 12
    monkeypatch.setattr(Bucket, "fetch", None)  # no recording is needed for it
    code, said = run(there)
    assert code == 0, said
    assert len(rows(s3.objects(f"{there}/out"))) == 1


def test_an_endpoint_that_is_down_is_the_machine_s_fault(
    there: str, elsewhere: None, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("LECTUREPULSE_RUN__RETRIES", "0")
    code, said = run(there)
    assert code == 3, said
    assert "does not answer as it should" in said
    assert "Traceback" not in said
    assert s3.SECRET not in said


def test_what_is_purged_goes_there_too_and_is_not_downloaded_again(
    there: str, run: Command, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(there)[0] == 0
    (row,) = rows(s3.objects(f"{there}/out"))
    recording_id = row.split("/")[-1][:16]
    code, said = command("purge", "--recording", recording_id, "--yes")
    assert code == 0, said
    assert f"The recording itself is left alone: {there}/inbox/maths/class.mp4" in said
    found = s3.objects(f"{there}/out")
    for name, data in found.items():
        assert recording_id.encode() not in data, name
        assert recording_id not in name
    fetch = Bucket.fetch
    monkeypatch.setattr(Bucket, "fetch", None)
    code, said = run(there, machine="two")
    assert code == 0, said
    assert "Its results were deleted; --force reads it again." in said
    assert not rows(s3.objects(f"{there}/out"))
    monkeypatch.setattr(Bucket, "fetch", fetch)
    assert run(there, "--force")[0] == 0
    assert len(rows(s3.objects(f"{there}/out"))) == 1


def test_a_file_damaged_here_is_brought_back_and_costs_nothing_there(
    there: str, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(there)[0] == 0
    before = {n: d for n, d in s3.objects(f"{there}/out").items() if n.startswith("tables/")}
    (table,) = (copy_of(tmp_path / "one") / "tables" / "seconds").rglob("*.parquet")
    table.write_bytes(b"")
    monkeypatch.setattr(Bucket, "fetch", None)
    code, said = run(there)
    assert code == 0, said
    after = {n: d for n, d in s3.objects(f"{there}/out").items() if n.startswith("tables/")}
    assert after == before
    assert len(Store(copy_of(tmp_path / "one")).all("seconds")) == 12


def test_a_failure_is_kept_and_its_object_left_alone(
    there: str, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.client().pipe_file(f"{there}/inbox/maths/bad.mp4", b"<html>not found</html>")
    code, said = run(there)
    assert code == 1
    assert "failed  bad.mp4" in said
    found = s3.objects(f"{there}/out")
    (log,) = [name for name in found if name.startswith("logs/")]
    assert f"recording: {there}/inbox/maths/bad.mp4".encode() in found[log]
    assert len(rows(found)) == 2
    monkeypatch.setattr(Bucket, "fetch", None)
    code, said = run(there, machine="two")
    assert code == 0, said
    assert "Failed before and has not changed" in said


def test_lines_of_the_audit_log_are_never_lost_to_another_machine(
    there: str, run: Command, command: Command
) -> None:
    assert run(there)[0] == 0
    assert command("query", "select 1")[0] == 0
    assert run(there, machine="two")[0] == 0
    assert command("query", "select 2")[0] == 0
    parts = [d for n, d in s3.objects(f"{there}/out").items() if n.startswith("audit/")]
    events = [json.loads(line)["event"] for part in parts for line in part.splitlines()]
    assert sorted(events) == ["exported", "exported", "processed", "settings"]


def test_a_dataset_of_this_machine_can_be_published_later(
    there: str, run: Command, night: Command, tmp_path: Path
) -> None:
    assert night(out="copy")[0] == 0
    (tmp_path / "one").mkdir()
    (tmp_path / "copy").rename(copy_of(tmp_path / "one"))
    with published.writing(settings_of(there, tmp_path)):
        pass
    assert (
        published.reading(settings_of(there, tmp_path, "two")).all("seconds")["second"].size == 12
    )
