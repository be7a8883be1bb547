"""The schedule, with a real Prefect server: it fires, gives the core's tables, and ends cleanly."""

import http.server
import inspect
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from fer_core import cli
from fer_core.underway import read_underway
from flows import server
from tests import clips

REPO = Path(__file__).parent.parent
STARTED: list[subprocess.Popen[str]] = []


def start(home, *arguments):
    environment = os.environ | {
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PYTHONPATH": str(REPO),
        "LECTUREPULSE_DISCOVERY__SETTLE_S": "0",
        "LECTUREPULSE_RUN__WORKERS": "1",
        "LECTUREPULSE_SAMPLING__RATE_HZ": "2",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    environment.pop("PREFECT_API_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "fer_core", *map(str, arguments)],
        env=environment,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    STARTED.append(process)
    return process


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


class Serving:
    """A running ``serve`` over the inbox of a home, and its Prefect server as anybody sees it."""

    def __init__(self, home, *more):
        inbox, out = home / "inbox", home / "served"
        place = ("--out", out, "--jurisdiction", "DE")
        self.process = start(home, "serve", inbox, *place, *more)
        self.said = []
        address = None
        for line in self.process.stdout:
            self.said.append(line)
            if address := re.search(r"Prefect: (http://127\.0\.0\.1:\d+)", line):
                break
        assert address, self.said
        self.url = f"{address[1]}/api"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        # A pipe that nobody reads fills up and stops its writer.
        with self.process.stdout as stream:
            self.said.extend(stream)

    def ask(self, path, **body):
        request = urllib.request.Request(
            f"{self.url}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        # A busy database is said as 503, to be asked again: Prefect's own client does the same.
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def deployment(self):
        """Return its deployment, once it polls for runs: what is due at once is not missed then."""
        wait_for(lambda: any("is being served" in line for line in self.said), self, 120)
        (found,) = self.ask("deployments/filter")
        return found

    def wait(self, signal_number):
        self.process.send_signal(signal_number)
        began = time.monotonic()
        self.process.wait(timeout=120)
        return time.monotonic() - began


def wait_for(what, serving, limit_s):
    deadline = time.monotonic() + limit_s
    while not (found := what()):
        assert serving.process.poll() is None, serving.said
        assert time.monotonic() < deadline, serving.said
        time.sleep(0.1)
    return found


def none_left(group, url):
    """Wait until a process group has ended, and the server that it had asked for."""
    deadline = time.monotonic() + 60
    port = int(url.rpartition(":")[2].partition("/")[0])

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    while group_members(group) or answers():
        assert time.monotonic() < deadline, (group_members(group), answers())
        time.sleep(0.2)


@pytest.fixture
def home(tmp_path, prefect_home):
    """A home with an inbox: a class in one segment.

    It is read in presence mode, in which every second seen can be kept.
    """
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    example = next((REPO / "examples").rglob("*.mp4"))
    cut = ("-i", example, "-t", "100", "-r", "2", "-g", "20", "-an", *clips.H264)
    clips.ffmpeg(*cut, inbox / "class.mp4")
    yield tmp_path
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    STARTED.clear()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_schedule_survives_its_ends_and_gives_the_tables_of_the_core(home):
    place = ("--jurisdiction", "DE", "--out", home / "core")
    core = start(home, "run", home / "inbox", "--no-prefect", *place)
    said, _ = core.communicate(timeout=200)
    assert core.returncode == 0, said
    out = home / "served"

    def work(pattern="*"):
        return list(out.glob(f"work/*/*/{pattern}"))

    # SIGTERM in the middle of a segment: ended within 30 s, what was seen is kept.
    serving = Serving(home, "--cron", "0 0 1 1 *")
    deployment = serving.deployment()
    assert "Another lecturepulse serve looks after" in second_one(home)
    serving.ask(f"deployments/{deployment['id']}/create_flow_run")
    wait_for(lambda: (now := read_underway(out)) and now.seen_s >= 2, serving, 200)
    assert serving.wait(signal.SIGTERM) < 30
    assert serving.process.returncode == 0
    none_left(serving.process.pid, serving.url)
    assert [path.name for path in work()] == ["segment-0-end.begun"], serving.said
    assert not list(out.glob("tables/*"))
    assert "Traceback" not in "".join(serving.said)

    # Power cut in the middle of the next.
    serving = Serving(home, "--cron", "0 0 1 1 *")
    deployment = serving.deployment()
    assert not deployment["paused"]
    cut_off = serving.ask(f"deployments/{deployment['id']}/create_flow_run")["id"]

    def state(of):
        (found,) = serving.ask("flow_runs/filter", flow_runs={"id": {"any_": [of]}})
        return found["state"]["type"]

    wait_for(lambda: state(cut_off) == "RUNNING", serving, 200)
    # One at a time: these stay due until the machine goes off.
    due = [datetime.now(UTC) - timedelta(minutes=minutes) for minutes in (3, 2, 1)]
    late = [
        serving.ask(
            f"deployments/{deployment['id']}/create_flow_run",
            state={"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}},
        )["id"]
        for at in due
    ]
    os.killpg(serving.process.pid, signal.SIGKILL)
    none_left(serving.process.pid, serving.url)  # its server notices by itself

    # The next one is not held up by a run that seems to be going on.
    serving = Serving(home, "--cron", "* * * * *")
    serving.deployment()
    assert state(cut_off) == "CRASHED"
    # Of the nights missed one is made up for.
    assert [state(run) == "CANCELLED" for run in late] == [True, True, False]
    wait_for((out / "reports" / "index.html").exists, serving, 300)
    serving.wait(signal.SIGTERM)
    none_left(serving.process.pid, serving.url)
    assert tables(out) == tables(home / "core")


def second_one(home):
    """Try to serve the same folder a second time, and return what it says."""
    place = ("--out", home / "served", "--jurisdiction", "DE")
    process = start(home, "serve", home / "inbox", *place)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    return said


def test_a_schedule_without_a_jurisdiction_is_refused_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inbox").mkdir()
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "inbox", "--out", "out"])
    assert ended.value.code == 2
    assert "A jurisdiction is required" in capsys.readouterr().err


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_proxy_does_not_stand_before_our_own_server(monkeypatch):
    monkeypatch.setattr(server, "_SERVER_START_S", 10)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with http.server.HTTPServer(("127.0.0.1", 0), Healthy) as other, child:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        server._await(f"http://127.0.0.1:{other.server_port}/api/health", child)
        other.shutdown()
        child.kill()


@pytest.mark.parametrize(
    ("lower", "upper", "then"),
    [
        ("", "", "127.0.0.1,localhost"),
        ("a.example, localhost", "", "a.example,localhost,127.0.0.1"),
        ("", "a.example", "a.example,127.0.0.1,localhost"),
        ("*", "", "*"),
    ],
)
def test_prefect_s_client_asks_this_machine_without_a_proxy(monkeypatch, lower, upper, then):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", lower)
    monkeypatch.setenv("NO_PROXY", upper)

    server._ask_without_proxy()

    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == then
    assert urllib.request.proxy_bypass("127.0.0.1")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--cron", "nonsense"], "'nonsense' is no cron expression"),
        (["--cron", "99 99 * * *"], "'99 99 * * *' is no cron expression"),
        (["--timezone", "Mars/X"], "There is no time zone 'Mars/X'"),
        (["--timezone", "../UTC"], "There is no time zone '../UTC'"),
    ],
)
def test_a_schedule_that_is_none_is_refused_before_anything_starts(
    tmp_path, monkeypatch, capsys, words, why
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.server.running", None)
    (tmp_path / "inbox").mkdir()
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "inbox", "--out", "out", "--jurisdiction", "DE", *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert why in said and "Traceback" not in said and words[0] in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("told", "pages"), [("", "Asia/Kolkata"), ('[report]\ntimezone = "UTC"\n', None)]
)
def test_the_pages_are_in_the_schedule_s_time_zone_unless_told_otherwise(
    tmp_path, monkeypatch, told, pages
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "lecturepulse.toml").write_text(told, encoding="utf-8")
    seen = {}
    monkeypatch.setattr("flows.server.running", lambda **_: nullcontext("http://127.0.0.1/api"))
    monkeypatch.setattr("flows.schedule.serve", lambda _, __, flags, **more: seen.update(flags))
    words = ["serve", "inbox", "--out", "out", "--jurisdiction", "IN"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--timezone", "Asia/Kolkata"])
    assert ended.value.code == 0
    assert seen.get("report.timezone") == pages


@pytest.mark.parametrize(
    ("timezone", "night"),
    # Clocks go forward from 2 to 3, and back from 3 to 2.
    [
        ("Europe/London", (2027, 3, 28)),
        ("America/New_York", (2027, 3, 14)),
        ("Europe/Berlin", (2026, 10, 25)),
        ("America/New_York", (2026, 11, 1)),
    ],
)
@pytest.mark.parametrize("at", ["30 1 * * *", "30 2 * * *", "0 2 * * *"])
def test_a_change_of_the_clock_costs_no_night(timezone, night, at):
    import asyncio

    from prefect.client.schemas.schedules import CronSchedule
    from prefect.server.schemas.schedules import CronSchedule as Kept

    zone = ZoneInfo(timezone)
    begin = datetime(*night, 12, tzinfo=zone) - timedelta(days=3)
    given = CronSchedule(cron=at, timezone=timezone)
    schedule = Kept(cron=given.cron, timezone=given.timezone)
    dates = asyncio.run(schedule.get_dates(6, begin))
    gaps = [later - earlier for earlier, later in itertools.pairwise(dates)]
    assert all(timedelta(hours=22) <= gap <= timedelta(hours=26) for gap in gaps), dates


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
