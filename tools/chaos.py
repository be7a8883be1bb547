"""Kills runs at random moments, resumes each, and compares with an undisturbed run: `make chaos`.

Half of the kills come at a random time, half the moment a chosen file appears: between a table and
its commit, say, where a random moment would hardly ever fall.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core import audit  # noqa: E402
from fer_core.store import Store  # noqa: E402
from fer_core.video import find_ffmpeg  # noqa: E402

EVENTS = (
    "work/*/*/segment-0-*.npz",
    "work/*/*/segment-1?-*.npz.*.part",
    "work/*/*/segment-1?-*.npz",
    "tables/seconds/*/*/.*.part",
    "tables/seconds/*/*/*.parquet",
    "tables/marks/*/*/*.parquet",
    "tables/recordings/*/*/.*.part",
    "tables/recordings/*/*/*.parquet",
    "reports/*/*.html",
    "logs/*.log",
    "last-night.json",
)
LIMIT_S = 120.0
"""A run that takes longer than this is stuck."""

_ENVIRONMENT = {
    "LECTUREPULSE_SAMPLING__SEGMENT_S": "10",
    "LECTUREPULSE_DISCOVERY__SETTLE_S": "0",
    "LECTUREPULSE_RUN__MIN_FREE_MB": "0",
}


@dataclass(frozen=True)
class Trial:
    """What one kill led to: when it came, and what was wrong after the resumed run."""

    when: str
    killed: bool
    faults: tuple[str, ...]


def appeared(out: Path, pattern: str) -> bool:
    """Say whether a file is there; folders may be removed by the run meanwhile."""
    try:
        return any(out.glob(pattern))
    except FileNotFoundError:
        return False


class Chaos:
    """An inbox with a class, an empty room and a broken file, and what a run makes of them.

    Args:
        folder: where everything is done.
        seed: of all moments.
    """

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self._folder = folder
        self._random = random.Random(seed)  # noqa: S311 - moments, not secrets
        self._inbox = folder / "inbox" / "maths"
        self._inbox.mkdir(parents=True)
        ffmpeg = str(find_ffmpeg(None).path)
        example = next((ROOT / "examples").rglob("*.mp4"))
        quick = ["-pix_fmt", "yuv420p", "-preset", "ultrafast", "-an"]
        cut = ["-ss", "25", "-i", str(example), "-t", "24", "-r", "2", "-g", "10", *quick]
        room = ["-f", "lavfi", "-i", "color=c=gray:s=160x120:r=5:d=6", *quick]
        for name, arguments in (("class.mp4", cut), ("room.mp4", room)):
            target = f"file:{self._inbox / name}"
            subprocess.run([ffmpeg, "-v", "error", *arguments, target], check=True, timeout=120)
        (self._inbox / "broken.mp4").write_bytes(b"no video at all")
        began = time.monotonic()
        whole = folder / "whole"
        self._run(whole).wait(LIMIT_S)
        self._length_s = time.monotonic() - began
        self._expected = contents(whole)
        self._rows = counts(whole)

    def trial(self, number: int) -> Trial:
        """Start a run, kill it, run again to the end and look at what is there."""
        out = self._folder / f"trial-{number}"
        began = time.monotonic()
        run = self._run(out)
        if number % 2:
            at_s = self._random.uniform(0, self._length_s)
            when = f"after {at_s:.2f} s"
            while run.poll() is None and time.monotonic() - began < at_s:
                time.sleep(0.001)
        else:
            event = EVENTS[number // 2 % len(EVENTS)]
            when = f"at {event}"
            while run.poll() is None and not appeared(out, event):
                time.sleep(0.0005)
        killed = run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait(LIMIT_S)
        faults = [f"decoder left behind: {line}" for line in self._left_behind()]
        again = self._run(out)
        try:
            again.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            again.kill()
            again.wait()
            return Trial(when, killed, (*faults, f"stuck for {LIMIT_S:.0f} s"))
        # The broken file is told by whichever of the two runs came to it first.
        if again.returncode not in (0, 1):
            faults.append(f"exit code {again.returncode}")
        found = contents(out)
        differ = {
            path for path in found | self._expected if found.get(path) != self._expected.get(path)
        }
        faults += [f"differs: {path}" for path in sorted(differ)]
        if (rows := counts(out)) != self._rows:
            faults.append(f"rows: {rows} instead of {self._rows}")
        faults += [f"left over: {path.relative_to(out)}" for path in leftovers(out)]
        return Trial(when, killed, tuple(faults))

    def _run(self, out: Path) -> subprocess.Popen[bytes]:
        words = ["run", str(self._inbox.parent), "--out", str(out), "--jurisdiction", "IN"]
        return subprocess.Popen(
            [sys.executable, "-m", "fer_core", *words, "--no-prefect"],
            cwd=ROOT,
            env=os.environ | _ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _left_behind(self) -> list[str]:
        """Return the decoders that still work on our files some seconds after their run."""
        deadline = time.monotonic() + 10
        while left := [line for line in _commands() if str(self._inbox) in line]:
            if time.monotonic() > deadline:
                return left
            time.sleep(0.05)
        return []


def _commands() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue


def contents(out: Path) -> dict[str, str]:
    """Return the sha256 of everything a run leaves, but for what tells when and how it ran."""
    found: dict[str, str] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if not path.is_file() or name.startswith(("tables/runs/", "logs/", "last-night", ".lock")):
            continue
        data = path.read_bytes()
        if path.name == "index.html":  # says when the last run ended, and what it did
            data = re.sub(rb'(?s)<section id="night".*?</section>', b"", data)
        if path.name == audit.LOG:  # what was done twice stands there twice, at its own times
            told = {json.dumps({**line, "at": ""}) for line in audit.lines(out)}
            data = "\n".join(sorted(told)).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def counts(out: Path) -> dict[str, int]:
    """Return the number of rows of every table as a reader gets them."""
    store = Store(out)
    return {name: len(store.all(name)) for name in ("recordings", "seconds", "moments", "runs")}


def leftovers(out: Path) -> list[Path]:
    """Return the files that should not be there after a finished run."""
    return [*out.rglob("*.part"), *(p for p in (out / "work").rglob("*") if p.is_file())]


def main() -> int:
    """Run the trials asked for and print what they showed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), given.seed)
        kills = number = 0
        # A run that ended before its kill shows nothing; it does not count.
        while kills < given.trials and number < 3 * given.trials:
            trial = chaos.trial(number)
            number += 1
            kills += trial.killed
            bad += bool(trial.faults)
            told = "; ".join(trial.faults) or "same tables, same pages"
            how = "killed" if trial.killed else "ended before"
            print(f"{number:4} {how} {trial.when}: {told}", flush=True)  # noqa: T201
    print(f"{number} runs, {kills} killed: {number - bad} equal, {bad} not")  # noqa: T201
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
