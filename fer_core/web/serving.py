"""Runs the web interface on this machine: binds, serves, ends in good order, leaves nothing."""

# waitress is not typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import shutil
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from types import FrameType
from typing import Any, Final

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server

from fer_core.errors import EnvironmentProblem, StoreError
from fer_core.folder import explained, held
from fer_core.settings import Settings
from fer_core.store import Store
from fer_core.web import guard, kept, live
from fer_core.web.app import create_app

_SCRATCH: Final = "web"
_OURS: Final = ".scratch"
_MORE_MB: Final = 2
_VIDEO_PATHS: Final = frozenset({"/try/video", "/api/v1/videos"})


class Server:
    """The web interface, bound to its address.

    Attributes:
        address: where a browser finds it.
    """

    def __init__(self, settings: Settings, app: Flask) -> None:
        web = settings.web
        # So that our own words can refuse what is a little too large.
        most = 1_000_000 * (max(web.max_video_mb, web.max_image_mb) + _MORE_MB)
        trusted: dict[str, Any] = {}
        if web.proxy:
            trusted = {
                "trusted_proxy": web.proxy,
                "trusted_proxy_headers": {
                    "x-forwarded-for",
                    "x-forwarded-host",
                    "x-forwarded-proto",
                },
            }
        bound = _bound(web.host, web.port)
        self._server: Any = create_server(
            app,
            sockets=[bound],
            threads=web.threads,
            ident=None,
            max_request_body_size=most,
            clear_untrusted_proxy_headers=True,
            **trusted,
        )
        little = 1_000_000 * (web.max_image_mb + _MORE_MB)
        self._server.channel_class = _channel(app, self._server.adj, little)
        host = f"[{web.host}]" if ":" in web.host else web.host
        self.address = f"http://{host}:{bound.getsockname()[1]}/"

    def serve(self) -> None:
        """Answer requests until the process is told to end."""
        with _told_to_end():
            self._server.run()

    def close(self) -> None:
        """Listen no more."""
        self._server.close()


def _channel(app: Flask, given: Any, little: int) -> type[HTTPChannel]:
    """Return waitress' channel, which takes a large body only where a video may be sent.

    waitress writes a body to the disk before anybody sees the request: of a stranger that must be
    no more than a picture.

    Args:
        app: the web interface.
        given: waitress' settings.
        little: what is taken of everything else, bytes.
    """
    for_others = copy(given)
    for_others.max_request_body_size = little

    class Parser(HTTPRequestParser):
        path: str

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            names = ("AUTHORIZATION", "COOKIE")
            sent = {f"HTTP_{name}": self.headers[name] for name in names if name in self.headers}
            if self.path not in _VIDEO_PATHS or not guard.knows(app, sent):
                self.adj = for_others

    class Channel(HTTPChannel):
        parser_class = Parser

    return Channel


def _bound(host: str, port: int) -> socket.socket:
    try:
        kind = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=kind)
    except (OSError, UnicodeError) as error:
        raise EnvironmentProblem(
            f"Cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}.",
            hint="Is it running already? Give another --port, or --host.",
        ) from error


@contextmanager
def opened(settings: Settings) -> Generator[Server]:
    """Bind the web interface; close it and delete what was not kept when the block ends.

    Raises:
        ConfigError: it would let others in without a token.
        EnvironmentProblem: the address cannot be bound.
        StoreError: another one looks after this dataset, or it cannot be written.
    """
    access = guard.access_of(settings.web)
    root = settings.out.absolute()
    with held(root, lock=".web", by="lecturepulse web looks after"):
        scratch = _emptied(root / _SCRATCH)
        kept.forget_unfinished(Store(root))
        try:
            app = create_app(settings, access, scratch)
            server = Server(settings, app)
            try:
                with live.looked_after(app.extensions["lecturepulse"].viewers):
                    yield server
            finally:
                server.close()
                app.extensions["lecturepulse"].jobs.close()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _emptied(folder: Path) -> Path:
    """Return a folder of our own without anything that a killed server left in it.

    Raises:
        StoreError: there is one, and what is in it is not ours.
    """
    marker = folder / _OURS
    with explained(folder):
        if marker.exists():
            shutil.rmtree(folder)
        elif folder.exists() and any(folder.iterdir()):
            raise StoreError(
                f"{folder} holds files that are not of lecturepulse web, which would delete them.",
                hint="Move them elsewhere: the folder is for uploads that are worked on.",
            )
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)  # one that was there
        marker.touch()
    return folder


@contextmanager
def _told_to_end() -> Generator[None]:
    """Have SIGTERM end the block as Ctrl-C does, which is no error here."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
