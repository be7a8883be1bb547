"""Live: a camera's pictures are read as they come, and recorded only when somebody says so."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from flask import Blueprint, Response, render_template, request, url_for

from fer_core import pages, policy, segment
from fer_core.errors import PolicyError
from fer_core.live import THREADS, Second
from fer_core.records import EMOTIONS
from fer_core.viewers import Viewers
from fer_core.web.api import parsed, shaped
from fer_core.web.common import common
from fer_core.web.pictures import face_shape
from fer_core.web.problems import Problem, without_paths
from fer_core.web.shapes import (
    AiredShape,
    OnAirShape,
    RecordShape,
    SecondShape,
    SeenShape,
    ViewShape,
)

blueprint: Final = Blueprint("live", __name__)

LONGEST_SIDE_PX: Final = 1280
"""Pictures are sent no larger than the first search of the detector looks at them."""


@contextmanager
def looked_after(viewers: Viewers) -> Generator[None]:
    """End quiet views and conclude recordings while the block lasts; shut all when it ends."""
    segment.use_threads(THREADS)
    viewers.start()
    try:
        yield
    finally:
        viewers.shut()


@blueprint.get("/live")
def show_live() -> str:
    """Show the page that starts a camera."""
    settings = common().settings
    refused, mode = "", ""
    try:
        mode = policy.permission(settings.deployment, synthetic=False).mode
    except PolicyError as error:
        refused = f"{error.message} {error.hint}"
    return render_template(
        "web/live.html.j2",
        mode=mode,
        refused=refused,
        emotions=EMOTIONS,
        consent=settings.deployment.consent,
        kept_days=settings.retention.days,
        least=settings.privacy.min_group,
        sampled_hz=settings.sampling.rate_hz,
    )


@blueprint.post("/api/v1/live")
def open_view() -> Response:
    """Let one more look.

    Raises:
        Busy: there are as many as may be.
        PolicyError: no jurisdiction is set.
    """
    secret, view = common().viewers.open()
    return shaped(
        ViewShape(
            view=secret,
            mode=view.permission.mode,
            ground=view.permission.reason,
            longest_side_px=LONGEST_SIDE_PX,
        ),
        201,
    )


@blueprint.post("/api/v1/live/<view>/pictures")
def see_picture(view: str) -> Response:
    """Read one picture.

    Raises:
        Problem: it is no JPEG, or it is not said when it was taken.
        Gone, Busy, InputError: as ``Viewers.see``.
    """
    if request.mimetype != "image/jpeg":
        raise Problem("wrong-kind", "Pictures are sent as image/jpeg.")
    captured_s = request.args.get("captured_s", type=float)
    if captured_s is None:
        raise Problem("bad-request", "captured_s is missing: when it was taken, seconds.")
    viewers = common().viewers
    seen = viewers.see(view, request.get_data(cache=False), captured_s)
    return shaped(
        SeenShape(
            time_s=round(seen.time_s, 3),
            width=seen.reading.size_px[0],
            height=seen.reading.size_px[1],
            faces=[face_shape(seen.reading, k) for k in range(len(seen.reading.faces))],
            seconds=[_second(second) for second in seen.seconds],
            recorded_s=seen.recorded_s,
            full=seen.full,
            looked_ms=round(1000 * seen.looked_s, 1),
            pause_ms=round(1000 * viewers.pause_s()),
        )
    )


@blueprint.post("/api/v1/live/<view>/recording")
def start_recording(view: str) -> Response:
    """Record what a view sees from now on.

    Raises:
        Problem: nobody says that those in the picture agree, or the course is none.
        Gone, InputError, StoreError: as ``Viewers.record``.
    """
    if request.mimetype != "application/json":
        raise Problem("wrong-kind", "Course and consent are sent as application/json.")
    asked = parsed(RecordShape)
    if not asked.consent:
        raise Problem(
            "unreadable",
            "Nothing is recorded unless everybody in the picture knows and agrees.",
            hint='Ask them, then send "consent": true.',
        )
    on_air = common().viewers.record(view, asked.course)
    return shaped(OnAirShape(recording_id=on_air.recording_id, course=on_air.course), 201)


@blueprint.delete("/api/v1/live/<view>/recording")
def stop_recording(view: str) -> Response:
    """Stop recording; with ``keep=false`` nothing of it is kept.

    Raises:
        Gone, StoreError: as ``Viewers.stop``.
    """
    on_air = common().viewers.stop(view, keep=request.args.get("keep") != "false")
    return shaped(
        OnAirShape(
            recording_id=on_air.recording_id if on_air else None,
            course=on_air.course if on_air else "",
        )
    )


@blueprint.delete("/api/v1/live/<view>")
def close_view(view: str) -> tuple[str, int]:
    """End a view; what was recorded until then is kept."""
    common().viewers.close(view)
    return "", 204


@blueprint.get("/api/v1/live/recordings/<recording_id>")
def tell_recording(recording_id: str) -> Response:
    """Tell how far a recording has come, and where its report is.

    Raises:
        Problem: there is none of that id.
    """
    here = common()
    state, waits_for = here.viewers.state(recording_id)
    if state == "unknown":
        raise Problem("not-found")
    report: str | None = None
    page = pages.path(here.store, recording_id) if state == "done" else None
    if page is not None and page.exists():
        name = page.relative_to(here.store.reports).as_posix()
        report = url_for("library.show_report", name=name)
    why = without_paths(waits_for.replace(str(here.store.root), "the dataset"))
    return shaped(AiredShape(state=state, waits_for=why, report=report))


def _second(second: Second) -> SecondShape:
    probs = second.probs
    return SecondShape(
        second=second.second,
        people=second.people,
        read=second.scored,
        withheld=second.withheld,
        facing=second.facing,
        expressions=None if probs is None else dict(zip(EMOTIONS, probs.tolist(), strict=True)),
        engagement=second.engagement,
    )
