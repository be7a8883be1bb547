"""What has to go, goes: in object storage however a night ends, and of what has no row, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_core import arrivals, nights, pages, published
from tests import s3
from tests.s3 import settings_of
from tests.test_retention import keep

__all__ = ["server", "storage"]

server, storage = s3.server, s3.bucket

ONE, OTHER = "a" * 16, "b" * 16


def test_what_is_due_goes_there_however_the_night_ends(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(storage, tmp_path)
    for recording_id, days in ((ONE, 40), (OTHER, 20)):
        store = keep(settings.out, recording_id, days, title=f"Lesson {days}")
    with published.writing(settings):
        pages.write_index(store, settings)
    found = s3.objects(f"{storage}/out")
    assert len([name for name in found if ONE in name]) == 7
    assert b"Lesson 40" in found["reports/index.html"]

    due = {"retention.days": 30, "retention.tables": {"faces": 10}}
    settings = settings_of(storage, tmp_path, **due)
    monkeypatch.setattr(arrivals, "lay_out", None)  # a fault of ours, as good as a power cut
    with pytest.raises(TypeError), published.writing(settings) as publish:
        nights.work_through([], settings, lambda _: pytest.fail("read"), publish)

    found = s3.objects(f"{storage}/out")
    assert not [name for name, data in found.items() if ONE in name or b"Lesson 40" in data]
    tables = [name.split("/")[1] for name in found if name.startswith("tables/")]
    assert sorted(tables) == ["marks", "moments", "recordings", "runs", "seconds", "tracks"]
    assert any(b'"expired"' in data for name, data in found.items() if name.startswith("audit/"))
