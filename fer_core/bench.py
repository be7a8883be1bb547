"""Measures one recording: decoding alone, then the whole job, stage by stage.

A command, never a test: the figures depend on the machine and are printed, not judged.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_core import inbox, pipeline, segment, video
from fer_core.errors import InputError
from fer_core.inbox import Source
from fer_core.outcome import Outcome
from fer_core.settings import Settings
from fer_core.store import Store


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; times in seconds, memory in MB (peak of our process, of ffmpeg).

    CPU times by stage come from a pass with one worker, where they can be told apart; the wall
    time from a second pass as configured.
    """

    recording: str
    video_s: float
    decode_only_wall_s: float
    decode_only_cpu_s: float
    start_s: float
    wall_s: float
    decode_cpu_s: float
    detect_cpu_s: float
    classify_cpu_s: float
    own_cpu_s: float
    times_real_time: float
    wall_over_decode: float
    faces: int
    faces_per_s: float
    peak_memory_mb: float
    peak_decoder_memory_mb: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


def measure_recording(path: Path, settings: Settings) -> Figures:
    """Measure one recording in a scratch folder; nothing of it is kept.

    Raises:
        InputError: the recording cannot be read.
    """
    found = inbox.discover([path], settings.discovery)
    for _, error in found.failed:
        raise error
    source = found.sources[0]
    ffmpeg = video.find_ffmpeg(settings.video.ffmpeg)
    info = video.probe(source.path, ffmpeg, settings.video)

    began, decode_cpu_s = time.perf_counter(), 0.0
    for piece in video.plan_segments(info, settings.sampling.segment_s, settings.video):
        with video.Sampler(
            info, piece, settings.sampling.rate_hz, ffmpeg, settings.video, threads=2
        ) as frames:
            for _ in frames:
                pass
        decode_cpu_s += frames.cpu_s
    decode_wall_s = time.perf_counter() - began

    began = time.perf_counter()
    segment.warm_up(settings)
    start_s = time.perf_counter() - began

    alone = settings.model_copy(update={"run": settings.run.model_copy(update={"workers": 1})})
    _, stages, _, _ = _pass(source, alone)
    outcome, _, wall_s, own_cpu_s = _pass(source, settings)
    faces = int(stages["faces"])
    return Figures(
        recording=source.path.name,
        video_s=outcome.video_s,
        decode_only_wall_s=decode_wall_s,
        decode_only_cpu_s=decode_cpu_s,
        start_s=start_s,
        wall_s=wall_s,
        decode_cpu_s=stages["decode_cpu_s"],
        detect_cpu_s=stages["detect_cpu_s"],
        classify_cpu_s=stages["classify_cpu_s"],
        own_cpu_s=own_cpu_s,
        times_real_time=outcome.video_s / wall_s,
        wall_over_decode=wall_s / decode_wall_s,
        faces=faces,
        faces_per_s=faces / wall_s,
        peak_memory_mb=_peak_mb(resource.RUSAGE_SELF),
        peak_decoder_memory_mb=_peak_mb(resource.RUSAGE_CHILDREN),
    )


def _pass(source: Source, settings: Settings) -> tuple[Outcome, dict[str, float], float, float]:
    """Do the whole job into a scratch folder; return outcome, stages, wall and own CPU time."""
    with tempfile.TemporaryDirectory(prefix="lecturepulse-bench-") as scratch:
        scratched = settings.model_copy(update={"out": Path(scratch)})
        began, cpu_s = time.perf_counter(), _own_cpu_s()
        outcome = pipeline.process_recording(source, scratched, force=True)
        wall_s, cpu_s = time.perf_counter() - began, _own_cpu_s() - cpu_s
        if outcome.recording_id is None or outcome.status == "failed":
            raise InputError(outcome.message, hint=outcome.hint)
        store = Store(scratched.out)
        run = store.read("runs", outcome.recording_id).iloc[0]
        stages = {name: float(run[name]) for name in run.index if name.endswith("cpu_s")}
        stages["faces"] = float(store.read("recordings", outcome.recording_id)["faces"].iloc[0])
    return outcome, stages, wall_s, cpu_s


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024
