"""Try: a picture or a short video is read as the nightly job would, and nothing of it is kept."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from fer_core import policy
from fer_core.errors import PolicyError
from fer_core.settings import Settings
from fer_core.web import videos
from fer_core.web.common import common
from fer_core.web.drawn import face_rows, marked_picture
from fer_core.web.reports import send_report
from fer_core.web.uploads import sent_picture
from fer_core.wording import words

blueprint: Final = Blueprint("trial", __name__)

_ENDED: Final = {
    "stopped": "Stopped; the video is deleted.",
    "deleted": "The report is deleted.",
    "kept": "It was done before it could be stopped: it is kept, and you find it in the library.",
}


@blueprint.get("/")
def show_trial() -> str:
    """Show where a picture or a video can be dropped."""
    ended = _ENDED.get(request.args.get("ended", ""), "")
    about = _about(common().settings)
    return render_template("web/trial.html.j2", seen=None, ended=ended, **about)


@blueprint.get("/try/picture")
@blueprint.get("/try/video")
def start_again() -> AnyResponse:
    """Lead whoever goes back to where a picture or a video was sent to where one can be sent."""
    return redirect(url_for("trial.show_trial"))


@blueprint.post("/try/picture")
def try_picture() -> str:
    """Read a picture; show its faces marked, and the bars of each."""
    here = common()
    data = sent_picture(here.settings.web.max_image_mb)
    image, seen, shape = here.pictures.read(data)
    report = here.settings.report
    return render_template(
        "web/trial.html.j2",
        ended="",
        seen=shape,
        drawing=marked_picture(image, seen),
        faces=face_rows(seen, words(report.language, report.timezone)),
        **_about(here.settings),
    )


@blueprint.post("/try/video")
def try_video() -> AnyResponse:
    """Take a video, and show how the work on it goes."""
    return redirect(url_for("trial.show_video", job_id=videos.accept_video().id), 303)


@blueprint.get("/try/videos/<job_id>")
def show_video(job_id: str) -> str:
    """Show how the work on a video goes, and its report when it is there."""
    jobs = common().jobs
    job = jobs.get(job_id)
    return render_template("web/video.html.j2", job=jobs.shape(job), gone_at=jobs.gone_at(job))


@blueprint.post("/try/videos/<job_id>/delete")
def delete_video(job_id: str) -> AnyResponse:
    """Stop the work on a video, or delete what came of it."""
    jobs = common().jobs
    job = jobs.get(job_id)
    there = job.state == "done"
    jobs.drop(job)
    kept = job.course and (job.state == "done" or job.recording_id)
    ended = "kept" if kept else "deleted" if there else "stopped"
    return redirect(url_for("trial.show_trial", ended=ended), 303)


@blueprint.get("/try/videos/<job_id>/report/<path:name>")
def show_video_report(job_id: str, name: str) -> Response | AnyResponse:
    """Show the report of a video that is not kept."""
    if name == "index.html":  # where the report leads back to
        return redirect(url_for("trial.show_video", job_id=job_id))
    job = common().jobs.get(job_id)
    return send_report(job.out / "reports", name)


def _about(settings: Settings) -> dict[str, Any]:
    """Return what the page says before anything is sent: what the law lets it do, and limits."""
    try:
        gate, refused = policy.permission(settings.deployment, synthetic=False), None
    except PolicyError as error:
        gate, refused = None, error
    return {
        "gate": gate,
        "refused": refused,
        "limits": settings.web,
        "privacy": settings.privacy,
        "consent": settings.deployment.consent,
    }
