"""Finds the recordings of an inbox, and what each belongs to: course, start, title.

Looks at names, sidecars and file times, and hashes what a file holds; what is in the video is
``video``'s work.
"""

from __future__ import annotations

import difflib
import errno
import glob
import hashlib
import os
import re
import stat
import time
import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import ErrorDetails

from fer_core import policy
from fer_core.errors import PASSING, InputError, TransientError
from fer_core.exclude import Exclusion, Offset
from fer_core.folder import leads_out
from fer_core.settings import Discovery

_ZOOM_NAME: Final = re.compile(r"^GMT(\d{8})-(\d{6})_Recording", re.IGNORECASE)
_ZOOM_FOLDER: Final = re.compile(r"^\d{4}-\d{2}-\d{2} \d{2}\.\d{2}\.\d{2} (.+)$")
_LAYOUT_WORDS: Final = {
    "gallery": "gallery",
    "gvo": "gallery",
    "speaker": "speaker",
    "avo": "speaker",
    "camera": "camera",
    "classroom": "camera",
}
# Clocks run on from the start, and months are four digits and two: neither may leave its range.
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(3000, 1, 1, tzinfo=UTC)


class SidecarChapter(BaseModel):
    """A chapter: where it starts, and its title."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Offset
    title: Annotated[str, Field(min_length=1, max_length=200)]


class Sidecar(BaseModel):
    """What ``<name>.toml`` beside a recording may say about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    course: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    title: Annotated[str, Field(max_length=500)] | None = None
    started_at: Annotated[AwareDatetime, Field(ge=_EARLIEST, lt=_LATEST)] | None = None
    layout: Literal["gallery", "speaker", "camera"] | None = None
    synthetic: bool = False
    chapters: Annotated[tuple[SidecarChapter, ...], Field(max_length=1000)] = ()
    exclude: Annotated[tuple[Exclusion, ...], Field(max_length=100)] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A recording found, before it is opened.

    Attributes:
        path: absolute path.
        course: what it belongs to.
        sidecar: what the file beside it says.
        started_at: start by sidecar or file name, UTC; None if neither tells.
        layout: gallery, speaker or camera by sidecar or file name; else unknown.
        sha256: of the content, where it is known without reading it (object storage).
    """

    path: Path
    course: str
    sidecar: Sidecar
    started_at: datetime | None
    layout: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of looking into an inbox.

    Attributes:
        sources: recordings to work on, in the order of their paths.
        waiting: files still being copied in, left for the next run.
        failed: files or paths that cannot be taken, with the reason.
    """

    sources: tuple[Source, ...]
    waiting: tuple[Path, ...]
    failed: tuple[tuple[Path, InputError | TransientError], ...]


def discover(
    paths: Iterable[str | Path],
    settings: Discovery,
    *,
    now: Callable[[], float] = time.time,
) -> Found:
    """Find the recordings behind files, folders and globs.

    Folders are searched to any depth for the known extensions, patterns likewise match only
    those; a file named by itself is taken whatever its ending or age. A course is, in this
    order: the setting, the sidecar, the folder the recording lies in.

    Args:
        paths: files, folders or glob patterns.
        settings: extensions, settling time, course.
        now: the clock, in seconds since the epoch.
    """
    sources: list[Source] = []
    waiting: list[Path] = []
    failed: list[tuple[Path, InputError | TransientError]] = []
    seen: set[Path] = set()
    for inbox, by_hand in _expanded(paths):
        try:
            candidates = _candidates(inbox, settings, failed, by_hand=by_hand)
        except (InputError, TransientError) as error:
            failed.append((inbox, error))
            continue
        for path in candidates:
            try:
                real = _resolved(path)
                if real in seen:
                    continue
                seen.add(real)
                if not _settled(real, inbox, settings, now(), by_hand=by_hand):
                    waiting.append(path)
                    continue
                sources.append(_source(real, settings))
            except (InputError, TransientError) as error:
                failed.append((path, error))
    sources.sort(key=lambda source: source.path)
    return Found(tuple(sources), tuple(waiting), tuple(failed))


def is_made_up(source: Source) -> bool:
    """Say whether the people of a recording do not exist: declared so, and known to us."""
    if not source.sidecar.synthetic:
        return False
    try:
        return (source.sha256 or content_sha256(source.path)) in policy.MADE_UP
    except (InputError, TransientError):
        return False


