"""The API's document: OpenAPI 3.1, made from the shapes, so that both say the same."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fer_core import __version__
from fer_core.web import shapes
from fer_core.web.problems import KINDS, MEDIA_TYPE

blueprint: Final = Blueprint("openapi", __name__)

_REF: Final = "#/components/schemas/{model}"
_SHAPES: Final = (
    shapes.ProblemShape,
    shapes.PictureShape,
    shapes.JobShape,
    shapes.RecordingShape,
    shapes.RunShape,
    shapes.NightShape,
    shapes.QuestionShape,
    shapes.AnswerShape,
    shapes.ViewShape,
    shapes.SeenShape,
    shapes.RecordShape,
    shapes.OnAirShape,
    shapes.AiredShape,
)
_ALWAYS: Final = ("bad-request", "login", "foreign", "busy", "unexpected", "not-ready")
_FILE: Final = {"type": "string", "format": "binary"}


@blueprint.get("/api/v1/openapi.json")
def get_document() -> Response:
    """Send the document."""
    return jsonify(document())


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of the API."""
    _, schemas = models_json_schema(
        [(shape, "serialization") for shape in _SHAPES], ref_template=_REF
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lecturepulse",
            "version": __version__,
            "description": "Expressions are what is seen, not what is felt. Refusals are problems "
            "as in RFC 9457. Where a token is set: 'Authorization: Bearer TOKEN'.",
        },
        "servers": [{"url": "/"}],
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
        "paths": _paths() | _live_paths(),
    }


def _paths() -> dict[str, Any]:
    job = [{"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    return {
        "/api/v1/image": {
            "post": _operation(
                "Read one picture; nothing of it is kept.",
                {"200": _json(shapes.PictureShape)},
                "empty",
                "policy",
                "too-large",
                "wrong-kind",
                "unreadable",
                body={
                    "image/jpeg": {"schema": _FILE},
                    "image/png": {"schema": _FILE},
                    "multipart/form-data": {"schema": _form({"image": _FILE}, "image")},
                },
            )
        },
        "/api/v1/videos": {
            "post": _operation(
                "Queue a short video; what comes of it is kept only if that is asked for.",
                {"202": _json(shapes.JobShape)},
                "empty",
                "policy",
                "too-large",
                "wrong-kind",
                "unreadable",
                body={
                    "multipart/form-data": {
                        "schema": _form(
                            {
                                "video": _FILE,
                                "keep": {"type": "string", "enum": ["true", "false"]},
                                "course": {"type": "string", "maxLength": 200},
                            },
                            "video",
                        )
                    }
                },
            )
        },
        "/api/v1/videos/{job_id}": {
            "parameters": job,
            "get": _operation(
                "How the work on a video goes.", {"200": _json(shapes.JobShape)}, "not-found"
            ),
            "delete": _operation(
                "Stop the work on a video, or delete what came of it; what is kept stays.",
                {"204": {"description": "It is gone."}},
                "not-found",
            ),
        },
        "/api/v1/videos/{job_id}/events": {
            "parameters": job,
            "get": _operation(
                "The same, each time it changes: server-sent events, a JobShape each.",
                {
                    "200": {
                        "description": "Events until the work has ended, for two minutes at most.",
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    }
                },
                "not-found",
            ),
        },
        "/api/v1/recordings": {
            "get": _operation(
                "Recordings of the dataset, the latest first.",
                {"200": _json(shapes.RecordingShape, many=True)},
                parameters=[
                    _in_query(
                        "search", {"type": "string"}, "Part of a title, course or file name."
                    ),
                    _in_query(
                        "status",
                        {"type": "string", "enum": ["", "done", "partial", "failed"]},
                        "Only those.",
                    ),
                ],
            )
        },
        "/api/v1/runs": {
            "get": _operation(
                "When each recording was read last, the latest first.",
                {"200": _json(shapes.RunShape, many=True)},
            )
        },
        "/api/v1/night": {
            "get": _operation(
                "What a run that writes to the dataset is doing now.",
                {"200": _json(shapes.NightShape)},
            )
        },
        "/api/v1/query": {
            "post": _operation(
                "Answer a question in SQL (DuckDB, read-only).",
                {"200": _json(shapes.AnswerShape)},
                "not-found",
                "too-large",
                "unreadable",
                body={"application/json": {"schema": _ref(shapes.QuestionShape)}},
            )
        },
    }


def _live_paths() -> dict[str, Any]:
    def named(name: str) -> list[dict[str, Any]]:
        return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]

    captured: dict[str, Any] = _in_query(
        "captured_s", {"type": "number"}, "When it was taken, seconds on the camera's own clock."
    )
    return {
        "/api/v1/live": {
            "post": _operation(
                "Begin to look at a live camera.", {"201": _json(shapes.ViewShape)}, "policy"
            )
        },
        "/api/v1/live/{view}": {
            "parameters": named("view"),
            "delete": _operation(
                "End a view; what was recorded until then is kept.",
                {"204": {"description": "It has ended."}},
            ),
        },
        "/api/v1/live/{view}/pictures": {
            "parameters": named("view"),
            "post": _operation(
                "Read one picture; one at a time.",
                {"200": _json(shapes.SeenShape)},
                "not-found",
                "too-large",
                "wrong-kind",
                "unreadable",
                body={"image/jpeg": {"schema": _FILE}},
                parameters=[captured | {"required": True}],
            ),
        },
        "/api/v1/live/{view}/recording": {
            "parameters": named("view"),
            "post": _operation(
                "Record what is seen from now on.",
                {"201": _json(shapes.OnAirShape)},
                "not-found",
                "too-large",
                "wrong-kind",
                "unreadable",
                body={"application/json": {"schema": _ref(shapes.RecordShape)}},
            ),
            "delete": _operation(
                "Stop recording; tables and report follow, unless it is not to be kept.",
                {"200": _json(shapes.OnAirShape)},
                "not-found",
                parameters=[
                    _in_query(
                        "keep", {"type": "string", "enum": ["true", "false"]}, "true unless given."
                    )
                ],
            ),
        },
        "/api/v1/live/recordings/{recording_id}": {
            "parameters": named("recording_id"),
            "get": _operation(
                "How far an ended live recording has come.",
                {"200": _json(shapes.AiredShape)},
                "not-found",
            ),
        },
    }


def _operation(
    summary: str,
    responses: dict[str, Any],
    *problems: str,
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    told: dict[str, list[str]] = {}
    for name in (*problems, *_ALWAYS):
        told.setdefault(str(KINDS[name].status), []).append(KINDS[name].meaning)
    content = {MEDIA_TYPE: {"schema": _ref(shapes.ProblemShape)}}
    refused = {
        status: {"description": " Or: ".join(meanings), "content": content}
        for status, meanings in sorted(told.items())
    }
    operation: dict[str, Any] = {"summary": summary, "responses": responses | refused}
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _json(shape: type[BaseModel], *, many: bool = False) -> dict[str, Any]:
    schema = {"type": "array", "items": _ref(shape)} if many else _ref(shape)
    about = (shape.__doc__ or "").strip().splitlines()[0]
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _ref(shape: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=shape.__name__)}


def _form(properties: dict[str, Any], required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [required]}


def _in_query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}
