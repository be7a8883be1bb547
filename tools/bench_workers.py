"""Measures what a second worker gives, on `processes` and on `dask`: `make bench-workers`.

A worker here is a core: with one worker the whole run (conductor, worker, its decoder) may use one
core, with two it may use two. Prefect's server is started beforehand and runs anywhere. The time is
that of the recording, from its plan to its tables; starts of programs and clusters do not count,
those of workers do.
"""

from __future__ import annotations

import argparse
import json
import os
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


def measure(path: Path, runner: str, workers: int) -> float:
    """Return how long a recording takes, seconds."""
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
        return float(Store(Path(out)).all("runs")["wall_s"].iloc[0])


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runners", nargs="*", default=["processes", "dask"])
    given = parser.parse_args()
    path = make(Gallery(4, 720, 2, given.minutes), ROOT / ".bench")
    results: list[dict[str, object]] = []
    print(f"{path.stem}: seconds of each repeat, medians, efficiency t1 / (2 t2)")  # noqa: T201
    with server.running():
        for runner in given.runners:
            times: dict[int, list[float]] = {1: [], 2: []}
            # In turn, so that a busy minute of the machine meets both.
            for _ in range(given.repeats):
                for workers, found in times.items():
                    found.append(measure(path, runner, workers))
            one, two = (statistics.median(found) for found in times.values())
            efficiency = one / (2 * two)
            results.append(
                {"runner": runner, "times_s": times, "efficiency": efficiency, "video": path.stem}
            )
            each = "  ".join(", ".join(f"{t:.1f}" for t in found) for found in times.values())
            print(  # noqa: T201
                f"{runner:<10} {each:<40} {one:6.1f} {two:6.1f} {efficiency:6.1%}", flush=True
            )
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    about = {"at": at, "cores": os.cpu_count(), "results": results}
    (ROOT / ".bench" / f"workers-{at}.json").write_text(json.dumps(about, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
