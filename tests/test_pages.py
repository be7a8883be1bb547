"""Pages from committed tables: what a night draws, draws again, and leaves alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_core.schema import SCHEMA_VERSION
from fer_core.store import Store, Worked
from tests import clips, pages
from tests.conftest import Command

SIDECAR = """course = "maths"
chapters = [{ at = "0:10", title = "Proof" }, { at = 2, title = "Idea" }]
"""
SAID = "WEBVTT\n\n00:01.000 --> 00:05.000\nAda: one two three four\n"


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Make a recording of two slides, eight seconds each."""
    path = tmp_path_factory.mktemp("slides") / "slides.mp4"
    white = "color=c=white:s=320x180:r=5:d=8"
    boxes = ["drawbox=20:20:200:40:black:fill", "drawbox=60:90:220:70:gray:fill"]
    sources = [part for box in boxes for part in ("-f", "lavfi", "-i", f"{white},{box}")]
    clips.ffmpeg(*sources, "-filter_complex", "concat=n=2", "-pix_fmt", "yuv420p", path)
    return path.read_bytes()


@pytest.fixture
def recording(tmp_path: Path, slides: bytes) -> Path:
    path = tmp_path / "inbox" / "lecture.mp4"
    path.parent.mkdir()
    path.write_bytes(slides)
    return path


def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def lecture(tmp_path: Path) -> Path:
    (page,) = (tmp_path / "out" / "reports").glob("*/*.html")
    return page


def index(tmp_path: Path) -> str:
    root = pages.check((tmp_path / "out" / "reports" / "index.html").read_text("utf-8"))
    return pages.text_of(pages.by_id(root, "main"))


def test_chapters_and_slides_become_marks(night: Command, recording: Path, tmp_path: Path) -> None:
    recording.with_suffix(".toml").write_text(SIDECAR)
    assert night()[0] == 0

    marks = store(tmp_path).all("marks")
    rows = marks[["second", "kind", "title"]].astype(object).where(marks.notna(), None)
    assert rows.to_numpy().tolist() == [
        [2, "chapter", "Idea"],
        [8, "slide", None],
        [10, "chapter", "Proof"],
    ]
    assert list(store(tmp_path).all("recordings")["slide_changes"]) == [1]

    assert "skipped" in night()[1]
    recording.with_suffix(".toml").write_text(SIDECAR.replace("Proof", "Theorem"))
    assert "skipped" not in night()[1]
    assert "Theorem" in list(store(tmp_path).all("marks")["title"])


def test_chapters_of_the_container_are_taken_without_a_sidecar(
    night: Command, recording: Path, tmp_path: Path
) -> None:
    described = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=3\nEND=9\ntitle=Within\n"
    (tmp_path / "chapters.txt").write_text(described)
    plain = recording.rename(tmp_path / "plain.mp4")
    chapters, target = tmp_path / "chapters.txt", recording.with_suffix(".mkv")
    clips.ffmpeg("-i", plain, "-i", chapters, "-map_chapters", "1", "-c", "copy", target)

    night()

    marks = store(tmp_path).all("marks").query("kind == 'chapter'")
    assert marks[["second", "title"]].to_numpy().tolist() == [[3, "Within"]]


def test_a_transcript_that_comes_later_is_read_without_the_video(
    night: Command, recording: Path, tmp_path: Path
) -> None:
    night()
    before = {p: p.read_bytes() for p in (tmp_path / "out" / "tables").rglob("*.parquet")}
    drawn = lecture(tmp_path).read_bytes()
    assert "skipped" in night()[1]
    assert lecture(tmp_path).read_bytes() == drawn

    words = recording.with_suffix(".vtt")
    words.write_text(SAID)
    os.utime(words, (1, 1))  # as a copy keeps it: much older than the page
    said = night()[1]
    assert "skipped" in said
    assert "Nothing has changed but the transcript" in said

    html = lecture(tmp_path).read_text("utf-8")
    assert "60 while somebody spoke" in pages.text_of(pages.by_id(pages.check(html), "pace"))
    assert "Ada" not in html
    (pace,) = store(tmp_path).all("recordings")["words_per_minute"]
    assert pace == 60
    assert " 60 " in index(tmp_path)
    after = {p: p.read_bytes() for p in (tmp_path / "out" / "tables").rglob("*.parquet")}
    assert {p.parts[-4] for p in after if after[p] != before[p]} == {"recordings"}
    assert after.keys() == before.keys()
    assert "Nothing has changed since" in night()[1]

    words.unlink()
    night()
    assert lecture(tmp_path).read_bytes() == drawn
    assert {p: p.read_bytes() for p in after} == before


def test_a_transcript_without_a_word_is_no_pace(
    night: Command, recording: Path, tmp_path: Path
) -> None:
    recording.with_suffix(".vtt").write_text(SAID.replace("Ada: one two three four", "♪ ... ♪"))

    assert night()[0] == 0

    assert "pace" not in {e.get("id") for e in pages.parse(lecture(tmp_path).read_text()).iter()}


def test_chapters_taken_away_are_gone(night: Command, recording: Path, tmp_path: Path) -> None:
    recording.with_suffix(".toml").write_text(SIDECAR)
    night()
    recording.with_suffix(".toml").write_text('course = "maths"')
    night()

    assert list(store(tmp_path).all("marks")["kind"]) == ["slide"]
    assert "skipped" in night()[1]


