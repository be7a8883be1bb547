"""Prefect's surroundings on a school's machine: no telemetry, a patient start, a schedule.

Imports Prefect only inside functions: its settings are read once, when it is first imported.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from fer_core.errors import EnvironmentProblem

_PREFECT_PORT: Final = 4200
_SERVER_START_S: Final = 180


def prepare(*, log_level: str = "WARNING") -> None:
    """Set what the operator has not set in Prefect's environment."""
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The embedded server takes 8 to 15 s on a small machine, longer on a busy one; Prefect's
        # own limit is 20.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(_SERVER_START_S),
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


@contextmanager
def running() -> Generator[str]:
    """Have a Prefect server that schedules: the configured one, or our own on this machine.

    The embedded server of a single run schedules nothing. Ours listens on the loopback only and
    ends with the block.

    Yields:
        The address of its API, also set as ``PREFECT_API_URL``.

    Raises:
        EnvironmentProblem: it ended or did not answer in time.
    """
    prepare()
    if url := os.environ.get("PREFECT_API_URL"):
        yield url
        return
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    program = [sys.executable, "-m", "prefect", "server", "start"]
    child = subprocess.Popen(
        [*program, "--host", "127.0.0.1", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PREFECT_API_URL": url, "PREFECT_UI_API_URL": url},
    )
    try:
        _await(f"{url}/health", child)
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        child.terminate()
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _free_port() -> int:
    for port in (_PREFECT_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EnvironmentProblem(
        "No port is free for the Prefect server.", hint="Start one and set PREFECT_API_URL."
    )


def _await(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SERVER_START_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback, http
                if answer.status == HTTPStatus.OK:
                    return
        except OSError:
            time.sleep(0.5)
    raise EnvironmentProblem(
        "The Prefect server did not start.",
        hint="See what 'prefect server start' says, or set PREFECT_API_URL to a running one.",
    )


def serve(
    paths: list[str], config: str | None, flags: dict[str, Any], *, cron: str, timezone: str
) -> None:
    """Run ``nightly`` on a schedule until the process is ended; ``running`` holds the server.

    One run at a time; ending the process does not pause the schedule.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

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
