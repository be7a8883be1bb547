"""What the rooms of the web interface share while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from fer_core.settings import Settings
from fer_core.store import Store
from fer_core.viewers import Viewers
from fer_core.web.guard import Access
from fer_core.web.jobs import Jobs
from fer_core.web.pictures import PictureDesk


@dataclass(frozen=True, slots=True)
class Common:
    """What is known to every request.

    Attributes:
        settings: all settings.
        access: who may come in.
        store: the dataset.
        pictures: reads single pictures.
        jobs: the uploaded videos.
        viewers: those who look at a live camera.
    """

    settings: Settings
    access: Access
    store: Store
    pictures: PictureDesk
    jobs: Jobs
    viewers: Viewers


def common() -> Common:
    """Return what is shared by the app that answers this request."""
    return cast("Common", current_app.extensions["lecturepulse"])
