"""Looking into an inbox: what is found, what waits, what fails, and what each thing belongs to."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fer_core import inbox
from fer_core.errors import InputError
from fer_core.inbox import Found
from fer_core.settings import Discovery
from fer_core.store import Place, Store
from tests.factories import examples

NOW = 1_800_000_000.0


@pytest.fixture
def put(tmp_path):
    """Put a file into the inbox, unchanged for a day unless told otherwise."""

    def write(name, content=b"video", *, age_s=86_400.0):
        path = tmp_path / "inbox" / name if isinstance(name, str) else name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (NOW - age_s, NOW - age_s))
        return path

    return write


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "inbox"
    path.mkdir(exist_ok=True)
    return path


def look(*paths, **settings) -> Found:
    return inbox.discover(paths, Discovery(**settings), now=lambda: NOW)


def names(found: Found) -> list[str]:
    return [source.path.name for source in found.sources]


def only(found: Found) -> inbox.Source:
    assert not found.failed
    assert not found.waiting
    (source,) = found.sources
    return source


def failure(found: Found) -> InputError:
    assert not found.sources
    ((_, error),) = found.failed
    assert "\n" not in error.message
    assert error.hint
    return error


def test_a_folder_is_searched_to_any_depth_for_recordings_only(put, folder):
    for name in (
        "a.mp4",
        "x/B.MKV",
        "x/y/z/c.webm",
        "d.gif",
        "notes.txt",
        "a.vtt",
        "mp4",
        "a.mp4~",
    ):
        put(name)
    found = look(folder)
    assert names(found) == ["a.mp4", "d.gif", "B.MKV", "c.webm"]
    assert not found.failed
    assert [s.path for s in found.sources] == sorted(s.path for s in found.sources)
    assert all(source.path.is_absolute() for source in found.sources)


def test_endings_are_a_setting(put, folder):
    put("a.mp4")
    put("b.OGV")
    assert names(look(folder, extensions=(".ogv",))) == ["b.OGV"]


def test_hidden_files_and_folders_are_left_alone(put, folder):
    for name in (".a.mp4", "._b.mp4", ".trash/c.mp4", "x/.cache/d.mp4"):
        put(name)
    assert look(folder) == Found((), (), ())


def test_a_hidden_file_named_by_hand_is_taken(put):
    assert only(look(put(".a.mp4"))).path.name == ".a.mp4"


def test_a_file_named_by_hand_is_taken_whatever_its_ending_or_age(put):
    assert only(look(put("lesson.recording", age_s=0))).path.name == "lesson.recording"


def test_nothing_is_found_twice(put, folder):
    path = put("x/a.mp4")
    assert names(look(folder, path, folder / "x", str(folder / "*" / "*.mp4"))) == ["a.mp4"]
    (folder / "again.mp4").symlink_to(path)
    assert names(look(folder)) == ["a.mp4"]


def test_a_pattern_finds_recordings_and_passes_over_everything_else(put, folder):
    for name in ("x/a.mp4", "y/b.mp4", "y/b.toml", "y/b.vtt", "y/new.mp4"):
        put(name, "", age_s=1 if "new" in name else 100)
    found = look(folder / "*" / "*")
    assert names(found) == ["a.mp4", "b.mp4"]
    assert [path.name for path in found.waiting] == ["new.mp4"]
    assert not found.failed
    assert names(look(str(folder / "**" / "b*"))) == ["b.mp4"]


def test_a_pattern_that_names_a_folder_searches_it(put, folder):
    put("year-1/deep/a.mp4")
    assert names(look(folder / "year-*")) == ["a.mp4"]


def test_a_pattern_that_matches_nothing_says_so(folder):
    assert "Nothing matches '*.mp4'" in failure(look(folder / "*.mp4")).message


def test_a_file_whose_name_looks_like_a_pattern(put):
    path = put("lesson [1]*.mp4")
    put("lesson 1x.mp4")
    assert only(look(path)).path == path


@pytest.mark.parametrize("age_s", [0, 9, -9])
def test_a_file_still_being_copied_waits_for_the_next_run(put, folder, age_s):
    put("a.mp4", age_s=age_s)
    put("b.mp4")
    found = look(folder)
    assert names(found) == ["b.mp4"]
    assert [path.name for path in found.waiting] == ["a.mp4"]
    assert not found.failed


def test_a_file_is_settled_after_the_time_set(put, folder):
    put("a.mp4", age_s=30)
    assert names(look(folder, settle_s=30)) == ["a.mp4"]
    assert look(folder, settle_s=31).waiting
    put("b.mp4", age_s=0)
    assert names(look(folder, settle_s=0)) == ["a.mp4", "b.mp4"]


def test_a_link_that_leads_out_of_the_inbox_is_not_followed(put, folder, tmp_path):
    outside = put(tmp_path / "private" / "secret.mp4")
    (folder / "innocent.mp4").symlink_to(outside)
    for given_ in (folder, folder / "*.mp4"):
        found = look(given_)
        assert "leads out of the inbox" in failure(found).message
    assert only(look(folder / "innocent.mp4")).path == outside


def test_an_inbox_may_itself_be_a_link(put, folder, tmp_path):
    put("maths/a.mp4")
    (tmp_path / "nas").symlink_to(folder)
    assert only(look(tmp_path / "nas")).course == "maths"


def test_links_in_circles_and_to_nowhere_fail_alone(put, folder):
    put("good.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "up").symlink_to(folder)
    (folder / "nowhere.mp4").symlink_to("gone.mp4")
    found = look(folder)
    assert names(found) == ["good.mp4"]
    assert [path.name for path, _ in found.failed] == ["loop.mp4", "nowhere.mp4"]


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_not_opened(put, folder):
    os.mkfifo(folder / "pipe.mp4")
    assert "not a regular file" in failure(look(folder)).message
    assert "not a regular file" in failure(look(folder / "pipe.mp4")).message


@pytest.mark.timeout(20)
def test_a_pipe_for_a_sidecar_is_refused_and_not_opened(put, folder):
    put("a.mp4")
    os.mkfifo(folder / "a.toml")
    assert "sidecar 'a.toml'" in failure(look(folder)).message


def test_a_folder_named_like_a_recording_is_a_folder(put, folder):
    put("lesson.mp4/a.mp4")
    assert names(look(folder)) == ["a.mp4"]


@pytest.mark.parametrize("name", ["gone.mp4", "x" * 256, "x" * 5000, "~nobody-of-that-name/a.mp4"])
def test_a_path_that_is_not_there(folder, name):
    assert "cannot be read" in failure(look(folder / name)).message
    assert failure(look(name))


def test_what_may_not_be_read_is_told_and_the_rest_is_done(put, folder, monkeypatch):
    put("good.mp4")
    put("locked/a.mp4")
    scandir = os.scandir

    def denied(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    found = look(folder)
    assert names(found) == ["good.mp4"]
    ((path, error),) = found.failed
    assert path == folder / "locked"
    assert "Permission denied" in error.message


def test_the_checksum_of_a_recording(put, folder):
    known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert inbox.content_sha256(put("empty.mp4", b"")) == known
    for path in (folder, folder / "gone.mp4"):
        with pytest.raises(InputError, match="cannot be read"):
            inbox.content_sha256(path)


@pytest.mark.parametrize(
    ("name", "started_at", "layout"),
    [
        ("GMT20240620-015624_Recording_gallery_1280x720.mp4", (2024, 6, 20, 1, 56, 24), "gallery"),
        ("GMT20240620-015624_Recording_gvo_1280x720.mp4", (2024, 6, 20, 1, 56, 24), "gallery"),
        ("GMT20240620-015624_Recording_avo_640x360.mp4", (2024, 6, 20, 1, 56, 24), "speaker"),
        ("gmt20240229-235959_recording.mp4", (2024, 2, 29, 23, 59, 59), "unknown"),
        ("GMT20230229-000000_Recording.mp4", None, "unknown"),
        ("GMT20240620-256199_Recording_Gallery.mp4", None, "gallery"),
        ("GMT00010101-000000_Recording.mp4", None, "unknown"),
        ("my GMT20240620-015624_Recording.mp4", None, "unknown"),
        ("Classroom-302.mp4", None, "camera"),
        ("galleryvisit.mp4", None, "unknown"),
    ],
)
def test_what_a_file_s_name_tells(put, name, started_at, layout):
    source = only(look(put(name)))
    assert source.started_at == (datetime(*started_at, tzinfo=UTC) if started_at else None)
    assert source.layout == layout


def test_the_course_comes_from_setting_sidecar_folder_in_this_order(put):
    path = put("maths/2024-06-20 01.56.24 Biology 101/a.mp4")
    assert only(look(path)).course == "Biology 101"
    assert only(look(put("physics/a.mp4"))).course == "physics"
    put(path.with_suffix(".toml"), 'course = "Botany"')
    assert only(look(path)).course == "Botany"
    assert only(look(path, course="Everything")).course == "Everything"


def test_a_sidecar_decides(put):
    path = put("GMT20240620-015624_Recording_gallery.mp4")
    put(
        path.with_suffix(".toml"),
        'course = "B"\ntitle = "T"\nstarted_at = 2026-11-03T15:00:00+05:30\nlayout = "camera"\n'
        "synthetic = true\n",
    )
    source = only(look(path))
    assert source.started_at == datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
    assert source.started_at.utcoffset() == timedelta(0)
    assert (source.course, source.layout) == ("B", "camera")
    assert (source.sidecar.title, source.sidecar.synthetic) == ("T", True)


def test_without_a_sidecar_people_are_real(put):
    assert only(look(put("a.mp4"))).sidecar.synthetic is False


@pytest.mark.parametrize(
    "content",
    [
        "course = ",
        "kourse = 'x'",
        "course = ''",
        "course = 101",
        f"course = '{'x' * 201}'",
        f"title = '{'x' * 501}'",
        "layout = 'mosaic'",
        "synthetic = 'perhaps'",
        "started_at = 2026-11-03T09:30:00",
        "started_at = 2026-11-03",
        "started_at = 'yesterday'",
        "started_at = 0001-01-01T00:00:00+14:00",
        "started_at = 9999-12-31T23:59:59-14:00",
        "[course]\nname = 'x'",
        b"\xff\xfe",
        b"course = \xff",
        "a = " + "[" * 5000,
        "a = " + "1" * 5000,
        "<html>",
    ],
)
def test_a_wrong_sidecar_stops_its_own_recording_only(put, folder, content):
    put("a.mp4")
    put("a.toml", content)
    put("b.mp4")
    found = look(folder)
    assert names(found) == ["b.mp4"]
    ((path, error),) = found.failed
    assert path.name == "a.mp4"
    assert "sidecar 'a.toml'" in error.message
    assert "\n" not in error.message
    assert error.hint


def test_a_sidecar_from_an_editor_that_begins_with_a_byte_order_mark(put):
    path = put("a.mp4")
    put("a.toml", b"\xef\xbb\xbfcourse = 'B'\r\n")
    assert only(look(path)).course == "B"


WEIRD = [
    b"line\nbreak.mp4",
    b"'quotes\".mp4",
    b"<script>alert(1)<!-- &amp;.mp4",
    b"-i.mp4",
    b"concat:a.mp4",
    b"%41 $HOME `id` \\.mp4",
    "Ünïcødé 数学 🎓.mp4".encode(),
    b"not \xff\xfe utf-8.mp4",
    b" .mp4",
    b"\x1b[31m.mp4",
    b"x" * 251 + b".mp4",
    ("é" * 125 + "x.mp4").encode(),
]


@pytest.mark.parametrize("name", WEIRD)
def test_any_name_a_file_system_allows_is_found(put, folder, name):
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    put(path)
    assert only(look(folder)).path == path
    assert only(look(path)).path == path


@pytest.mark.parametrize("name", [name.removesuffix(b".mp4") for name in WEIRD])
def test_any_name_of_a_folder_makes_a_course_of_one_printable_line(put, folder, name):
    put(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)) / "a.mp4")
    course = only(look(folder)).course
    assert course
    assert course.isprintable()
    assert course == course.strip()
    course.encode("utf-8")


@examples(60)
@given(st.text(min_size=1, max_size=200))
def test_no_course_leads_out_of_the_output_folder(tmp_path_factory, course):
    folder = tmp_path_factory.mktemp("in")
    (folder / "a.mp4").touch()
    assume(not re.search(r"[\ud800-\udfff]", course))
    quoted = "".join(f"\\U{ord(character):08x}" for character in course)
    (folder / "a.toml").write_text(f'course = "{quoted}"')
    (source,) = inbox.discover([folder], Discovery(settle_s=0)).sources
    place = Place(source.course, "2026-11", "0" * 16)
    store = Store(folder / "out")
    assert_inside(store, place)


@pytest.mark.parametrize(
    "course", ["..", ".", "../..", "../../etc", "a/../../..", "\\..\\", "..\n"]
)
def test_a_sidecar_cannot_lead_out_of_the_output_folder(put, tmp_path, course):
    path = put("a.mp4")
    put("a.toml", "course = '''" + course + "'''")
    place = Place(only(look(path)).course, "2026-11", "0" * 16)
    assert_inside(Store(tmp_path / "out"), place)


def assert_inside(store: Store, place: Place):
    page = Path(os.path.normpath(store.reports / store.page(place)))
    table = Path(os.path.normpath(store.tables / "seconds" / place.folder / "x.parquet"))
    assert page.relative_to(store.reports).parts[1:] == ("0" * 16 + ".html",)
    assert len(table.relative_to(store.tables / "seconds").parts) == 3
    for part in (*page.parts, *table.parts):
        assert len(os.fsencode(part)) <= 255
        assert part not in (".", "..")
