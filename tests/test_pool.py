"""A Prefect work pool, as docs/operation.md sets it up: deployed, worked on, the core's tables."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import server
from tests.test_faults import contents

REPO = Path(__file__).resolve().parent.parent
COMMANDS = [
    line.removeprefix("#").strip()
    for line in (REPO / "prefect.yaml").read_text(encoding="utf-8").splitlines()
    if line.startswith("#   prefect ")
]


@contextmanager
def started(command: list[str], environment: dict[str, str]) -> Generator[subprocess.Popen[bytes]]:
    """Have a process until the block ends; then neither it nor what it started."""
    process = subprocess.Popen(
        command,
        cwd=REPO,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdin:
            process.stdin.close()


def answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_home")
def test_a_deployment_is_run_by_a_worker_of_its_pool(
    inbox: Path, night: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    assert night(out="core")[0] == 0
    port = server._free_port(0)
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_PREFETCH_SECONDS": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def prefect(*words: str) -> str:
        done = subprocess.run(
            ["prefect", "--no-prompt", *words],
            cwd=REPO,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    create, deploy, work = ([*shlex.split(command)[1:]] for command in COMMANDS)
    with started([sys.executable, "-m", "flows.server", str(port)], environment) as serving:
        answers(f"http://127.0.0.1:{port}/api/health", serving)
        prefect(*create)
        prefect(*deploy)
        with started(["prefect", *work], environment):
            parameters = {
                "paths": [str(inbox.parent)],
                "config": None,
                "flags": {"out": str(tmp_path / "out"), "deployment.jurisdiction": "IN"},
            }
            given = ("--params", json.dumps(parameters))
            said = prefect("deployment", "run", "nightly/nightly", *given, "--watch")
    assert "Completed" in said, said
    assert contents(tmp_path / "out") == contents(tmp_path / "core")
