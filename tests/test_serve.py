"""The schedule, with a real Prefect server: it fires, gives the core's tables, and ends cleanly."""

import inspect
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from tests import clips

REPO = Path(__file__).parent.parent


def start(home, *arguments):
    environment = os.environ | {
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PYTHONPATH": str(REPO),
        "LECTUREPULSE_DISCOVERY__SETTLE_S": "0",
    }
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen(
        [sys.executable, "-m", "fer_core", *map(str, arguments)],
        env=environment,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def tables(out):
    return {
        path.relative_to(out): path.read_bytes()
        for path in (out / "tables").rglob("*.parquet")
        if "runs" not in path.parts
    }


def group_members(group):
    """Return the processes of a process group that are not zombies."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            members.append(stat.parent.name)
    return members


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_the_schedule_fires_and_gives_the_tables_of_the_core(tmp_path):
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    clips.write_clip(inbox / "class.mp4", clips.steady(Fraction(5), 12))
    place = ("--jurisdiction", "IN")

    core = start(tmp_path, "run", inbox.parent, "--no-prefect", "--out", tmp_path / "core", *place)
    said, _ = core.communicate(timeout=200)
    assert core.returncode == 0, said

    out = tmp_path / "served"
    serving = start(tmp_path, "serve", inbox.parent, "--cron", "* * * * *", "--out", out, *place)
    try:
        deadline = time.monotonic() + 400
        while not (out / "reports" / "index.html").exists():
            assert serving.poll() is None, serving.stdout.read()
            assert time.monotonic() < deadline, "the schedule did not fire"
            time.sleep(1)
    finally:
        # Only the parent: it has to end its server and its run by itself.
        serving.send_signal(signal.SIGTERM)
        said, _ = serving.communicate(timeout=120)
    assert tables(out) == tables(tmp_path / "core")
    assert serving.returncode == 0, said
    deadline = time.monotonic() + 30
    while group_members(serving.pid) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not group_members(serving.pid)


def test_the_work_pool_deployment_names_a_flow_and_its_parameters():
    deployment = yaml.safe_load((REPO / "prefect.yaml").read_text(encoding="utf-8"))["deployments"][
        0
    ]
    path, _, name = deployment["entrypoint"].partition(":")
    assert (REPO / path).is_file()
    from flows import nightly

    flow = getattr(nightly, name)
    parameters = inspect.signature(flow.fn).parameters
    assert set(deployment["parameters"]) <= set(parameters)
