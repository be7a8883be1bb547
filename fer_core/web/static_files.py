"""The stylesheet and scripts of the pages."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, send_from_directory

from fer_core import assets
from fer_core.web.problems import Problem

blueprint: Final = Blueprint("static_files", __name__)

_ASSETS: Final = {
    "page.css": "page.css",
    "web.css": "web/web.css",
    "web.js": "web/web.js",
    "live.js": "web/live.js",
    "live_overlay.js": "web/live_overlay.js",
    "live_server.js": "web/live_server.js",
}


@blueprint.get("/assets/<name>")
def send_asset(name: str) -> Response:
    """Send a stylesheet or a script.

    Raises:
        Problem: there is none of that name.
    """
    if name not in _ASSETS:
        raise Problem("not-found")
    response = send_from_directory(assets.templates(), _ASSETS[name], max_age=None)
    response.headers["Cache-Control"] = "no-cache"  # a check at each use, and no more
    return response