def content_sha256(path: Path) -> str:
    """Return the sha256 of a recording as hex digits.

    Raises:
        InputError, TransientError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> InputError | TransientError:
    """Say that the system would not open a file, and why: the file's fault, or the machine's."""
    if error.errno in PASSING:
        return TransientError(
            f"{path.name!r} cannot be read now: {error.strerror}.",
            hint="The machine, its disk or its network has trouble; the next run tries again.",
        )
    return InputError(
        f"{path.name!r} cannot be read: {error.strerror or error}.",
        hint="Check that the file exists and that this user may read it.",
    )


def _expanded(paths: Iterable[str | Path]) -> list[tuple[Path, bool]]:
    """Return absolute paths, and whether a person named each of them rather than a pattern."""
    found: list[tuple[Path, bool]] = []
    for given in paths:
        path = Path(given)
        with suppress(RuntimeError):  # no such user: then the tilde belongs to the name
            path = path.expanduser()
        matches: list[str] = []
        if glob.has_magic(str(path)) and not is_there(path):
            matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute
        found += [(Path(match).absolute(), False) for match in matches]
        if not matches:
            found.append((path.absolute(), True))
    return found


def changed_ns(status: os.stat_result) -> int:
    """Return a file's modification time as the tables hold it, ns since 1970.

    They hold years 1678 to 2262; a clock that is set wrong may be beyond them.
    """
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def is_there(path: Path) -> bool:
    """Say whether there is a file or folder that can be looked at."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _candidates(
    inbox: Path,
    settings: Discovery,
    failed: list[tuple[Path, InputError | TransientError]],
    *,
    by_hand: bool,
) -> list[Path]:
    try:
        mode = inbox.stat().st_mode
    except OSError as error:
        if glob.has_magic(inbox.name):
            raise InputError(
                f"Nothing matches {inbox.name!r}.", hint="Check the pattern."
            ) from error
        raise unreadable(inbox, error) from error
    endings = {f".{ending.lower().lstrip('.')}" for ending in settings.extensions}
    if not stat.S_ISDIR(mode):
        return [inbox] if by_hand or inbox.suffix.lower() in endings else []
    found: list[Path] = []

    def skipped(error: OSError) -> None:
        folder = Path(error.filename)
        failed.append((folder, unreadable(folder, error)))

    # os.walk does not follow links to folders, so a link that points upwards cannot loop.
    for folder, folders, names in os.walk(inbox, onerror=skipped):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in endings
        ]
    return sorted(found)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except RuntimeError as error:  # Python's word for links that go round in a circle
        raise unreadable(path, OSError(errno.ELOOP, os.strerror(errno.ELOOP))) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _settled(real: Path, inbox: Path, settings: Discovery, now: float, *, by_hand: bool) -> bool:
    try:
        status = real.stat()
    except OSError as error:
        raise unreadable(real, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            f"{real.name!r} is not a regular file.", hint="Give a video file or a folder of them."
        )
    if by_hand and inbox.is_file():  # the person knows that it is complete
        return True
    folder = inbox.parent if inbox.is_file() else inbox
    if not real.is_relative_to(folder.resolve()):
        raise InputError(
            f"{real.name!r} is a link that leads out of the inbox.",
            hint="Copy the recording into the inbox, or name the file itself.",
        )
    return abs(now - status.st_mtime) >= settings.settle_s


def _source(path: Path, settings: Discovery) -> Source:
    sidecar = _read_sidecar(path.with_suffix(".toml"))
    course, started_at = path.parent.name or "recordings", None
    if match := _ZOOM_FOLDER.match(path.parent.name):
        # The folder bears local time without saying whose: good for the course, not the clock.
        course = match[1]
    if match := _ZOOM_NAME.match(path.name):
        try:
            named_at = datetime.strptime(match[1] + match[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            started_at = named_at if _EARLIEST <= named_at < _LATEST else None
        except ValueError:
            started_at = None
    words = re.split(r"[^a-z]+", path.stem.lower())
    named = next((_LAYOUT_WORDS[word] for word in words if word in _LAYOUT_WORDS), "unknown")
    return Source(
        path=path,
        course=printable(settings.course or sidecar.course or course),
        sidecar=sidecar,
        started_at=sidecar.started_at.astimezone(UTC) if sidecar.started_at else started_at,
        layout=sidecar.layout or named,
    )


def _read_sidecar(path: Path) -> Sidecar:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise InputError(
                f"The sidecar {path.name!r} is not a regular file.", hint="Remove or replace it."
            )
        if leads_out(path):
            raise InputError(
                f"The sidecar {path.name!r} is a link that leads out of its folder.",
                hint="Copy it beside its recording.",
            )
        # "-sig": some editors begin a file with a byte order mark.
        return Sidecar.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        # A recording's name may fill the 255 bytes there are, so that no sidecar's name fits.
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            return Sidecar()
        raise unreadable(path, error) from error
    except ValidationError as error:
        raise _wrong(path, error.errors()[0]) from error
    # tomllib gives up in these two other ways on numbers too long and nesting too deep.
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The sidecar {path.name!r} is not valid TOML: {error}.",
            hint='It may hold course, title, started_at, layout, …: course = "…".',
        ) from error


def _wrong(path: Path, first: ErrorDetails) -> InputError:
    """Say in plain words what a sidecar's first mistake is."""
    at, kind = [*first["loc"]], first["type"]
    where = ", ".join(f"entry {k + 1}" if isinstance(k, int) else f"'{k}'" for k in at)
    if kind == "extra_forbidden":
        parts = {"chapters": SidecarChapter, "exclude": Exclusion}
        top, *below = map(str, at)
        model = parts.get(top, Sidecar) if below else Sidecar
        known = list(model.model_fields)
        near = difflib.get_close_matches([top, *below][-1], known, 1)
        meant = f"Did you mean '{near[0]}'? " if near else ""
        return InputError(
            f"The sidecar {path.name!r} has {where}, which is not known.",
            hint=f"{meant}It may hold {', '.join(known)}.",
        )
    said = {"missing": "it is missing", "timezone_aware": "it needs a time zone, as +05:30 or Z"}
    # Pydantic speaks of inputs, strings and value errors; the reader wrote an entry.
    told = re.match(r"(?:Value error,|\w+(?= should)) (.+)", first["msg"], re.DOTALL)
    what = said.get(kind) or (f"it {told[1]}" if told else first["msg"])
    return InputError(
        f"The sidecar {path.name!r} is wrong at {where}: {what}.",
        hint="Correct that entry or take it out; the next run reads the recording.",
    )


def printable(text: str, otherwise: str = "recordings") -> str:
    """Return a name fit for tables, pages and logs: one line, no control characters.

    Args:
        text: any.
        otherwise: what to return if nothing is left of it.
    """
    # Names from a file system may hold bytes that are no text (lone surrogates).
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in text).strip()[:200] or otherwise
