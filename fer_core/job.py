"""What is to be done with one recording: identity, permission, plan; or that nothing is new.

Opens the container and hashes the file; decodes nothing and writes nothing but an empty folder.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fer_core import arrivals, assets, audit, exclude, inbox, policy, retention, rows, video
from fer_core.address import address_of, id_of, is_url, path_of
from fer_core.assets import ModelAsset
from fer_core.conclude import Recorded
from fer_core.errors import InputError, TransientError
from fer_core.exclude import Exclusion
from fer_core.inbox import Source
from fer_core.policy import Permission
from fer_core.records import Chapter, Segment, VideoInfo
from fer_core.schema import SCHEMA_VERSION
from fer_core.segment import Footage
from fer_core.settings import Settings
from fer_core.store import UNKNOWN_MONTH, Place, Store


@dataclass(frozen=True, slots=True)
class Job:
    """Everything needed to work on one recording.

    Attributes:
        source: the recording as found.
        recording_id: first 16 hex digits of its sha256.
        sha256: of the file.
        mtime_ns: modification time of the file when it was hashed.
        info: what its container says.
        chapters: those of the sidecar, or else of the container.
        segments: the pieces to work on.
        permission: what may be computed.
        model: the expression model; None in presence mode.
        ffmpeg: the decoder.
        work: folder of the work files.
        settings: all settings.
        place: where its rows go.
        exclusions: what is left out before faces are searched.
    """

    source: Source
    recording_id: str
    sha256: str
    mtime_ns: int
    info: VideoInfo
    chapters: tuple[Chapter, ...]
    segments: tuple[Segment, ...]
    permission: Permission
    model: ModelAsset | None
    ffmpeg: video.Ffmpeg
    work: Path
    settings: Settings
    place: Place
    exclusions: tuple[Exclusion, ...]

    @property
    def footage(self) -> Footage:
        """What of it is needed to look at its segments."""
        return Footage(
            name=self.source.path.name,
            info=self.info,
            segments=len(self.segments),
            model=self.model,
            ffmpeg=self.ffmpeg,
            work=self.work,
            settings=self.settings,
            exclusions=self.exclusions,
        )

    @property
    def recorded(self) -> Recorded:
        """What of it is needed once everything is seen."""
        rate = self.info.frame_rate_from_header
        by = "sidecar" if self.source.sidecar.chapters else "container"
        return Recorded(
            name=self.source.path.name,
            path=self.source.path,
            place=self.place,
            sha256=self.sha256,
            started_at=self.source.started_at,
            mtime_ns=self.mtime_ns,
            size_px=(self.info.width, self.info.height),
            chapters=self.chapters,
            exclusions=self.exclusions,
            permission=self.permission,
            model=self.model,
            synthetic=self.source.sidecar.synthetic,
            settings=self.settings,
            columns={
                "source_bytes": self.info.size_bytes,
                "title": self.source.sidecar.title or self.info.title,
                "container": self.info.container,
                "codec": self.info.codec,
                "frame_rate_from_header": float(rate) if rate else None,
                "duration_s_from_header": self.info.duration_s_from_header,
                "layout": self.source.layout,
                "chapters_from": by if self.chapters else None,
                "ffmpeg_version": self.ffmpeg.version,
            },
        )

    def is_current(self) -> bool:
        """Say whether the file is still the one that was planned for."""
        try:
            status = self.source.path.stat()
        except OSError:
            return False
        now = status.st_size, inbox.changed_ns(status)
        return now == (self.info.size_bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class NothingNew:
    """A recording that need not be done.

    Attributes:
        recording_id: the rows that already tell everything about it; None where there are none.
        message: why, one sentence.
        moved: its rows name another path, at which it is no longer.
    """

    recording_id: str | None
    message: str
    moved: bool = False


_TOO_OLD: Final = NothingNew(None, "Older than retention.days; nothing about it is kept.")


def nothing_new(
    source: Source, settings: Settings, store: Store, *, force: bool
) -> NothingNew | None:
    """Return why a recording need not be read; None if it has to be.

    Args:
        source: the recording as found, with the hash of its content.
        settings: all settings.
        store: where earlier results lie.
        force: only what must not be kept counts.

    Raises:
        InputError: it cannot be read.
        PolicyError, AssetMissing, AssetCorrupt: no recording could be done.
    """
    permission, model = _permitted(source, settings)
    # Nothing was made after it was put into object storage. A file's time may be any, and what its
    # container says comes first: ``plan`` looks.
    told = source.started_at or is_url(address_of(source.path, store.root))
    if told and retention.is_too_old(source.started_at, _mtime_ns(source) / 1e9, settings):
        return _TOO_OLD
    sha256 = source.sha256
    if force or sha256 is None:
        return None
    deleted = NothingNew(None, "Its results were deleted; --force reads it again.")
    if sha256 == arrivals.GONE:
        return deleted
    # One that was read again on purpose since then has rows, and is like any other.
    gone = store.recording(id_of(sha256)) is None
    if gone and audit.reference(id_of(sha256)) in audit.purged(store.root):
        return deleted
    return _known(source, sha256, settings, permission, model, store)


def plan(source: Source, settings: Settings, store: Store, *, force: bool) -> Job | NothingNew:
    """Open a recording and plan the work on it; ``NothingNew`` if it is done.

    Args:
        source: the recording as found.
        settings: all settings.
        store: where earlier results lie.
        force: plan it even if nothing has changed.

    Raises:
        InputError: it cannot be read, or is no video.
        PolicyError, AssetMissing, AssetCorrupt, EnvironmentProblem: no recording could be done.
    """
    mtime_ns = _mtime_ns(source)
    ffmpeg = video.find_ffmpeg(settings.video.ffmpeg)
    info: VideoInfo | None = None
    if retention.is_too_old(source.started_at, mtime_ns / 1e9, settings):
        # Before it is hashed: in most cases that is all.
        try:
            info = video.probe(source.path, ffmpeg, settings.video)
        except InputError:  # then nothing tells otherwise
            return _TOO_OLD
        if retention.is_too_old(source.started_at or info.created, mtime_ns / 1e9, settings):
            return _TOO_OLD
    sha256 = source.sha256 or inbox.content_sha256(source.path)
    source = replace(source, sha256=sha256)
    if known := nothing_new(source, settings, store, force=force):
        return known
    permission, model = _permitted(source, settings)
    recording_id = id_of(sha256)
    info = info or video.probe(source.path, ffmpeg, settings.video)
    started_at = source.started_at or info.created
    if retention.is_too_old(started_at, mtime_ns / 1e9, settings):
        # An object is not downloaded again to find out the same.
        arrivals.forget(store.root, recording_id)
        return _TOO_OLD
    month = f"{started_at:%Y-%m}" if started_at else UNKNOWN_MONTH
    left_out = settings.privacy.exclude + source.sidecar.exclude
    limits = settings.video.model_dump_json(exclude={"ffmpeg", "timeout_factor", "skip_unneeded"})
    parts = (sha256, settings.result_hash(), model.sha256 if model else "", SCHEMA_VERSION, limits)
    key = " ".join(map(str, (*parts, exclude.as_json(left_out))))
    return Job(
        source=replace(source, started_at=started_at),
        recording_id=recording_id,
        sha256=sha256,
        mtime_ns=mtime_ns,
        info=info,
        chapters=_chapters(source) or info.chapters,
        segments=tuple(
            video.plan_segments(
                info, settings.sampling.segment_s, settings.video, workers=settings.run.workers
            )
        ),
        permission=permission,
        model=model,
        ffmpeg=ffmpeg,
        work=store.work_folder(recording_id, hashlib.sha256(key.encode()).hexdigest()[:16]),
        settings=settings,
        place=Place(source.course, month, recording_id),
        exclusions=left_out,
    )


def _permitted(source: Source, settings: Settings) -> tuple[Permission, ModelAsset | None]:
    permission = policy.permission(settings.deployment, synthetic=inbox.is_made_up(source))
    return permission, assets.permitted(permission, settings.classification)


def _mtime_ns(source: Source) -> int:
    try:
        return inbox.changed_ns(source.path.stat())
    except OSError as error:
        raise inbox.unreadable(source.path, error) from error


def _known(
    source: Source,
    sha256: str,
    settings: Settings,
    permission: Permission,
    model: ModelAsset | None,
    store: Store,
) -> NothingNew | None:
    recording_id = id_of(sha256)
    row = store.recording(recording_id)
    if row is None or row["status"] == "failed":
        return None
    earlier = path_of(row["source_path"], store.root)
    if earlier != source.path and _holds(earlier, sha256, store):
        return _copy_of(earlier, source, row, settings)
    wanted: dict[str, Any] = {
        "source_sha256": sha256,
        "settings_hash": settings.result_hash(),
        "detector_sha256": assets.YUNET_SHA256,
        "schema_version": SCHEMA_VERSION,
        "mode": permission.mode,
        "synthetic": source.sidecar.synthetic,
        "exclusions": exclude.as_json(settings.privacy.exclude + source.sidecar.exclude),
    }
    if source.sidecar.title:
        wanted["title"] = source.sidecar.title
    if source.sidecar.layout is not None:
        wanted["layout"] = source.sidecar.layout
    if source.started_at is not None:
        wanted["started_at"] = source.started_at
    # The end of a very long name is another in a folder's.
    here, there = (Place(course, "", "").folder for course in (source.course, row["course"]))
    models = model.siblings if model else {None}
    # As its columns hold it: a start to the millisecond, say.
    (held,) = rows.row("recordings", wanted).to_pylist()
    if (
        here != there
        or row["model_sha256"] not in models
        or any(row[name] != held[name] for name in wanted)
    ):
        return None
    chapters = _chapters(source)
    # Marks that were deleted in their time are not to come back.
    deleted = "marks" in settings.retention.tables and not any(store.files("marks", recording_id))
    if not deleted and (chapters or row["chapters_from"] == "sidecar"):
        marks = store.read("marks", recording_id)
        stored = marks[marks["kind"] == "chapter"]
        known = dict(zip(stored["second"].tolist(), stored["title"].tolist(), strict=True))
        within = {int(c.start_s): c.title for c in chapters if c.start_s < row["seconds"]}
        if known != within:
            return None
    if earlier != source.path:
        return NothingNew(
            recording_id,
            f"Nothing has changed but its name, which was {earlier.name!r}.",
            moved=True,
        )
    return NothingNew(recording_id, "Nothing has changed since it was done.")


def _copy_of(
    earlier: Path, source: Source, row: dict[str, Any], settings: Settings
) -> NothingNew | None:
    """Return why a second copy of a recording need not be read; None if it leaves out more."""
    own, always = source.sidecar.exclude, settings.privacy.exclude
    if not own or row["exclusions"] == exclude.as_json(always + own):
        return NothingNew(row["recording_id"], f"Same content as {earlier.name!r}, which is done.")
    if row["exclusions"] != exclude.as_json(always):
        raise InputError(
            f"{source.path.name!r} is the same recording as {earlier.name!r}, but its sidecar "
            "leaves out other parts.",
            hint="Keep one of the two, with all that is to be left out.",
        )
    return None


def _holds(path: Path, sha256: str, store: Store) -> bool:
    if is_url(address_of(path, store.root)):
        return arrivals.content_of(path, store.root) == sha256
    try:
        return inbox.content_sha256(path) == sha256
    except (InputError, TransientError):
        return False


def _chapters(source: Source) -> tuple[Chapter, ...]:
    """Return the sidecar's chapters in the order of time; one lasts until the next."""
    given = sorted(source.sidecar.chapters, key=lambda chapter: chapter.at)
    starts = [*(chapter.at for chapter in given), math.inf]
    pairs = zip(given, starts[1:], strict=True)
    return tuple(Chapter(chapter.at, end, chapter.title) for chapter, end in pairs)
