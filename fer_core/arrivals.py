"""Recordings that arrive in object storage: laid out below the dataset as if they lay on disk.

A recording is laid out as a file without content, of its true size and time, with the small files
beside it; its content is there only while it is read. So ``inbox`` finds courses, sidecars and
transcripts as anywhere, and what nothing has to be done about is never downloaded.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final

from fer_core import inbox as inboxes
from fer_core import progress, transcript
from fer_core.address import INBOX, address_of, bucket_and_key, id_of, is_url, path_of
from fer_core.bucket import Bucket, Listed
from fer_core.errors import EnvironmentProblem, InputError, TransientError
from fer_core.folder import need_space, write_whole
from fer_core.inbox import Source
from fer_core.settings import Run, Settings
from fer_core.transcript import SUFFIXES, Transcript

KNOWN: Final = "contents.json"
"""Which object has which content, so that none is downloaded to find out: kept in the dataset."""

GONE: Final = ""
"""The content of an object whose results were deleted, or are not wanted: no hash is kept."""

_BESIDE: Final = (".toml", *SUFFIXES)
_MOST_BESIDE_BYTES: Final = 20_000_000
_FORGET_DAYS: Final = 30
_ETAGS: Final = ".etags"
_MAGIC: Final = frozenset("*?[")
_writing: Final = threading.Lock()
_Fault = InputError | TransientError


@dataclass(frozen=True, slots=True)
class Layout:
    """What was laid out.

    Attributes:
        paths: files, folders and globs to look into, none in object storage any more.
        failed: objects that no file can stand for, with the reason.
    """

    paths: tuple[str | Path, ...]
    failed: tuple[tuple[Path, _Fault], ...]


def bucket_of(url: str, run: Run) -> Bucket:
    """Return what lies below an address, asked as patiently as the settings say."""
    return Bucket(url, retries=run.retries, delay_s=run.retry_delay_s)


def lay_out(paths: Sequence[str | Path], settings: Settings, root: Path) -> Layout:
    """Lay out the recordings of every address among the paths; what was laid out before goes.

    Args:
        paths: files, folders, globs and addresses.
        settings: all settings.
        root: folder of the dataset, absolute; its holder calls.

    Raises:
        ConfigError, EnvironmentProblem: an address is wrong, or its storage does not answer.
    """
    clear(root)
    here: list[str | Path] = []
    failed: list[tuple[Path, _Fault]] = []
    seen: set[str] = set()
    for given in paths:
        if not (isinstance(given, str) and is_url(given)):
            here.append(given)
            continue
        try:
            laid = _lay_out(given, settings, root, failed, seen)
        except TransientError as error:
            raise EnvironmentProblem(error.message, hint=error.hint) from error
        if laid is not None:
            here.append(laid)
    if seen:
        _note_seen(root, seen)
    return Layout(tuple(here), tuple(failed))


def clear(root: Path) -> None:
    """Remove every copy of what lies in object storage."""
    shutil.rmtree(root / INBOX, ignore_errors=True)


def recognised(source: Source, root: Path) -> Source:
    """Return a source with the hash of its content, if its object has been read before."""
    return replace(source, sha256=content_of(source.path, root))


def content_of(path: Path, root: Path) -> str | None:
    """Return the sha256 of a recording laid out here, ``GONE``, or None if it is not known."""
    key = _key(path, root)
    return _known(root).get(key, (None, ""))[0] if key else None


def forget(root: Path, recording_id: str) -> None:
    """Keep no hash of a recording's content; its object is left alone all the same."""
    with _writing:
        known = _known(root)
        if any(id_of(sha256) == recording_id for sha256, _ in known.values() if sha256):
            gone = {k: (GONE if id_of(s) == recording_id else s, d) for k, (s, d) in known.items()}
            _keep(root, gone)


