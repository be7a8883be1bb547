"""The audit log of a dataset in object storage: an object for each run, with that run's lines.

Nobody else writes to it, so that no line is ever lost to another machine's.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fer_core import audit
from fer_core.bucket import Bucket
from fer_core.folder import explained, write_whole
from fer_core.store import PUBLISHED

_BEGIN: Final = '{"at": "2026-11-03T09:30:00+00:00"'


class Trail:
    """A working copy's audit log, and the objects of it that are known here.

    Args:
        root: folder of the working copy.
        bucket: where the dataset is.
    """

    def __init__(self, root: Path, bucket: Bucket) -> None:
        self._root, self._bucket = root, bucket
        self._own = f"audit/{datetime.now(UTC):%Y-%m-%dT%H%M%S}-{secrets.token_hex(4)}.jsonl"

    def parts(self) -> set[str]:
        """Return the names of the objects that were written from here, or brought here."""
        return {f"audit/{path.name}" for path in (self._root / PUBLISHED).glob("audit/*")}

    def push(self) -> None:
        """Write the lines that are not in the storage yet, as an object of ours.

        Raises:
            TransientError, EnvironmentProblem: the storage does not take it.
        """
        root = self._root
        own = root / PUBLISHED / self._own
        new = _lines([root / audit.LOG])
        new.subtract(_lines(path for path in (root / PUBLISHED).glob("audit/*") if path != own))
        lines = [line for line in _in_order(+new) if line]
        if lines and lines != _in_order(_lines([own])):
            data = "".join(f"{line}\n" for line in lines).encode()
            self._bucket.write(self._own, data, "application/x-ndjson")
            write_whole(own, data)

    def pull(self, there: Iterable[str], before: Iterable[str]) -> None:
        """Bring the lines of other machines here.

        Args:
            there: names of the objects in the storage.
            before: ``parts`` as they were before those were listed. What is no longer there, or
                never was at this address, counts as not published; its lines stay in the log.

        Raises:
            StoreError: the log cannot be written.
            TransientError, EnvironmentProblem: the storage does not answer.
        """
        root, there = self._root, set(there)
        missing = sorted(there - self.parts())
        for name, data in self._bucket.read_all(missing):
            write_whole(root / PUBLISHED / name, data)
        log, told = root / audit.LOG, _lines((root / PUBLISHED).glob("audit/*"))
        if told - _lines([log]):
            # Somebody may be noting what was read here.
            with explained(log), audit.alone(root):
                text = "".join(f"{line}\n" for line in _in_order(told | _lines([log])))
                write_whole(log, text.encode())
        for name in set(before) - there:
            (root / PUBLISHED / name).unlink(missing_ok=True)

    def tells_of_removal(self, recordings: Iterable[str], there: Iterable[str]) -> bool:
        """Say whether other machines' lines tell that some of these recordings were deleted.

        Args:
            recordings: their ids.
            there: names of the objects in the storage.
        """
        missing = sorted(set(there) - self.parts())
        texts = (data.decode(errors="replace") for _, data in self._bucket.read_all(missing))
        gone = audit.purged_in(line for text in texts for line in text.splitlines())
        return not gone.isdisjoint(map(audit.reference, recordings))


def _lines(paths: Iterable[Path]) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in paths:
        with suppress(FileNotFoundError):
            found.update(path.read_text(encoding="utf-8", errors="replace").splitlines())
    return found


def _in_order(lines: Counter[str]) -> list[str]:
    """Return lines of the audit log by their times; each begins with its own."""
    return sorted(lines.elements(), key=lambda line: line[: len(_BEGIN)])
