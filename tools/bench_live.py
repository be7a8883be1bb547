"""Measures the live view as a browser uses it: `make bench-live`.

A server of its own on this machine; viewers that send one picture at a time, as often as the server
says, five a second at most. Latency is from sending a picture to having its answer: what a browser
needs besides, to take the picture and to draw over it, is in the page's own figure.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core import config, video  # noqa: E402
from fer_core.bench import memory_mb  # noqa: E402
from fer_core.records import Segment  # noqa: E402

RATE_HZ = 5
SECONDS = 10
WARM_S = 2.0
LIMIT_MS = 200
_SIDE = 3
_WIDTH, _HEIGHT = 1280, 720
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 80]

Image = NDArray[np.uint8]


def pictures(side: int) -> list[bytes]:
    """Return ten seconds of a gallery of so many people a side, as a browser's canvas sends them.

    The bundled class has nine people; each further nine tiles show them a while later.
    """
    example = next((ROOT / "examples").rglob("*.mp4")).absolute()
    ffmpeg, limits = video.find_ffmpeg(None), config.load(None, {}).settings.video
    info = video.probe(example, ffmpeg, limits)
    copies = -(-(side**2) // _SIDE**2)
    seen: list[list[Image]] = []
    for copy in range(copies):
        start_s = 140 * copy // copies
        part = Segment(0, start_s, start_s + SECONDS)
        with video.Sampler(info, part, RATE_HZ, ffmpeg, limits) as frames:
            seen.append([frame.planes.image() for frame in frames])
    return [_gallery([part[k] for part in seen], side) for k in range(RATE_HZ * SECONDS)]


def _gallery(sources: list[Image], side: int) -> bytes:
    width, height = _WIDTH // side, _HEIGHT // side
    canvas = np.zeros((_HEIGHT, _WIDTH, 3), np.uint8)
    for tile in range(side**2):
        copy, person = divmod(tile, _SIDE**2)
        high, wide = (length // _SIDE for length in sources[copy].shape[:2])
        row, column = divmod(person, _SIDE)
        cut = sources[copy][row * high : (row + 1) * high, column * wide : (column + 1) * wide]
        top, left = tile // side * height, tile % side * width
        canvas[top : top + height, left : left + width] = cv2.resize(
            cut, (width, height), interpolation=cv2.INTER_AREA
        )
    return cv2.imencode(".jpg", canvas, _QUALITY)[1].tobytes()


@dataclass
class Figures:
    """What one viewer met."""

    latency_ms: list[float] = field(default_factory=list[float])
    refused: int = 0
    faces: list[int] = field(default_factory=list[int])


def view(host: str, data: list[bytes], until: float, begin: float, figures: Figures) -> None:
    """Be a viewer until a time, and note what happens from ``begin`` on."""
    connection = http.client.HTTPConnection(host, timeout=60)
    _, told = _ask(connection, "POST", "/api/v1/live")
    path = f"/api/v1/live/{told['view']}"
    number = 0
    while (now := time.perf_counter()) < until:
        where = f"{path}/pictures?captured_s={now:.4f}"
        status, told = _ask(connection, "POST", where, data[number % len(data)])
        done = time.perf_counter()
        if now >= begin:
            if status == 200:
                figures.latency_ms.append(1000 * (done - now))
                figures.faces.append(len(told["faces"]))
            else:
                figures.refused += 1
        number += 1
        pause_s = told["pause_ms"] / 1000 if status == 200 else 1
        time.sleep(max(0, now + pause_s - time.perf_counter()))
    _ask(connection, "DELETE", path)
    connection.close()


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, dict[str, Any]]:
    connection.request(method, path, body, {"Content-Type": "image/jpeg"} if body else {})
    answer = connection.getresponse()
    said = answer.read()
    return answer.status, json.loads(said) if said else {}


@contextmanager
def served() -> Generator[tuple[str, int]]:
    """Serve an empty dataset; give host and port, and the server's process id."""
    with tempfile.TemporaryDirectory() as scratch:
        words = ["web", "--port", "0", "--out", scratch, "--jurisdiction", "IN"]
        server = subprocess.Popen(
            [sys.executable, "-m", "fer_core", *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=scratch,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
        try:
            said = server.stdout.readline() if server.stdout else ""
            yield urlsplit(said.split()[1]).netloc, server.pid
        finally:
            server.terminate()
            server.wait(60)


def measure(data: list[bytes], viewers: int, seconds: float) -> str:
    """Return a line of the table: so many viewers who look at the same gallery."""
    every = [Figures() for _ in range(viewers)]
    with served() as (host, pid):
        now = time.perf_counter()
        # Models are loaded for the first viewer; nobody measures that.
        begin, until = now + WARM_S + 3, now + WARM_S + 3 + seconds
        threads = [
            threading.Thread(target=view, args=(host, data[k:] + data[:k], until, begin, figures))
            for k, figures in enumerate(every)
        ]
        for thread in threads:
            thread.start()
        time.sleep(max(0, until - 1 - time.perf_counter()))
        memory = memory_mb(pid) or 0
        for thread in threads:
            thread.join()
    latency = [ms for figures in every for ms in figures.latency_ms]
    if not latency:
        return "none was answered"
    refused = sum(figures.refused for figures in every)
    faces = np.median([n for figures in every for n in figures.faces])
    middle, most = np.percentile(latency, [50, 95])
    late = np.mean(np.array(latency) > LIMIT_MS)
    cells = (
        f"{faces:.0f}",
        f"{viewers}",
        f"{middle:.0f}",
        f"{most:.0f}",
        f"{late:.0%}",
        f"{len(latency) / seconds / viewers:.1f}",
        f"{refused / (refused + len(latency)):.0%}",
        f"{memory:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    parser.add_argument("--sides", type=int, nargs="*", default=[1, 3, 5], help="tiles a side")
    parser.add_argument("--viewers", type=int, nargs="*", default=[1, 4])
    given = parser.parse_args()
    heads = "faces|viewers|median ms|p95 ms|over 200 ms|pictures/s each|refused|MB"
    print(f"{os.cpu_count()} cores\n| {heads.replace('|', ' | ')} |\n|{'--:|' * 8}")  # noqa: T201
    for side in given.sides:
        data = pictures(side)
        for viewers in given.viewers:
            print(measure(data, viewers, given.seconds), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
