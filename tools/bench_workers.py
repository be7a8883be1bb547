"""Measures what a second worker gives, on `processes` and on `dask`: `make bench-workers`.

A worker here is a core: with one worker the whole run (conductor, worker, its decoder) may use one
core, with two it may use two. Prefect's server is started beforehand and runs anywhere. The time is
that of the recording, from its plan to its tables; starts of programs and clusters do not count,
those of workers do. CPU seconds are of everything: neighbours hardly touch them, so on a machine
that is not alone they tell whether two workers have more to do than one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core.store import Store  # noqa: E402
from flows import server  # noqa: E402
from tools.galleries import Gallery, make  # noqa: E402

_ON_CORES: Final = (
    "import os, sys; os.sched_setaffinity(0, range(int(sys.argv[1])));"
    "os.execv(sys.executable, [sys.executable, '-m', 'fer_core', *sys.argv[2:]])"
)


def measure(path: Path, runner: str, workers: int) -> tuple[float, float]:
    """Return how long a recording takes, and the CPU seconds of the whole run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as out:
        words = ["run", str(path), "--out", out, "--jurisdiction", "IN", "--runner", runner]
        subprocess.run(
            [sys.executable, "-c", _ON_CORES, str(workers), *words],
            cwd=ROOT,
            env=os.environ | {"LECTUREPULSE_RUN__WORKERS": str(workers)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return float(Store(Path(out)).all("runs")["wall_s"].iloc[0]), cpu_s


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runners", nargs="*", default=["processes", "dask"])
    given = parser.parse_args()
    path = make(Gallery(4, 720, 2, given.minutes), ROOT / ".bench")
    results: list[dict[str, object]] = []
    print(f"{path.stem}: medians of {given.repeats}, one worker and two")  # noqa: T201
    print(f"{'':<10} {'wall s':>15} {'t1 / 2 t2':>10} {'CPU s':>15} {'c1 / c2':>9}")  # noqa: T201
    with server.running():
        for runner in given.runners:
            found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
            # In turn, so that a busy minute of the machine meets both.
            for _ in range(given.repeats):
                for workers, each in found.items():
                    each.append(measure(path, runner, workers))
            walls = [statistics.median(wall for wall, _ in each) for each in found.values()]
            cpus = [statistics.median(cpu for _, cpu in each) for each in found.values()]
            results.append({"runner": runner, "wall_and_cpu_s": found, "video": path.stem})
            print(  # noqa: T201
                f"{runner:<10} {walls[0]:7.1f} {walls[1]:7.1f} {walls[0] / (2 * walls[1]):>10.0%} "
                f"{cpus[0]:7.1f} {cpus[1]:7.1f} {cpus[0] / cpus[1]:>9.0%}",
                flush=True,
            )
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    about = {"at": at, "cores": os.cpu_count(), "results": results}
    (ROOT / ".bench" / f"workers-{at}.json").write_text(json.dumps(about, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
