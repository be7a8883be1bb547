"""Videos that are to be kept: where they stay, and how it is known which of them are not done yet.

A folder of an upload that is not done holds a marker. Whatever goes wrong, nothing else is deleted.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from fer_core.errors import LecturePulseError
from fer_core.retention import UPLOADS
from fer_core.store import Store

_UNFINISHED: Final = ".unfinished"


def put_in_place(path: Path, root: Path, recording_id: str) -> Path:
    """Move a video that is to be kept to where it stays, with its sidecar.

    Args:
        path: the file, in a folder of its own.
        root: the dataset.
        recording_id: whose folder it goes into.

    Returns:
        The video there: of the same content one may have been kept before, under another name.
    """
    folder = root / UPLOADS / recording_id
    folder.mkdir(parents=True, exist_ok=True)
    names = (_UNFINISHED, ".toml")
    there = next((known for known in folder.iterdir() if not known.name.endswith(names)), None)
    if there:
        path.unlink()
        return there
    (folder / _UNFINISHED).touch()
    for file in path.parent.iterdir():
        file.replace(folder / file.name)
    return folder / path.name


def finish_upload(path: Path) -> None:
    """Note that a video is in the tables: from now on only ``purge`` deletes it."""
    with suppress(OSError):  # the next start tries again
        path.with_name(_UNFINISHED).unlink(missing_ok=True)


def is_held(path: Path, store: Store) -> bool:
    """Say whether the tables hold what was seen in a video that is to be kept.

    Args:
        path: the video, or what else lies in its folder.
        store: the dataset.

    Raises:
        StoreError: its table cannot be read.
    """
    folder = path.parent
    row = store.recording(folder.name)
    # The same content may have come into the tables from elsewhere: of that, this is but a copy.
    source = Path(row["source_path"] or "") if row else Path()
    return source.parent.parts[-2:] == (UPLOADS, folder.name)


def settle_upload(path: Path, store: Store) -> None:
    """Delete a video of which the work broke off; keep it if the tables hold it all the same.

    Args:
        path: the video, or what else lies in its folder.
        store: the dataset.
    """
    with suppress(LecturePulseError):  # not known just now: the next start tries again
        if is_held(path, store):
            finish_upload(path)
        elif path.with_name(_UNFINISHED).exists():  # else it was in the tables once
            shutil.rmtree(path.parent, ignore_errors=True)


def forget_unfinished(store: Store) -> None:
    """Delete videos that were to be kept, of which a killed server left nothing in the tables."""
    for marker in (store.root / UPLOADS).glob(f"*/{_UNFINISHED}"):
        settle_upload(marker, store)
