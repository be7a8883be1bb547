"""A night: an inbox worked through, recording by recording; a bad one never stops the rest.

What is done to a recording is ``pipeline``'s; whoever conducts (the command line, a flow) passes in
how one is done.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from fer_core import (
    arrivals,
    audit,
    checkpoint,
    failures,
    inbox,
    pages,
    pipeline,
    policy,
    progress,
    repair,
    retention,
    stopping,
    underway,
    workers,
)
from fer_core.errors import LecturePulseError
from fer_core.inbox import Source
from fer_core.outcome import Night, Outcome
from fer_core.settings import Run, Settings
from fer_core.store import Store, Worked
from fer_core.wording import words

_log = logging.getLogger("lecturepulse")

_ON_A_CLUSTER = 4

Publish = Callable[[str | None], None]


def work_through(
    paths: Sequence[str | Path],
    settings: Settings,
    one: Callable[[Source], Outcome],
    publish: Publish = lambda _: None,
    *,
    remembered: bool = True,
) -> Night:
    """Work through an inbox; a bad recording never stops the rest.

    The caller holds the dataset for writing.

    Args:
        paths: files, folders, globs, or addresses in object storage.
        settings: all settings.
        one: does one recording, such as ``process_recording`` or a Prefect sub-flow around it.
        publish: is told the id of each recording that was done or looked at; None before, once
            what is due was deleted.
        remembered: whether the index tells of it as the last night, in place of the one before.

    Raises:
        PolicyError: a real recording without a jurisdiction; nothing has been read then.
        ConfigError, EnvironmentProblem, StoreError: no recording could be done.
    """
    words(settings.report.language, settings.report.timezone)
    store = Store(settings.out)
    tidy(store, settings)
    publish(None)  # what was deleted goes in object storage, too, however the night ends
    laid = arrivals.lay_out(paths, settings, store.root)
    try:
        found = inbox.discover(laid.paths, settings.discovery)
        sources = [arrivals.recognised(source, store.root) for source in found.sources]
        for source in sources:
            policy.permission(settings.deployment, synthetic=inbox.is_made_up(source))
        audit.note_settings(store.root, settings.for_audit())
        outcomes = [
            pipeline.failed_before_reading(settings, path, error)
            for path, error in (*laid.failed, *found.failed)
        ]
        ours = sources and settings.run.runner == "processes"
        count = settings.run.workers if ours else 1
        with workers.employed(count), underway.telling(store.root):
            progress.tell("found", "", len(sources))
            outcomes += _each(sources, one, publish, at_once(settings.run))
        failures.retire_replaced(store, outcomes)
        checkpoint.forget_stale(store.work)
        worked_on = [o.recording_id for o in outcomes if o.status != "skipped" and o.recording_id]
        if at_once(settings.run) > 1:
            _draw_again(store, settings, worked_on)
        if remembered:
            now = datetime.now(UTC).isoformat("T", "seconds")
            store.remember_night(Worked(now, tuple(worked_on)))
        index = pages.write_index(store, settings)
    finally:
        arrivals.clear(store.root)
    return Night(tuple(outcomes), found.waiting, index)


def tidy(store: Store, settings: Settings) -> None:
    """Set damaged tables aside, and delete what is due; the caller writes.

    Before anything that may refuse a night: neither must wait for a setting to be mended.
    """
    # A damaged table must cost neither this night nor the ones to come.
    if torn := repair.find_torn(store):
        folder = repair.set_aside(store, torn)
        _log.warning("%d files of damaged tables were set aside in %s.", len(torn), folder)
    if store.tables.is_dir():
        audit.note_settings(store.root, settings.for_audit())
        retention.purge_expired(store, settings)


def at_once(run: Run) -> int:
    """Return how many recordings are worked on at once."""
    return run.recordings_at_once or (1 if run.runner == "processes" else _ON_A_CLUSTER)


def _each(
    sources: Sequence[Source], one: Callable[[Source], Outcome], publish: Publish, most: int
) -> list[Outcome]:
    if most == 1:
        return [_one(source, one, publish) for source in sources]
    # Two of one size may be one content under two names: the first is read, the other skipped, as
    # if they had come one after the other.
    sizes = {source.path: _size(source) for source in sources}
    chains = [
        [*chain]
        for _, chain in groupby(
            sorted(sources, key=lambda source: (sizes[source.path], source.path)),
            key=lambda source: sizes[source.path],
        )
    ]
    chains.sort(key=lambda chain: chain[0].path)

    def work(chain: list[Source]) -> list[Outcome]:
        try:
            return [_one(source, one, publish) for source in chain]
        except BaseException:  # what stops one stops the night
            stopping.requested.set()
            raise

    with ThreadPoolExecutor(most) as pool:
        try:
            # In the context of this thread, by which Prefect knows whose sub-flow each is.
            futures = [pool.submit(contextvars.copy_context().run, work, chain) for chain in chains]
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            stopping.requested.set()
            raise
    # Those that were only stopped say nothing of why.
    futures.sort(key=lambda future: isinstance(future.exception(), stopping.Stopped))
    done = [outcome for future in futures for outcome in future.result()]
    return sorted(done, key=lambda outcome: outcome.path)


def _one(source: Source, one: Callable[[Source], Outcome], publish: Publish) -> Outcome:
    if stopping.requested.is_set():
        raise stopping.Stopped
    outcome = one(source)
    if outcome.recording_id:
        publish(outcome.recording_id)
    return outcome


def _size(source: Source) -> int:
    try:
        return source.path.stat().st_size
    except OSError:  # it went; whoever reads it says so
        return -1


def _draw_again(store: Store, settings: Settings, worked_on: Sequence[str]) -> None:
    """Draw the pages of courses in which several lectures were read side by side.

    Each is compared with those before it, which may not have been done when it was drawn.
    """
    rows = [row for recording_id in worked_on if (row := store.recording(recording_id))]
    courses = [row["course"] for row in rows]
    for row in rows:
        if courses.count(row["course"]) > 1:
            try:
                pages.write_lecture(store, row["recording_id"], settings)
            except LecturePulseError:
                raise
            except Exception:  # noqa: BLE001 - the page from before stands, and so does the night
                _log.exception("cannot draw the page of %s again", row["source_name"])
