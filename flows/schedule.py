"""The schedule: one night after the other, whatever became of the ones before.

Imports Prefect only inside functions: its settings are read once, when it is first imported.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import available_timezones

from fer_core import process
from fer_core.errors import ConfigError

_REFUSED: Final = 9
_CHECK: Final = f"""
import sys
from prefect.schedules import Cron
try:
    Cron(sys.argv[1])
except ValueError:
    sys.exit({_REFUSED})
"""


def need_schedule(cron: str, timezone: str) -> None:
    """Refuse a schedule that Prefect would refuse, while nothing of it runs yet.

    Args:
        cron: when.
        timezone: of it.

    Raises:
        ConfigError: one of them is none.
    """
    if timezone not in available_timezones():
        raise ConfigError(
            f"There is no time zone {timezone!r}.",
            hint="Give --timezone a name as in the tz database, such as Asia/Kolkata.",
        )
    # In a process of its own: here Prefect would read its settings before its server is there.
    program = process.our_python("-c", _CHECK, cron)
    checked = subprocess.run(
        program.command,
        env=program.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if checked.returncode == _REFUSED:
        raise ConfigError(
            f"{cron!r} is no cron expression.",
            hint='Give --cron minute, hour, day, month and weekday, such as "0 2 * * *".',
        )


def serve(
    paths: list[str], config: str | None, flags: dict[str, Any], *, cron: str, timezone: str
) -> None:
    """Run ``nightly`` on a schedule until the process is ended; ``running`` holds the server.

    One run at a time; ending the process does not pause the schedule. The caller makes sure that
    nobody else serves the same folder.

    Args:
        paths: the inbox.
        config: the configuration file, if any.
        flags: settings by dotted name; ``out`` tells which dataset, and so which deployment.
        cron: when.
        timezone: of it.
    """
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.nightly import nightly

    # Two datasets on one server must not take each other's schedule.
    out = str(flags["out"])
    # Prefect's runner ends on SIGTERM by leaving a coroutine and a callback behind, and says so.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="coroutine 'Runner.astop' was never awaited")
    name = f"{Path(out).name}-{hashlib.sha256(out.encode()).hexdigest()[:6]}"
    clear_stale(f"{nightly.name}/{name}")
    nightly.serve(
        name=name,
        schedule=Cron(cron, timezone=timezone),
        parameters={"paths": paths, "config": config, "flags": flags},
        # No limit kept by the server: a slot whose holder was killed would never come free again.
        limit=1,
        pause_on_shutdown=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def clear_stale(deployment: str) -> int:
    """Close the runs that an earlier process left open, so that none stands in tonight's way.

    Runs that had begun are marked as crashed: whoever conducted them is gone, and the next one
    goes on where they stopped. Of those that came due meanwhile only the latest is kept.

    Args:
        deployment: flow and deployment, ``nightly/…``.

    Returns:
        How many were closed.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.objects import StateType
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Cancelled, Crashed

    with get_client(sync_client=True) as client:
        try:
            known = client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return 0
        ours = DeploymentFilter.model_validate({"id": {"any_": [known.id]}})

        def runs(states: list[StateType], ours: DeploymentFilter | None, **more: Any) -> list[Any]:
            wanted = {"state": {"type": {"any_": states}}, **more}
            found: list[Any] = []
            # Pages: the server gives 200 at most.
            while page := client.read_flow_runs(
                flow_run_filter=FlowRunFilter.model_validate(wanted),
                deployment_filter=ours,
                offset=len(found),
            ):
                found += page
            return found

        open_ = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
        begun = runs(open_, ours)
        due = {"expected_start_time": {"before_": datetime.now(UTC)}}
        late = runs([StateType.SCHEDULED], ours, **due)
        late.sort(key=lambda run: run.expected_start_time)
        gone = Crashed(message="The process that conducted it is gone; the next run goes on.")
        if begun:
            inside = {"any_": [run.id for run in begun]}
            begun += runs([StateType.RUNNING], None, parent_flow_run_id=inside)
        for run in begun:
            client.set_flow_run_state(run.id, gone, force=True)
        for run in late[:-1]:
            state = Cancelled(message="The machine was off; a later run does the work.")
            client.set_flow_run_state(run.id, state, force=True)
        return len(begun) + len(late[:-1])
