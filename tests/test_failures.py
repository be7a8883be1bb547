"""What failed is kept with its reason, and left alone until it changes."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path

import pytest

from fer_core import failures, inbox, pipeline, video
from fer_core.errors import InputError, StoreError, TransientError
from fer_core.folder import need_space
from fer_core.settings import Discovery, Video
from fer_core.store import Store
from fer_core.wording import words
from tests import clips
from tests.conftest import Command


@pytest.fixture(autouse=True)
def _inbox(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()


def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def broken(tmp_path: Path, content: bytes = b"this is no video") -> Path:
    path = tmp_path / "inbox" / "broken.mp4"
    path.write_bytes(content)
    return path


def test_a_failure_keeps_the_title_and_the_day_that_are_known(
    night: Command, tmp_path: Path
) -> None:
    path = broken(tmp_path)
    named = path.with_name("GMT20261109-080000_Recording_gallery_1280x720.mp4")
    named.write_bytes(b"this is no video")
    path.with_suffix(".toml").write_text(
        'title = "Volcanoes"\nstarted_at = 2026-10-07T09:30:00Z\n', encoding="utf-8"
    )
    assert night()[0] == 1
    found = store(tmp_path).all("recordings").set_index("source_name")
    assert found.loc["broken.mp4", "title"] == "Volcanoes"
    assert f"{found.loc['broken.mp4', 'started_at']:%Y-%m-%d %H:%M}" == "2026-10-07 09:30"
    assert found.loc["broken.mp4", "month"] == "2026-10"
    assert f"{found.loc[named.name, 'started_at']:%Y-%m-%d %H:%M}" == "2026-11-09 08:00"
    page = (tmp_path / "out" / "reports" / "index.html").read_text(encoding="utf-8")
    assert "Volcanoes" in page
    assert "2026-10-07" in page
    # Another start is another month: nothing of it stays in the one before.
    path.with_suffix(".toml").write_text("started_at = 2026-09-07T09:30:00Z", encoding="utf-8")
    assert night()[0] == 1
    assert sorted(store(tmp_path).all("recordings")["month"]) == ["2026-09", "2026-11"]


def test_a_failure_is_not_tried_again_until_the_file_changes(
    night: Command, tmp_path: Path
) -> None:
    path = broken(tmp_path)
    assert night()[0] == 1

    code, said = night()
    assert code == 0
    assert "skipped  broken.mp4" in said
    assert "Failed before and has not changed: " in said
    assert "--retry-failed" in said
    assert list(store(tmp_path).all("recordings")["status"]) == ["failed"]

    os.utime(path, (1, 1))
    assert night()[0] == 1
    assert night()[0] == 0
    broken(tmp_path, b"this is no video either")
    assert night()[0] == 1


def test_a_clock_far_ahead_or_behind_ends_no_night(night: Command, tmp_path: Path) -> None:
    """Three hundred years are more nanoseconds than a column holds."""
    ahead, behind = 10_413_792_000, -10_413_792_000
    os.utime(broken(tmp_path), (ahead, ahead))
    for name, seconds, when in (("a.mp4", 3, ahead), ("b.mp4", 4, behind)):
        path = tmp_path / "inbox" / name
        clips.write_clip(path, clips.steady(Fraction(5), seconds))
        os.utime(path, (when, when))
    code, said = night()
    assert code == 1
    assert sorted(store(tmp_path).all("recordings")["status"]) == ["done", "done", "failed"], said
    assert night()[0] == 0


def test_a_failed_recording_says_what_is_on_record(
    night: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTUREPULSE_DEPLOYMENT__CONSENT", "Everybody signed form 7.")
    monkeypatch.setenv("LECTUREPULSE_PRIVACY__PER_PERSON", "true")
    monkeypatch.setenv("LECTUREPULSE_PRIVACY__PER_PERSON_REASON", "seminar pilot")
    broken(tmp_path)
    assert night()[0] == 1

    (page,) = (tmp_path / "out" / "reports").glob("*/*.html")
    text = page.read_text("utf-8")
    assert "Everybody signed form 7." in text
    assert words()("banner.no_consent") not in text
    # Nobody was shown, so nothing was deleted.
    assert "seminar pilot" not in text
    assert "skipped  broken.mp4" in night()[1]
    assert page.read_text("utf-8") == text


@pytest.mark.parametrize("flag", ["--retry-failed", "--force"])
def test_a_failure_is_tried_again_when_asked(night: Command, tmp_path: Path, flag: str) -> None:
    broken(tmp_path)
    assert [night()[0], night()[0], night(flag)[0], night()[0]] == [1, 0, 1, 0]


def test_a_failure_is_tried_again_after_an_update(
    night: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path)
    assert [night()[0], night()[0]] == [1, 0]
    monkeypatch.setattr(failures, "__version__", "99.0.0")
    assert night()[0] == 1


def test_a_fault_that_may_pass_is_tried_every_night(
    night: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips.write_clip(tmp_path / "inbox" / "good.mp4", clips.steady(Fraction(5), 3))

    def killed(*_: object, **__: object) -> object:
        raise TransientError("ffmpeg was ended by signal 9.", hint="Memory?")

    with monkeypatch.context() as patched:
        patched.setattr(pipeline.jobs, "plan", killed)
        assert night()[0] == 1
        assert night()[0] == 1
    assert night()[0] == 0
    assert list(store(tmp_path).all("recordings")["status"]) == ["done"]


def test_a_failure_leaves_a_log_that_goes_with_it(night: Command, tmp_path: Path) -> None:
    path = broken(tmp_path)
    night()

    (log,) = store(tmp_path).all("recordings")["error_log"]
    text = (tmp_path / "out" / log).read_text("utf-8")
    assert str(path) in text
    assert "InputError" in text
    assert "Invalid data found" in text  # the decoder's own words
    assert "Traceback" in text

    path.unlink()
    clips.write_clip(path, clips.steady(Fraction(5), 3))
    assert night()[0] == 0
    assert not list((tmp_path / "out" / "logs").iterdir())


def test_no_more_than_the_longest_duration_is_read(
    night: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips.write_clip(tmp_path / "inbox" / "long.mp4", clips.steady(Fraction(5), 12))
    monkeypatch.setenv("LECTUREPULSE_VIDEO__MAX_DURATION_S", "7")

    code, said = night()

    assert code == 1
    assert "is longer than 7 s" in said
    (row,) = store(tmp_path).all("recordings").to_dict("records")
    assert (row["status"], row["seconds"]) == ("partial", 7)
    assert store(tmp_path).all("seconds")["frames"].tolist() == [1] * 7


def test_a_file_that_is_too_large_is_refused(
    night: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "inbox" / "huge.mp4").open("wb") as file:
        file.truncate(3_000_000)
    monkeypatch.setenv("LECTUREPULSE_VIDEO__MAX_FILE_MB", "2")

    code, said = night()

    assert code == 1
    assert "is larger than 2 MB" in said


def test_with_too_little_space_nothing_is_begun(
    night: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips.write_clip(tmp_path / "inbox" / "good.mp4", clips.steady(Fraction(5), 3))
    monkeypatch.setenv("LECTUREPULSE_RUN__MIN_FREE_MB", str(10**12))

    code, said = night()

    assert code == 3
    assert "MB are free for" in said
    assert "Hint: Free some space" in said
    assert not (tmp_path / "out" / "tables").exists()


def test_space_is_looked_at_where_the_folder_will_be(tmp_path: Path) -> None:
    need_space(tmp_path / "not" / "there" / "yet", 0)
    with pytest.raises(StoreError, match="are wanted"):
        need_space(tmp_path / "not" / "there" / "yet", 10**12)


def test_errors_keep_their_detail_across_processes() -> None:
    error = InputError("a", hint="b", detail="c")
    again = error.__reduce__()[0](*error.__reduce__()[1])
    assert (again.message, again.hint, again.detail) == ("a", "b", "c")


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ESTALE, errno.ETIMEDOUT])
def test_trouble_of_the_machine_is_no_fault_of_the_recording(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    ffmpeg = video.find_ffmpeg(None)

    def failing(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", failing)
        with pytest.raises(TransientError, match="cannot be read now"):
            inbox.content_sha256(path)
        with pytest.raises(TransientError, match="cannot be read now"):
            video.probe(path, ffmpeg, Video())
    with monkeypatch.context() as patched:
        patched.setattr(Path, "resolve", failing)
        ((_, error),) = inbox.discover([path], Discovery()).failed
    assert isinstance(error, TransientError)
