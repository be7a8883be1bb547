"""Uploaded videos and their turn: a bounded queue, one child process at a time, and an end to all.

A video goes when its result is there; the result goes after a while, or when somebody says so. What
is to be kept lies in the dataset. How a video is worked on is ``child``'s business.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from fer_core import audit, inbox, policy, process
from fer_core.address import id_of
from fer_core.errors import LecturePulseError
from fer_core.settings import Settings
from fer_core.store import Store
from fer_core.underway import read_underway
from fer_core.web import kept
from fer_core.web.child import WAITS
from fer_core.web.problems import Problem, body_of
from fer_core.web.shapes import JobShape, ProblemShape

_PROGRAM: Final = "from fer_core.web import child; child.work_on_video()"
_LOOK_S: Final = 0.5
_END_S: Final = 15.0
_ALIVE_S: Final = 5.0
_ENDED: Final = ("done", "failed", "cancelled")
_TRIED: Final = "Tried"
_NO_LINK: Final = "gone:"  # no address that a page would link to


@dataclass(slots=True)
class VideoJob:
    """One uploaded video.

    Attributes:
        id: cannot be guessed: who knows it may see the result.
        path: the video.
        course: what it goes under in the dataset; empty if it is not kept.
        state: where it stands.
        out: the dataset its result is in.
        page: its report, relative to that dataset's ``reports``.
        recording_id: its id in the tables, once they hold it.
        ended_s: monotonic time at which it ended.
    """

    id: str
    path: Path
    course: str
    out: Path
    state: Literal["waiting", "running", "done", "failed", "cancelled"] = "waiting"
    note: str = ""
    seen_s: float = 0.0
    video_s: float = 0.0
    page: str | None = None
    recording_id: str | None = None
    refused: Problem | None = None
    ended_s: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """All of them. Safe to use from any thread.

    Args:
        settings: all settings.
        scratch: folder of uploads and their results.
    """

    def __init__(self, settings: Settings, scratch: Path) -> None:
        self._settings, self._scratch = settings, scratch
        self._jobs: dict[str, VideoJob] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def reserve(self) -> Path:
        """Return a folder of its own for an upload; whoever does not submit it deletes it.

        Raises:
            Problem: too many wait already.
        """
        with self._changed:
            self._forget_old()
            states = [job.state for job in self._jobs.values()]
            # Others that are being sent have a folder, and will wait.
            sent = [entry.name for entry in self._scratch.iterdir() if entry.is_dir()]
            coming = sum(name not in self._jobs for name in sent)
            # The first of those that wait has its turn at once if nothing runs.
            waiting = states.count("waiting") + coming - ("running" not in states)
            if waiting >= self._settings.web.max_waiting:
                raise Problem("busy", "Too many videos wait already.", retry_after_s=60)
            folder = self._scratch / secrets.token_urlsafe(16)
            folder.mkdir(mode=0o700)
        return folder

    def submit(self, path: Path, course: str) -> VideoJob:
        """Put a video at the end of the queue.

        Args:
            path: the file, in a folder from ``reserve``.
            course: what to keep it under; empty to keep nothing.

        Raises:
            PolicyError: nothing of real people may be computed here.
            InputError: it cannot be read.
        """
        sha256 = inbox.content_sha256(path)
        made_up = sha256 in policy.MADE_UP
        gate = policy.permission(self._settings.deployment, synthetic=made_up)
        root = self._settings.out.absolute()
        audit.note(root, "tried", what="video", mode=gate.mode, ground=gate.reason)
        if made_up:
            path.with_suffix(".toml").write_text("synthetic = true\n", encoding="utf-8")
        folder = path.parent
        out = root if course else folder / "out"
        job = VideoJob(folder.name, path, course, out)
        with self._changed:
            # Together: else a job of the same content might end, and delete it, in between.
            if course:
                job.path = kept.put_in_place(path, root, id_of(sha256))
            self._jobs[job.id] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="videos", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def get(self, job_id: str) -> VideoJob:
        """Return a job.

        Raises:
            Problem: there is none of that id.
        """
        with self._changed:
            self._forget_old()
            if job_id in self._jobs:
                return self._jobs[job_id]
        raise Problem(
            "not-found",
            "There is no such video.",
            hint="Results that are not kept are deleted after a while.",
        )

    def shape(self, job: VideoJob) -> JobShape:
        """Return a job as the API tells it."""
        with self._changed:
            order = [other.id for other in self._jobs.values() if other.state == "waiting"]
            running = any(other.state == "running" for other in self._jobs.values())
            ahead = order.index(job.id) + running if job.id in order else 0
        return JobShape(
            id=job.id,
            name=job.path.name,
            keep=bool(job.course),
            state=job.state,
            seen_s=round(job.seen_s, 1),
            video_s=round(job.video_s, 1),
            ahead=ahead,
            note=job.note,
            problem=_shape(job.refused) if job.refused else None,
            report=self._address(job),
            recording_id=job.recording_id,
        )

    def gone_at(self, job: VideoJob) -> datetime | None:
        """Return when what came of a job is deleted; None while it runs, and where it is kept."""
        if job.course or job.state not in _ENDED:
            return None
        ended_ago = timedelta(seconds=time.monotonic() - job.ended_s)
        return datetime.now(UTC) - ended_ago + timedelta(minutes=self._settings.web.result_minutes)

    def _address(self, job: VideoJob) -> str | None:
        if job.page is None:
            return None
        if job.course:
            return f"/library/reports/{quote(job.page)}"
        return f"/try/videos/{job.id}/report/{quote(job.page)}"

    def events(self, job: VideoJob, longest_s: float) -> Iterator[JobShape | None]:
        """Yield how a job stands, at first and with each change, until it has ended.

        None in between, so that whoever went away is noticed.
        """
        until, before = time.monotonic() + longest_s, None
        while True:
            now = self.shape(job)
            yield now if now != before else None
            before = now
            left_s = until - time.monotonic()
            if job.state in _ENDED or left_s <= 0 or self._closed:
                return
            with self._changed:
                self._changed.wait(min(left_s, _ALIVE_S))

    def drop(self, job: VideoJob) -> None:
        """Stop a job if it runs, and delete what there is of it; what is kept stays."""
        job.stop.set()
        with self._changed:
            if job.state == "waiting":
                self._end(job, "cancelled")
            self._changed.notify_all()
            self._changed.wait_for(lambda: job.state in _ENDED, 2 * _END_S)
            self._jobs.pop(job.id, None)
        shutil.rmtree(self._scratch / job.id, ignore_errors=True)

    def close(self) -> None:
        """End everything, and wait until the child is gone."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.stop.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(2 * _END_S)
        for job in list(self._jobs.values()):
            if job.state not in _ENDED:
                self._end(job, "cancelled")

    def _work(self) -> None:
        while job := self._next():
            try:
                self._run(job)
            except (OSError, ValueError, LecturePulseError) as error:
                sys.stderr.write(f"{job.path.name}: {error!r}\n")
                job.refused = Problem("unexpected")
                self._end(job, "failed")

    def _next(self) -> VideoJob | None:
        with self._changed:
            while not self._closed:
                for job in self._jobs.values():
                    if job.state == "waiting":
                        job.state = "running"
                        self._changed.notify_all()
                        return job
                self._changed.wait(30)
                self._forget_old()
        return None

    def _run(self, job: VideoJob) -> None:
        limit_s = 60 * self._settings.web.max_video_minutes
        task = {
            "path": str(job.path),
            "settings": self._settings_of(job),
            "limit_s": limit_s,
            "kept_minutes": None if job.course else self._settings.web.result_minutes,
            "parent": os.getpid(),
        }
        program = process.our_python("-c", _PROGRAM)
        child = subprocess.Popen(
            program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=program.env,
            text=True,
            start_new_session=True,
        )
        told: list[str] = []
        with child:
            assert child.stdin is not None  # noqa: S101 - for the type checker
            child.stdin.write(json.dumps(task))
            child.stdin.close()
            reader = threading.Thread(target=_collect, args=(child, told), daemon=True)
            reader.start()
            self._follow(job, child, told)
            reader.join(_END_S)
        self._conclude(job, told)

    def _follow(self, job: VideoJob, child: subprocess.Popen[str], told: list[str]) -> None:
        """Watch a child until it has ended; end it if somebody says so."""
        while child.poll() is None:
            if job.stop.wait(_LOOK_S):
                _end_child(child)
                return
            waits = bool(told) and told[-1].strip() == WAITS
            note = "Another run is writing to the dataset; this video is next." if waits else ""
            state = None if waits else read_underway(job.out)
            with self._changed:
                before = job.note, job.seen_s, job.video_s
                job.note = note
                if state and state.pid == child.pid and state.name == job.path.name:
                    job.seen_s, job.video_s = state.seen_s, state.video_s
                if before != (job.note, job.seen_s, job.video_s):
                    self._changed.notify_all()

    def _conclude(self, job: VideoJob, told: list[str]) -> None:
        facts: dict[str, Any] = {}
        with suppress(ValueError, IndexError):
            facts = json.loads(told[-1])
        job.note = ""
        # Without a page: deleted before, and not to be read again by itself.
        if facts.get("status", "failed") != "failed" and facts["page"] is not None:
            job.page, job.recording_id = facts["page"], facts["recording_id"]
            job.note, job.seen_s = facts["message"], job.video_s
            self._end(job, "done")
        elif job.stop.is_set():
            self._end(job, "cancelled")
        else:
            if job.course and kept.is_held(job.path, Store(job.out)):
                job.recording_id = job.path.parent.name
            job.refused = _refusal(job, facts)
            self._end(job, "failed")

    def _end(self, job: VideoJob, state: Literal["done", "failed", "cancelled"]) -> None:
        with self._changed:
            job.state, job.ended_s = state, time.monotonic()
            if not job.course:
                job.path.unlink(missing_ok=True)
                job.path.with_suffix(".toml").unlink(missing_ok=True)
            elif state == "done":
                kept.finish_upload(job.path)
            elif not self._is_wanted(job.path):
                kept.settle_upload(job.path, Store(job.out))
            self._changed.notify_all()

    def _is_wanted(self, path: Path) -> bool:
        """Say whether a job that has not ended is about this very file."""
        return any(j.path == path and j.state not in _ENDED for j in self._jobs.values())

    def _settings_of(self, job: VideoJob) -> dict[str, Any]:
        settings = self._settings.model_dump(mode="json")
        settings["out"] = str(job.out)
        settings["discovery"]["course"] = job.course or _TRIED
        if not job.course:
            settings["publish_to"] = None
            settings["retention"]["days"] = None
            settings["report"]["time_link"] = _NO_LINK
        return settings

    def _forget_old(self) -> None:
        last_s = time.monotonic() - 60 * self._settings.web.result_minutes
        for job in list(self._jobs.values()):
            if job.state in _ENDED and job.ended_s < last_s:
                del self._jobs[job.id]
                shutil.rmtree(self._scratch / job.id, ignore_errors=True)


