"""Try: a picture or a short video is read as the nightly job would, and nothing of it is kept."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, render_template

blueprint: Final = Blueprint("trial", __name__)


@blueprint.get("/")
def show_trial() -> str:
    """Show where a picture or a video can be dropped."""
    return render_template("web/trial.html.j2")
