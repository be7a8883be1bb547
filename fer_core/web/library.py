"""Library: every lecture and its report, how each was read, and what a running night does."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
from flask import Blueprint, Response, redirect, render_template, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from fer_core import overview, pages
from fer_core.retention import UPLOADS
from fer_core.store import Store
from fer_core.story import facts_of
from fer_core.underway import read_underway
from fer_core.web.common import common
from fer_core.web.problems import Problem, without_paths
from fer_core.web.reports import send_report
from fer_core.web.shapes import NightShape, RecordingShape, RunShape
from fer_core.wording import words

blueprint: Final = Blueprint("library", __name__)

_STATUSES: Final = ("done", "partial", "failed")
_MOST_RUNS: Final = 200

# Machines know few of these, and some take .ts for a text.
_VIDEO_TYPES: Final = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".gif": "image/gif",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".ts": "video/mp2t",
    ".wmv": "video/x-ms-wmv",
    ".flv": "video/x-flv",
    ".3gp": "video/3gpp",
}
# Below what waitress puts aside for a connection: a player that pauses holds no thread up.
_PIECE_BYTES: Final = 4_000_000
# A stranger sent it: whatever else it may be, nothing of it runs. Browsers play what they opened by
# asking for it again, as this origin.
_UPLOAD_POLICY: Final = (
    "sandbox allow-same-origin; default-src 'none'; img-src 'self'; media-src 'self'"
)


@blueprint.get("/library")
def show_library() -> str:
    """Show every lecture that is searched for, and last night."""
    here = common()
    search, status = request.args.get("search", ""), request.args.get("status", "")
    text = words(here.settings.report.language, here.settings.report.timezone)
    every = _frame(here.store)
    night = here.store.last_night()
    values = overview.index(
        _matching(every, search, status),
        here.store.counts("moments"),
        night.worked_on if night and not (search or status) else (),
        text,
    )
    return render_template(
        "web/library.html.j2",
        search=search,
        status=status,
        statuses=_STATUSES,
        underway=night_now(here.store),
        total=len(every),
        night_at=text.date(datetime.fromisoformat(night.ended_at)) if night else "",
        **values,
    )


@blueprint.get("/library/runs")
def show_runs() -> str:
    """Show when each recording was read last, and what went wrong."""
    here = common()
    text = words(here.settings.report.language, here.settings.report.timezone)
    runs = runs_found(here.store)
    return render_template(
        "web/runs.html.j2",
        runs=[
            run.model_dump() | {"at": text.date(datetime.fromisoformat(run.run_started_at))}
            for run in runs[:_MOST_RUNS]
        ],
        more=max(0, len(runs) - _MOST_RUNS),
        status_names=text.table("status"),
        duration=text.duration,
    )


@blueprint.get("/library/reports/<path:name>")
def show_report(name: str) -> Response | AnyResponse:
    """Show a lecture's report as it lies on disk."""
    if name == "index.html":
        return redirect("/library")
    return send_report(common().store.reports, name)


@blueprint.get("/library/uploads/<path:name>")
def send_upload(name: str) -> Response:
    """Send a video that was kept: the reports of such link to its seconds.

    Raises:
        Problem: there is none of that name, or it is called something else than a video.
    """
    folder = common().store.root / UPLOADS
    path = folder / name
    kind = _video_type(path)
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # there is none, or no file could have such a name
        raise Problem("not-found") from error
    if kind is None or not path.resolve().is_relative_to(folder.resolve()):
        raise Problem("not-found")
    _shorten_range(size)
    response = send_from_directory(folder, name, mimetype=kind, conditional=True)
    response.headers["Content-Security-Policy"] = _UPLOAD_POLICY
    return response


def _shorten_range(size: int) -> None:
    """Have this request ask for a few MB at once; players come back for the next, as they may."""
    asked = request.range.range_for_length(size) if request.range else None
    if asked is not None:
        begin, end = asked
        request.environ["HTTP_RANGE"] = f"bytes={begin}-{min(end, begin + _PIECE_BYTES) - 1}"


def _video_type(path: Path) -> str | None:
    ending = path.suffix.lower()
    kind = _VIDEO_TYPES.get(ending) or mimetypes.guess_type(f"a{ending}")[0] or ""
    return kind if kind.startswith("video/") or kind == "image/gif" else None


def recordings_found(store: Store, search: str, status: str) -> list[RecordingShape]:
    """Return the recordings in which a text is found, the latest first.

    Args:
        store: the dataset.
        search: part of a title, course or file name; empty for all.
        status: only those; empty for all.
    """
    moments = store.counts("moments")
    found = _matching(_frame(store), search, status)
    found = found.sort_values("started_at", ascending=False, na_position="last")
    return [
        RecordingShape(
            recording_id=str(facts["recording_id"]),
            course=str(facts["course"]),
            title=str(facts["title"] or facts["source_name"]),
            started_at=_iso(facts["started_at"]),
            status=facts["status"],
            reason=_reason(facts),
            duration_s=facts["duration_s_from_content"],
            people_median=facts["people_median"],
            moments=moments.get(str(facts["recording_id"]), 0),
            report=facts["page"],
        )
        for facts in map(facts_of, found.to_dict("records"))
    ]


def runs_found(store: Store) -> list[RunShape]:
    """Return when each recording was read last, the latest first."""
    columns = ["recording_id", "status", "error_message", "source_name", "title"]
    rows = store.all("recordings", columns).set_index("recording_id").to_dict("index")
    runs = store.all("runs", ["recording_id", "run_started_at", "wall_s", "runner"])
    runs = runs.sort_values("run_started_at", ascending=False)
    return [
        RunShape(
            recording_id=str(run["recording_id"]),
            course=str(run["course"]),
            name=str(facts["title"] or facts["source_name"]),
            run_started_at=_iso(run["run_started_at"]) or "",
            wall_s=round(float(run["wall_s"]), 1),
            runner=str(run["runner"]),
            status=facts["status"],
            reason=_reason(facts),
        )
        for run in runs.to_dict("records")
        if (facts := facts_of(rows.get(run["recording_id"], {})))
    ]


def night_now(store: Store) -> NightShape:
    """Return what a run that writes to the dataset is doing now."""
    now = read_underway(store.root)
    if now is None:
        return NightShape(running=False, name="")
    return NightShape(
        running=True,
        began_at=now.began_at,
        recordings=now.recordings,
        finished=now.finished,
        name=now.name,
        seen_s=round(now.seen_s, 1),
        video_s=round(now.video_s, 1),
    )


def _frame(store: Store) -> pd.DataFrame:
    frame = store.all("recordings", [*overview.COLUMNS, "duration_s_from_content"])
    links = pages.links(store, frame)
    frame["page"] = [f"/library/reports/{link}" if link else None for link in links]
    return frame


def _matching(frame: pd.DataFrame, search: str, status: str) -> pd.DataFrame:
    keep = pd.Series(data=True, index=frame.index)
    if status in _STATUSES:
        keep &= frame["status"] == status
    wanted = search.strip().casefold()
    if wanted and len(frame):  # rows of no length would not become texts
        text = frame[["title", "course", "source_name"]].fillna("").agg(" ".join, axis=1)
        keep &= text.str.casefold().str.contains(wanted, regex=False)
    return frame[keep]


def _reason(facts: Mapping[str, Any]) -> str | None:
    reason = facts.get("error_message")
    return without_paths(str(reason)) if reason else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat("T", "seconds") if moment is not None else None
