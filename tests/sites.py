"""The real web interface in a process of its own, on a free port of this machine, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from flask.testing import FlaskClient
from numpy.typing import NDArray

from fer_core.settings import Settings
from fer_core.web import guard
from fer_core.web.app import create_app
from tests import clips

REPO = Path(__file__).parent.parent
EXAMPLE = next((REPO / "examples").rglob("*.mp4"))
WAIT_S = 120.0


def class_picture() -> NDArray[np.uint8]:
    """Return a picture of the bundled class: nine people, none of whom exists."""
    film = cv2.VideoCapture(str(EXAMPLE))
    film.set(cv2.CAP_PROP_POS_MSEC, 30_000)
    read, picture = film.read()
    film.release()
    assert read
    return np.asarray(picture, np.uint8)


def class_clip(path: Path, seconds: int) -> bytes:
    """Return the first seconds of the bundled class as a video without its sidecar."""
    frames = str(2 * seconds)
    clips.ffmpeg("-i", EXAMPLE, "-r", "2", "-frames:v", frames, "-g", "4", "-an", *clips.H264, path)
    return path.read_bytes()


def encoded(picture: NDArray[np.uint8], ending: str) -> bytes:
    """Return a picture as a file."""
    done, file = cv2.imencode(ending, picture)
    assert done
    return file.tobytes()


def client_of(settings: Settings) -> FlaskClient:
    """Return a client of the app of a dataset itself, without any server."""
    scratch = settings.out / "web"
    scratch.mkdir(parents=True)
    return create_app(settings, guard.access_of(settings.web), scratch).test_client()


class Site:
    """A running server: where it is, and a client that follows no redirect."""

    def __init__(self, process: subprocess.Popen[str], address: str, out: Path) -> None:
        self.process, self.address, self.out = process, address, out
        self.client = httpx.Client(base_url=address, timeout=60, trust_env=False)

    def stop(self) -> str:
        """End it as a service manager would; return what it said since it was ready."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=WAIT_S)
        return said


@contextmanager
def serving(home: Path, *words: Any, **variables: str) -> Iterator[Site]:
    """Serve the dataset ``out`` below a folder until the block ends.

    Args:
        words: further flags.
        variables: settings as environment variables, without their prefix.
    """
    home.mkdir(exist_ok=True)
    settings = {f"LECTUREPULSE_{name}": value for name, value in variables.items()}
    command = [sys.executable, "-m", "fer_core", "web", "--port", "0", "--out", "out"]
    process = subprocess.Popen(
        [*command, *map(str, words)],
        env=os.environ
        | {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1", "LECTUREPULSE_RUN__MIN_FREE_MB": "0"}
        | settings,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    try:
        assert said.startswith("Open http://"), said + process.stdout.read()
        site = Site(process, said.split()[1].rstrip("/"), home / "out")
        with site.client:
            yield site
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=WAIT_S)
