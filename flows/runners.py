"""Where segments are worked on: in this machine's worker processes, or on a Dask cluster.

Imports Dask only inside functions: it is an extra.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Generator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from prefect.context import FlowRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from fer_core import progress, segment
from fer_core.errors import EnvironmentProblem, TransientError, Unseen, in_short
from fer_core.segment import Footage
from fer_core.settings import Run

_ADDRESS: Final = "dask://"
_PATIENCE_S: Final = 30
_ELSEWHERE: Final = (FileNotFoundError, NotADirectoryError, PermissionError)
"""What the system says on a machine that lacks a folder, or lets nobody into it."""


@contextmanager
def task_runner(run: Run) -> Generator[TaskRunner[Any]]:
    """Have the task runner that the settings choose; a local cluster ends with the block.

    Args:
        run: ``runner`` is ``processes``, ``dask`` (a cluster of this machine) or
            ``dask://HOST:PORT`` (a scheduler whose workers see the same files at the same paths).

    Raises:
        EnvironmentProblem: Dask is not installed, or the scheduler does not answer.
    """
    if run.runner == "processes":
        # Threads that wait: the work is done by ``fer_core.workers``.
        yield ThreadPoolTaskRunner(max_workers=run.workers)
        return
    try:
        import distributed
        from prefect_dask.task_runners import DaskTaskRunner
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"The runner '{run.runner}' needs Dask, which is not installed.",
            hint="Install it: python -m pip install 'lecturepulse[dask]'",
        ) from error
    with ExitStack() as stack:
        dask: Any = distributed  # typed in part only
        # What it says of every connection is for those who look after clusters, who find it in the
        # words of scheduler and workers; what it means for the night is told below.
        for name in ("distributed", "distributed.client"):  # which Dask gives a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)
        address = f"tcp://{run.runner.removeprefix(_ADDRESS)}"
        if run.runner == "dask":
            cluster = stack.enter_context(
                dask.LocalCluster(
                    n_workers=run.workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                )
            )
            address = cluster.scheduler_address
        try:
            asyncio.run(_greet(address))
            client: Any = stack.enter_context(
                dask.Client(address, set_as_default=False, timeout=_PATIENCE_S)
            )
        except OSError as error:
            raise EnvironmentProblem(
                f"No Dask scheduler answers at {address}.",
                hint="Start one there (dask scheduler) and its workers, or correct run.runner.",
            ) from error
        client.register_plugin(_plugin())
        clock = threading.Timer(_PATIENCE_S, tell_if_nobody_works, (client,))
        clock.daemon = True
        clock.start()
        stack.callback(clock.cancel)
        yield DaskTaskRunner(address=address)


async def _greet(address: str) -> None:
    """Have the scheduler say who it is: a client would wait for ever for the answer of another.

    Raises:
        OSError: nobody answers, or something that is no scheduler.
    """
    import distributed

    dask: Any = distributed
    try:
        async with asyncio.timeout(_PATIENCE_S), dask.rpc(address) as scheduler:
            await scheduler.identity(n_workers=0)
    except Exception as error:  # what others say may be read as anything, such as a vast length
        raise ConnectionError(in_short(error)) from error


def tell_if_nobody_works(client: Any) -> None:
    """Tell the person that a Dask client's scheduler has no workers, if that is so."""
    if not client.scheduler_info()["workers"]:
        progress.tell("note", "The Dask scheduler has no workers yet; waiting.")


def need_sight(footage: Footage) -> None:
    """See, in a worker of a cluster, that what the conductor sees is here, too.

    Raises:
        Unseen: the recording or the folder of its work files is not.
    """
    if footage.settings.run.runner == "processes":
        return
    for path, what in ((footage.info.path, "file"), (footage.work, "work folder of")):
        try:
            os.close(os.open(path, os.O_RDONLY))
        except _ELSEWHERE as error:
            raise Unseen(
                f"A Dask worker does not see the {what} {footage.name!r}.",
                hint="Every machine has to see inbox and output under the same paths.",
                detail=f"{_own_address()}: {error}",
                worker=_own_address(),
            ) from error
        except OSError:  # trouble that may pass: whoever reads the file tells of it
            pass


def _own_address() -> str:
    import distributed

    dask: Any = distributed
    return str(dask.get_worker().address)


def present() -> set[str]:
    """Return the addresses of the workers of the cluster that the flow of this thread runs on."""
    flow: Any = FlowRunContext.get()
    return set(flow.task_runner.client.scheduler_info()["workers"])


@contextmanager
def only_on(workers: set[str]) -> Generator[None]:
    """Have the tasks that are submitted in the block go to these workers of a cluster alone."""
    import dask

    annotated: Any = dask  # typed in part only
    with annotated.annotate(workers=sorted(workers)):
        yield


@contextmanager
def in_plain_words(footage: Footage) -> Generator[None]:
    """Turn what Dask says when a worker or the scheduler is lost into what that means.

    Only around what speaks to the scheduler: an ``OSError`` of the segment means something else.

    Raises:
        TransientError: every worker that was given the segment has ended.
        EnvironmentProblem: the scheduler is gone.
    """
    if footage.settings.run.runner == "processes":
        yield
        return
    import distributed

    dask: Any = distributed
    try:
        yield
    except dask.KilledWorker as error:
        raise TransientError(
            f"A worker process ended each time it read {footage.name!r}.",
            hint="The machine may be short of memory: run fewer workers.",
            detail=str(error),
        ) from error
    except (CancelledError, OSError) as error:
        raise EnvironmentProblem(
            "The Dask scheduler is gone.",
            hint="Start it and its workers again, and run again: what is finished is kept.",
            detail=str(error),
        ) from error


def _plugin() -> Any:
    import distributed

    base: Any = distributed.WorkerPlugin

    class OneThread(base):
        """Has every worker, also one that is started later, use one thread of every library."""

        name = "lecturepulse-one-thread"

        def setup(self, worker: object) -> None:
            del worker
            segment.use_threads(1)

    return OneThread()
