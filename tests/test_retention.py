"""How long results stay and how they go: nothing of a recording is left, and it is written down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_core import audit, config, pages, retention
from fer_core.settings import Settings
from fer_core.store import Place, Store, Worked
from tests import clips, factories
from tests.conftest import Command

NOW = datetime.now(UTC)


def keep(out: Path, recording_id: str, days_ago: int, **values: Any) -> Store:
    """Commit a recording of some days ago with every table, as nights before would have."""
    store = Store(out)
    made = factories.tables(
        recording_id,
        started_at=NOW - timedelta(days_ago),
        source_name=f"{recording_id[:4]}.mp4",
        status="done",
        **values,
    )
    at = made["runs"].schema.get_field_index("run_started_at")
    read_at = pa.array([NOW], made["runs"].schema.field(at).type)
    made["runs"] = made["runs"].set_column(at, made["runs"].schema.field(at), read_at)
    made |= {
        name: factories.row_table(name, recording_id, 2)
        for name in ("moments", "marks", "faces", "tracks")
    }
    store.commit(Place("maths", "2026-11", recording_id), made, {})
    return store


def settings_of(out: Path, **retention_settings: Any) -> Settings:
    return factories.settings(retention=retention_settings).model_copy(update={"out": out})


def there(store: Store, recording_id: str) -> set[str]:
    """Return the tables that have rows of a recording."""
    found = store.tables.rglob(f"{recording_id}.parquet")
    return {path.relative_to(store.tables).parts[0] for path in found}


def texts(out: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and all the text of every file: of tables every value, decoded."""
    for path in out.rglob("*"):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
            yield name, f"{table.to_pylist()} {table.schema.metadata}"
        else:
            yield name, path.read_bytes().decode("latin-1") if path.is_file() else ""


def mentions(out: Path, *words: str) -> list[str]:
    """Return the files that say one of some words, in name or content."""
    return [
        name for name, text in texts(out) if any(word in name or word in text for word in words)
    ]


ALL = {"seconds", "runs", "recordings", "moments", "marks", "faces", "tracks"}


def test_each_table_goes_in_its_own_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number, days in enumerate((5, 31, 91)):
        keep(out, str(number) * 16, days)
    store = Store(out)
    settings = settings_of(out, days=90, tables={"faces": 30, "moments": 4})
    with store.writing():
        retention.purge(store, retention.expired(store, settings, NOW), settings, "expired")
    assert there(store, "0" * 16) == ALL - {"moments"}
    assert there(store, "1" * 16) == ALL - {"moments", "faces"}
    assert there(store, "2" * 16) == set()
    # Nothing more is due, and a second time notes nothing.
    assert retention.expired(store, settings, NOW) == []
    (line,) = [line for line in audit.lines(out) if line["event"] == "expired"]
    assert line["recordings"] == [audit.reference("2" * 16)]
    assert line["tables"] == {
        audit.reference("0" * 16): ["moments"],
        audit.reference("1" * 16): ["faces", "moments"],
    }


def test_on_the_last_day_it_is_still_there(tmp_path: Path) -> None:
    store = keep(tmp_path, "a" * 16, 30)
    assert retention.expired(store, settings_of(tmp_path, days=30, tables={}), NOW) == []
    (found,) = retention.expired(store, settings_of(tmp_path, days=29, tables={}), NOW)
    assert (found.recording_id, found.tables) == ("a" * 16, None)


def test_per_person_tables_go_first_unless_told_otherwise(tmp_path: Path) -> None:
    store = keep(tmp_path, "a" * 16, 31)
    assert [found.tables for found in retention.expired(store, config.load().settings, NOW)] == [
        ("faces", "tracks")
    ]


