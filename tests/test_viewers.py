"""Those who look live, and what becomes of what they record: bounded, and nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fer_core import aired, audit, checkpoint, viewers
from fer_core.errors import Busy, Gone, InputError, StoreError
from fer_core.settings import Settings
from fer_core.viewers import Viewers
from tests import cameras


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Open = Callable[..., Viewers]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open a registry that no thread looks after, on a clock of ours."""
    made: list[Viewers] = []

    def make(**sections: Any) -> Viewers:
        registry = Viewers(cameras.settings(tmp_path / "out", **sections), Clock())
        registry.start = lambda: None
        made.append(registry)
        return registry

    yield make
    for registry in made:
        registry.shut()


def show(
    registry: Viewers, secret: str, count: int = len(cameras.pictures()), start_s: float = 0.0
) -> None:
    for number, data in enumerate(cameras.pictures()[:count]):
        registry._clock.now += 1 / cameras.RATE_HZ
        registry.see(secret, data, start_s + number / cameras.RATE_HZ)


def settings_of(registry: Viewers) -> Settings:
    return registry._settings


def record(
    registry: Viewers, course: str = "biology 101", count: int = len(cameras.pictures())
) -> str:
    """Record all pictures; return the recording's id."""
    secret, _ = registry.open()
    registry.record(secret, course)
    show(registry, secret, count)
    on_air = registry.stop(secret)
    registry.close(secret)
    assert on_air is not None
    return on_air.recording_id


def conclude(registry: Viewers) -> list[Any]:
    with registry.store.writing():
        return list(aired.conclude_waiting(registry.store, settings_of(registry)))


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_one_too_many_is_told_to_wait(opened: Open):
    registry = opened(live={"viewers": 2})
    first, _ = registry.open()
    registry.open()

    with pytest.raises(Busy, match="2 are looking"):
        registry.open()

    registry.close(first)
    registry.open()
    with pytest.raises(Busy, match="switched off"):
        opened(live={"viewers": 0}).open()


def test_a_view_that_sends_nothing_is_ended(opened: Open):
    registry = opened(live={"viewers": 1, "idle_s": 20})
    quiet, _ = registry.open()
    registry._clock.now += 20.5

    registry.open()

    with pytest.raises(Gone, match="has ended"):
        registry.see(quiet, cameras.pictures()[0], 0)


@pytest.mark.parametrize("secret", ["", "x" * 22, "../etc"])
def test_an_unknown_view_is_gone(opened: Open, secret: str):
    registry = opened()
    for ask in (registry.stop, lambda s: registry.record(s, ""), lambda s: registry.see(s, b"", 0)):
        with pytest.raises(Gone):
            ask(secret)


def test_a_picture_beyond_the_cores_is_refused_not_queued(
    opened: Open, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(viewers.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(viewers, "AIM_S", 0)
    registry = opened()
    (one, view), (other, _) = registry.open(), registry.open()
    entered, leave = threading.Event(), threading.Event()

    def slow(data: bytes, captured_s: float) -> Any:
        entered.set()
        assert leave.wait(20)
        return SimpleNamespace(looked_s=0)

    monkeypatch.setattr(view, "see", slow)
    busy = threading.Thread(target=registry.see, args=(one, cameras.pictures()[0], 0))
    busy.start()
    assert entered.wait(20)
    with pytest.raises(Busy, match="as many pictures"):
        registry.see(other, cameras.pictures()[0], 0)
    with pytest.raises(Busy, match="last picture"):
        registry.see(one, cameras.pictures()[0], 0)
    leave.set()
    busy.join()

    assert len(registry.see(other, cameras.pictures()[0], 0).reading.faces) == cameras.PEOPLE


def test_the_more_look_the_longer_each_is_to_wait(opened: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(viewers.os, "cpu_count", lambda: 2)
    registry = opened()
    assert registry.pause_s() == 1 / 5
    registry._work_s = 0.09
    for _ in range(4):
        registry.open()
    # Four pictures of 90 ms in three quarters of the time of one place.
    assert registry.pause_s() == pytest.approx(4 * 0.09 / 0.75)
    registry._clock.now += 3
    assert registry.pause_s() == 1 / 5, "nobody has sent anything lately"


def test_nothing_is_stored_unless_somebody_records(opened: Open, tmp_path: Path):
    registry = opened()
    secret, _ = registry.open()
    show(registry, secret)
    registry.close(secret)
    registry.shut()
    # That somebody looked is on record; what was seen is not.
    assert files(tmp_path / "out") == {"audit.jsonl"}
    (line,) = audit.lines(tmp_path / "out")
    assert (line["event"], line["what"], line["mode"]) == ("tried", "live", "emotion")

    # Nor while it is recorded, nor when it is not wanted after all.
    registry = opened()
    secret, _ = registry.open()
    registry.record(secret, "")
    show(registry, secret)
    assert registry.stop(secret, keep=False) is None
    assert files(tmp_path / "out") == {"audit.jsonl"}


def test_only_one_recording_a_view(opened: Open):
    registry = opened()
    secret, _ = registry.open()
    assert registry.stop(secret) is None
    registry.record(secret, "")
    with pytest.raises(InputError, match="being recorded"):
        registry.record(secret, "")


def test_a_view_that_ends_while_it_records_keeps_what_there_is(opened: Open):
    registry = opened(live={"idle_s": 5})
    secret, _ = registry.open()
    registry.record(secret, " \x07 ")
    show(registry, secret, 4)
    registry._clock.now += 6

    registry.end_quiet()

    (outcome,) = conclude(registry)
    row = registry.store.recording(str(outcome.recording_id))
    assert row is not None and (row["course"], row["seconds"]) == ("live", 2)


def test_a_full_disk_loses_nothing(opened: Open, monkeypatch: pytest.MonkeyPatch):
    registry = opened()
    secret, _ = registry.open()
    registry.record(secret, "")
    show(registry, secret, 4)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "keep", full)
        with pytest.raises(StoreError, match="No space"):
            registry.stop(secret)
    on_air = registry.stop(secret)

    assert on_air is not None
    (outcome,) = conclude(registry)
    assert outcome.recording_id == on_air.recording_id
