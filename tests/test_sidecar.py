"""What is said of a mistake in the file beside a recording: in words of whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_core import inbox
from fer_core.settings import Discovery


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("titel = 'x'", "has 'titel', which is not known.", "Did you mean 'title'? It may hold"),
        ("zzz = 1", "has 'zzz', which is not known.", "It may hold course, title, started_at"),
        (
            "[[chapters]]\nat = 1\ntitle = 'x'\ntitel = 2",
            "has 'chapters', entry 1, 'titel', which is not known.",
            "Did you mean 'title'? It may hold at, title.",
        ),
        (
            "[[exclude]]\nend = 9\n[[exclude]]\n",
            "is wrong at 'exclude', entry 2: it leaves nothing of the recording.",
            "Correct that entry",
        ),
        ("[[chapters]]\nat = 1", "at 'chapters', entry 1, 'title': it is missing.", "Correct"),
        ("course = 101", "is wrong at 'course': it should be a valid string.", "Correct"),
        ("layout = 'x'", "it should be 'gallery', 'speaker' or 'camera'.", "Correct"),
        ("started_at = 2026-11-03T09:30:00", "at 'started_at': it needs a time zone", "Correct"),
    ],
)
def test_a_mistake_is_told_in_plain_words(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    recording = tmp_path / "a.mp4"
    recording.write_bytes(b"video")
    recording.with_suffix(".toml").write_text(text)

    ((_, error),) = inbox.discover([recording], Discovery()).failed

    assert error.message.startswith("The sidecar 'a.toml' ")
    assert message in error.message
    assert error.hint.startswith(hint)
    assert "Value error" not in error.message
