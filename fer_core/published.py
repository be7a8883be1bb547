"""A dataset that is kept in object storage: its working copy here, and what goes to and fro.

The working copy is an ordinary dataset with all its guarantees. Every commit of it becomes objects
with names of their own, ``<recording_id>-<commit>.parquet``, the one in ``recordings`` last: a
recording is there when that is, and its other tables are those of the same name.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from fer_core import arrivals, repair
from fer_core.bucket import Bucket, Listed
from fer_core.errors import (
    ConfigError,
    EnvironmentProblem,
    PolicyError,
    StoreError,
    TransientError,
)
from fer_core.folder import write_whole
from fer_core.known import NOTED, Rows, look_at, noted, take_note
from fer_core.lease import Lease, leased
from fer_core.schema import TABLES
from fer_core.settings import Settings
from fer_core.store import PUBLISHED, Store
from fer_core.trail import Trail

_OBJECT: Final = re.compile(
    r"tables/(?P<table>\w+)/(?P<place>course=[^/]+/month=[^/]+)/"
    r"(?P<recording>[0-9a-f]{16})-(?P<commit>[0-9]{6}-[0-9a-f]{8})\.parquet"
)
_PAGES: Final = re.compile(r"(reports|logs)/.*\.(html|log)")
_SINGLE: Final = ("last-night.json", arrivals.KNOWN)
_KINDS: Final = {".html": "text/html; charset=utf-8", ".log": "text/plain; charset=utf-8"}
_NOTE_EVERY_S: Final = 30.0
_AUDIT: Final = re.compile(r"audit/[^/]+\.jsonl")
_DIGITS: Final = 6


@contextmanager
def writing(settings: Settings) -> Generator[Callable[[str | None], None]]:
    """Hold the dataset for writing; one in object storage is brought here before, kept there after.

    Yields:
        Publishes a recording's rows and page, once they are committed, or, for None, all that
        changed or went; does nothing for a dataset that is on this machine only.

    Raises:
        StoreError: another run writes to it, or it cannot be written.
        EnvironmentProblem: the storage does not answer, or refuses access.
    """
    store = Store(settings.out)
    with ExitStack() as stack:
        stack.enter_context(store.writing())
        arrivals.clear(store.root)  # what a run that was killed had laid out
        if settings.publish_to is None:
            yield lambda _: None
            return
        with _answering():
            bucket = arrivals.bucket_of(settings.publish_to, settings.run)
            lease = stack.enter_context(leased(bucket))
            # Before it is brought here: what is damaged here is not there.
            repair.set_aside(store, repair.find_torn(store))
            copy = _Copy(store, bucket, lease)
            copy.pull()
        try:
            yield copy.publish
        except (PolicyError, ConfigError):  # what was due was deleted nevertheless
            copy.push()
            raise
        copy.push()


def reading(settings: Settings) -> Store:
    """Return the dataset to read from, as it is in object storage now if it is kept there.

    Raises:
        EnvironmentProblem: the storage does not answer, or refuses access.
    """
    store = Store(settings.out)
    if settings.publish_to is not None:
        with ExitStack() as stack:
            try:
                stack.enter_context(store.writing())
            except StoreError:  # a run on this machine holds the copy, and keeps it up to date
                return store
            with _answering():
                bucket = arrivals.bucket_of(settings.publish_to, settings.run)
                _Copy(store, bucket, None).pull()
    return store


def note_read(settings: Settings) -> None:
    """Keep the audit log's new lines in object storage, too: somebody read, and wrote nothing else.

    Raises:
        StoreError: they cannot be written there.
    """
    if settings.publish_to is not None:
        try:
            bucket = arrivals.bucket_of(settings.publish_to, settings.run)
            _Copy(Store(settings.out), bucket, None).trail.push()
        except (EnvironmentProblem, TransientError) as error:
            raise StoreError(error.message, hint=error.hint) from error


@contextmanager
def _answering() -> Generator[None]:
    try:
        yield
    except TransientError as error:  # with nothing begun, it is the machine that lacks something
        raise EnvironmentProblem(error.message, hint=error.hint) from error


def _later() -> suppress:
    """Leave to the end of the run what the storage does not take now, or refuses."""
    return suppress(TransientError, EnvironmentProblem)


class _Copy:
    """A working copy and the storage it belongs to; ``lease`` is None for one only read from."""

    def __init__(self, store: Store, bucket: Bucket, lease: Lease | None) -> None:
        self._store, self._bucket, self._lease = store, bucket, lease
        self._known = noted(store.root)
        self._noted_at = time.monotonic()
        self._one_at_a_time = threading.Lock()
        self.trail = Trail(store.root, bucket)

    def pull(self) -> None:
        """Make the working copy what stands in the storage, but for what was not published yet.

        The holder of the lease also removes what no committed row belongs to.

        Raises:
            StoreError: everything that is known to stand there is gone.
        """
        noticed = self.trail.parts()
        listed = self._bucket.listed()
        told = [name for name in listed if _AUDIT.fullmatch(name)]
        before, self._known = self._known, self._known.at(self._bucket.url, listed)
        tables = {name: found for name in listed if (found := _OBJECT.fullmatch(name))}
        committed = _committed(tables.values())
        self._need_some(committed, told)
        if before.url != self._known.url:
            self._note()  # before anything here is no longer as it was there
        stands = {n: f for n, f in tables.items() if committed.get(f["recording"]) == f["commit"]}
        if self._lease is not None:
            self._bucket.remove(tables.keys() - stands.keys())
        here = self._store.places().keys() | {mark.stem for mark in self._marks()}
        known = self._known.recordings
        news = {
            recording_id
            for recording_id, commit in committed.items()
            if recording_id not in here
            or recording_id not in known
            or known[recording_id].commit != commit
        }
        for recording_id in known.keys() - committed.keys():
            self._store.forget(recording_id)
            self._mark(recording_id).unlink(missing_ok=True)
            del known[recording_id]
        wanted = {n: self._file(f) for n, f in stands.items() if f["recording"] in news}
        # The row last, here too.
        order = sorted(wanted, key=lambda name: tables[name]["table"] == "recordings")
        for name, data in self._bucket.read_all(order):
            write_whole(wanted[name], data)
        for path in self._all_files():
            if path.stem in news and path not in wanted.values():
                path.unlink()
        for recording_id, files in _by_recording(wanted.values()).items():
            self._mark(recording_id).unlink(missing_ok=True)
            objects = tuple(n for n, path in wanted.items() if path.stem == recording_id)
            known[recording_id] = Rows(committed[recording_id], objects, look_at(files))
        self._pull_files({name: one for name, one in listed.items() if _is_file(name)})
        self.trail.pull(told, noticed)
        self._note()

    def _need_some(self, there: Iterable[str], told: Sequence[str]) -> None:
        """Refuse to follow where all went at once, and no line says that somebody deleted it."""
        known, url = self._known.recordings.keys(), self._bucket.url
        if not known or not known.isdisjoint(there):
            return
        # A single one may have given way to what its file was replaced by.
        if not (told and len(known) == 1) and not self.trail.tells_of_removal(known, told):
            raise StoreError(
                f"Nothing that this machine knows in {url} is there any more (recordings: "
                f"{len(known)}); nothing was deleted here.",
                hint="Check the account and AWS_ENDPOINT_URL_S3. To publish this machine's copy "
                f"there again, delete {self._store.root / NOTED}.",
            )

    def publish(self, recording_id: str | None) -> None:
        """Publish a recording's rows, page and log, or all; what cannot be now, ``push`` does."""
        with self._one_at_a_time:
            with _later():
                if recording_id is None:
                    self.trail.push()
                    self._push_all()
                    return
                self._push_rows(recording_id, self._store.files_of(recording_id))
                self._push_files({name for name in self._files() if recording_id in name})
            # These grow with the dataset: for each recording they would cost more than it does.
            if time.monotonic() - self._noted_at > _NOTE_EVERY_S:
                with _later():
                    self.trail.push()
                    self._push_files({arrivals.KNOWN})
                self._note()

    def push(self) -> None:
        """Publish everything that changed here.

        Raises:
            StoreError: the storage does not take or refuses it, or another run has taken over.
        """
        try:
            self.trail.push()
            self._push_all()
        except (TransientError, EnvironmentProblem) as error:
            # That the network will be there again goes without saying; a right has to be given.
            remedy = f"{error.hint} " if isinstance(error, EnvironmentProblem) else ""
            raise StoreError(
                f"Not everything could be kept in {self._bucket.url}: {error.message}",
                hint=f"{remedy}It is kept in the working copy; the next run on this machine goes "
                "on.",
            ) from error
        finally:
            self._note()

    def _push_all(self) -> None:
        files = _by_recording(self._all_files())
        stands = self._store.places()
        for mark in self._marks():
            if mark.stem not in stands:
                self._remove_rows(mark.stem)
            mark.unlink(missing_ok=True)
        refused: EnvironmentProblem | None = None
        for recording_id in stands:
            try:
                self._push_rows(recording_id, files[recording_id])
            except EnvironmentProblem as error:  # one that is refused keeps no other back
                refused = refused or error
        self._push_files({*self._files(), *self._known.files})
        if refused:
            raise refused

    def _push_rows(self, recording_id: str, files: Iterable[Path]) -> None:
        files = sorted(files, key=lambda path: path.parts[-4] == "recordings")
        before, now = self._known.recordings.get(recording_id), look_at(files)
        if not files or (before and before.looked == now):
            return
        self._held()
        last = int(before.commit[:_DIGITS]) if before else 0
        commit = f"{last + 1:0{_DIGITS}d}-{secrets.token_hex(4)}"
        objects: list[str] = []
        for path in files:
            place = path.parent.relative_to(self._store.root).as_posix()
            objects.append(f"{place}/{recording_id}-{commit}.parquet")
            self._bucket.write(objects[-1], path.read_bytes(), "application/vnd.apache.parquet")
        if before:
            self._remove(before.objects)
        self._known.recordings[recording_id] = Rows(commit, tuple(objects), now)
        self._mark(recording_id).unlink(missing_ok=True)

    def _remove_rows(self, recording_id: str) -> None:
        self._held()
        if known := self._known.recordings.get(recording_id):
            self._remove(known.objects)
            # Only now: what is not known would be brought here again.
            del self._known.recordings[recording_id]

    def _remove(self, objects: Iterable[str]) -> None:
        """Remove a commit; its row first, so that nobody sees half."""
        rows = [name for name in objects if name.startswith("tables/recordings/")]
        self._bucket.remove(rows)
        self._bucket.remove(name for name in objects if name not in rows)

    def _pull_files(self, there: dict[str, Listed]) -> None:
        known, root = self._known.files, self._store.root
        news = [n for n, listed in there.items() if known.get(n, ("",))[0] != listed.etag]
        for name, data in self._bucket.read_all(news):
            write_whole(root / name, data)
            known[name] = there[name].etag, look_at([root / name])
        for name in known.keys() - there.keys():
            (root / name).unlink(missing_ok=True)
            del known[name]

    def _push_files(self, names: Iterable[str]) -> None:
        known = self._known.files
        for name in sorted(names):
            path = self._store.root / name
            if path.is_file():
                now = look_at([path])
                if known.get(name, ("", ""))[1] != now:
                    self._held()
                    kind = _KINDS.get(path.suffix, "application/json")
                    known[name] = self._bucket.write(name, path.read_bytes(), kind), now
            elif name in known:
                self._held()
                self._bucket.remove([name])
                del known[name]

    def _files(self) -> Generator[str]:
        root = self._store.root
        for path in (*self._store.reports.rglob("*.html"), *self._store.logs.glob("*.log")):
            yield path.relative_to(root).as_posix()
        yield from (name for name in _SINGLE if (root / name).is_file())

    def _all_files(self) -> list[Path]:
        return [path for name in TABLES for path in self._store.files(name)]

    def _file(self, found: re.Match[str]) -> Path:
        folder = self._store.tables / found["table"] / found["place"]
        return folder / f"{found['recording']}.parquet"

    def _mark(self, recording_id: str) -> Path:
        return self._store.root / PUBLISHED / f"{recording_id}.gone"

    def _marks(self) -> list[Path]:
        return [*(self._store.root / PUBLISHED).glob("*.gone")]

    def _held(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _note(self) -> None:
        take_note(self._store.root, self._known)
        self._noted_at = time.monotonic()


def _committed(tables: Iterable[re.Match[str]]) -> dict[str, str]:
    """Return the commit that counts of each recording: the last one whose row is there."""
    rows = [found for found in tables if found["table"] == "recordings"]
    return {
        found["recording"]: found["commit"] for found in sorted(rows, key=lambda f: f["commit"])
    }


def _is_file(name: str) -> bool:
    return name in _SINGLE or bool(_PAGES.fullmatch(name))


def _by_recording(paths: Iterable[Path]) -> defaultdict[str, list[Path]]:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[path.stem].append(path)
    return found
