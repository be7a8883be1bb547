"""Settings of the web interface: who may come in, and how much they may ask of the machine.

What heeds them lives in ``web`` and ``viewers``.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from fer_core.settings_section import Section


class Live(Section):
    """The live view of a camera."""

    viewers: int = Field(
        4, ge=0, le=64, description="Most who look at once; one more is told to wait. 0: nobody."
    )
    idle_s: float = Field(
        20, ge=1, le=3600, description="A view without a picture for so long is ended, seconds."
    )
    max_minutes: int = Field(
        180, ge=1, le=12 * 60, description="No more than this is recorded of a view, minutes."
    )


class Web(Section):
    """The web interface: who reaches it, and how much it takes."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address it listens on. Beyond this machine it needs token_file.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port it listens on; 0: any free one.")
    token_file: Path | None = Field(
        None,
        description="File that holds the token people log in with, 20 characters or more, readable "
        "by this user only.",
    )
    hosts: tuple[str, ...] = Field(
        (),
        description="Names under which browsers reach it, such as pulse.school.example; requests "
        "for any other name are refused. Empty: this machine's names, if it listens there.",
    )
    proxy: str | None = Field(
        None,
        description="Address of the reverse proxy in front of it, whose X-Forwarded-For, -Host and "
        "-Proto are believed.",
    )
    threads: int = Field(16, ge=4, le=128, description="Requests answered at once.")
    requests_per_minute: int = Field(
        300, ge=10, description="Requests taken from one address, a minute."
    )
    max_image_mb: int = Field(20, ge=1, description="Larger pictures are refused, MB.")
    max_image_pixels: int = Field(
        50_000_000, ge=10_000, description="Pictures with more pixels are refused undecoded."
    )
    max_video_mb: int = Field(500, ge=1, description="Larger videos are refused, MB.")
    max_video_minutes: float = Field(
        30, gt=0, description="Work on one uploaded video is ended after so long."
    )
    max_waiting: int = Field(
        4, ge=1, description="Videos that may wait for their turn; more are refused for the time."
    )
    result_minutes: float = Field(
        60, gt=0, description="What was made of a video that is not kept is deleted after so long."
    )
    query_s: float = Field(10, gt=0, le=600, description="Longest a question in SQL may take.")
    query_rows: int = Field(
        10_000, ge=1, le=1_000_000, description="Most rows of an answer; further ones are cut off."
    )
    query_mb: int = Field(
        2048, ge=1024, description="All memory that one question may take, MB (Linux)."
    )
