"""The dataset on disk: what is committed stands whole, and nothing else is ever seen."""

import errno
import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_core.errors import StoreError
from fer_core.schema import TABLES
from fer_core.store import Place, Store
from tests import factories

ID = "0123456789abcdef"
PROVENANCE = {"source_sha256": "a" * 64, "settings_hash": "b" * 16, "schema_version": "1"}
COURSES = [
    *("101", "a/b", "..", ".", "a=b", "%", "a%2Fb", "é", "'", '"', "*", "[x]", "?", "~", "+"),
    *("a b", "None", "null", "__HIVE_DEFAULT_PARTITION__", "<script>", "\\", "1e3", "true", "C:"),
    "जीव विज्ञान",
]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out")


def place(course="biology", month="2026-11", recording_id=ID) -> Place:
    return Place(course, month, recording_id)


def commit(store: Store, where: Place | None = None, n: int = 3, **values) -> Place:
    where = where or place()
    store.commit(where, factories.tables(where.recording_id, n, **values), PROVENANCE)
    return where


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def refused(*work) -> StoreError:
    with pytest.raises(StoreError) as caught:
        work[0](*work[1:])
    assert caught.value.hint
    assert caught.value.exit_code == 3
    return caught.value


def test_what_is_committed_comes_back(store):
    commit(store, n=4, title="Photosynthesis")
    seconds = store.all("seconds")
    assert seconds["second"].tolist() == [0, 1, 2, 3]
    assert set(seconds["course"]) == {"biology"}
    assert set(seconds["month"]) == {"2026-11"}
    assert seconds["engagement"].isna().all()
    pd.testing.assert_frame_equal(store.read("seconds", ID), seconds)
    row = store.recording(ID)
    assert (row["title"], row["course"], row["model"], row["people_median"]) == (
        *("Photosynthesis", "biology"),
        *(None, None),
    )


def test_the_files_lie_where_the_plan_says_and_nothing_is_left_beside(store):
    commit(store)
    assert files(store.root) == [
        f"tables/{name}/course=biology/month=2026-11/{ID}.parquet"
        for name in ("recordings", "runs", "seconds")
    ]


def test_a_file_tells_its_columns_and_where_it_comes_from(store):
    where = commit(store)
    for name in ("seconds", "recordings"):
        file = pq.ParquetFile(store.tables / name / where.folder / f"{ID}.parquet")
        schema = file.schema_arrow
        metadata = {k.decode(): v.decode() for k, v in schema.metadata.items()}
        assert PROVENANCE.items() <= metadata.items()
        assert schema.equals(TABLES[name], check_metadata=False)
        assert [f.metadata[b"doc"] for f in schema] == [f.metadata[b"doc"] for f in TABLES[name]]
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_same_rows_are_the_same_bytes(store, tmp_path):
    other = Store(tmp_path / "other")
    where = commit(store)
    commit(other)
    for path in files(store.tables):
        assert (store.tables / path).read_bytes() == (other.tables / path).read_bytes()
    assert where.folder in files(store.tables)[0]


def test_doing_it_again_replaces_it(store):
    commit(store, n=3)
    before = files(store.root)
    commit(store, n=5)
    assert files(store.root) == before
    assert len(store.all("seconds")) == 5
    assert len(store.all("recordings")) == 1


def test_a_reader_holding_the_old_table_keeps_it_whole(store):
    where = commit(store, n=3)
    path = store.tables / "seconds" / where.folder / f"{ID}.parquet"
    with path.open("rb") as held:
        commit(store, n=5)
        assert pq.read_table(held).num_rows == 3


def test_another_course_or_month_moves_it(store):
    commit(store, place("biology"))
    commit(store, place("botany", "2026-12"), n=4)
    assert {path.split("/", 2)[2] for path in files(store.root)} == {
        f"course=botany/month=2026-12/{ID}.parquet"
    }
    assert store.all("seconds")["course"].unique().tolist() == ["botany"]
    assert store.recording(ID)["month"] == "2026-12"


def test_a_table_that_is_no_longer_wanted_goes(store):
    extra = {"tracks": factories.row_table("tracks", ID)}
    store.commit(place(), factories.tables(ID) | extra, PROVENANCE)
    assert len(store.all("tracks")) == 1
    commit(store)
    assert store.all("tracks").empty
    assert not [path for path in files(store.root) if "tracks" in path]


def test_other_recordings_stay(store):
    for k in range(3):
        commit(store, place("biology", recording_id=f"{k:016x}"))
    commit(store, place("botany", recording_id=f"{1:016x}"))
    store.forget(f"{0:016x}")
    table = store.all("recordings")
    rows = dict(zip(table["recording_id"], table["course"], strict=True))
    assert rows == {f"{1:016x}": "botany", f"{2:016x}": "biology"}
    assert store.recording(f"{0:016x}") is None


