"""The guard around child programs, tried on small shell and Python programs."""

import os
import resource
import sys
import threading
import time
from contextlib import suppress

import pytest

import fer_core
from fer_core import process
from fer_core.errors import EnvironmentProblem


def of(*command):
    return process.Program(command, os.environ, "Put it back.")


def sh(script):
    return of("/bin/sh", "-c", script)


def run(command, limit_s=30.0, max_output_bytes=1000, claim=None):
    return process.run(command, limit_s=limit_s, max_output_bytes=max_output_bytes, claim=claim)


def gone_within(pid, limit_s=10.0):
    """Wait for an orphan to go: its new parent reaps it in its own time."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_output_status_and_error_stream_come_back():
    output, ended = run(sh("printf abc; echo trouble >&2; exit 7"))
    assert (output, ended.returncode, ended.tail) == (b"abc", 7, ("trouble",))


def test_output_beyond_the_bound_is_read_and_dropped():
    output, ended = run(sh("head -c 300000 /dev/zero"), max_output_bytes=100_000)
    assert (len(output), ended.returncode) == (100_000, 0)


def test_a_flooded_error_stream_neither_blocks_nor_fills_memory():
    flood = "import sys; sys.stderr.write('x' * 3_000_000 + '\\n'); print('done')"
    lines = "for n in range(100_000): print('line', n, file=sys.stderr)"
    output, ended = run(of(sys.executable, "-c", f"{flood}\n{lines}"))
    assert output == b"done\n"
    assert ended.tail[-1] == "line 99999"
    assert sum(map(len, ended.tail)) < 1_000_000


def test_claimed_lines_stay_out_of_the_tail():
    claimed = []

    def claim(line):
        claimed.append(line)
        return line.startswith("a")

    _, ended = run(sh("printf 'a1\\nb\\na2\\n' >&2"), claim=claim)
    assert (claimed, ended.tail) == (["a1", "b", "a2"], ("b",))


def test_processor_time_is_that_of_this_child():
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    _, ended = run(of(sys.executable, "-c", busy))
    assert 0.5 <= ended.cpu_s < 5
    _, idle = run(sh("sleep 0.3"))
    assert idle.cpu_s < 0.25


def test_a_signal_is_a_negative_status():
    _, ended = run(sh("kill -SEGV $$"))
    assert ended.returncode == -11


@pytest.mark.parametrize("script", ["exec sleep 600", "exec >&-; exec sleep 600"])
def test_a_child_that_does_not_answer_is_killed(script):
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        run(sh(script), limit_s=0.3)
    assert time.monotonic() - began < 10


def test_children_of_a_killed_child_die_with_it():
    told = []

    def claim(line):
        told.append(int(line))
        return True

    with pytest.raises(TimeoutError):
        run(sh("sleep 600 & echo $! >&2; wait"), limit_s=4.0, claim=claim)
    assert gone_within(told[0])


def test_a_slow_reader_does_not_use_up_the_limit():
    with process.Child(sh("head -c 400000 /dev/zero"), limit_s=lambda: 5.0) as child:
        total = 0
        for _ in range(4):
            total += child.read_into(memoryview(bytearray(100_000)))
            time.sleep(0.2)
        assert total == 400_000
        waited_s = child._waited_s
        assert child.finish().returncode == 0
    assert waited_s < 0.7


def test_the_limit_may_grow_with_progress():
    limits = iter([0.05] + [30.0] * 100_000)
    with process.Child(sh("sleep 0.3; echo x"), limit_s=lambda: next(limits)) as child:
        assert child.read_into(memoryview(bytearray(2))) == 2


def leave_normally(child):
    child.read_into(memoryview(bytearray(10)))


def leave_by_an_error(child):
    child.read_into(memoryview(bytearray(10)))
    raise ZeroDivisionError


@pytest.mark.parametrize("leave", [leave_normally, leave_by_an_error])
def test_a_child_left_early_is_killed_and_reaped(leave):
    with (
        suppress(ZeroDivisionError),
        process.Child(of("yes"), limit_s=lambda: 30.0) as child,
    ):
        leave(child)
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)
    assert "drain-stderr" not in [thread.name for thread in threading.enumerate()]
    assert child.stop() is child.stop()


def test_a_program_that_is_not_there_is_a_problem_of_the_machine(tmp_path):
    with pytest.raises(EnvironmentProblem, match="No such file") as caught:
        run(of(str(tmp_path / "nothing")))
    assert caught.value.hint == "Put it back."
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(EnvironmentProblem, match="could not be started"):
        run(of(str(plain)))


@pytest.mark.parametrize("how", ["-c", "-m"])
def test_our_python_takes_this_package_and_nothing_from_the_working_folder(
    how, tmp_path, monkeypatch
):
    for name in ("fer_core", "json", "flows"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('anything may lie here')")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "told.py").write_text("import json, flows, fer_core; print(fer_core.__file__)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    words = ("-c", "import told") if how == "-c" else ("-m", "told")
    output, ended = run(process.our_python(*words))
    assert ended.returncode == 0, ended.tail
    assert output.decode().strip() == fer_core.__file__


def test_output_is_handed_over_line_by_line():
    lines = []
    ended = process.run_lines(sh("printf 'one\\ntwo\\nlast'"), limit_s=30, take=lines.append)
    assert (lines, ended.returncode) == (["one", "two", "last"], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux")
def test_a_child_takes_no_more_memory_than_it_may():
    # The child waits for its limit: it is set once the child runs.
    greedy = "import sys, time; time.sleep(1); block = bytearray(600_000_000); print(len(block))"
    program = of(sys.executable, "-c", greedy)
    assert process.run(program, limit_s=30, max_output_bytes=100)[0] == b"600000000\n"
    output, ended = process.run(program, limit_s=30, max_output_bytes=100, max_memory_mb=500)
    assert output == b""
    assert ended.tail[-1] == "MemoryError"


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux")
def test_no_limit_is_raised_above_the_one_there_is(monkeypatch):
    # As an administrator has set it for this user, who may lower it only.
    allowed, given = 3_000_000_000, {}

    def prlimit(pid, kind, limits=None):
        if limits is None:
            return (allowed, allowed if kind == resource.RLIMIT_AS else resource.RLIM_INFINITY)
        given[kind] = limits
        return limits

    monkeypatch.setattr(process.resource, "prlimit", prlimit)
    for most_mb, expected in ((4096, allowed), (500, 500_000_000)):
        process.run(sh("true"), limit_s=30, max_output_bytes=1, max_memory_mb=most_mb)
        assert given[resource.RLIMIT_AS] == (expected, expected)
        assert given[resource.RLIMIT_CORE] == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux")
def test_a_child_writes_no_file(tmp_path):
    path = tmp_path / "file"
    _, ended = run(sh(f"sleep 1; trap '' XFSZ; echo x > '{path}'"))
    assert ended.returncode != 0
    assert path.read_bytes() == b""