def _refusal(job: VideoJob, facts: dict[str, Any]) -> Problem:
    """Return why there is no report, as far as the child told."""
    told = facts.get("message", "").replace(str(job.path), job.path.name)
    if facts.get("status") == "partial":  # only its page could not be drawn
        return Problem("unexpected", told, hint=facts["hint"])
    if job.recording_id and not told:
        return Problem(
            "not-ready",
            "The tables hold it, but what comes after them, such as its page, was not done.",
            hint=f"Whoever runs this server draws it: lecturepulse report {job.recording_id}",
        )
    if not facts:
        return Problem(
            "unreadable",
            "The work on it was ended: it took too long, or too much memory.",
            hint="Send a shorter video.",
        )
    if job.recording_id:
        told = f"{told} The tables hold it all the same."
    return Problem("unreadable" if told else "not-ready", told, hint=facts["hint"])


def _end_child(child: subprocess.Popen[str]) -> None:
    """End a child in good order, or its whole group if it takes too long."""
    child.terminate()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


def _collect(child: subprocess.Popen[str], told: list[str]) -> None:
    for line in child.stdout or ():  # each when it comes
        told.append(line)  # noqa: PERF402


def _shape(problem: Problem) -> ProblemShape:
    return ProblemShape(**body_of(problem))
