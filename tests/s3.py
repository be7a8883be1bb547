"""A real S3 server of this machine: a process of its own, on a free port of the loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from fer_core import config
from fer_core.settings import Settings

SECRET = "wJalr-this-must-never-be-told"


@dataclass
class Server:
    """The server, and the environment in which programs find it."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextmanager
def serving(**environment: str) -> Generator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5):
                    break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield Server(port, process)
    finally:
        process.kill()
        process.wait()


def client() -> Any:
    """Return what a reader would use, without anything of ours."""
    return fsspec.filesystem("s3", use_listings_cache=False)


def objects(url: str) -> dict[str, bytes]:
    """Return every object below an address, by its name there."""
    base, reader = url.removeprefix("s3://"), client()
    found = reader.find(base)
    return {path.removeprefix(f"{base}/"): data for path, data in reader.cat(found).items()}


def forget() -> None:
    """Have the next client look into the environment again: instances are kept, and costly."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with serving() as running:
        forget()
        yield running
    forget()


@pytest.fixture
def elsewhere() -> Generator[None]:
    """Have this test's own environment heeded, and forgotten afterwards."""
    forget()
    yield
    forget()


@pytest.fixture
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Return the address of an empty bucket of its own."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    name = f"b{abs(hash(request.node.nodeid)):x}"
    client().mkdir(name)
    return f"s3://{name}"


def copy_of(machine: Path) -> Path:
    """Return where a machine has its working copy."""
    return machine / "copy"


def settings_of(there: str, tmp_path: Path, machine: str = "one", **more: Any) -> Settings:
    flags = {"out": str(copy_of(tmp_path / machine)), "publish_to": f"{there}/out", **more}
    return config.load(None, flags).settings


def deny(url: str, *what: str) -> None:
    """Have the server refuse actions, such as ``PutObject``, below an address; none: allow all."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not what:
        client().call_s3("delete_bucket_policy", Bucket=bucket)
        return
    told = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": [f"s3:{action}" for action in what],
        "Resource": f"arn:aws:s3:::{bucket}/{key}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [told]})
    client().call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)
