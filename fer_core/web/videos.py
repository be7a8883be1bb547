"""Takes a video that somebody sends, for the page and for the API."""

from __future__ import annotations

import shutil
from typing import Final

from flask import request

from fer_core.folder import need_space
from fer_core.inbox import printable
from fer_core.web.common import common
from fer_core.web.jobs import VideoJob
from fer_core.web.uploads import file_name_of, sent_video

_YES: Final = frozenset({"on", "true", "1", "yes"})
_COURSE: Final = "Uploads"


def accept_video() -> VideoJob:
    """Take the video in a request, ``keep`` it under a ``course`` or not, and queue it.

    Raises:
        Problem: it cannot be taken, or too many wait.
        PolicyError: no jurisdiction is set.
    """
    here = common()
    file = sent_video(here.settings.web.max_video_mb)
    keep = request.form.get("keep", "").lower() in _YES
    course = printable(request.form.get("course", "") or _COURSE) if keep else ""
    need_space(here.store.root, here.settings.run.min_free_mb)
    folder = here.jobs.reserve()
    try:
        path = folder / file_name_of(file, here.settings.discovery.extensions)
        file.save(path)
        return here.jobs.submit(path, course)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