@contextmanager
def at_hand(source: Source, settings: Settings, root: Path) -> Generator[Source]:
    """Have a recording's content in its place within the block, its hash known; then no more.

    Raises:
        InputError: it is too large, or gone.
        StoreError: there is no room for it.
        TransientError: the storage did not answer, or does not let us read the object (its owner
            may mend that), or the object changed.
    """
    url = address_of(source.path, root)
    if not is_url(url):
        yield source
        return
    whole = source.path.stat()
    if whole.st_size > 1_000_000 * settings.video.max_file_mb:
        raise InputError(
            f"{source.path.name!r} is larger than {settings.video.max_file_mb:,} MB.",
            hint="Raise the setting video.max_file_mb, or export it smaller.",
        )
    need_space(root, settings.run.min_free_mb + whole.st_size // 1_000_000)
    key, etag = _key(source.path, root), _etag_file(source.path, root).read_text()
    part = source.path.with_name(f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part")
    above, _, name = url.rpartition("/")
    bucket = bucket_of(above, settings.run)
    try:
        try:
            bucket.fetch(name, part)
            now = bucket.described(name)
        except EnvironmentProblem as error:  # the others may be read all the same
            raise _not_fetched(source.path, error) from error
        if now is None or now.etag != etag or part.stat().st_size != whole.st_size:
            raise TransientError(
                f"{source.path.name!r} changed while it was copied.",
                hint="Run again once it is complete.",
            )
        os.utime(part, ns=(whole.st_mtime_ns, whole.st_mtime_ns))
        part.replace(source.path)
        sha256 = inboxes.content_sha256(source.path)
        with _writing:
            _keep(root, {**_known(root), key: (sha256, _today())})
        yield replace(source, sha256=sha256)
    finally:
        part.unlink(missing_ok=True)
        _stand_in(source.path, whole.st_size, whole.st_mtime_ns)


def spoken(
    address: str, settings: Settings, root: Path, left_out: Sequence[tuple[float, float]] = ()
) -> Transcript | None:
    """Return the transcript beside a recording; None without one that can be read.

    That of one which is not laid out is read where it lies: none of it reaches a disk here.

    Args:
        address: of the recording, as its row names it.
        settings: all settings.
        root: folder of the dataset.
        left_out: ``(start, end)`` of what is not to be looked at, seconds.

    Raises:
        TransientError, EnvironmentProblem, ConfigError: object storage cannot be asked.
    """
    path = path_of(address, root)
    if not is_url(address) or path.exists():
        return transcript.spoken_beside(path, left_out)
    bucket = bucket_of(address.rpartition("/")[0], settings.run)
    there = _beside(bucket.listed_here())
    name = next((name for name in transcript.names_beside(path) if name in there), None)
    found = bucket.read(name) if name else None
    return transcript.spoken_in(name, found[0], left_out) if name and found else None


def _not_fetched(path: Path, error: EnvironmentProblem) -> TransientError:
    told = f"{path.name!r} cannot be fetched: {error.message}"
    return TransientError(told, hint=f"{error.hint} It is tried again the next night.")


def _lay_out(
    url: str,
    settings: Settings,
    root: Path,
    failed: list[tuple[Path, _Fault]],
    seen: set[str],
) -> Path | None:
    """Lay out one address; return the path to look into instead, None if there is none."""
    name, key = bucket_and_key(url)
    parts = PurePosixPath(key).parts
    fixed = next((n for n, part in enumerate(parts) if _MAGIC & set(part)), len(parts))
    above = root.resolve() / INBOX / name
    bucket = bucket_of("/".join((f"s3://{name}", *parts[:fixed])), settings.run)
    found = bucket.listed()
    endings = tuple(f".{ending.lower().lstrip('.')}" for ending in settings.discovery.extensions)
    by_hand: str | None = None
    if [*found] == [""]:  # the address of one object
        by_hand = parts[-1]
        bucket = bucket_of("/".join((f"s3://{name}", *parts[:-1])), settings.run)
        found = {by_hand: found[""], **_beside(bucket.listed_here())}
        fixed -= 1
    folder = above.joinpath(*parts[:fixed])
    folder.mkdir(parents=True, exist_ok=True)
    for each, listed in found.items():
        if any(part.startswith(".") for part in each.split("/")):
            continue
        if each == by_hand or (by_hand is None and each.lower().endswith(endings)):
            path = folder / each
            try:
                _lay_one(path, each, listed, root)
                seen.add(_key(path, root))
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                told = InputError(
                    f"No file can be named like {each!r} in {bucket.url}: {reason}.",
                    hint="Give the object another name.",
                )
                failed.append((path, told))
    failed += _copy_beside(bucket, found, folder)
    if by_hand is not None:
        return folder / by_hand if (folder / by_hand).exists() else None
    if fixed == len(parts):
        return folder
    # A person's folder may hold brackets of its own.
    return Path(_without_magic(folder), *parts[fixed:])


def _without_magic(folder: Path) -> str:
    return "".join(f"[{char}]" if char in _MAGIC else char for char in str(folder))


def _lay_one(path: Path, name: str, listed: Listed, root: Path) -> None:
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError("it leads nowhere, or out of its folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    _stand_in(path, listed.size, int(listed.modified_s * 1e9))
    etag = _etag_file(path, root)
    etag.parent.mkdir(parents=True, exist_ok=True)
    etag.write_text(listed.etag)


def _stand_in(path: Path, size: int, mtime_ns: int) -> None:
    """Put a file without content in a recording's place; it takes no room on the disk."""
    with suppress(FileNotFoundError):
        path.unlink()
    with path.open("wb") as file:
        file.truncate(size)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def _beside(found: dict[str, Listed]) -> dict[str, Listed]:
    return {
        name: listed
        for name, listed in found.items()
        if name.lower().endswith(_BESIDE) and listed.size <= _MOST_BESIDE_BYTES
    }


def _copy_beside(
    bucket: Bucket, found: dict[str, Listed], folder: Path
) -> Generator[tuple[Path, _Fault]]:
    """Copy what lies beside recordings; yield those that cannot be read without it."""
    wanted = _beside(found)
    safe = [name for name in wanted if not {"", ".", ".."} & set(name.split("/"))]
    refused: dict[str, EnvironmentProblem] = {}
    for name, data in bucket.read_all(safe, refused):
        # None that has no recording's folder to lie in, or a name that no file can have.
        with suppress(OSError, ValueError):
            (folder / name).write_bytes(data)
    for name, error in refused.items():
        sidecar = folder / name
        if sidecar.suffix != ".toml":
            progress.tell("note", f"{sidecar.name!r} cannot be fetched: {error.message}")
            continue
        # What it says to leave out is not known.
        for path in sidecar.parent.glob(f"{glob.escape(sidecar.stem)}.*"):
            if path.with_suffix(".toml") == sidecar and path.suffix.lower() not in _BESIDE:
                path.unlink()
                yield path, _not_fetched(sidecar, error)


def _etag_file(path: Path, root: Path) -> Path:
    inbox = root.resolve() / INBOX
    return inbox / _ETAGS / path.relative_to(inbox)


def _key(path: Path, root: Path) -> str:
    """Return what an object as it was listed is known by, empty for a file of this machine.

    A hash, from which neither its name nor its content can be told.
    """
    url = address_of(path, root)
    if not is_url(url):
        return ""
    try:
        etag, status = _etag_file(path, root).read_text(), path.stat()
    except OSError:
        return ""
    told = f"lecturepulse {url} {etag} {status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(told.encode()).hexdigest()[:32]


_Known = Mapping[str, tuple[str, str]]
_read: Final[dict[Path, tuple[int, _Known]]] = {}


def _known(root: Path) -> _Known:
    """Return what is known, not to be changed: it is asked for each of a hundred thousand."""
    path = root / KNOWN
    try:
        mtime_ns = path.stat().st_mtime_ns
        if _read.get(path, (0,))[0] != mtime_ns:
            stored = json.loads(path.read_text(encoding="utf-8"))
            _read[path] = mtime_ns, {key: (value[0], value[1]) for key, value in stored.items()}
        return _read[path][1]
    except (OSError, ValueError, TypeError, AttributeError, IndexError):
        return {}  # then it is downloaded to find out


def _keep(root: Path, known: _Known) -> None:
    path = root / KNOWN
    write_whole(path, json.dumps(known).encode())
    _read[path] = path.stat().st_mtime_ns, known


def _note_seen(root: Path, keys: Iterable[str]) -> None:
    """Note that objects are still there; what has not been there for a month is forgotten."""
    oldest = (date.fromisoformat(_today()) - timedelta(_FORGET_DAYS)).isoformat()
    with _writing:
        known = _known(root)
        now = {k: (known[k][0], _today()) for k in keys if k in known}
        _keep(root, {k: v for k, v in {**known, **now}.items() if v[1] >= oldest})


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
