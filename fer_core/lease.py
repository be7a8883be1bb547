"""The right to write to a dataset in object storage: one run at a time, whatever machine it is on.

An object that its holder renews. It is taken by a conditional write, and may be taken from a
holder that has not renewed it for so long that it must be gone.
"""

from __future__ import annotations

import json
import logging
import platform
import secrets
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from fer_core.bucket import Bucket
from fer_core.errors import EnvironmentProblem, LecturePulseError, StoreError, TransientError

NAME: Final = "lease.json"

# The storage's clock tells the age of a lease, ours the present. A server refuses whoever is more
# than 15 minutes off, so a lease renewed every 2 minutes is never taken for one of 20.
EXPIRES_S: Final = 1200.0
_RENEW_S: Final = 120.0

_log = logging.getLogger("lecturepulse")


class Lease:
    """A lease that is held, until it turns out to be lost.

    Args:
        bucket: where the dataset is.
        etag: of the lease as it was written last.
        text: what stands in it.
    """

    def __init__(self, bucket: Bucket, etag: str, text: bytes) -> None:
        self._bucket, self._etag, self._text = bucket, etag, text
        self._renewed = time.monotonic()
        self._lost = False

    def check(self) -> None:
        """Make sure that nobody else writes.

        Raises:
            StoreError: the lease was lost, or could not be renewed for too long.
        """
        if self._lost or time.monotonic() - self._renewed > EXPIRES_S - 2 * _RENEW_S:
            raise StoreError(
                f"This run may no longer write to {self._bucket.url}: its lease is lost.",
                hint="Another run may have taken over. Run again; what is finished is kept.",
            )

    def renew(self) -> None:
        """Write the lease again; whoever waits for it sees that its holder is alive."""
        try:
            etag = self._bucket.swap(NAME, self._text, self._etag)
        except LecturePulseError as error:  # the next try may get through
            _log.warning("The lease was not renewed: %s", error.message)
            return
        if etag is None:
            self._lost = True
        else:
            self._etag, self._renewed = etag, time.monotonic()

    def give_back(self) -> None:
        """Remove the lease, if it is still ours."""
        now = self._bucket.read(NAME)
        if now and now[0] == self._text:
            self._bucket.remove([NAME])


@contextmanager
def leased(bucket: Bucket) -> Generator[Lease]:
    """Hold the lease of a dataset within the block.

    Raises:
        StoreError: another run holds it.
        TransientError: the storage does not answer.
        EnvironmentProblem: it refuses access, perhaps only to remove the lease at the end.
    """
    lease = _take(bucket)
    done = threading.Event()

    def keep() -> None:
        while not done.wait(_RENEW_S):
            lease.renew()

    renewing = threading.Thread(target=keep, daemon=True)
    renewing.start()
    ended = False
    try:
        yield lease
        ended = True
    finally:
        done.set()
        renewing.join()
        try:
            lease.give_back()
        except (TransientError, EnvironmentProblem) as error:
            if ended and isinstance(error, EnvironmentProblem):
                raise  # otherwise what ended the run says more
            _log.warning("The lease was not given back, and expires: %s", error.message)


def _take(bucket: Bucket) -> Lease:
    host, token = platform.node(), secrets.token_hex(8)
    since = datetime.now(UTC).isoformat("T", "seconds")
    text = json.dumps({"host": host, "since": since, "token": token}).encode()
    before = bucket.described(NAME)
    if before and time.time() - before.modified_s < EXPIRES_S:
        raise _taken(bucket)
    etag = bucket.swap(NAME, text, before.etag if before else None)
    if etag is None:
        raise _taken(bucket)
    return Lease(bucket, etag, text)


def _taken(bucket: Bucket) -> StoreError:
    held = bucket.read(NAME)
    by = ""
    if held:
        try:
            told = json.loads(held[0])
            by = f" (from {told['host']}, since {told['since']})"
        except (ValueError, KeyError, TypeError):
            by = ""
    return StoreError(
        f"Another run is writing to {bucket.url}{by}.",
        hint=f"Wait until it has ended. If it was killed, its lease expires after "
        f"{EXPIRES_S / 60:.0f} minutes.",
    )
