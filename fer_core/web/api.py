"""The API: the same rooms as the pages, in JSON. ``openapi`` documents it."""

from __future__ import annotations

from collections.abc import Iterator
from threading import BoundedSemaphore
from typing import Final, TypeVar

from flask import Blueprint, Response, current_app, jsonify, request, stream_with_context
from pydantic import BaseModel, ValidationError

from fer_core import query
from fer_core.web import videos
from fer_core.web.ask import answer_to
from fer_core.web.common import common
from fer_core.web.jobs import VideoJob
from fer_core.web.library import night_now, recordings_found, runs_found
from fer_core.web.problems import Problem
from fer_core.web.shapes import QuestionShape
from fer_core.web.uploads import sent_picture

blueprint: Final = Blueprint("api", __name__, url_prefix="/api/v1")

_Shape = TypeVar("_Shape", bound=BaseModel)

_LONGEST_STREAM_S: Final = 120.0
_AGAIN_MS: Final = 1000


def shaped(shape: BaseModel, status: int = 200) -> Response:
    """Return a shape as the JSON response it is."""
    response = current_app.response_class(shape.model_dump_json(), mimetype="application/json")
    response.status_code = status
    return response


def parsed(shape: type[_Shape]) -> _Shape:
    """Return the JSON that this request sent in the shape it has to have.

    Raises:
        Problem: it has another.
    """
    try:
        return shape.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise Problem("unreadable", f"Wrong at {where}: {first['msg']}.") from error


@blueprint.post("/image")
def post_picture() -> Response:
    """Read one picture."""
    here = common()
    _, _, shape = here.pictures.read(sent_picture(here.settings.web.max_image_mb))
    return shaped(shape)


@blueprint.post("/videos")
def post_video() -> Response:
    """Queue a video."""
    job = videos.accept_video()
    response = shaped(common().jobs.shape(job), 202)
    response.headers["Location"] = f"/api/v1/videos/{job.id}"
    return response


@blueprint.get("/videos/<job_id>")
def get_video(job_id: str) -> Response:
    """Tell how the work on a video goes."""
    jobs = common().jobs
    return shaped(jobs.shape(jobs.get(job_id)))


@blueprint.delete("/videos/<job_id>")
def remove_video(job_id: str) -> Response:
    """Stop the work on a video, or delete what came of it."""
    jobs = common().jobs
    jobs.drop(jobs.get(job_id))
    return current_app.response_class(status=204)


@blueprint.get("/videos/<job_id>/events")
def follow_video(job_id: str) -> Response:
    """Send how the work on a video goes, each time it changes (server-sent events)."""
    job = common().jobs.get(job_id)
    # Each stream takes a thread: some must be left for everything else.
    places: BoundedSemaphore = current_app.extensions["lecturepulse-streams"]
    if not places.acquire(blocking=False):
        raise Problem("busy", "Too many follow videos already.", retry_after_s=5)

    response = current_app.response_class(
        stream_with_context(_events(job)), mimetype="text/event-stream"
    )
    response.call_on_close(places.release)
    response.headers["X-Accel-Buffering"] = "no"  # what nginx heeds
    return response


def _events(job: VideoJob) -> Iterator[str]:
    yield f"retry: {_AGAIN_MS}\n\n"
    for shape in common().jobs.events(job, _LONGEST_STREAM_S):
        yield f"data: {shape.model_dump_json()}\n\n" if shape else ": still here\n\n"


@blueprint.get("/recordings")
def list_recordings() -> Response:
    """List recordings, the latest first."""
    found = recordings_found(
        common().store, request.args.get("search", ""), request.args.get("status", "")
    )
    return jsonify([shape.model_dump() for shape in found])


@blueprint.get("/runs")
def list_runs() -> Response:
    """List when each recording was read last, the latest first."""
    return jsonify([shape.model_dump() for shape in runs_found(common().store)])


@blueprint.get("/night")
def get_night() -> Response:
    """Tell what a run that writes to the dataset is doing now."""
    return shaped(night_now(common().store))


@blueprint.post("/query")
def post_query() -> Response:
    """Answer a question in SQL."""
    asked = parsed(QuestionShape)
    answer = answer_to(asked.sql, form="json")
    rows = list(query.rows_of(answer.table))
    return jsonify(columns=answer.table.column_names, rows=rows, cut=answer.cut)
