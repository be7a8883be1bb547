"""Feeds the night mutated recordings and counts what it makes of them: `make fuzz`.

Each batch is one run of the whole job over a folder, in a process of its own, so that its memory
and its time can be told. Every file must end as a row, whatever is in it.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core.errors import InputError, TransientError  # noqa: E402
from fer_core.store import Store  # noqa: E402
from fer_core.video import find_ffmpeg  # noqa: E402

FORMATS = {
    "mp4": ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    "mkv": ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-pix_fmt", "yuv420p"),
    "avi": (
        "-c:v",
        "mpeg4",
    ),
    "gif": (),
}
BATCH = 50
LIMIT_S = 60.0
"""A file that takes longer than this hangs the night; measured over a batch."""
LIMIT_MB = 2000
"""More memory than this in any one process is not bounded."""


@dataclass
class Found:
    """What the batches showed."""

    statuses: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])
    slowest_s: float = 0.0
    peak_mb: float = 0.0


def make_clips(folder: Path) -> dict[str, bytes]:
    """Make a short recording in every format."""
    program = str(find_ffmpeg(None).path)
    made: dict[str, bytes] = {}
    for ending, options in FORMATS.items():
        path = folder / f"clip.{ending}"
        source = ("-f", "lavfi", "-i", "testsrc=s=96x80:r=8:d=4")
        command = [program, "-v", "error", *source, *options, f"file:{path}"]
        subprocess.run(command, check=True, timeout=120)
        made[ending] = path.read_bytes()
    return made


def mutated(  # noqa: C901 - one branch a kind of damage
    clips: dict[str, bytes], number: int, seed: int
) -> tuple[str, str, bytes]:
    """Return ending, kind of damage and bytes of the mutation of that number."""
    dice = random.Random(f"{seed} {number}")  # noqa: S311 - damage, not secrets
    ending = sorted(clips)[number % len(clips)]
    data = bytearray(clips[ending])
    kind = dice.choice(
        ["cut", "bits", "burst", "header", "splice", "size", "zero", "twice", "swap"]
    )
    at = dice.randrange(len(data))
    if kind == "cut":
        del data[at:]
    elif kind == "bits":
        for _ in range(dice.choice([1, 5, 50, 500])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif kind == "burst":
        data[at : at + dice.randrange(1, 2000)] = dice.randbytes(dice.randrange(1, 2000))
    elif kind == "header":
        for _ in range(dice.choice([1, 4, 16])):
            data[dice.randrange(min(200, len(data)))] = dice.randrange(256)
    elif kind == "splice":
        other = clips[dice.choice(sorted(clips))]
        data = bytearray(other[: dice.randrange(1, 600)]) + data[at:]
    elif kind == "size":
        # Where containers keep sizes and counts: near the names of their boxes, or anywhere.
        value = dice.choice([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", dice.randbytes(4)])
        names = [
            data.find(name)
            for name in (b"stsz", b"stco", b"tkhd", b"mvhd", b"stts", b"idx1", b"avih")
        ]
        near = dice.choice([place + dice.randrange(4, 40) for place in names if place > 0] or [at])
        data[near : near + 4] = value
    elif kind == "zero":
        length = dice.randrange(1, len(data))
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "twice":
        data[at:at] = data[: dice.randrange(1, len(data))]
    else:
        ending = dice.choice(sorted(clips))
    return ending, kind, bytes(data)


def run_batch(folder: Path, numbers: range, seed: int, found: Found) -> None:
    """Run the job over one batch of mutations and take down what it made of them."""
    clips = make_clips(folder)
    inbox, out = folder / "inbox", folder / "out"
    inbox.mkdir()
    for number in numbers:
        ending, kind, data = mutated(clips, number, seed)
        # A number at the end makes every content its own: equal ones would be done once.
        (inbox / f"{number:05}-{kind}.{ending}").write_bytes(data + number.to_bytes(4, "big"))
    words = ["run", str(inbox), "--out", str(out), "--jurisdiction", "IN", "--no-prefect"]
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "fer_core", *words],
        cwd=ROOT,
        env=os.environ | {"LECTUREPULSE_DISCOVERY__SETTLE_S": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, said = child.communicate(timeout=LIMIT_S * len(numbers))
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        found.faults.append(f"{numbers}: the night hung")
        return
    found.slowest_s = max(found.slowest_s, (time.monotonic() - began) / len(numbers))
    # The largest of our children so far, and of theirs that they waited for.
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    found.peak_mb = max(found.peak_mb, peak_mb)
    if child.returncode not in (0, 1):
        found.faults.append(f"{numbers}: exit code {child.returncode}: {said[-300:]!r}")
        return
    rows = Store(out).all("recordings")
    found.statuses.update(rows["status"])
    names = set(rows["source_name"])
    found.faults += [f"{path.name}: no row" for path in inbox.iterdir() if path.name not in names]
    known = (InputError.code, TransientError.code)
    for row in rows[rows["status"] != "done"].to_dict("records"):
        if row["error_code"] not in known:
            found.faults.append(
                f"{row['source_name']}: {row['error_code']}: {row['error_message']}"
            )


def main() -> int:
    """Run as many mutations as asked for and print what they showed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = Found()
    for start in range(0, given.files, BATCH):
        numbers = range(start, min(start + BATCH, given.files))
        with tempfile.TemporaryDirectory() as folder:
            run_batch(Path(folder), numbers, given.seed, found)
        kinds = ", ".join(f"{n} {status}" for status, n in sorted(found.statuses.items()))
        print(f"{numbers.stop:5} files: {kinds}; {len(found.faults)} faults", flush=True)  # noqa: T201
    if found.peak_mb > LIMIT_MB:
        found.faults.append(f"{found.peak_mb:.0f} MB in one process")
    for fault in found.faults:
        print(fault)  # noqa: T201
    print(  # noqa: T201
        f"{given.files} mutated recordings: {len(found.faults)} faults; at most "
        f"{found.slowest_s:.1f} s a file (mean of a batch), {found.peak_mb:.0f} MB in one process"
    )
    return int(bool(found.faults))


if __name__ == "__main__":
    sys.exit(main())
