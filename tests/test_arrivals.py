"""What lies in object storage beside a recording: read where it lies, and never left here."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_core import arrivals, pages, published, retention
from fer_core.settings import Settings
from fer_core.store import Store
from tests import s3
from tests.s3 import settings_of
from tests.test_retention import keep, mentions

__all__ = ["server", "storage"]

server, storage = s3.server, s3.bucket

ONE, OTHER = "a" * 16, "b" * 16


def words(text: str) -> bytes:
    return f"WEBVTT\n\n00:00.000 --> 00:02.000\n{text}\n".encode()


@pytest.fixture
def kept(storage: str, tmp_path: Path) -> Settings:
    """Return the settings of a dataset with two lectures of one folder in object storage."""
    settings = settings_of(storage, tmp_path)
    for number, recording_id in enumerate((ONE, OTHER)):
        source = f"{storage}/inbox/maths/{recording_id[:4]}.mp4"
        keep(settings.out, recording_id, 9 + number, source_path=source)
        s3.client().pipe_file(source, b"video")
    for name, text in {"aaaa.vtt": "Quokka", "bbbb.cc.vtt": "Wombat", "cccc.vtt": "Quokka"}.items():
        s3.client().pipe_file(f"{storage}/inbox/maths/{name}", words(text))
    return settings


def draw(settings: Settings) -> None:
    with published.writing(settings):
        for recording_id in (ONE, OTHER):
            pages.write_lecture(Store(settings.out), recording_id, settings)


def said(settings: Settings, recording_id: str) -> str | None:
    store = Store(settings.out)
    row = store.recording(recording_id)
    assert row
    found = arrivals.spoken(row["source_path"], settings, store.root)
    return found and found.said(0, 9)


def test_each_recording_has_its_own_transcript_and_none_stays_here(
    kept: Settings, storage: str
) -> None:
    draw(kept)
    assert [said(kept, ONE), said(kept, OTHER)] == ["Quokka", "Wombat"]
    store = Store(kept.out)
    with published.writing(kept):
        retention.purge(store, [retention.one(store, ONE)], kept, "asked")
    assert not (kept.out / "inbox").exists()
    assert not [*kept.out.rglob("*.vtt")]
    # One that was taken away is gone at once, a better one taken at once.
    s3.client().rm_file(f"{storage}/inbox/maths/bbbb.cc.vtt")
    assert said(kept, OTHER) is None
    for name, text in {"bbbb.vtt": "Numbat", "bbbb.transcript.vtt": "Bilby"}.items():
        s3.client().pipe_file(f"{storage}/inbox/maths/{name}", words(text))
    assert said(kept, OTHER) == "Bilby"


def test_a_transcript_there_that_is_none_is_told_of(
    kept: Settings, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("fer_core.progress.tell", lambda _, text: told.append(text))
    s3.client().pipe_file(f"{storage}/inbox/maths/aaaa.vtt", b"<html>")
    assert said(kept, ONE) is None
    assert len(told) == 1
    assert "'aaaa.vtt' cannot be read" in told[0]


def test_what_a_killed_night_laid_out_is_neither_used_nor_left(
    kept: Settings, storage: str
) -> None:
    with published.writing(kept):
        arrivals.lay_out([f"{storage}/inbox/maths"], kept, kept.out)
    assert mentions(kept.out / "inbox", "Quokka")
    s3.client().rm_file(f"{storage}/inbox/maths/aaaa.vtt")
    with published.writing(kept):
        assert said(kept, ONE) is None
    assert not (kept.out / "inbox").exists()


def test_what_is_known_of_contents_is_not_copied_for_each_recording(
    kept: Settings, storage: str
) -> None:
    """Of 300,000 that took 40 minutes a night."""
    root = kept.out.absolute()
    with published.writing(kept):
        arrivals.lay_out([f"{storage}/inbox/maths"], kept, root)
        path = root / "inbox" / storage.removeprefix("s3://") / "inbox" / "maths" / "aaaa.mp4"
        arrivals._keep(root, {arrivals._key(path, root): ("f" * 64, "2026-11-03")})
        before = arrivals._known(root)
        assert arrivals.content_of(path, root) == "f" * 64
        assert arrivals._known(root) is before
        # Another process, or the storage, may have put another in its place.
        (root / arrivals.KNOWN).write_text("{}")
        assert arrivals.content_of(path, root) is None
