"""Who may come in: this machine, or whoever holds the token; and from no other site's page.

Requests that change something are told by the browser itself where they come from (Fetch Metadata,
else ``Origin``), which needs no secret in any form. What each room takes is its own business.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_limiter import HeaderNames, Limiter
from flask_limiter.util import get_remote_address
from werkzeug.exceptions import SecurityError
from werkzeug.wrappers import Response as AnyResponse

from fer_core.errors import ConfigError
from fer_core.settings_web import Web
from fer_core.web.problems import Problem, told

blueprint: Final = Blueprint("guard", __name__)

_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1")
_LEAST_TOKEN: Final = 20
_LONGEST_WANTED: Final = 2000
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = frozenset({"guard.log_in", "guard.check_token", "static_files.send_asset"})


@dataclass(frozen=True, slots=True)
class Access:
    """Who reaches the interface.

    Attributes:
        token: what people log in with; None where everybody on this machine may come in.
        hosts: names it answers to; empty for all.
        secure: whether cookies go over TLS only, as behind a proxy.
    """

    token: str | None
    hosts: tuple[str, ...]
    secure: bool = False


def access_of(settings: Web) -> Access:
    """Decide who reaches the interface, before anything listens.

    Raises:
        ConfigError: it would listen beyond this machine without a token, or the token's file is
            missing, too short, or readable by others; or a name of it is one that no request could
            be checked against.
    """
    here = is_loopback(settings.host)
    # werkzeug, which checks the names, knows no IPv6 address: every request would be refused.
    if (here and ":" in settings.host) or any(name.count(":") > 1 for name in settings.hosts):
        raise ConfigError(
            "Requests are checked against names and IPv4 addresses, not against IPv6 addresses.",
            hint="Listen on 127.0.0.1, and give web.hosts names, such as pulse.school.example.",
        )
    token = _token(settings)
    if token is None and (settings.proxy or not here):
        raise ConfigError(
            f"Listening on {settings.host} lets others in, and there is no token."
            if not here
            else "Behind a proxy others come in, and there is no token.",
            hint="Write one into a file that only you can read (umask 077; openssl rand -hex 24 > "
            "token) and name it: --token-file token. Or listen on 127.0.0.1.",
        )
    if settings.proxy and not settings.hosts:
        raise ConfigError(
            "It is not said under which name browsers reach the proxy.",
            hint='Set web.hosts, such as ["pulse.school.example"].',
        )
    known = _LOOPBACK_NAMES if here else ()
    return Access(token, (*settings.hosts, *known), secure=settings.proxy is not None)


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _token(settings: Web) -> str | None:
    path = settings.token_file
    if path is None:
        return None
    try:
        mode, token = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"The token file {path} cannot be read.", hint="Check web.token_file, or --token-file."
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"Others can read the token file {path}.", hint=f"Make it yours only: chmod 600 {path}"
        )
    if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"The token in {path} needs {_LEAST_TOKEN} characters or more of plain ASCII.",
            hint=f"Make one: openssl rand -hex 24 > {path}",
        )
    return token


def limiter_of(settings: Web) -> Limiter:
    """Return what counts requests, for each address; rooms take stricter limits from it."""
    return Limiter(
        get_remote_address,
        # Not default_limits: those are counted for each view.
        application_limits=[f"{settings.requests_per_minute} per minute"],
        storage_uri="memory://",
        strategy="moving-window",
        headers_enabled=True,
        # Under its own name it would replace what a room that is busy says.
        header_name_mapping={HeaderNames.RETRY_AFTER: "X-RateLimit-Retry-After"},
    )


def check_request() -> AnyResponse | None:
    """Refuse a request from another site, or of somebody unknown.

    Raises:
        Problem: it comes from another site's page; or a program did not send the token.
        SecurityError: it names another server.
    """
    if isinstance(request.routing_exception, SecurityError):  # another name than ours
        raise request.routing_exception
    if request.method not in _SAFE and comes_from_elsewhere():
        raise Problem("foreign")
    if request.endpoint in _OPEN or is_known():
        return None
    if request.path.startswith("/api/"):
        raise Problem("login")
    wanted = _wanted(request.full_path.removesuffix("?")) if request.method == "GET" else "/"
    return redirect(url_for("guard.log_in", next=None if wanted == "/" else wanted))


def comes_from_elsewhere() -> bool:
    """Say whether the browser tells that another site's page made it send this request.

    Browsers tell; programs such as curl do not, and have no cookies that could be misused.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host


def is_known() -> bool:
    """Say whether whoever asks may come in."""
    token = _access().token
    if token is None or session.get("known") is True:
        return True
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return kind.lower() == "bearer" and _is_token(token, given.strip())


def knows(app: Flask, environ: Mapping[str, str]) -> bool:
    """Say whether whoever sends a request may come in, when only its headers are there.

    Args:
        app: the web interface.
        environ: ``HTTP_AUTHORIZATION`` and ``HTTP_COOKIE``, as far as they were sent.
    """
    with app.test_request_context(environ_overrides=dict(environ)):
        return is_known()


def _is_token(token: str, given: str) -> bool:
    return hmac.compare_digest(token.encode(), given.encode("utf-8", "replace"))


def _access() -> Access:
    return current_app.extensions["lecturepulse"].access


def _wanted(address: str) -> str:
    """Return an address if it is one of this site, else that of the first page."""
    # Browsers leave out tabs and ends of lines, and take a backslash for a slash: behind two of
    # these the name of another site may stand.
    here = re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", address)
    return address if here and len(address) <= _LONGEST_WANTED else "/"


@blueprint.get("/login")
def log_in() -> str | AnyResponse:
    """Show the form that asks for the token, before the page that is wanted."""
    wanted = _wanted(request.args.get("next", "/"))
    return redirect(wanted) if is_known() else _form(wanted, wrong=False)


@blueprint.post("/login")
def check_token() -> str | AnyResponse:
    """Let in whoever knows the token, to the page that is wanted."""
    token, wanted = _access().token, _wanted(request.form.get("next", "/"))
    if token is None or _is_token(token, request.form.get("token", "").strip()):
        session.clear()
        session["known"] = True
        session.permanent = True
        return redirect(wanted)
    return Response(_form(wanted, wrong=True), status=401, mimetype="text/html")


def _form(wanted: str, *, wrong: bool) -> str:
    return render_template("web/login.html.j2", wanted=wanted, wrong=wrong)


@blueprint.post("/logout")
def log_out() -> AnyResponse:
    """Forget who came in."""
    session.clear()
    return redirect("/")


def too_many(_error: Exception) -> AnyResponse:
    """Tell that the limit of requests is used up."""
    return told(Problem("busy", retry_after_s=60))
