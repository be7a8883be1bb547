"""The lease of a dataset in object storage: one writer, and none that hangs on for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fer_core import lease, published
from fer_core.bucket import Bucket
from fer_core.errors import StoreError
from tests import s3
from tests.s3 import settings_of

__all__ = ["server", "there"]

server, there = s3.server, s3.bucket


def test_two_machines_never_write_at_once(there: str, tmp_path: Path) -> None:
    one, two = settings_of(there, tmp_path), settings_of(there, tmp_path, "two")
    with published.writing(one):
        taken = pytest.raises(StoreError, match=r"Another run is writing to .* \(from ")
        with taken, published.writing(two):
            pass
        assert published.reading(two).all("recordings").empty
    with published.writing(two):
        pass


def test_a_lease_that_expired_is_taken_and_its_holder_stops(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = Bucket(f"{there}/out"), Bucket(f"{there}/out")
    with lease.leased(mine) as held:
        with monkeypatch.context() as later:
            later.setattr(time, "time", lambda now=time.time: now() + lease.EXPIRES_S + 2)
            taken = lease._take(other)
        taken.check()
        held.renew()
        with pytest.raises(StoreError, match="may no longer write"):
            held.check()
    # What is given back is never another's.
    assert other.described(lease.NAME)
    taken.renew()
    taken.check()
    taken.give_back()
    assert other.described(lease.NAME) is None


def test_a_lease_that_cannot_be_renewed_is_lost_before_it_expires(
    there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Bucket(f"{there}/out")
    held = lease._take(mine)
    held.renew()
    held.check()
    monkeypatch.setattr(
        time, "monotonic", lambda now=time.monotonic: now() + lease.EXPIRES_S - lease._RENEW_S
    )
    with pytest.raises(StoreError, match="may no longer write"):
        held.check()
