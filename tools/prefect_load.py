"""Counts what a night asks of Prefect's server: requests by recording and by segment.

Runs the real thing over clips of a few seconds, with a real server whose access log is counted.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core.video import find_ffmpeg  # noqa: E402


def clip(path: Path, seconds: int) -> None:
    """Write a picture of noise that differs from every other clip's, long enough to be cut."""
    source = f"testsrc=size=64x64:rate=1:duration={seconds}"
    program = str(find_ffmpeg(None).path)
    words = [program, "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p"]
    subprocess.run([*words, f"file:{path}"], check=True)


def count(recordings: int, seconds: int, workers: int) -> tuple[int, Counter[str]]:
    """Return how many requests a night of so many recordings makes, and of which kinds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as scratch:
        folder, log = Path(scratch), Path(scratch, "access.log")
        (folder / "inbox").mkdir()
        for number in range(recordings):
            clip(folder / "inbox" / f"{number}.mp4", seconds + number)
        environment = os.environ | {
            "PREFECT_HOME": scratch,
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT_UI_ENABLED": "0",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "LECTUREPULSE_DISCOVERY__SETTLE_S": "0",
            "LECTUREPULSE_RUN__WORKERS": str(workers),
            "LECTUREPULSE_SAMPLING__SEGMENT_S": "10",
        }
        app = ["tools.prefect_load:counted", "--factory", "--port", str(port)]
        serving = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *app],
            cwd=ROOT,
            env=environment | {"LOG_OF_REQUESTS": str(log)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_server(f"http://127.0.0.1:{port}/api/health")
            before = len(requests(log))
            words = ["run", "inbox", "--out", "out", "--jurisdiction", "IN"]
            subprocess.run(
                [sys.executable, "-m", "fer_core", *words],
                cwd=scratch,
                env=environment | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            time.sleep(2)
            found = requests(log)[before:]
        finally:
            serving.terminate()
            serving.wait()
        return len(found), Counter(re.sub(r"[0-9a-f-]{36}", "ID", one) for one in found)


def counted() -> Any:
    """Return Prefect's server, which notes every request (and message of a socket) in a file."""
    from prefect.server.api.server import create_app

    inner, log = create_app(), Path(os.environ["LOG_OF_REQUESTS"])

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def received() -> Any:
            message = await receive()
            if message["type"] == "websocket.receive":
                note("MESSAGE", scope["path"])
            return message

        def note(what: str, path: str) -> None:
            with log.open("a") as file:
                file.write(f"{what} {path}\n")

        if scope["type"] == "http":
            note(scope["method"], scope["path"])
        await inner(scope, received, send)

    return noting


def requests(log: Path) -> list[str]:
    """Return method and path of every request so far."""
    return log.read_text().splitlines() if log.exists() else []


def await_server(url: str) -> None:
    """Wait until the server answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(url)


def main() -> None:
    """Print requests a night, a recording and a segment."""
    none, _ = count(1, 15, 1)
    more, _ = count(4, 15, 1)
    cut, kinds = count(4, 95, 1)
    by_recording = (more - none) / 3
    # 15 to 18 s are two segments of ten, 95 to 98 s are ten.
    by_segment = (cut - more) / (4 * 8)
    print(f"{none} requests for one recording of two segments; {by_recording:.1f} for each more.")  # noqa: T201
    print(f"{by_segment:.1f} of them for each segment; {none - by_recording:.0f} for the night.")  # noqa: T201
    for kind, times in kinds.most_common(12):
        print(f"{times:6d} {kind}")  # noqa: T201


if __name__ == "__main__":
    main()
