"""Prefect's surroundings on a school's machine: no telemetry, a patient start, a schedule.

Imports Prefect only inside functions: its settings are read once, when it is first imported.
"""

from __future__ import annotations

import os
from typing import Any


def prepare(*, log_level: str = "WARNING") -> None:
    """Set what the operator has not set in Prefect's environment."""
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The embedded server takes 8 to 15 s on a small machine, longer on a busy one; Prefect's
        # own limit is 20.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_LOGGING_LEVEL": log_level,
        "PREFECT_SERVER_LOGGING_LEVEL": log_level,
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def start(*, log_level: str = "WARNING") -> str | None:
    """Reach Prefect's server, starting the embedded one if none is configured.

    Returns:
        None, or in a few words why there is none.
    """
    prepare(log_level=log_level)
    try:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            fault = client.api_healthcheck()
    # Whatever keeps Prefect from starting, the recordings can be read without it.
    except Exception as error:  # noqa: BLE001
        fault = error
    return None if fault is None else f"{type(fault).__name__}: {fault}".splitlines()[0][:200]


def serve(
    paths: list[str], config: str | None, flags: dict[str, Any], *, cron: str, timezone: str
) -> None:
    """Run ``nightly`` on a schedule until the process is ended.

    One run at a time; ending the process does not pause the schedule.
    """
    prepare()
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import EntrypointType
    from prefect.schedules import Cron

    from flows.nightly import nightly

    nightly.serve(
        name="nightly",
        schedule=Cron(cron, timezone=timezone),
        parameters={"paths": paths, "config": config, "flags": flags},
        limit=1,
        global_limit=ConcurrencyLimitConfig(limit=1),
        pause_on_shutdown=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
