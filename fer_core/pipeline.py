"""The main job: one recording from file to tables and page.

Composes the other rooms; prints nothing and knows no Prefect. Whoever conducts (the command
line in threads, a flow in tasks) passes in how segments are worked through.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fer_core import (
    arrivals,
    audit,
    checkpoint,
    exclude,
    failures,
    inbox,
    pages,
    progress,
    rows,
    transcript,
    video,
    workers,
)
from fer_core import job as jobs
from fer_core.address import address_of, path_of
from fer_core.conclude import Work, conclude
from fer_core.errors import InputError, LecturePulseError, TransientError
from fer_core.folder import need_space
from fer_core.inbox import Source
from fer_core.job import Job, NothingNew
from fer_core.outcome import Outcome
from fer_core.records import Observations, Segment
from fer_core.settings import Settings
from fer_core.store import Store

_log = logging.getLogger("lecturepulse")

SegmentResult = Path | InputError
LookAll = Callable[[Job], Sequence[SegmentResult]]


def process_recording(
    source: Source,
    settings: Settings,
    *,
    force: bool = False,
    look_all: LookAll | None = None,
    runner: str = "core",
    kept_minutes: float | None = None,
) -> Outcome:
    """Do one recording from file to committed tables and page.

    Args:
        source: the recording.
        settings: all settings.
        force: do it again even if nothing has changed.
        look_all: works through the segments; ``in_threads`` by default.
        runner: who conducts, for the ``runs`` table.
        kept_minutes: after how many minutes the whole dataset is deleted; None where it stays.

    Returns:
        How it ended; what is wrong with the recording itself is an outcome, not an exception.

    Raises:
        ConfigError, PolicyError, EnvironmentProblem, StoreError: would meet every recording.
    """
    began, began_at = time.perf_counter(), datetime.now(UTC)
    store = Store(settings.out)
    progress.tell("started", source.path.name)
    retried = force or settings.run.retry_failed
    need_space(store.root, settings.run.min_free_mb)
    try:
        source = arrivals.recognised(source, store.root)
        if not retried and (before := failures.quarantined(source, store, settings)):
            message = f"Failed before and has not changed: {before}"
            hint = "Mend or replace it; --retry-failed tries it again as it is."
            failed = failures.failed_id(store, source.path)
            outcome = Outcome(source.path, "skipped", failed, message, hint)
        elif known := jobs.nothing_new(source, settings, store, force=force):
            outcome = _skipped(source, known, store)
        else:
            with arrivals.at_hand(source, settings, store.root) as there:
                job = jobs.plan(there, settings, store, force=force)
                if isinstance(job, NothingNew):
                    outcome = _skipped(source, job, store)
                else:
                    length_s = job.info.duration_s_from_header or 0
                    progress.tell("started", source.path.name, length_s)
                    results = (look_all or in_threads)(job)
                    outcome = finish(
                        job, results, store, began=began, began_at=began_at, runner=runner
                    )
        outcome = _with_page(outcome, store, settings, kept_minutes)
    except (InputError, TransientError) as error:
        outcome = _failed(store, settings, source, error, retried=retried)
    except LecturePulseError:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the rest of the night
        _log.exception("unexpected error in %s", source.path.name)
        unexpected = LecturePulseError(
            f"{source.path.name!r} met an unexpected error: {type(error).__name__}: {error}.",
            hint="This is a fault of lecturepulse: please report it with the log.",
        )
        outcome = _failed(store, settings, source, unexpected, retried=retried)
    progress.tell("finished", source.path.name)
    return replace(outcome, wall_s=time.perf_counter() - began)


def _skipped(source: Source, known: NothingNew, store: Store) -> Outcome:
    if known.moved and known.recording_id:
        where = {
            "source_path": address_of(source.path, store.root),
            "source_name": source.path.name,
        }
        store.amend(known.recording_id, **{k: rows.encodable(v) for k, v in where.items()})
        pages.remove(store, known.recording_id)
    return Outcome(source.path, "skipped", known.recording_id, known.message)


def in_threads(job: Job) -> list[SegmentResult]:
    """Work through a recording's segments, each in the next free worker, if there are any."""

    def one(segment: Segment) -> SegmentResult:
        run = job.settings.run
        for attempt in range(run.retries + 1):
            try:
                return workers.delegate(job.footage, segment)
            except InputError as error:
                return error
            except TransientError:
                if attempt == run.retries:
                    raise
                time.sleep(run.retry_delay_s * 2**attempt)
        raise AssertionError

    with ThreadPoolExecutor(job.settings.run.workers) as pool:
        results = pool.map(one, job.segments)
        pages.warm_up()
        return list(results)


def finish(
    job: Job,
    results: Sequence[SegmentResult],
    store: Store,
    *,
    began: float,
    began_at: datetime,
    runner: str,
) -> Outcome:
    """Turn the segments' observations into committed tables; its page is drawn later.

    Raises:
        InputError: not one picture could be decoded.
        TransientError: the file changed while it was being read.
        StoreError: the tables cannot be written.
    """
    observations, effort = _gathered(job, results, store)
    faults = [result for result in results if isinstance(result, InputError)]
    fault = faults[0] if faults else _cut_short(job, observations)
    work = Work(began, began_at, runner, effort)
    return conclude(job.recorded, observations.without_stale(), store, work, fault=fault)


