"""Measures the whole job against the `fer` package: `python tools/bench_fer.py RECORDING`.

Both are new processes, take turns, decode the recording themselves and look at one picture a
second; `fer` (which is no dependency: `pip install fer`) finds faces with its default detector.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core import bench  # noqa: E402
from tools.bench import settings_of  # noqa: E402

_THEIRS = """
import sys
import cv2
cv2.waitKey, cv2.destroyAllWindows = lambda _: -1, lambda: None  # windows, which nobody sees
from fer.classes import Video
from fer.fer import FER
found = Video(sys.argv[1]).analyze(
    FER(mtcnn=False), frequency=int(sys.argv[2]), save_frames=False, save_video=False,
    annotate_frames=False, zip_images=False, use_async_io=False, output="pandas",
)
print(len(found))
"""


def theirs(path: Path, pictures_a_second: int) -> tuple[float, int]:
    """Return the wall time `fer` takes, and how many pictures it looked at."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _THEIRS, str(path), str(pictures_a_second)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        text=True,
        check=True,
    )
    return time.perf_counter() - began, int(done.stdout.split()[-1])


def main() -> None:
    """Measure in turns; print medians and the ratio of each turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--rate", type=int, default=25, help="pictures a second in it")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    ours_s: list[float] = []
    theirs_s: list[float] = []
    for _ in range(given.repeats):
        ours_s.append(bench.measure_recording(given.recording, settings_of()).wall_s)
        wall_s, pictures = theirs(given.recording, given.rate)
        theirs_s.append(wall_s)
        print(f"ours {ours_s[-1]:.1f} s, fer {wall_s:.1f} s ({pictures} pictures)", flush=True)  # noqa: T201
    ratio = median(b / a for a, b in zip(ours_s, theirs_s, strict=True))
    print(f"medians: {median(ours_s):.1f} s, {median(theirs_s):.1f} s; ratio {ratio:.1f}")  # noqa: T201


if __name__ == "__main__":
    main()
