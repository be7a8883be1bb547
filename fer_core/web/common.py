"""What the rooms of the web interface share while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flask import current_app

from fer_core.settings import Settings
from fer_core.store import Store
from fer_core.web.guard import Access


@dataclass(frozen=True, slots=True)
class Common:
    """What is known to every request.

    Attributes:
        settings: all settings.
        access: who may come in.
        store: the dataset.
        scratch: folder of uploads and their results; emptied before the first request and after
            the last.
    """

    settings: Settings
    access: Access
    store: Store
    scratch: Path


def common() -> Common:
    """Return what is shared by the app that answers this request."""
    return cast("Common", current_app.extensions["lecturepulse"])
