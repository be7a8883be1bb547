"""What of a dataset stands in object storage, as far as this machine knows; and at which address.

Whatever is known belongs to one address only. At any other nothing is: so nothing can be missing
there that would have to go here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from fer_core.folder import write_whole
from fer_core.store import PUBLISHED

NOTED: Final = f"{PUBLISHED}/known.json"
"""Where in the working copy it is noted."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A recording as it was published or brought here: its objects, and how its files looked."""

    commit: str
    objects: tuple[str, ...]
    looked: str


@dataclass(slots=True)
class Known:
    """What stands at an address: rows by recording; ETag and look by name.

    ``url`` is empty where it was not noted, as by earlier versions.
    """

    url: str = ""
    recordings: dict[str, Rows] = field(default_factory=dict[str, Rows])
    files: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def at(self, url: str, there: Iterable[str]) -> Known:
        """Return what of it holds at an address: all of it at its own, otherwise nothing.

        Args:
            url: the address, normalised.
            there: names of the objects that stand there. Where no address was noted, it is this
                one if any object that is known does: no two datasets have one in common.
        """
        objects = {name for rows in self.recordings.values() for name in rows.objects}
        ours = self.url == url or (not self.url and not objects.isdisjoint(there))
        return Known(url, self.recordings, self.files) if ours else Known(url)


def noted(root: Path) -> Known:
    """Return what is noted in a working copy; nothing where that cannot be read."""
    try:
        told = json.loads((root / NOTED).read_text(encoding="utf-8"))
        rows = {
            recording_id: Rows(one["commit"], tuple(one["objects"]), one["looked"])
            for recording_id, one in told["recordings"].items()
        }
        files = {name: (one[0], one[1]) for name, one in told["files"].items()}
        return Known(str(told.get("url", "")), rows, files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return Known()  # then everything is looked at anew


def take_note(root: Path, known: Known) -> None:
    """Note it in a working copy.

    Raises:
        StoreError: it cannot be written.
    """
    write_whole(root / NOTED, json.dumps(asdict(known)).encode())


def look_at(paths: Iterable[Path]) -> str:
    """Return what changes when a file does, as ``make`` sees it."""
    seen: list[str] = []
    for path in sorted(paths):
        status = path.stat()
        seen.append(f"{path.parts[-4:]} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]