def test_an_empty_dataset_has_tables_without_rows(store):
    for name, schema in TABLES.items():
        table = store.all(name)
        assert table.empty
        assert list(table.columns) == [*schema.names, "course", "month"]
    assert store.recording(ID) is None
    assert not store.root.exists()


@pytest.mark.parametrize("course", COURSES)
def test_any_course_comes_back_as_it_was_named(store, course):
    commit(store, place(course))
    assert store.all("seconds")["course"].unique().tolist() == [course]
    assert store.recording(ID)["course"] == course
    assert all(len(path.split("/")) == 5 for path in files(store.root))
    page = store.write_page(store.page(place(course)), "<p>")
    assert page.resolve().parent.parent == store.reports
    assert not page.parent.name.startswith(".")
    # What any other reader of such folders makes of it.
    pattern = f"{store.tables}/seconds/*/*/*.parquet"
    hive = "hive_partitioning = true, hive_types = {'course': varchar, 'month': varchar}"
    (found,) = duckdb.sql(
        f"select distinct course from read_parquet('{pattern}', {hive})"
    ).fetchall()
    assert found == ((None,) if course == "__HIVE_DEFAULT_PARTITION__" else (course,))


@pytest.mark.parametrize("course", ["é" * 200, "数" * 200, "x" * 300, "/" * 200])
def test_a_course_too_long_for_a_folder_s_name_ends_in_its_hash(store, course):
    commit(store, place(course))
    (found,) = store.all("seconds")["course"].unique()
    start, _, end = found.rpartition("~")
    assert course.startswith(start) and len(start) > 20
    assert end == hashlib.sha256(course.encode()).hexdigest()[:8]
    assert store.write_page(store.page(place(course)), "<p>").exists()
    # What the tables call it is a name like any other: it leads to the same folder.
    assert Place(found, "", "").folder == Place(course, "", "").folder
    assert len(Place(found, "", "").folder.partition("/")[0]) <= 255


def test_long_courses_that_differ_in_their_last_letter_stay_apart(store):
    both = [f"कक्षा दसवीं जीव विज्ञान प्रकाश संश्लेषण – अनुभाग {letter}" for letter in "कख"]
    for course, recording_id in zip(both, ("a" * 16, "b" * 16), strict=True):
        commit(store, place(course, recording_id=recording_id))
    courses = store.all("recordings")["course"]
    assert courses.nunique() == 2
    assert [len(store.course(course)) for course in courses] == [1, 1]
    assert len({store.page(place(course)) for course in both}) == 2


def test_a_name_that_is_no_text_is_still_stored(store):
    commit(store, place("not \udcff text"))
    assert len(store.all("seconds")) == 3


def test_a_commit_needs_the_recordings_row_and_the_right_columns(store):
    tables = factories.tables(ID)
    with pytest.raises(ValueError, match="recordings row"):
        store.commit(place(), {"seconds": tables["seconds"]}, {})
    for wrong in (
        tables["seconds"].drop_columns(["faces"]),
        tables["seconds"].set_column(4, "faces", pa.array([1, None, 2], pa.int16())),
        tables["seconds"].set_column(1, "second", pa.array(["a", "b", "c"])),
    ):
        with pytest.raises((ValueError, pa.ArrowInvalid)):
            store.commit(place(), tables | {"seconds": wrong}, {})
    assert not store.tables.exists()


def failing(monkeypatch, on: str, number: int = errno.ENOSPC):
    """Make every sync of a file to disk fail once a file of this table is written."""
    fsync = os.fsync

    def broken(handle):
        if on in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", broken)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file is meant")
@pytest.mark.parametrize("table", ["seconds", "runs", "recordings"])
def test_a_write_that_fails_leaves_what_was_there(store, monkeypatch, table):
    commit(store, n=3)
    before = {path: (store.root / path).read_bytes() for path in files(store.root)}
    failing(monkeypatch, f"/{table}/")
    error = refused(commit, store, None, 5)
    assert "free some space" in error.hint
    assert f"{ID}.parquet" in error.message
    after = {path: (store.root / path).read_bytes() for path in files(store.root)}
    assert after.keys() == before.keys()
    unchanged = [path for path in after if f"tables/{table}/" in path or "recordings" in path]
    assert all(after[path] == before[path] for path in unchanged)
    assert store.recording(ID)["seconds"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file is meant")
def test_a_first_write_that_fails_shows_nothing(store, monkeypatch):
    failing(monkeypatch, "/recordings/")
    refused(commit, store)
    assert store.all("seconds").empty
    assert store.read("seconds", ID).empty
    assert store.recording(ID) is None


def test_what_was_not_stored_as_written_is_noticed(store, monkeypatch):
    commit(store)
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read(self)[:-1])
    assert "disk" in refused(commit, store).hint
    monkeypatch.undo()
    assert len(store.all("seconds")) == 3