def _gathered(
    job: Job, results: Sequence[SegmentResult], store: Store
) -> tuple[Observations, checkpoint.Effort]:
    """Return what was seen in all segments; the work files' own copies of it are gone then."""
    stored = [checkpoint.restore(result) for result in results if isinstance(result, Path)]
    parts = [part for part in stored if part is not None and len(part[0].samples)]
    if not parts:
        faults = [result for result in results if isinstance(result, InputError)]
        nothing = InputError(
            f"{job.source.path.name!r} holds no picture that can be decoded.",
            hint="Try to play it; if it does not play, record or export it again.",
        )
        raise faults[0] if faults else nothing
    if any(part is None for part in stored) or not job.is_current():
        store.clear_work(job.recording_id)
        raise TransientError(
            f"{job.source.path.name!r} or its work files changed while it was being read.",
            hint="Run again once the file is complete.",
        )
    observations = Observations.concat([part for part, _ in parts])
    return observations, sum((part for _, part in parts), checkpoint.Effort())


def _with_page(
    outcome: Outcome, store: Store, settings: Settings, kept_minutes: float | None = None
) -> Outcome:
    """Draw the lecture's page: always after work, otherwise if it lacks or a transcript came."""
    recording_id = outcome.recording_id
    if recording_id is None:
        return outcome
    try:
        if outcome.status == "skipped":
            told = rows.on_record(settings)
            if pages.is_current(store, recording_id, told):
                return replace(outcome, page=pages.path(store, recording_id))
            # A transcript often comes after its recording, and may have to go again.
            if row := store.recording(recording_id):
                left_out = exclude.spans_of(row["exclusions"])
                path, length = path_of(row["source_path"], store.root), int(row["seconds"])
                said = transcript.columns_of(path, length, left_out)
                spoken = said["transcript_sha256"] != row["transcript_sha256"]
                if spoken or any(row[name] != value for name, value in told.items()):
                    store.amend(recording_id, **said, **told)
                    what = "the transcript" if spoken else "what is on record about it"
                    message = f"Nothing has changed but {what}: its page is drawn again."
                    outcome = replace(outcome, message=message)
        page = pages.write_lecture(store, recording_id, settings, kept_minutes)
        return replace(outcome, page=page)
    except LecturePulseError:
        raise
    except Exception as error:  # noqa: BLE001 - the tables are committed; only the picture is lost
        _log.exception("cannot draw the page of %s", outcome.path.name)
        if outcome.status == "failed":  # its own reason matters more
            return outcome
        return replace(
            outcome,
            status="partial",
            message=f"The tables are complete, but the page failed: {error!r}.",
            hint="This is a fault of lecturepulse: please report it with the log.",
        )


def _cut_short(job: Job, observations: Observations) -> InputError | None:
    end_s, limits = observations.content_end_s, job.settings.video
    samples = observations.samples
    if lost_s := (int(samples[-1]) + 1 - len(samples)) // observations.rate_hz:
        return InputError(
            f"{lost_s} s in the midst of {job.source.path.name!r} cannot be decoded.",
            hint="The other seconds are kept. If a player shows those, run again with --force.",
        )
    if end_s >= limits.max_duration_s:
        return InputError(
            f"{job.source.path.name!r} is longer than {limits.max_duration_s} s; only those were "
            "read.",
            hint="Raise the setting video.max_duration_s and run with --force, or cut it.",
        )
    if not video.is_cut_short(job.info, end_s, job.ffmpeg, limits):
        return None
    return InputError(
        f"{job.source.path.name!r} declares {job.info.duration_s_from_header:.0f} s, but its "
        f"pictures end after {end_s:.0f} s.",
        hint="Copy the recording again from where it was made; the next run reads it anew.",
    )


def failed_before_reading(settings: Settings, path: Path, error: LecturePulseError) -> Outcome:
    """Keep why a file could not even be taken for a recording; return how it ended."""
    source = Source(path, path.parent.name, inbox.Sidecar(), None, "unknown")
    retried = settings.run.retry_failed
    return _failed(Store(settings.out), settings, source, error, retried=retried)


def _failed(
    store: Store, settings: Settings, source: Source, error: LecturePulseError, *, retried: bool
) -> Outcome:
    path = source.path
    if not inbox.is_there(path):
        return Outcome(path, "failed", None, error.message, error.hint)
    if why := failures.unwanted(store, settings, source, retried=retried):
        return Outcome(path, "skipped", None, f"{why} It failed: {error.message}", error.hint)
    reference = audit.reference(failures.failed_id(store, path))
    audit.note(store.root, "processed", recording=reference, status="failed")
    recording_id = failures.keep_failure(store, settings, source, error)
    outcome = Outcome(path, "failed", recording_id, error.message, error.hint)
    return _with_page(outcome, store, settings)
