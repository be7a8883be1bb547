"""Checks that the machine has what the nightly job needs, and says how to mend what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fer_core import assets, published, repair, video
from fer_core.errors import EnvironmentProblem, LecturePulseError, StoreError
from fer_core.folder import nearest_there, need_space
from fer_core.settings import Settings
from fer_core.store import Store

_PACKAGES = (
    *("tensorflow", "ai-edge-litert", "onnxruntime", "opencv-python-headless"),
    *("prefect", "pyarrow", "duckdb", "jinja2"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its name, whether it is in order, what was seen, how to mend it."""

    name: str
    good: bool
    seen: str
    hint: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything the nightly job needs, one after the other."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("ffmpeg", lambda: _ffmpeg(settings)),
        ("face detector", _detector),
        ("expression model", lambda: _model(settings)),
        ("templates", lambda: f"{sum(1 for _ in assets.templates().iterdir())} files"),
        ("packages", _packages),
        ("prefect", _prefect),
        ("object storage", lambda: _storage(settings)),
        ("disk", lambda: _disk(settings)),
        ("dataset", lambda: _dataset(settings)),
        ("tables", lambda: _tables(settings)),
        ("jurisdiction", lambda: _jurisdiction(settings)),
    )
    for name, check in checks:
        try:
            yield Finding(name, good=True, seen=check())
        except LecturePulseError as error:
            yield Finding(name, good=False, seen=error.message, hint=error.hint)


def _ffmpeg(settings: Settings) -> str:
    found = video.find_ffmpeg(settings.video.ffmpeg)
    return f"{found.version} ({found.path})"


def _detector() -> str:
    return f"YuNet 2023mar, sha256 {assets.file_sha256(assets.yunet())[:12]}…"


def _model(settings: Settings) -> str:
    model = assets.chosen(settings.classification)
    return f"{model.name}, run by {model.runtime}, sha256 {model.sha256[:12]}…"


def _packages() -> str:
    seen: list[str] = []
    for name in _PACKAGES:
        try:
            seen.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError as error:
            raise EnvironmentProblem(
                f"The package {name} is not installed.", hint="Install lecturepulse again."
            ) from error
    return ", ".join(seen)


def _prefect() -> str:
    if url := os.environ.get("PREFECT_API_URL"):
        return f"server {url}"
    home = Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect"))
    if not os.access(nearest_there(home), os.W_OK):
        raise EnvironmentProblem(
            f"Prefect cannot keep its records in {home}.",
            hint="Set PREFECT_HOME to a folder this user may write to.",
        )
    return f"embedded server, records in {home} (SQLite {sqlite3.sqlite_version})"


def _storage(settings: Settings) -> str:
    if settings.publish_to is None:
        return "not used: the dataset is kept on this machine"
    published.reading(settings)
    return f"{settings.publish_to} answers"


def _disk(settings: Settings) -> str:
    out = settings.out.absolute()
    free_mb = need_space(out, settings.run.min_free_mb)
    above = nearest_there(out)
    if not os.access(above, os.W_OK):
        raise StoreError(f"{above} cannot be written.", hint="Choose another folder with --out.")
    return f"{free_mb / 1000:.0f} GB free for {out}"


def _tables(settings: Settings) -> str:
    frame = Store(settings.out).all("recordings")
    counts = frame["status"].value_counts()
    return ", ".join(f"{n} {status}" for status, n in counts.items()) or "none yet"


def _dataset(settings: Settings) -> str:
    store = Store(settings.out)
    faults = repair.find_faults(store)
    if not faults:
        return "every file in order"
    first = faults[0]
    raise StoreError(
        f"{len(faults)} of its files are out of order, such as "
        f"{first.path.relative_to(store.root)}: {first.why}.",
        hint="lecturepulse doctor --repair sets them aside; the next run makes what is missing.",
    )


def _jurisdiction(settings: Settings) -> str:
    place = settings.deployment.jurisdiction
    return place or "not set: only the bundled class, of made-up people, will be taken"
