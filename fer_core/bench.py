"""Measures one recording: decoding alone, then the whole job as a night does it, in a new process.

A command, never a test: the figures depend on the machine and are printed, not judged.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from fer_core import inbox, nights, pipeline, process, progress, video
from fer_core.errors import EnvironmentProblem, InputError
from fer_core.inbox import Source
from fer_core.settings import Settings
from fer_core.store import Store

_LOOK_S: Final = 0.1
# Times as long as a look at the memory took, until the next.
_REST: Final = 40
_PATIENCE_S: Final = 24 * 3600.0
_CHILD: Final = "from fer_core import bench; bench.child()"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; times in seconds, the medians of the repeats.

    Attributes:
        recording: name of the file.
        video_s: seconds of video.
        decode_only_s: wall time of ffmpeg alone with two threads, one picture a second, into
            nothing: the floor of any nightly job on two cores.
        wall_s: from the start of the process to the written page, Prefect not counted.
        first_s: from the start of the process to the first second of video that was read.
        times_real_time: seconds of video in a second.
        over_decode: ``wall_s / decode_only_s``, each repeat with its own floor.
        decode_cpu_s: processor time of the decoders.
        detect_cpu_s: of finding faces.
        classify_cpu_s: of cutting them out and reading their expressions.
        other_cpu_s: everything else: start, tables, page.
        faces: faces found.
        faces_per_s: in a second of wall time.
        peak_memory_mb: of all processes together; memory they share counts once. None where the
            system does not tell.
    """

    recording: str
    video_s: float
    decode_only_s: float
    wall_s: float
    first_s: float
    times_real_time: float
    over_decode: float
    decode_cpu_s: float
    detect_cpu_s: float
    classify_cpu_s: float
    other_cpu_s: float
    faces: int
    faces_per_s: float
    peak_memory_mb: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


def measure_recording(path: Path, settings: Settings, *, repeats: int = 1) -> Figures:
    """Measure one recording in a scratch folder; nothing of it is kept.

    Floor and job take turns, so that a machine that slows down slows both.

    Args:
        path: the recording.
        settings: all settings.
        repeats: how often.

    Raises:
        InputError: the recording cannot be read.
        EnvironmentProblem: the job ended with a fault of its own.
    """
    found = inbox.discover([path], settings.discovery)
    for _, error in found.failed:
        raise error
    (source,) = found.sources
    floors: list[float] = []
    runs: list[dict[str, Any]] = []
    for _ in range(repeats):
        floors.append(decode_only_s(path, settings))
        runs.append(_run(source, settings))
    middle = {name: median(run[name] for run in runs) for name in runs[0] if name != "memory_mb"}
    peaks = [run["memory_mb"] for run in runs if run["memory_mb"] is not None]
    stages = {name: middle[name] for name in ("decode_cpu_s", "detect_cpu_s", "classify_cpu_s")}
    return Figures(
        recording=source.path.name,
        video_s=middle["video_s"],
        decode_only_s=median(floors),
        wall_s=middle["wall_s"],
        first_s=middle["first_s"],
        times_real_time=middle["video_s"] / middle["wall_s"],
        over_decode=median(run["wall_s"] / floor for run, floor in zip(runs, floors, strict=True)),
        **stages,
        other_cpu_s=middle["cpu_s"] - sum(stages.values()),
        faces=int(middle["faces"]),
        faces_per_s=middle["faces"] / middle["wall_s"],
        peak_memory_mb=max(peaks) if peaks else None,
    )


def decode_only_s(path: Path, settings: Settings, *, threads: int = 2) -> float:
    """Return the wall time in which ffmpeg alone decodes a recording, seconds.

    Raises:
        InputError: it cannot be decoded.
    """
    ffmpeg = video.find_ffmpeg(settings.video.ffmpeg)
    command = video.bare_decode(path, settings.sampling.rate_hz, ffmpeg, settings.video, threads)
    began = time.perf_counter()
    _, ended = process.run(command, limit_s=_PATIENCE_S, max_output_bytes=0)
    if ended.returncode:
        raise InputError(f"{path.name!r} cannot be decoded.", hint="lecturepulse run says why.")
    return time.perf_counter() - began


def _run(source: Source, settings: Settings) -> dict[str, Any]:
    """Do the whole job in a new process and a scratch folder; watch its memory meanwhile."""
    with tempfile.TemporaryDirectory(prefix="lecturepulse-bench-") as scratch:
        scratched = settings.model_copy(update={"out": Path(scratch)})
        before = os.times()
        began = time.perf_counter()
        program = process.our_python("-c", _CHILD)
        child = subprocess.Popen(
            program.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=program.env
        )
        peak_mb: list[float] = []

        def watch() -> None:
            while child.poll() is None:
                looked = time.perf_counter()
                if (now_mb := memory_mb(child.pid)) is not None:
                    peak_mb.append(now_mb)
                # To walk through all memory takes time from whom it belongs to.
                time.sleep(max(_LOOK_S, _REST * (time.perf_counter() - looked)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        said, _ = child.communicate(pickle.dumps((source, scratched)))
        wall_s = time.perf_counter() - began
        watcher.join()
        after = os.times()
        if child.returncode:
            raise EnvironmentProblem("The measured job failed.", hint="See what it said above.")
        ready_s = json.loads(said)
        store = Store(scratched.out)
        recordings = store.all("recordings")
        if recordings["status"].iloc[0] == "failed":
            row = recordings.iloc[0]
            raise InputError(row["error_message"], hint=row["error_hint"] or "")
        run = store.all("runs").iloc[0]
    stages = {name: float(run[name]) for name in run.index if name.endswith("cpu_s")}
    cpu_s = sum(after[2:4]) - sum(before[2:4])
    return {
        "video_s": float(recordings["seconds"].iloc[0]),
        "faces": float(recordings["faces"].iloc[0]),
        "wall_s": wall_s,
        "first_s": ready_s["first_s"] + wall_s - ready_s["whole_s"],
        "cpu_s": cpu_s,
        "memory_mb": max(peak_mb, default=None),
        **stages,
    }


def child() -> None:
    """Be the measured process: do the job that standard input names, and print when it did what."""
    began = time.perf_counter()
    first_s: list[float] = []

    def note(event: progress.Event) -> None:
        if event.kind == "advanced" and not first_s:
            first_s.append(time.perf_counter() - began)

    source: Source
    settings: Settings
    source, settings = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started us
    with progress.listening(note), Store(settings.out).writing():
        nights.work_through(
            [source.path], settings, lambda found: pipeline.process_recording(found, settings)
        )
    whole_s = time.perf_counter() - began
    json.dump({"first_s": first_s[0] if first_s else whole_s, "whole_s": whole_s}, sys.stdout)


def memory_mb(pid: int) -> float | None:
    """Return what a process and all its descendants hold now, MB; shared memory counts once.

    None where the system does not tell (it has no ``/proc``), or once they are gone.
    """
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    held_kb: list[int] = []
    for member in family:
        with suppress(OSError):
            text = Path(f"/proc/{member}/smaps_rollup").read_text()
            held_kb += [
                int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")
            ]
    return sum(held_kb) * 1024 / 1e6 if held_kb else None