def test_a_night_deletes_what_is_due_and_does_not_read_it_again(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = ("run", "inbox", "--jurisdiction", "IN", "--no-prefect")
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    clips.write_clip(inbox / "old.mp4", clips.steady(Fraction(5), 3))
    clips.write_clip(inbox / "new.mp4", clips.steady(Fraction(5), 4))
    when = NOW - timedelta(40)
    (inbox / "old.toml").write_text(f"started_at = {when.isoformat('T', 'seconds')}\n")
    assert command(*night)[0] == 0
    store = Store(tmp_path / "out")
    assert len(store.all("recordings")) == 2

    monkeypatch.setenv("LECTUREPULSE_RETENTION__DAYS", "30")
    code, said = command(*night)

    assert code == 0
    assert "Older than retention.days" in said
    assert list(store.all("recordings")["source_name"]) == ["new.mp4"]
    assert "deleted 30 days after" in (store.reports / "index.html").read_text("utf-8")
    page = next((store.reports / "maths").glob("*.html")).read_text("utf-8")
    assert (NOW.date() + timedelta(30)).isoformat() in page
    code, said = command(*night)
    assert len([line for line in audit.lines(store.root) if line["event"] == "expired"]) == 1


def test_after_a_purge_nothing_is_found_of_it(command: Command, tmp_path: Path) -> None:
    night = ("run", "inbox", "--jurisdiction", "IN", "--no-prefect")
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    clips.write_clip(inbox / "lesson-zebra.mp4", clips.steady(Fraction(5), 3))
    clips.write_clip(inbox / "other.mp4", clips.steady(Fraction(5), 4))
    (inbox / "lesson-zebra.toml").write_text('title = "About zebras"\n')
    (inbox / "broken-zebra.mp4").write_bytes(b"no video")
    assert command(*night)[0] == 1
    out = tmp_path / "out"
    store = Store(out)
    rows = store.all("recordings").set_index("source_name")["recording_id"]
    ids = [str(rows["lesson-zebra.mp4"]), str(rows["broken-zebra.mp4"])]
    # What else may lie about: a killed run's work, and files once set aside.
    work = store.work_folder(ids[0], "f" * 16)
    work.mkdir(parents=True, exist_ok=True)
    (work / "segment-0000.begun").write_bytes(b"x")
    for aside in ("tables/seconds", "reports/maths", f"work/{ids[0]}/{'e' * 16}"):
        folder = out / "set-aside" / "2026-11-01T000000" / aside
        folder.mkdir(parents=True)
        (folder / f"{ids[0]}.parquet.torn").write_bytes(b"lesson-zebra")
    words = (*ids, "zebra")
    before = mentions(out, *words)
    assert len(before) > 8
    assert f"logs/{ids[1]}.log" in before

    for one in ids:
        code, said = command("purge", "--recording", one)
        assert code == 0
        assert "zebra.mp4: everything" in said
        assert "--yes deletes" in said
    assert mentions(out, *words) == before, "a dry run deleted something"

    for one in ids:
        assert command("purge", "--recording", one, "--yes")[0] == 0
    assert mentions(out, *words) == []
    assert list(store.all("recordings")["source_name"]) == ["other.mp4"]
    assert (store.reports / "index.html").exists()
    events = [line["event"] for line in audit.lines(out)]
    assert events.count("purged") == 2

    # The recordings are still in the inbox: they are not read again by themselves.
    code, said = command(*night)
    assert "--force reads it again" in said
    assert mentions(out, ids[0]) == []
    assert command(*night, "--force")[0] == 1
    assert mentions(out, ids[0])

    # From then on it is a recording like any other: who opts out now is heeded.
    (inbox / "lesson-zebra.toml").write_text('[[exclude]]\nwhat = "opt-out"\nstart = 1\nend = 2\n')
    code, said = command(*night)
    assert "deleted" not in said
    assert store.recording(ids[0])["seconds_left_out"] == 1


@pytest.mark.parametrize("after", ["forget", "clear_work", "remember_night"])
def test_a_purge_that_is_cut_off_is_carried_on(
    after: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for number in range(2):
        store = keep(out, str(number) * 16, 1, title=f"Title {number}")
    settings = settings_of(out)
    for number in range(2):
        pages.write_lecture(store, str(number) * 16, settings)

    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    store.remember_night(Worked("2026-11-02T03:00:00+00:00", ("0" * 16,)))
    with monkeypatch.context() as patched, store.writing():
        patched.setattr(Store, after, cut)
        with pytest.raises(PowerCutError):
            retention.purge(store, [retention.one(store, "0" * 16)], settings, "asked")
    assert command("purge", "--all-expired", "--yes")[0] == 0
    assert mentions(out, "Title 0", "0" * 16) == []
    assert there(Store(out), "1" * 16) == ALL


def test_a_page_no_longer_compares_with_what_went(tmp_path: Path) -> None:
    """The others of the course are drawn anew: the lecture that went is in none of them."""
    out = tmp_path / "out"
    for number, days in enumerate((20, 10)):
        keep(out, str(number) * 16, days, title=f"Title {number}")
    settings = settings_of(out)
    store = Store(out)
    for number in range(2):
        pages.write_lecture(store, str(number) * 16, settings)
    with store.writing():
        retention.purge(store, [retention.one(store, "0" * 16)], settings, "asked")
    assert mentions(out / "reports", "Title 0", "0" * 16) == []


def test_everything_before_a_day(command: Command, tmp_path: Path) -> None:
    for number, days in enumerate((20, 10)):
        keep(tmp_path / "out", str(number) * 16, days)
    day = (NOW - timedelta(15)).date().isoformat()
    code, said = command("purge", "--before", day, "--yes")
    assert code == 0
    assert "1 deleted." in said
    assert list(Store(tmp_path / "out").all("recordings")["recording_id"]) == ["1" * 16]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Say what to delete"),
        (("--recording", "a" * 16, "--all-expired"), "Say what to delete"),
        (("--recording", "b" * 16), "There is no recording"),
        (("--recording", "../../etc"), "There is no recording"),
        (("--before", "yesterday"), "yesterday"),
    ],
)
def test_a_wrong_purge_deletes_nothing(
    words: tuple[str, ...], sentence: str, command: Command, tmp_path: Path
) -> None:
    keep(tmp_path / "out", "a" * 16, 1)
    code, said = command("purge", *words, "--yes")
    assert code == 2
    assert sentence in said
    assert there(Store(tmp_path / "out"), "a" * 16) == ALL


