"""What was seen becomes tables: nothing withheld is told in another of them, nothing is lost."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_core import assets
from fer_core.checkpoint import Effort
from fer_core.conclude import Recorded, Work, conclude
from fer_core.exclude import Exclusion
from fer_core.policy import Permission
from fer_core.records import Faces, Observations
from fer_core.settings import Settings
from fer_core.store import Place, Store
from tests import factories

ID = "a" * 16
PER_PERSON = {"per_person": True, "per_person_reason": "A test"}


def concluded(out: Path, seen: Observations, settings: Settings, **about: Any) -> Store:
    """Turn observations into tables and return where they are; keywords say what is known."""
    store = Store(out)
    known: dict[str, Any] = {
        "name": "class.mp4",
        "path": None,
        "place": Place("maths", "2026-11", ID),
        "sha256": "ab" * 32,
        "started_at": datetime.now(UTC),
        "mtime_ns": time.time_ns(),
        "size_px": (1280, 720),
        "chapters": (),
        "exclusions": (),
        "permission": Permission("emotion", "A test."),
        "model": assets.chosen(settings.classification),
        "synthetic": False,
        "settings": settings,
        "columns": {
            "source_bytes": 1,
            "container": "mov,mp4",
            "codec": "h264",
            "layout": "gallery",
        },
    }
    work = Work(time.perf_counter(), datetime.now(UTC), "core", Effort())
    with store.writing():
        conclude(Recorded(**known | about), seen, store, work)
    return store


def dip(seconds: int = 500, at: int = 200) -> Observations:
    """Observe twelve people, five of whom can be read; those change for a minute."""
    random = np.random.default_rng(1)
    parts = []
    for second in range(seconds):
        faces = factories.faces(12, sample=second)
        name = "sad" if at <= second < at + 60 else "neutral"
        faces.probs[:5] = factories.probs([name] * 5, 0.8)
        faces.probs[:5] += random.normal(0, 0.005, (5, 7))
        faces.probs[5:] = 1 / 7
        parts.append(faces)
    return factories.observations(Faces.concat(parts), seconds=seconds)


def test_of_seconds_without_an_index_no_moment_is_told(tmp_path: Path) -> None:
    for coverage, count in ((0.5, 0), (0.3, 1)):
        settings = factories.settings(engagement={"min_coverage": coverage})
        store = concluded(tmp_path / str(count), dip(), settings)
        assert store.read("seconds", ID)["engagement"].notna().any() == bool(count)
        assert len(store.read("moments", ID)) == count


def test_a_moment_at_a_new_slide_says_so(tmp_path: Path) -> None:
    settings = factories.settings(engagement={"min_coverage": 0.3})
    seen = dip()
    # Away from the faces, which are in the topmost row.
    seen.thumbnails[200:, 18:, :] = 200
    for name, shown in (("plain", dip()), ("slide", seen)):
        store = concluded(tmp_path / name, shown, settings)
        (moment,) = store.read("moments", ID).to_dict("records")
        assert moment["at_layout_change"] == (name == "slide")
        assert store.read("marks", ID)["second"].tolist() == ([200] if name == "slide" else [])


def test_where_something_begins_to_be_left_out_is_no_slide(tmp_path: Path) -> None:
    seen = factories.observations(Faces.empty(), seconds=40)
    seen.thumbnails[:20, 18:, :] = 200
    bottom = Exclusion(area=(0, 0.66, 1, 1), start=20)
    assert len(concluded(tmp_path / "slide", seen, Settings()).read("marks", ID)) == 1
    store = concluded(tmp_path / "left-out", seen, Settings(), exclusions=(bottom,))
    assert store.read("marks", ID).empty


def test_a_new_layout_within_a_second_makes_no_group_of_a_few(tmp_path: Path) -> None:
    seen = factories.lesson(0, people=4, seconds=3, rate_hz=2, layout_change=3).observations
    rows = concluded(tmp_path, seen, Settings()).read("seconds", ID)
    assert rows["faces"].tolist() == [4, 4, 4]
    assert rows["suppressed"].all()


def test_tracks_are_numbered_in_no_order_and_anew_for_each_recording(tmp_path: Path) -> None:
    seen = factories.lesson(0, people=9, seconds=3).observations
    settings = factories.settings(privacy=PER_PERSON)
    numbers = [
        concluded(tmp_path / sha256, seen, settings, sha256=sha256 * 64)
        .read("faces", ID)["track"]
        .tolist()[:9]
        for sha256 in "ab"
    ]
    assert sorted(numbers[0]) == sorted(numbers[1]) == list(range(9))
    assert numbers[0] != numbers[1]
    assert list(range(9)) not in numbers


@pytest.mark.parametrize(("days_ago", "written"), [(29, True), (31, False)])
@pytest.mark.parametrize("known", [True, False])
def test_a_table_past_its_time_is_not_written_again(
    days_ago: int, written: bool, known: bool, tmp_path: Path
) -> None:
    seen = factories.lesson(0, people=6, seconds=2).observations
    settings = factories.settings(privacy=PER_PERSON, retention={"tables": {"faces": 30}})
    made = datetime.now(UTC) - timedelta(days_ago)
    when = {"started_at": made} if known else {"started_at": None}
    when |= {} if known else {"mtime_ns": int(made.timestamp() * 1e9)}
    store = concluded(tmp_path, seen, settings, **when)
    assert (not store.read("faces", ID).empty) == written
    assert not store.read("tracks", ID).empty


def test_where_nobody_was_read_nobody_is_uncertain(tmp_path: Path) -> None:
    seen = factories.lesson(0, people=6, seconds=2).observations
    seen.faces.probs[:] = np.nan
    rows = concluded(tmp_path, seen, Settings(), model=None).read("seconds", ID)
    assert rows["uncertain"].isna().all()
    assert rows["facing"].notna().all()


def test_words_in_what_is_left_out_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "class.vtt").write_text(
        "WEBVTT\n\n00:00.000 --> 00:10.000\none two\n\n00:20.000 --> 00:30.000\n" + "many " * 50
    )
    seen = factories.observations(Faces.empty(), seconds=60)
    about = {"path": tmp_path / "class.mp4", "exclusions": (Exclusion(start=15, end=35),)}
    row = concluded(tmp_path / "out", seen, Settings(), **about).recording(ID)
    assert row is not None
    assert row["words_per_minute"] == pytest.approx(12)
    assert row["seconds_left_out"] == 20


def test_a_recording_is_as_long_as_its_content_though_its_end_shows_nothing(
    tmp_path: Path,
) -> None:
    seen = factories.observations(Faces.empty(), seconds=10, lost=[3, 8, 9])
    for end_s, rows in ((9.2, 10), (10.0, 10), (7.0, 8)):
        store = concluded(tmp_path / str(end_s), replace(seen, content_end_s=end_s), Settings())
        frames = store.read("seconds", ID)["frames"].tolist()
        assert frames == [1, 1, 1, 0, 1, 1, 1, 1, 0, 0][:rows]


def test_a_moment_needs_the_minimum_group_in_it_and_around_it(tmp_path: Path) -> None:
    # Twelve are read in every second; five of them are others every twenty seconds.
    parts = []
    for second in range(500):
        corner = np.array([[200.0 * k, 0.0] for k in range(12)])
        corner[7:, 1] += 200.0 * (second // 20)
        name = "sad" if 200 <= second < 260 else "neutral"
        read = factories.probs([name] * 12, 0.8)
        parts.append(factories.faces(12, sample=second, corner=corner, read=read))
    seen = factories.observations(Faces.concat(parts), seconds=500)
    for least, count in ((7, 1), (9, 0)):
        settings = factories.settings(privacy={"min_group": least})
        store = concluded(tmp_path / str(least), seen, settings)
        assert store.read("seconds", ID)["engagement"].notna().all()
        assert len(store.read("moments", ID)) == count
