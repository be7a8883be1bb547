"""Hands out reports as they lie on disk, under the very policy that each was drawn with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from flask import Response, send_from_directory

from fer_core.web.problems import Problem

_POLICY: Final = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="([^"<>]+)">')
_HEAD_BYTES: Final = 1000
_NOTHING: Final = "default-src 'none'"


def send_report(folder: Path, name: str) -> Response:
    """Send a report, or refuse what is none.

    Args:
        folder: where reports lie.
        name: of the report, relative to it.

    Raises:
        Problem: there is none of that name.
    """
    path = folder / name
    inside = path.resolve().is_relative_to(folder.resolve())
    if not inside or path.suffix != ".html" or not path.is_file():
        raise Problem("not-found", "There is no such report.")
    with path.open("rb") as file:
        found = _POLICY.search(file.read(_HEAD_BYTES))
    # The hashes of its own style and script; what has none may not run anything.
    policy = found[1].decode("ascii", "ignore").replace("&#39;", "'") if found else _NOTHING
    response = send_from_directory(folder.absolute(), name, mimetype="text/html")
    response.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
    return response