def test_a_purge_waits_for_nobody(command: Command, tmp_path: Path) -> None:
    store = keep(tmp_path / "out", "a" * 16, 1)
    with store.writing():
        code, said = command("purge", "--recording", "a" * 16, "--yes")
    assert code == 3, said
    assert there(store, "a" * 16) == ALL


@pytest.mark.parametrize("words", [("--recording", "c" * 16), ("--before", "2099-01-01")])
def test_what_was_cut_off_can_be_purged_too(
    command: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    store = Store(tmp_path / "out")
    work = store.work_folder("c" * 16, "f" * 16)
    (work / "segment-0000.npz").write_bytes(b"x")
    code, said = command("purge", *words)
    assert code == 0
    assert "not finished" in said
    assert work.exists()
    assert command("purge", *words, "--yes")[0] == 0
    assert not mentions(tmp_path / "out", "c" * 16)


def test_folders_that_bear_the_name_of_a_course_go_with_its_last_recording(tmp_path: Path) -> None:
    store = keep(tmp_path, "a" * 16, 1)
    settings = settings_of(tmp_path)
    store.remember_night(Worked("2026-11-02T03:00:00+00:00", ("a" * 16,)))
    with store.writing():
        pages.write_lecture(store, "a" * 16, settings)
        retention.purge(store, [retention.one(store, "a" * 16)], settings, "asked")
    assert mentions(tmp_path, "maths") == []
    assert "Nothing was new" not in (store.reports / "index.html").read_text("utf-8")


def test_what_is_due_goes_even_in_a_night_that_is_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = keep(tmp_path / "out", "a" * 16, 40)
    (tmp_path / "inbox").mkdir()
    clips.write_clip(tmp_path / "inbox" / "one.mp4", clips.steady(Fraction(5), 3))
    monkeypatch.setenv("LECTUREPULSE_RETENTION__DAYS", "30")
    code, said = command("run", "inbox", "--no-prefect")
    assert (code, "jurisdiction is required" in said) == (2, True)
    assert there(store, "a" * 16) == set()


def test_nothing_was_made_after_it_was_read(tmp_path: Path) -> None:
    store = keep(tmp_path, "a" * 16, -365 * 70)  # a camera's clock
    (found,) = retention.made_before(store, NOW.date() + timedelta(2))
    assert found.made_on <= NOW.date()
    page = pages.write_lecture(store, "a" * 16, settings_of(tmp_path, days=30))
    assert (found.made_on + timedelta(30)).isoformat() in page.read_text("utf-8")


def test_a_purge_follows_no_link(tmp_path: Path) -> None:
    store = keep(tmp_path / "out", "a" * 16, 1)
    elsewhere = tmp_path / "elsewhere" / "month=2026-11"
    elsewhere.mkdir(parents=True)
    others = [elsewhere / f"{'a' * 16}.parquet", elsewhere / f"{'a' * 16}.html"]
    for other in others:
        other.write_bytes(b"somebody else's")
    (store.tables / "seconds" / "course=evil").symlink_to(elsewhere.parent)
    (store.reports).mkdir(exist_ok=True)
    (store.reports / "evil").symlink_to(elsewhere)
    with store.writing():
        removals = [retention.one(store, "a" * 16)]
        retention.purge(store, removals, settings_of(tmp_path / "out"), "asked")
    assert all(other.exists() for other in others)
    assert there(store, "a" * 16) == set()


def test_the_last_night_forgets_it_too(tmp_path: Path) -> None:
    store = keep(tmp_path, "a" * 16, 1)
    store.remember_night(Worked("2026-11-02T03:00:00+00:00", ("a" * 16, "b" * 16)))
    with store.writing():
        retention.purge(store, [retention.one(store, "a" * 16)], settings_of(tmp_path), "asked")
    assert store.last_night() == Worked("2026-11-02T03:00:00+00:00", ("b" * 16,))


def test_words_on_record_may_change_without_reading_anything_again(
    command: Command, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    clips.write_clip(inbox / "one.mp4", clips.steady(Fraction(5), 3))
    (inbox / "bad.mp4").write_bytes(b"no video")
    night = ("run", "inbox", "--no-prefect", "--jurisdiction", "IN")
    assert command(*night)[0] == 1
    store = Store(tmp_path / "out")
    runs = store.all("runs")["run_started_at"].tolist()
    config_file = tmp_path / "lecturepulse.toml"
    config_file.write_text('[deployment]\nconsent = "Signed by all in August."\n')

    code, said = command(*night)

    assert code == 0
    assert "Nothing has changed but what is on record about it" in said
    pages = list((store.reports / "maths").glob("*.html"))
    assert len(pages) == 2
    for page in pages:
        assert "Signed by all in August." in page.read_text("utf-8")
    assert set(store.all("recordings")["consent"]) == {"Signed by all in August."}
    assert store.all("runs")["run_started_at"].tolist() == runs
    assert "is on record" not in command(*night)[1]
