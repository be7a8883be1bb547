"""Names and neighbours of recordings: they move, are mended, are hostile, and are only data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from fer_core.store import Store
from tests import clips

Night = Callable[..., tuple[int, str]]


def test_a_recording_that_moves_keeps_its_rows(night: Night, inbox: Path, tmp_path: Path) -> None:
    latest, monday = inbox / "class.mp4", inbox / "monday.mp4"
    assert night()[0] == 0
    latest.rename(monday)
    clips.write_clip(latest, clips.steady(Fraction(5), 4))

    code, said = night()

    assert code == 0
    assert "Nothing has changed but its name, which was 'class.mp4'." in said
    rows = Store(tmp_path / "out").all("recordings").set_index("source_name")
    assert dict(rows["seconds"]) == {"class.mp4": 4, "monday.mp4": 12}
    assert rows.loc["monday.mp4", "source_path"] == str(monday)

    # Two that change places keep theirs as well, and pages link to where they are now.
    other = inbox / "other.mp4"
    latest.rename(other)
    monday.rename(latest)
    other.rename(monday)
    assert night()[0] == 0
    rows = Store(tmp_path / "out").all("recordings").set_index("source_name")
    assert dict(rows["seconds"]) == {"monday.mp4": 4, "class.mp4": 12}
    page = tmp_path / "out" / "reports" / "maths" / f"{rows.loc['class.mp4', 'recording_id']}.html"
    assert "monday.mp4" not in page.read_text("utf-8")
    assert night()[1].count("Nothing has changed since it was done.") == 2


def test_a_copy_keeps_the_rows_when_the_original_is_replaced(
    night: Night, inbox: Path, tmp_path: Path
) -> None:
    shutil.copy(inbox / "class.mp4", inbox / "copy.mp4")
    assert night()[0] == 0
    clips.write_clip(inbox / "class.mp4", clips.steady(Fraction(5), 4))
    assert night()[0] == 0
    rows = Store(tmp_path / "out").all("recordings").set_index("source_name")
    assert dict(rows["seconds"]) == {"class.mp4": 4, "copy.mp4": 12}


@pytest.mark.parametrize(
    ("column", "line", "value"),
    [("layout", 'layout = "camera"', "camera"), ("title", 'title = "Waves"', "Waves")],
)
def test_what_a_sidecar_says_anew_is_taken(
    column: str, line: str, value: str, night: Night, inbox: Path, tmp_path: Path
) -> None:
    assert night()[0] == 0
    (inbox / "class.toml").write_text(line + "\n")
    assert night()[0] == 0
    assert list(Store(tmp_path / "out").all("recordings")[column]) == [value]
    assert "Nothing has changed since it was done." in night()[1]


@pytest.mark.parametrize("line", ["started_at = 2026-11-03T09:30:00.123456Z", 'title = ""'])
def test_what_a_table_holds_otherwise_is_not_read_anew(
    line: str, night: Night, inbox: Path
) -> None:
    (inbox / "class.toml").write_text(f"{line}\n")
    assert night()[0] == 0
    assert "Nothing has changed since it was done." in night()[1]


def test_marks_that_were_deleted_in_their_time_do_not_come_back(
    night: Night, inbox: Path, tmp_path: Path
) -> None:
    when = (datetime.now(UTC) - timedelta(40)).isoformat("T", "seconds")
    chapters = 'chapters = [{ at = 1, title = "Light" }]'
    (inbox / "class.toml").write_text(f"started_at = {when}\n{chapters}\n")
    assert night()[0] == 0
    store = Store(tmp_path / "out")
    assert list(store.all("marks")["title"]) == ["Light"]

    (tmp_path / "lecturepulse.toml").write_text("[retention.tables]\nmarks = 30\n")
    for _ in range(2):
        code, said = night()
        assert code == 0
        assert "Nothing has changed since it was done." in said
        assert not [*store.files("marks")]
    # Whatever it is read anew for.
    (inbox / "class.toml").write_text(f'title = "Waves"\nstarted_at = {when}\n{chapters}\n')
    assert "done  class.mp4" in night()[1]
    assert not [*store.files("marks")]


def test_a_mended_sidecar_limit_or_permission_lifts_the_quarantine(
    night: Night, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "class.toml").write_text("colour = 1\n")
    assert night()[0] == 1
    (inbox / "class.toml").unlink()
    assert night()[0] == 0

    clips.write_clip(inbox / "class.mp4", clips.steady(Fraction(5), 4))
    with monkeypatch.context() as patched:
        patched.setenv("LECTUREPULSE_VIDEO__MAX_PIXELS", "1000")
        assert [night()[0], night()[0]] == [1, 0]
    assert night()[0] == 0
    assert list(Store(tmp_path / "out").all("recordings")["status"]) == ["done"]


@pytest.mark.parametrize("at", [6, 40, 100, 400])
def test_damage_inside_a_row_costs_no_night(
    at: int, night: Night, inbox: Path, tmp_path: Path
) -> None:
    assert night()[0] == 0
    before = Store(tmp_path / "out").all("recordings")
    (path,) = (tmp_path / "out" / "tables" / "recordings").rglob("*.parquet")
    data = bytearray(path.read_bytes())
    data[at : at + 4] = b"\xff\x13\x77\xee"
    path.write_bytes(data)
    code, said = night()
    assert code == 0, said
    # Not every byte of a file says something.
    assert before.equals(Store(tmp_path / "out").all("recordings"))


ODD_NAMES = [b"plain.mp4", "é 课.mp4".encode(), b"a\xff\xfe.mp4", b"bytes:%.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_passes_through_a_flow(name: bytes, tmp_path: Path) -> None:
    from flows.recording import path_as_text, text_as_path

    path = tmp_path / os.fsdecode(name)
    path_as_text(path).encode()
    assert text_as_path(path_as_text(path)) == path


NAMES = [
    'it\'s "quoted".mp4',
    "two\nlines.mp4",
    "<script>alert(1)</script>.mp4".replace("/", "\u2215"),
    "a..mp4",
    "-i.mp4",
    "concat:a.mp4",
    "%2e%2e%2f.mp4",
    "\x1b[31mred\x1b[0m.mp4",
    "课堂 🎓 é.mp4",
    "a" * 251 + ".mp4",
    "$(touch hacked);`touch hacked`.mp4",
]


@pytest.mark.slow
def test_any_name_is_data_everywhere(night: Night, inbox: Path, clip: Path, tmp_path: Path) -> None:
    (inbox / "class.mp4").unlink()
    data = clip.read_bytes()
    for number, name in enumerate(NAMES):
        # Every one its own content: equal ones would be done once.
        (inbox / name).write_bytes(data + bytes([number]))
        (inbox / f"{name[:-4][:200]} broken.mp4").write_bytes(b"no video " + bytes([number]))

    code, said = night()

    assert code == 1
    rows = Store(tmp_path / "out").all("recordings")
    done = rows[rows["status"] == "done"]
    assert sorted(done["source_name"]) == sorted(NAMES)
    assert (rows["status"] == "failed").sum() == len(NAMES)
    assert "\x1b" not in said
    assert not list(tmp_path.rglob("hacked"))
    # Pages are checked for tags by conftest; paths on disk hold ids and the course alone.
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert not [name for name in names if "script" in name or "mp4" in name]
    for log in (tmp_path / "out" / "logs").iterdir():
        assert "\x1b" not in log.read_text("utf-8").split("Traceback")[0]
        assert sum("recording: " in line for line in log.read_text("utf-8").splitlines()) == 1


def test_a_link_beside_a_recording_leads_nowhere_else(
    night: Night, inbox: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("WEBVTT\n\n00:00.000 --> 00:09.000\nnobody may know\n")
    (inbox / "class.vtt").symlink_to(secret)
    assert night()[0] == 0
    page = next((tmp_path / "out" / "reports" / "maths").glob("*.html")).read_text("utf-8")
    assert "nobody may know" not in page
    assert Store(tmp_path / "out").all("recordings")["transcript_sha256"].isna().all()

    (inbox / "class.toml").symlink_to(secret)
    code, said = night()
    assert code == 1
    assert "'class.toml' is a link that leads out of its folder." in said
