"""How the web interface refuses: RFC 9457 problems for programs, the same words on a page.

No answer holds a path, a secret or a stack trace: what only the operator may know goes to the log.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Flask, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from fer_core.errors import Busy, Gone, InputError, LecturePulseError, PolicyError, QuestionError

blueprint: Final = Blueprint("problems", __name__)

MEDIA_TYPE: Final = "application/problem+json"

_PATH: Final = re.compile(r"(?<![\w./])/(?:[^\s/'\"]+/)+[^\s/'\"]*")

_log = logging.getLogger("lecturepulse")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status, its title, and what it means, a sentence each."""

    status: int
    title: str
    meaning: str


KINDS: Final = {
    "bad-request": Kind(400, "The request cannot be understood.", "Something in it is malformed."),
    "empty": Kind(400, "There is nothing in it.", "A file was expected, with something in it."),
    "login": Kind(
        401, "Log in first.", "Send the token: 'Authorization: Bearer …', or log in on the page."
    ),
    "foreign": Kind(
        403, "The request came from another site.", "Only pages of this site may change things."
    ),
    "policy": Kind(
        403, "Not allowed here.", "The law of the place, or a setting, does not allow it."
    ),
    "not-found": Kind(404, "There is nothing here.", "It never was, or it was deleted."),
    "method": Kind(405, "That cannot be done here.", "Another method is needed."),
    "gone": Kind(410, "It has ended.", "It was there, and is no more."),
    "too-large": Kind(413, "It is too large.", "A limit of this server on bytes or pixels."),
    "wrong-kind": Kind(
        415, "It is not a file of that kind.", "The content decides, not the name or the header."
    ),
    "unreadable": Kind(
        422, "It cannot be read.", "It is damaged, or not what it says; or a value is wrong."
    ),
    "busy": Kind(
        429, "Too many requests at once.", "Try again after the seconds in 'Retry-After'."
    ),
    "unexpected": Kind(500, "Something went wrong here.", "A fault of lecturepulse: see its log."),
    "not-ready": Kind(503, "This server cannot do it now.", "Its operator finds why in the log."),
}
"""Every kind of problem by the last part of its type."""

_BY_STATUS: Final = {
    400: "bad-request",
    401: "login",
    403: "foreign",
    404: "not-found",
    405: "method",
    410: "gone",
    413: "too-large",
    415: "wrong-kind",
    422: "unreadable",
    429: "busy",
    503: "not-ready",
}


class Problem(Exception):
    """A request is refused.

    Args:
        kind: one of ``KINDS``.
        detail: what is wrong with this request, one sentence.
        hint: what the person can do.
        retry_after_s: when it may work, seconds.
    """

    def __init__(
        self, kind: str, detail: str = "", *, hint: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(kind, detail)
        self.kind, self.detail, self.hint = kind, detail, hint
        self.retry_after_s = retry_after_s


def as_problem(error: LecturePulseError) -> Problem:
    """Return how an error of the house is told outside: paths stay in the log."""
    if isinstance(error, PolicyError):
        return Problem("policy", error.message, hint=error.hint)
    if isinstance(error, Busy):
        return Problem("busy", error.message, hint=error.hint, retry_after_s=error.retry_after_s)
    if isinstance(error, Gone):
        return Problem("not-found", error.message, hint=error.hint)
    if isinstance(error, InputError | QuestionError):
        return Problem("unreadable", error.message, hint=error.hint)
    _log.warning("%s %s", error.message, error.hint)
    return Problem("not-ready")


def without_paths(text: str) -> str:
    """Return a text with every absolute path in it left out."""
    return _PATH.sub("…", text)


def body_of(problem: Problem) -> dict[str, Any]:
    """Return a problem as RFC 9457 has it; ``hint`` is ours."""
    kind = KINDS[problem.kind]
    body: dict[str, Any] = {
        "type": f"/problems#{problem.kind}",
        "title": kind.title,
        "status": kind.status,
    }
    told = {"detail": without_paths(problem.detail), "hint": without_paths(problem.hint)}
    return body | {name: text for name, text in told.items() if text}


def told(problem: Problem, page: str | None = None) -> Response:
    """Return the response that tells a problem: JSON below ``/api``, else a page.

    Args:
        problem: what is told.
        page: the page that tells it; None for one that tells nothing else.
    """
    kind = KINDS[problem.kind]
    if wants_json():
        response = jsonify(body_of(problem))
        response.mimetype = MEDIA_TYPE
    elif page is not None:
        response = Response(page, mimetype="text/html")
    else:
        body = body_of(problem)
        page = render_template("web/problem.html.j2", slug=problem.kind, kind=kind, problem=body)
        response = Response(page, mimetype="text/html")
    response.status_code = kind.status
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    if problem.kind == "login":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def wants_json() -> bool:
    """Say whether a program asked, and not a person."""
    return request.path.startswith("/api/")


@blueprint.get("/problems")
def list_problems() -> str:
    """Show what each kind of problem means."""
    return render_template("web/problems.html.j2", kinds=KINDS)


def handle_problems(app: Flask) -> None:
    """Have an app tell every error as a problem."""
    app.register_error_handler(Problem, told)
    app.register_error_handler(LecturePulseError, _tell_ours)
    app.register_error_handler(HTTPException, _tell_http)
    app.register_error_handler(Exception, _tell_fault)


def _tell_ours(error: LecturePulseError) -> Response:
    return told(as_problem(error))


def _tell_http(error: HTTPException) -> Any:
    status = error.code or 500
    if status < HTTPStatus.BAD_REQUEST:
        return error
    response = told(Problem(_BY_STATUS.get(status, "bad-request" if status < 500 else "not-ready")))
    response.status_code = status
    given = error.get_response(request.environ)
    for name in ("Allow", "Retry-After"):
        if name in given.headers and name not in response.headers:
            response.headers[name] = given.headers[name]
    return response


def _tell_fault(error: Exception) -> Response:
    _log.error("unexpected error at %s", request.path, exc_info=error)
    return told(Problem("unexpected"))
