"""Work files: what comes back is what was kept, or nothing."""

import os
import random
import time
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest

from fer_core import checkpoint
from fer_core.checkpoint import Effort
from fer_core.records import Faces, Observations
from tests import factories

EFFORT = Effort(1.5, 0.25, 3.0)


def same(one: Observations, other: Observations) -> bool:
    arrays = all(
        getattr(one.faces, f.name).dtype == getattr(other.faces, f.name).dtype
        and np.array_equal(getattr(one.faces, f.name), getattr(other.faces, f.name), equal_nan=True)
        for f in fields(Faces)
    )
    numbers = ("rate_hz", "decode_failures", "content_end_s")
    return (
        arrays
        and np.array_equal(one.samples, other.samples)
        and np.array_equal(one.stale, other.stale)
        and all(getattr(one, name) == getattr(other, name) for name in numbers)
    )


@pytest.fixture
def seen():
    lesson = factories.lesson(1, people=3, seconds=4, rate_hz=2).observations
    return replace(lesson, stale=np.arange(8) % 3 == 0)


@pytest.mark.parametrize("nobody", [False, True])
def test_what_was_kept_comes_back(tmp_path, seen, nobody):
    kept = factories.observations(Faces.empty(), seconds=9, lost=[3]) if nobody else seen
    path = tmp_path / "segment.npz"
    checkpoint.keep(path, kept, EFFORT)
    found, effort = checkpoint.restore(path)
    assert same(found, kept)
    assert effort == EFFORT
    assert list(tmp_path.iterdir()) == [path]


def test_faces_that_were_not_read_come_back_so(tmp_path):
    path = tmp_path / "segment.npz"
    unread = Faces.unread(0, np.ones((2, 4)), np.ones(2), np.ones((2, 5, 2)))
    checkpoint.keep(path, factories.observations(unread, seconds=1), EFFORT)
    found, _ = checkpoint.restore(path)
    assert np.isnan(found.faces.probs).all()


def test_one_of_before_there_were_stale_samples_comes_back(tmp_path, seen):
    path = tmp_path / "segment.npz"
    checkpoint.keep(path, seen, EFFORT)
    with np.load(path) as stored:
        earlier = {name: stored[name] for name in stored.files if name != "stale"}
    with path.open("wb") as file:
        np.savez(file, **earlier)
    assert same(checkpoint.restore(path)[0], replace(seen, stale=np.zeros(8, np.bool_)))


def test_a_later_one_replaces_an_earlier_one(tmp_path, seen):
    path = tmp_path / "segment.npz"
    path.write_bytes(b"damaged")
    checkpoint.keep(path, seen, EFFORT)
    assert same(checkpoint.restore(path)[0], seen)


def test_there_is_none(tmp_path):
    assert checkpoint.restore(tmp_path / "segment.npz") is None
    assert checkpoint.restore(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04N.", b"x"])
def test_something_else_is_none(tmp_path, content):
    path = tmp_path / "segment.npz"
    path.write_bytes(content)
    assert checkpoint.restore(path) is None


def test_another_array_file_is_none(tmp_path, seen):
    path = tmp_path / "segment.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert checkpoint.restore(path) is None
    with path.open("wb") as file:
        np.savez(file, rate_hz=[1, 2])
    assert checkpoint.restore(path) is None


def test_a_wrong_shape_or_order_is_none(tmp_path, seen):
    path = tmp_path / "segment.npz"
    checkpoint.keep(path, seen, EFFORT)
    with np.load(path) as stored:
        arrays = dict(stored)
    for name, value in (
        ("box", arrays["box"][:, :3]),
        ("samples", arrays["samples"][::-1]),
        ("samples", arrays["samples"][:1]),
        ("rate_hz", np.array([1, 2])),
    ):
        with path.open("wb") as file:
            np.savez(file, **(arrays | {name: value}))
        assert checkpoint.restore(path) is None, name


def test_objects_are_never_unpickled(tmp_path, seen):
    path = tmp_path / "segment.npz"
    checkpoint.keep(path, seen, EFFORT)
    with np.load(path) as stored:
        arrays = dict(stored) | {"score": np.array([Trap()] * len(seen.faces), object)}
    with path.open("wb") as file:
        np.savez(file, **arrays)
    assert checkpoint.restore(path) is None
    assert not Trap.sprung


class Trap:
    """Tells when it was unpickled."""

    sprung = False

    def __setstate__(self, state):
        Trap.sprung = True

    def __getstate__(self):
        return {"a": 1}


def test_damage_anywhere_gives_nothing_or_the_whole_truth(tmp_path, seen):
    path = tmp_path / "segment.npz"
    checkpoint.keep(path, seen, EFFORT)
    whole = path.read_bytes()
    chance = random.Random(7)
    lost = 0
    for attempt in range(400):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged[: chance.randrange(len(whole))] if attempt % 8 == 0 else damaged)
        found = checkpoint.restore(path)
        if found is None:
            lost += 1
        else:
            assert same(found[0], seen)
            assert found[1] == EFFORT
    assert lost > 100


def test_a_disk_that_fills_up_leaves_the_earlier_one(tmp_path, seen, monkeypatch):
    path = tmp_path / "segment.npz"
    checkpoint.keep(path, seen, EFFORT)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.keep(path, factories.observations(Faces.empty(), seconds=1), EFFORT)
    assert same(checkpoint.restore(path)[0], seen)


def test_it_holds_no_picture(tmp_path, seen):
    path = tmp_path / "segment.npz"
    checkpoint.keep(path, seen, EFFORT)
    allowed = {f.name for f in fields(Faces)} | {f.name for f in fields(Observations)} | {"effort"}
    with zipfile.ZipFile(path) as archive:
        assert {name.removesuffix(".npy") for name in archive.namelist()} <= allowed - {"faces"}


def test_work_that_nobody_comes_back_to_goes_after_a_week(tmp_path, seen):
    for name, days in (("old", 8), ("new", 1)):
        path = tmp_path / name / "key" / "segment.npz"
        path.parent.mkdir(parents=True)
        checkpoint.keep(path, seen, EFFORT)
        then = time.time() - days * 24 * 3600
        for each in (path, path.parent, path.parent.parent):
            os.utime(each, (then, then))
    checkpoint.forget_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_efforts_add_up():
    total = Effort(1, 2, 3) + Effort(0.5, 0.25, 0.125) + Effort()
    assert total == Effort(1.5, 2.25, 3.125)
