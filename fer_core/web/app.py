"""Puts the web interface together: blueprints, headers, limits, errors. Listens to nothing."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Final

from flask import Flask, Response, request
from flask_limiter.errors import RateLimitExceeded
from jinja2 import StrictUndefined

from fer_core import __version__, assets
from fer_core.settings import Settings
from fer_core.store import Store
from fer_core.viewers import Viewers
from fer_core.web import (
    api,
    ask,
    guard,
    library,
    live,
    openapi,
    problems,
    static_files,
    trial,
)
from fer_core.web.common import Common
from fer_core.web.guard import Access
from fer_core.web.jobs import Jobs
from fer_core.web.pictures import PictureDesk
from fer_core.wording import clean, words

# The main navigation, in its order: blueprint, address, title.
_ROOMS: Final = (
    ("trial", "/", "Try"),
    ("live", "/live", "Live"),
    ("library", "/library", "Library"),
    ("ask", "/ask", "Ask"),
)

_BLUEPRINTS: Final = tuple(
    room.blueprint
    for room in (guard, problems, static_files, api, openapi, trial, live, library, ask)
)

_A_FIFTH: Final = "a fifth"

# Views that may be asked less often than others, by endpoint.
_STRICTER: Final = {
    "guard.check_token": "10 per minute",
    "api.post_picture": _A_FIFTH,
    "api.post_video": _A_FIFTH,
    "api.post_query": _A_FIFTH,
    "ask.answer": _A_FIFTH,
    "ask.answer_ready": _A_FIFTH,
    "trial.try_picture": _A_FIFTH,
    "trial.try_video": _A_FIFTH,
}

_FORM_BYTES: Final = 1_000_000

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    # Not no-referrer: browsers would then hide the origin of our own forms, too.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def create_app(settings: Settings, access: Access, scratch: Path) -> Flask:
    """Return the web interface of a dataset.

    Args:
        settings: all settings.
        access: who may come in, from ``guard.access_of``.
        scratch: an empty folder for uploads and their results.
    """
    app = Flask("lecturepulse", static_folder=None, template_folder=str(assets.templates()))
    app.config |= {
        "SECRET_KEY": secrets.token_bytes(32),  # a restart logs everybody out
        "SESSION_COOKIE_NAME": "lecturepulse",
        # Not Strict: links from elsewhere lead in. What changes something is checked by the guard.
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": access.secure,
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=12),
        "TRUSTED_HOSTS": list(access.hosts) or None,
        "MAX_CONTENT_LENGTH": _FORM_BYTES,  # rooms that take more say so
        "MAX_FORM_MEMORY_SIZE": _FORM_BYTES,
    }
    app.jinja_options = {
        "autoescape": True,
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "finalize": _fit,
    }
    store, viewers = Store(settings.out), Viewers(settings)
    pictures, jobs = PictureDesk(settings), Jobs(settings, scratch)
    app.extensions["lecturepulse"] = Common(settings, access, store, pictures, jobs, viewers)
    app.extensions["lecturepulse-streams"] = BoundedSemaphore(settings.web.threads // 2)
    limiter = guard.limiter_of(settings.web)
    limiter.init_app(app)
    problems.handle_problems(app)
    app.register_error_handler(RateLimitExceeded, guard.too_many)
    app.before_request(guard.check_request)
    app.after_request(_with_headers)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    fifth = limiter.shared_limit(f"{settings.web.requests_per_minute // 5} per minute", _A_FIFTH)
    for endpoint, given in _STRICTER.items():
        limit = fifth if given == _A_FIFTH else limiter.limit(given)
        view: Any = limit(app.view_functions[endpoint])
        app.view_functions[endpoint] = view
    limiter.exempt(app.view_functions["live.see_picture"])  # five a second; ``Viewers`` bounds them

    def shared() -> dict[str, Any]:
        return {
            "t": words(settings.report.language, settings.report.timezone),
            "rooms": _ROOMS,
            "locked": access.token is not None,
            "version": __version__,
        }

    app.context_processor(shared)
    return app


def _fit(value: Any) -> Any:
    """Make every text fit for a page; markup is ours already."""
    return clean(value, len(value)) if type(value) is str else value


def _with_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