def test_a_very_long_course_is_done_once(night: Command, recording: Path) -> None:
    recording.with_suffix(".toml").write_text(f'course = "{"विज्ञान" * 12}"')

    assert "skipped" not in night()[1]
    assert "skipped" in night()[1]


def test_a_renamed_course_takes_its_page_along(
    night: Command, recording: Path, tmp_path: Path
) -> None:
    night()
    assert lecture(tmp_path).parent.name == "inbox"
    recording.with_suffix(".toml").write_text('course = "maths"')
    night()

    assert lecture(tmp_path).parent.name == "maths"


def test_tables_of_an_earlier_schema_are_read_and_replaced(
    night: Command, command: Command, recording: Path, tmp_path: Path
) -> None:
    night()
    kept = store(tmp_path)
    (known,) = kept.all("recordings")["recording_id"]
    drop = {"seconds": [], "recordings": ["slide_changes", "transcript_sha256", "error_log"]}
    for path in kept.tables.glob("*/*/*/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if path.parts[-4] == "recordings":
            at = table.schema.get_field_index("schema_version")
            table = table.set_column(at, "schema_version", pa.array([1], pa.int16()))
        table = table.drop_columns(drop.get(path.parts[-4], []))
        pq.write_table(table, path)
        # The same again under another id: a lecture whose recording is gone.
        other = path.with_name(f"{'f' * 16}.parquet")
        at = table.schema.get_field_index("recording_id")
        ids = pa.array(["f" * 16] * len(table))
        table = table.set_column(at, "recording_id", ids)
        if path.parts[-4] == "recordings":
            at = table.schema.get_field_index("source_path")
            table = table.set_column(at, "source_path", pa.array(["/gone/lecture.mp4"]))
        pq.write_table(table, other)

    assert command("report", "--all")[0] == 0
    code, said = night()

    assert code == 0, said
    rows = kept.all("recordings").set_index("recording_id")
    assert rows["status"].to_dict() == {known: "done", "f" * 16: "done"}
    assert rows["schema_version"].to_dict() == {known: SCHEMA_VERSION, "f" * 16: 1}
    assert "skipped" in night()[1]


def test_a_damaged_transcript_is_told_and_nothing_is_lost(
    night: Command, recording: Path, tmp_path: Path
) -> None:
    recording.with_suffix(".vtt").write_bytes(b"\xff\xfe\x00broken")
    code, said = night()

    assert code == 0
    assert "transcript 'lecture.vtt' cannot be read" in said
    assert lecture(tmp_path).exists()


def test_a_failed_recording_has_a_page_until_it_is_mended(
    night: Command, recording: Path, tmp_path: Path, slides: bytes
) -> None:
    recording.write_bytes(b"no video at all")
    assert night()[0] == 1
    assert "is not a video" in pages.text_of(
        pages.by_id(pages.check(lecture(tmp_path).read_text("utf-8")), "notice")
    )
    assert "failed lecture.mp4" in index(tmp_path)

    recording.write_bytes(slides)
    assert night()[0] == 0
    assert "is not a video" not in lecture(tmp_path).read_text("utf-8")


def test_the_index_remembers_the_last_run(
    night: Command, command: Command, recording: Path, tmp_path: Path
) -> None:
    night()
    assert "done lecture.mp4" in index(tmp_path)
    drawn = index(tmp_path)

    assert command("report", "--all")[0] == 0
    assert index(tmp_path) == drawn

    night()
    assert "Nothing was new." in index(tmp_path)


def test_pages_drawn_twice_are_the_same(
    night: Command, command: Command, recording: Path, tmp_path: Path
) -> None:
    recording.with_suffix(".toml").write_text(SIDECAR)
    recording.with_suffix(".vtt").write_text(SAID)
    night()
    reports = tmp_path / "out" / "reports"
    first = {p: p.read_bytes() for p in reports.rglob("*.html")}

    command("report", "--all")

    assert {p: p.read_bytes() for p in reports.rglob("*.html")} == first
    assert len(first) == 2


def test_an_unknown_language_is_found_before_the_work(
    night: Command, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTUREPULSE_REPORT__LANGUAGE", "tlh")
    code, said = night()

    assert code == 2
    assert "no catalogue for the language 'tlh'" in said
    assert "Reading" not in said
    assert not (tmp_path / "out" / "tables").exists()


@pytest.mark.parametrize("at", ["'soon'", "-1", "nan", "inf", "true", "'1:2'", "[1]", "1e9"])
def test_a_chapter_at_no_time_is_refused(night: Command, recording: Path, at: str) -> None:
    recording.with_suffix(".toml").write_text(f"[[chapters]]\nat = {at}\ntitle = 'x'\n")
    code, said = night()

    assert code == 1
    assert "sidecar 'lecture.toml' is wrong at 'chapters', entry 1, 'at': it " in said


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"ended_at": 1}', "null"),
        '{"ended_at": "yesterday", "worked_on": []}',
        '{"ended_at": null, "worked_on": []}',
        '{"ended_at": "2026-11-12T02:40:00+00:00", "worked_on": "abc"}',
    ],
)
def test_a_damaged_memory_of_the_last_run_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    kept = store(tmp_path)
    kept.remember_night(Worked("2026-11-12T02:40:00+00:00", ("a", "b")))
    assert kept.last_night() == Worked("2026-11-12T02:40:00+00:00", ("a", "b"))
    assert json.loads((kept.root / "last-night.json").read_text())["worked_on"] == ["a", "b"]

    (kept.root / "last-night.json").write_text(text)
    assert kept.last_night() is None
