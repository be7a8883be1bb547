"""Reads one very long recording and watches memory meanwhile: `make soak`.

The bundled class, shrunk and repeated: as many people as in a lesson, for as long as asked.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core.bench import memory_mb  # noqa: E402
from fer_core.store import Store  # noqa: E402
from fer_core.video import find_ffmpeg  # noqa: E402

LEAST_GROWTH_MB = 200.0
"""Growth that is no leak: what was seen of an hour takes a few MB, and allocators keep some."""


def make_recording(path: Path, hours: float) -> None:
    """Write the bundled class over and over: 640 pixels wide, two pictures a second."""
    program = str(find_ffmpeg(None).path)
    example = next((ROOT / "examples").rglob("*.mp4"))
    once = path.with_name("once.mp4")
    small = ["-vf", "scale=640:-2", "-r", "2", "-g", "20", "-an", "-pix_fmt", "yuv420p"]
    again = ["-stream_loop", "-1", "-i", f"file:{once}", "-t", str(3600 * hours), "-c", "copy"]
    for arguments in (["-i", str(example), *small, f"file:{once}"], [*again, f"file:{path}"]):
        subprocess.run([program, "-v", "error", *arguments], check=True, timeout=600)
    once.unlink()


def main() -> int:
    """Run the job and print the peak of every tenth of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hours", type=float, nargs="?", default=6.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        inbox, out = Path(folder) / "inbox", Path(folder) / "out"
        inbox.mkdir()
        make_recording(inbox / "long.mp4", given.hours)
        words = ["run", str(inbox), "--out", str(out), "--jurisdiction", "IN", "--no-prefect"]
        began = time.monotonic()
        run = subprocess.Popen(
            [sys.executable, "-m", "fer_core", *words],
            cwd=ROOT,
            env=os.environ | {"LECTUREPULSE_DISCOVERY__SETTLE_S": "0"},
        )
        segments = max(1, round(3600 * given.hours / 300))
        peaks = [0.0] * 12
        while run.poll() is None:
            done = len(list(out.glob("work/*/*/*.npz")))
            # After the last segment everything is put together: a stage of its own.
            at = 11 if done >= segments else 10 * done // segments
            peaks[at] = max(peaks[at], memory_mb(run.pid) or 0.0)
            time.sleep(0.2)
        seconds = Store(out).all("seconds")
    told = ", ".join(f"{peak:.0f}" for peak in peaks[:10])
    print(  # noqa: T201
        f"{given.hours:g} h of video in {(time.monotonic() - began) / 60:.1f} min, "
        f"{len(seconds)} seconds, {seconds['faces'].mean():.1f} people\n"
        f"peak by tenth of the work: {told} MB; putting together: {max(peaks[10:]):.0f} MB"
    )
    return int(run.returncode != 0 or peaks[9] - peaks[1] > LEAST_GROWTH_MB)


if __name__ == "__main__":
    sys.exit(main())