def test_tables_without_their_row_are_never_seen(store):
    where = commit(store)
    (store.tables / "recordings" / where.folder / f"{ID}.parquet").unlink()
    assert store.all("seconds").empty
    assert store.read("seconds", ID).empty


def test_a_run_killed_while_it_moved_a_recording_doubles_nothing(store):
    old, new = place("biology"), place("botany")
    commit(store, old)
    left = {path: (store.root / path).read_bytes() for path in files(store.root)}
    time.sleep(0.01)
    commit(store, new, n=4)
    for path, content in left.items():
        (store.root / path).parent.mkdir(parents=True, exist_ok=True)
        (store.root / path).write_bytes(content)
        os.utime(store.root / path, (1, 1))
    assert len(store.all("seconds")) == 4
    assert store.recording(ID)["course"] == "botany"
    commit(store, new, n=5)
    assert not [path for path in files(store.root) if "biology" in path]


def test_a_second_writer_is_refused(store):
    with store.writing():
        error = refused(lambda: Store(store.root).writing().__enter__())
        assert "Another run" in error.message
    with Store(store.root).writing():
        commit(store)


def test_a_writer_in_another_process_is_refused_until_it_dies(store):
    code = (
        "import sys, time; from pathlib import Path; from fer_core.store import Store\n"
        "with Store(Path(sys.argv[1])).writing(): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="Another run"), store.writing():
            pass
    finally:
        other.kill()
        other.communicate()
    with store.writing():
        pass


def test_the_lock_is_let_go_after_an_error(store):
    with pytest.raises(KeyError), store.writing():
        raise KeyError
    with store.writing():
        pass


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "out"):
        store = Store(root)
        refused(lambda store=store: store.writing().__enter__())
        refused(commit, store)
        refused(store.write_page, "index.html", "<p>")
        refused(store.work_folder, ID, "key")
    assert "--out" in refused(commit, Store(tmp_path / "file" / "out")).hint


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.EROFS, "read-only"), (errno.EACCES, "may not"), (errno.EIO, "--out")],
)
def test_a_folder_that_cannot_be_written(store, monkeypatch, number, word):
    opened = Path.open

    def denied(self, mode="r", *arguments, **named):
        if mode not in {"r", "rb"}:
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, mode, *arguments, **named)

    monkeypatch.setattr(Path, "open", denied)
    for work in (lambda: store.writing().__enter__(), lambda: commit(store)):
        error = refused(work)
        assert word in error.hint
        assert os.strerror(number) in error.message


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 20, b"<html>", b"\0" * 4096])
def test_a_damaged_table_is_named(store, content):
    where = commit(store)
    path = store.tables / "seconds" / where.folder / f"{ID}.parquet"
    path.write_bytes(content)
    for work in (lambda: store.all("seconds"), lambda: store.read("seconds", ID)):
        error = refused(work)
        assert str(path) in error.message
        assert "Remove the file" in error.hint


def test_damage_anywhere_is_a_table_or_one_clear_error(store):
    where = commit(store, n=50)
    path = store.tables / "seconds" / where.folder / f"{ID}.parquet"
    whole = path.read_bytes()
    chance = random.Random(5)
    refusals = 0
    for attempt in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged[: chance.randrange(len(whole))] if attempt % 5 == 0 else damaged)
        try:
            assert len(store.read("seconds", ID)) == 50
        except StoreError as error:
            refusals += str(path) in error.message
    assert refusals > 30


def test_work_files_of_other_settings_go_and_those_of_these_stay(store):
    first = store.work_folder(ID, "one")
    (first / "segment.npz").write_bytes(b"1")
    assert (store.work_folder(ID, "one") / "segment.npz").exists()
    store.work_folder("f" * 16, "one")
    store.work_folder(ID, "two")
    assert not first.exists()
    store.clear_work(ID)
    assert sorted(p.name for p in (store.root / "work").iterdir()) == ["f" * 16]
    store.clear_work("0" * 16)


@pytest.mark.parametrize("recording_id", ["*", "", "..", "../x", "/etc/passwd", "[0-9a-f]*", "x\0"])
def test_an_id_is_a_name_and_nothing_else(tmp_path, recording_id):
    store = Store(tmp_path)
    where = commit(store)
    assert store.recording(where.recording_id) is not None
    assert store.recording(recording_id) is None
    assert store.files_of(recording_id) == []
