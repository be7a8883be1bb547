"""What holds for every test: every page is sound, and no error is logged in silence."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from fer_core import cli, report, stopping
from tests import clips, pages

Program = Callable[..., tuple[int, str, str]]
Command = Callable[..., tuple[int, str]]


def pytest_collection_modifyitems(items):
    """Begin with the quick files; of the others, with those of few long tests.

    A long test that comes last would keep one core busy while the other has nothing to do.

    Skip browser tests where no Chromium is; on CI its absence is a failure of the set-up.
    """
    takes_long = {item.path for item in items if {"slow", "browser"} & set(item.keywords)}
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path in takes_long, tests[item.path], item.path))
    if shutil.which("chromium") or os.environ.get("CI") == "true":
        return
    reason = pytest.mark.skip(reason="no chromium on PATH (tools/browser.sh installs one)")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(reason)


@pytest.fixture(autouse=True, scope="session")
def _every_page_is_checked():
    """Check every page that any test renders in its own process, whatever the test is about."""
    render = report._render

    def checked(*arguments):
        html = render(*arguments)
        pages.check(html)
        return html

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "_render", checked)
        yield


@pytest.fixture(autouse=True)
def _nobody_has_to_stop():
    """Forget a test's stop: it is the process's, and whatever runs next in it would stop, too."""
    yield
    stopping.requested.clear()


@pytest.fixture(autouse=True)
def _no_error_logged(caplog):
    """Fail a test during which lecturepulse logged an error: a fault of ours was swallowed."""
    yield
    errors = [
        record.getMessage()
        for phase in ("setup", "call")
        for record in caplog.get_records(phase)
        if record.name.startswith("lecturepulse") and record.levelname in ("ERROR", "CRITICAL")
    ]
    assert not errors


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A recording of 12 seconds without anybody."""
    path = tmp_path_factory.mktemp("clip") / "class.mp4"
    clips.write_clip(path, clips.steady(Fraction(5), 12))
    return path


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Recordings of every kind with known truth, each made when a test first asks for it."""
    return clips.Library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A home of Prefect with its database, made once: that takes longer than a server's start."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home = shared / "prefect"
    with (shared / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            making = shared / "prefect.part"
            upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
            environment = os.environ | {"HOME": str(shared), "PREFECT_HOME": str(making)}
            subprocess.run(upgrade, env=environment, check=True, capture_output=True, timeout=240)
            making.rename(home)
    return home


@pytest.fixture
def prefect_home(tmp_path, migrated):
    """A copy of that home, as one that has been used before."""
    return shutil.copytree(migrated, tmp_path / "prefect")


@pytest.fixture
def inbox(tmp_path, clip):
    """The course of an inbox, with that recording in it."""
    folder = tmp_path / "inbox" / "maths"
    folder.mkdir(parents=True)
    shutil.copy(clip, folder)
    return folder


@pytest.fixture
def program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Program:
    """Run the program in this process, in the test's folder; give exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECTUREPULSE_DISCOVERY__SETTLE_S", "0")
    # A single segment is looked at in this process; workers would only be started and ended.
    monkeypatch.setenv("LECTUREPULSE_RUN__WORKERS", "1")

    def run(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, words)])
        captured = capsys.readouterr()
        return int(str(ended.value.code)), captured.out, captured.err

    return run


@pytest.fixture
def command(program: Program) -> Command:
    """Run a command on the folder ``out``; give exit code and everything said."""

    def run(*words: str, out: str = "out") -> tuple[int, str]:
        code, said, errors = program(*words, "--out", out)
        return code, said + errors

    return run


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch, command: Command) -> Command:
    """Run over ``inbox`` into the folder ``out``; give exit code and everything said."""
    # The limit's own message would come first.
    monkeypatch.setenv("LECTUREPULSE_RUN__MIN_FREE_MB", "0")

    def run(*more: str, out: str = "out") -> tuple[int, str]:
        return command("run", "inbox", "--jurisdiction", "IN", "--no-prefect", *more, out=out)

    return run
