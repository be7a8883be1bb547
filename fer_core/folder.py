"""Folders that are written to: by one process at a time, and refusals in plain words."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fer_core.errors import StoreError


@contextmanager
def held(folder: Path, *, lock: str = ".lock", by: str = "run is writing to") -> Generator[None]:
    """Hold a folder, made if need be, for one purpose; nobody else can for the same meanwhile.

    Args:
        folder: the folder.
        lock: name of the file that stands for the purpose.
        by: who else would hold it: "Another <run is writing to> <folder>."

    Raises:
        StoreError: another process holds it, or it cannot be made or written.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / lock).open("a+")
    with file:
        try:
            # The kernel drops an flock with its process, so a killed run leaves none behind.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"Another {by} {folder}.",
                hint="Wait until it has ended, or give this one another --out.",
            ) from error
        yield


def leads_out(path: Path) -> bool:
    """Say whether a file is a link to somewhere outside its own folder.

    Raises:
        OSError: it cannot be looked at, or leads round in a circle.
    """
    try:
        return path.is_symlink() and path.resolve().parent != path.parent.resolve()
    except RuntimeError as error:  # Python's word for links that go round in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error


def nearest_there(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists: where it would be made.

    Raises:
        OSError: it cannot be looked at.
    """
    return next(path for path in (folder, *folder.parents) if path.exists())


def need_space(folder: Path, least_mb: int) -> float:
    """Stop before a disk is full, while there is still room to put things in order.

    Returns:
        What is free where the folder is, or would be, MB.

    Raises:
        StoreError: less than that is free.
    """
    with explained(folder):
        free_mb = shutil.disk_usage(nearest_there(folder)).free / 1e6
    if free_mb < least_mb:
        raise StoreError(
            f"Only {free_mb:,.0f} MB are free for {folder}; {least_mb:,} are wanted.",
            hint="Free some space and run again; nothing is lost. The setting is run.min_free_mb.",
        )
    return free_mb


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place, see that it is stored, and move it there; folders are made.

    Raises:
        StoreError: it cannot be written; what was there before is untouched.
    """
    part = path.with_name(f".{path.name}.part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if part.read_bytes() != data:
                raise StoreError(
                    f"{path} was not stored as written.", hint="Check the disk for faults."
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def explained(path: Path, remedy: str = "choose another folder with --out") -> Generator[None]:
    """Turn the system's refusal to write a path into a ``StoreError`` with what to do.

    Args:
        path: what is written.
        remedy: what helps where this user may not write there, or it is no folder.
    """
    try:
        yield
    except OSError as error:
        hints: dict[Any, str] = {
            errno.ENOSPC: "The disk is full: free some space and run again; nothing is lost.",
            errno.EDQUOT: "The quota is used up: free some space and run again.",
            errno.EROFS: f"The folder is read-only: {remedy}.",
            errno.EACCES: f"This user may not write there: {remedy}.",
            errno.ENOTDIR: f"A part of the path is a file: {remedy}.",
            errno.EEXIST: f"It is a file: {remedy}.",
        }
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint=hints.get(error.errno, f"Mend it, or {remedy}."),
        ) from error
