"""Where segments are worked on: in this machine's worker processes, or on a Dask cluster.

Imports Dask only inside functions: it is an extra.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from fer_core import segment
from fer_core.errors import EnvironmentProblem
from fer_core.settings import Run

_ADDRESS: Final = "dask://"
_PATIENCE_S: Final = 30


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
        # What it says of every connection is for those who look after clusters.
        logging.getLogger("distributed").setLevel(logging.ERROR)
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
            client: Any = stack.enter_context(
                dask.Client(address, set_as_default=False, timeout=_PATIENCE_S)
            )
        except OSError as error:
            raise EnvironmentProblem(
                f"No Dask scheduler answers at {address}.",
                hint="Start one there (dask scheduler) and its workers, or correct run.runner.",
            ) from error
        client.register_plugin(_plugin())
        yield DaskTaskRunner(address=address)


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
