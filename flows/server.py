"""Prefect's server on a school's machine: no telemetry, a patient start, never left behind.

Imports Prefect only inside functions: its settings are read once, when it is first imported.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from fer_core import process
from fer_core.errors import EnvironmentProblem

_PREFECT_PORT: Final = 4200
_APP: Final = "prefect.server.api.server:create_app"
# As Prefect starts a server for a single run: no schedules, no pages, ready sooner.
_EPHEMERAL: Final = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_UI_ENABLED": "0"}
# Empty, since any word at all would mean yes.
_VACUUM: Final = "PREFECT_SERVER_SERVICES_DB_VACUUM"
_SCHEDULES: Final = {
    "PREFECT__SERVER_EPHEMERAL": "",
    "PREFECT_UI_ENABLED": "1",
    f"{_VACUUM}_ENABLED": "events,flow_runs",
}
# A proxy is for the world outside: it does not know this machine's own servers.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_LOOPBACK: Final = ("127.0.0.1", "localhost")
_OURS_S: Final = 0.5
_SERVER_END_S: Final = 20
_SERVER_START_S: Final = 180  # it takes 8 to 15 s on a small machine, longer on a busy one


def prepare(*, log_level: str = "WARNING") -> None:
    """Set what the operator has not set in Prefect's environment."""
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": log_level,
        "PREFECT_SERVER_LOGGING_LEVEL": log_level,
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextmanager
def running(
    *, log_level: str = "WARNING", schedules: bool = False, keep_days: int | None = None
) -> Generator[str]:
    """Have a Prefect server: the configured one, or our own on this machine.

    Ours listens on the loopback only and ends with the block, or with this process, however that
    ends.

    Args:
        log_level: of Prefect, unless the operator has set one.
        schedules: whether it has to fire schedules and show its pages, too.
        keep_days: how long it keeps its history of runs, in which recordings' paths stand; None
            for Prefect's own 90 days.

    Yields:
        The address of its API, also set as ``PREFECT_API_URL``.

    Raises:
        EnvironmentProblem: it ended or did not answer in time.
    """
    prepare(log_level=log_level)
    if url := os.environ.get("PREFECT_API_URL"):
        _reach(url)
        yield url
        return
    _ask_without_proxy()
    port = _free_port(_PREFECT_PORT if schedules else 0)
    url = f"http://127.0.0.1:{port}/api"
    purpose = _SCHEDULES if schedules else _EPHEMERAL
    if keep_days:
        purpose = purpose | {f"{_VACUUM}_RETENTION_PERIOD": str(86400 * keep_days)}
    program = process.our_python("-m", "flows.server", str(port))
    child = subprocess.Popen(
        program.command,
        stdin=subprocess.PIPE,  # its lifeline
        stdout=subprocess.DEVNULL,
        env={**program.env, **purpose, "PREFECT_API_URL": url, "PREFECT_UI_API_URL": url},
        # Ctrl-C is for us; the server is ended once nobody needs it any more.
        start_new_session=True,
    )
    try:
        _await(f"{url}/health", child)
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        child.terminate()
        try:
            child.wait(timeout=_SERVER_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _ask_without_proxy() -> None:
    """Have Prefect's own client, here and in children, reach this machine without any proxy."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if "*" not in names:
        names += [name for name in _LOOPBACK if name not in names]
    # Some read one of the two, some the other.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(names)


def _reach(url: str) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
    if fault is not None:
        raise EnvironmentProblem(
            f"The Prefect server {url} does not answer ({type(fault).__name__}).",
            hint="Start it, or unset PREFECT_API_URL to use one on this machine.",
        )


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
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
            with _OPENER.open(url, timeout=5) as answer:
                if answer.status == HTTPStatus.OK:
                    # Another's server may have taken the port meanwhile: then ours ends now.
                    time.sleep(_OURS_S)
                    if child.poll() is None:
                        return
        except OSError:
            time.sleep(0.5)
    raise EnvironmentProblem(
        "The Prefect server did not start.",
        hint="See what 'prefect server start' says, or set PREFECT_API_URL to a running one.",
    )


def _main() -> None:
    """Be the server, until the process that asked for it ends: its end of our input closes."""
    import uvicorn

    def end_with_parent() -> None:
        # Not sys.stdin: its lock would still be held while the interpreter ends.
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SERVER_END_S)
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    port = int(sys.argv[1])
    uvicorn.run(_APP, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    _main()
