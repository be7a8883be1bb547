"""The flow for one recording: its segments as tasks, its tables and page at the end."""

# Prefect's decorators lose the types of what they decorate.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false
# pyright: reportFunctionMemberAccess=false, reportCallIssue=false, reportArgumentType=false

import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_runners import ThreadPoolTaskRunner

from fer_core import config as configuration
from fer_core import inbox, pipeline, progress, stopping, workers
from fer_core.errors import InputError, LecturePulseError, TransientError, Unseen
from fer_core.job import Job
from fer_core.outcome import Outcome
from fer_core.pipeline import SegmentResult
from fer_core.records import Segment
from fer_core.segment import Footage
from flows import runners

_GONE: Final = InputError("It changed moments ago.", hint="Run again once it is complete.")
_BYTES: Final = "bytes:"
_LOOK_S: Final = 0.5


def path_as_text(path: Path) -> str:
    """Return a path as a flow's parameter: names are bytes, and Prefect takes true text only."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return _BYTES + quote(os.fsencode(path))
    return str(path)


def text_as_path(text: str) -> Path:
    """Return the path that ``path_as_text`` wrote."""
    if text.startswith(_BYTES):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_BYTES))))
    return Path(text)


def _passing(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Retry here what may work a minute later; a corrupt file never, nor what is not here."""
    fault = state.result(raise_on_failure=False)
    return isinstance(fault, TransientError) and not isinstance(fault, Unseen)


@task(
    name="segment",
    task_run_name="segment {part.index}",
    # Our own work files resume a killed run; Prefect's cache keys contain the run.
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=_passing,
)
def segment_task(footage: Footage, part: Segment) -> SegmentResult:
    """Look at one segment; a segment that cannot be read is a result, not a failure."""
    runners.need_sight(footage)
    try:
        return workers.delegate(footage, part)
    except InputError as error:
        runners.need_sight(footage)  # it may have gone from here meanwhile
        return error


def in_tasks(job: Job) -> list[SegmentResult]:
    """Work through a recording's segments as tasks of the flow that runs."""
    run = job.settings.run
    delays = [run.retry_delay_s * 2**attempt for attempt in range(run.retries)]
    patient = segment_task.with_options(retries=run.retries, retry_delay_seconds=delays)
    try:
        errands = _Errands(job, patient)
        waiting = [*job.segments]
        while waiting:
            errands.wait_for(waiting[0])
            for part in filter(errands.is_over, [*waiting]):
                waiting.remove(part)
                if run.runner != "processes":  # whose workers tell of every second themselves
                    end_s = part.end_s or job.info.duration_s_from_header or part.start_s
                    progress.tell("advanced", job.source.path.name, end_s - part.start_s)
    except BaseException as end:
        # Prefect ends a flow with a signal of its own; an Exception ends this recording alone.
        if not isinstance(end, Exception):
            stopping.requested.set()
        raise
    return [errands.result(part) for part in job.segments]


class _Errands:
    """The segments of a recording as tasks; those that a worker does not see go to another."""

    def __init__(self, job: Job, task: Any) -> None:
        self._footage = job.footage
        self._task = task
        self._blind: set[str] = set()
        self._only_on: dict[int, set[str]] = {}
        self._futures = [self._submit(part) for part in job.segments]

    def wait_for(self, part: Segment) -> None:
        """Wait a moment, or until a segment has ended."""
        self._futures[part.index].wait(_LOOK_S)
        # A signal reaches one thread only; the recordings of the others have to end as well.
        if stopping.requested.is_set():
            raise stopping.Stopped

    def is_over(self, part: Segment) -> bool:
        """Say whether a segment has ended, one way or the other, or send it elsewhere.

        Prefect's own retries stay in the worker that the task was given to.
        """
        ended = self._futures[part.index].wrapped_future.done()
        if ended:
            try:
                self.result(part)
            except Unseen as fault:
                self._blind.add(fault.worker)
            except LecturePulseError:  # raised once all have ended
                return True
            else:
                return True
        elif part.index not in self._only_on or self._only_on[part.index] & runners.present():
            return False
        # Not seen; or those it may go to have ended, for which Dask would wait for ever.
        if not (others := runners.present() - self._blind):
            return ended
        self._only_on[part.index] = others
        with runners.only_on(others):
            self._futures[part.index] = self._submit(part)
        return False

    def result(self, part: Segment) -> SegmentResult:
        """Return what came of a segment that has ended, or raise what kept it from that."""
        future = self._futures[part.index]
        with runners.in_plain_words(self._footage):
            future.wrapped_future.result()
        answer: SegmentResult = future.result()
        return answer

    def _submit(self, part: Segment) -> Any:
        with runners.in_plain_words(self._footage):
            return self._task.submit(self._footage, part)


@flow(
    name="recording",
    flow_run_name="{path}",
    task_runner=ThreadPoolTaskRunner(max_workers=2),
    validate_parameters=False,
    persist_result=False,
)
def recording(
    path: str,
    config: str | None = None,
    flags: dict[str, Any] | None = None,
    *,
    force: bool = False,
) -> Outcome:
    """Do one recording: decode, find faces, read expressions, commit tables, draw the page.

    Args:
        path: the video file.
        config: the configuration file; None for ``lecturepulse.toml`` in the working folder.
        flags: settings by dotted name, over the file and the environment.
        force: do it again even if nothing has changed.
    """
    settings = configuration.load(Path(config) if config else None, flags).settings
    found = inbox.discover([text_as_path(path)], settings.discovery)
    if not found.sources:  # it went, or its sidecar was spoilt, since the night began
        where, error = found.failed[0] if found.failed else (text_as_path(path), _GONE)
        return pipeline.failed_before_reading(settings, where, error)
    (source,) = found.sources
    return pipeline.process_recording(
        source, settings, force=force, look_all=in_tasks, runner="prefect"
    )
