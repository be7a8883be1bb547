"""The ffmpeg program: which one is used, how its commands are guarded, what its end means."""

from __future__ import annotations

import importlib.resources
import os
import re
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import ffmpeg as _ffmpeg_python  # pyright: ignore[reportMissingTypeStubs]

from fer_core import process
from fer_core.errors import PASSING, EnvironmentProblem, InputError, TransientError
from fer_core.settings import Video

_builder: Any = _ffmpeg_python

GRACE_S: Final = 60.0
"""Time every ffmpeg may take for a start, before the length of a recording counts, seconds."""

# Containers of real recordings. Without it ffmpeg opens playlists (HLS, concat) that name other
# files of the machine, whatever the file is called.
_DEMUXERS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,asf"
_OLDEST_AVCODEC: Final = (59, 37)  # ffmpeg 5.1: -fps_mode
_DROPS_PACKETS_AVCODEC: Final = (61,)  # ffmpeg 7: -bsf before -i
_OUTPUT_BYTES: Final = 1 << 20
# It writes files or colours its messages when these are set; a nightly job inherits anything.
_UNWANTED_VARIABLES: Final = ("FFREPORT", "AV_LOG_FORCE")

SHOWINFO: Final = re.compile(r"^\[Parsed_showinfo_\d+ @ 0x[0-9a-f]+\] \[info\] ")
"""A line of the filter that reports every decoded picture."""
TIME_BASE: Final = re.compile(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
"""Its first line: the unit of time stamps, and the frame rate ffmpeg guesses."""
SHOWN: Final = re.compile(
    r"n: *\d+ pts: *(?P<pts>-?\d+) .*?(?:duration: *(?P<duration>\d+) .*?)?"
    r"sar:(?P<sar_num>\d+)/(?P<sar_den>\d+) s:(?P<width>\d+)x(?P<height>\d+) .*iskey:(?P<key>[01])"
)
"""Its line for one picture; ``duration`` is not there before ffmpeg 6."""


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """The ffmpeg program in use.

    Attributes:
        path: of the program.
        version: its own name for it.
        drops_packets: whether it can leave packets out before they are decoded.
    """

    path: Path
    version: str
    drops_packets: bool = False


class _Version(NamedTuple):
    # Builds from git ("N-12345-g…") carry no release number; the codec library's grows in all.
    avcodec: tuple[int, ...]
    release: tuple[int, ...]
    name: str

    @property
    def drops_packets(self) -> bool:
        return self.avcodec >= _DROPS_PACKETS_AVCODEC


@lru_cache
def find_ffmpeg(setting: Path | None) -> Ffmpeg:
    """Return the ffmpeg to use: the one in the settings, or the newest of PATH's and the wheel's.

    Args:
        setting: path or name of the program; None to choose.

    Raises:
        EnvironmentProblem: the one in the settings does not run, or there is none.
    """
    if setting is not None:
        found = shutil.which(str(setting.expanduser()))
        version = _version_of(Path(found)) if found else None
        if found is None or version is None:
            raise EnvironmentProblem(
                f"The setting video.ffmpeg = {setting} is not an ffmpeg program that runs.",
                hint="Correct the setting, or remove it to use the bundled ffmpeg.",
            )
        if version.avcodec < _OLDEST_AVCODEC:
            raise EnvironmentProblem(
                f"The setting video.ffmpeg = {setting} is ffmpeg {version.name}; 5.1 is needed.",
                hint="Install a newer one, or remove the setting to use the bundled ffmpeg.",
            )
        return Ffmpeg(Path(found).absolute(), version.name, version.drops_packets)
    on_path = shutil.which("ffmpeg")
    candidates = [Path(on_path)] if on_path else []
    # The wheel's own get_ffmpeg_exe() prefers a variable of the environment to its own program.
    with suppress(ModuleNotFoundError):
        wheel = importlib.resources.files("imageio_ffmpeg.binaries")
        candidates += [
            Path(str(file)) for file in wheel.iterdir() if file.name.startswith("ffmpeg-")
        ]
    known = [(version, path) for path in candidates if (version := _version_of(path))]
    usable = [pair for pair in known if pair[0].avcodec >= _OLDEST_AVCODEC]
    if not usable:
        raise EnvironmentProblem(
            "No ffmpeg 5.1 or newer was found.",
            hint="pip install imageio-ffmpeg, or install ffmpeg from the system's packages.",
        )
    version, path = max(usable, key=lambda pair: pair[0][:2])
    return Ffmpeg(path.absolute(), version.name, version.drops_packets)


def _version_of(path: Path) -> _Version | None:
    try:
        output, ended = process.run(
            _program([str(path), "-version"]), limit_s=GRACE_S, max_output_bytes=_OUTPUT_BYTES
        )
    except (EnvironmentProblem, TimeoutError):
        return None
    return None if ended.returncode else _parse_version(output.decode("utf-8", "replace"))


def _parse_version(text: str) -> _Version | None:
    name = re.match(r"ffmpeg version (\S+)", text)
    avcodec = re.search(r"^libavcodec +(\d+)\. *(\d+)\. *(\d+)", text, re.MULTILINE)
    if not name or not avcodec:
        return None
    release = re.match(r"n?(\d+(?:\.\d+)*)", name[1])
    return _Version(
        tuple(int(part) for part in avcodec.groups()),
        tuple(int(part) for part in release[1].split(".")) if release else (),
        name[1],
    )


def open_input(path: Path, limits: Video, **options: object) -> Any:
    """Return ffmpeg-python's input of a recording, unable to open any other file."""
    return _builder.input(
        # The builder takes only true Unicode; a path is bytes. ``command`` turns them back.
        "file:" + os.fsencode(path).decode("latin-1"),
        protocol_whitelist="file,pipe",
        format_whitelist=_DEMUXERS,
        max_pixels=limits.max_pixels,
        **options,
    )


def output(streams: Iterable[Any], **options: object) -> Any:
    """Return ffmpeg-python's output of the streams to the pipe."""
    return _builder.output(*streams, "pipe:1", **options)


def command(ffmpeg: Ffmpeg, limits: Video, wanted: Any) -> process.Program:
    """Return the guarded command for an output of ffmpeg-python's."""
    max_alloc = str(limits.max_memory_mb * 1_000_000)
    program = [str(ffmpeg.path), "-nostdin", "-hide_banner", "-nostats", "-max_alloc", max_alloc]
    # A file of which most is damaged still has its good seconds: never fail for the share of it.
    arguments: list[str] = wanted.compile(
        cmd=[*program, "-loglevel", "repeat+level+info", "-max_error_rate", "1"]
    )
    file = arguments.index("-i") + 1
    arguments[file] = os.fsdecode(arguments[file].encode("latin-1"))
    return _program(arguments)


def _program(command: list[str]) -> process.Program:
    return process.Program(
        command,
        {k: v for k, v in os.environ.items() if not k.startswith(_UNWANTED_VARIABLES)},
        "lecturepulse doctor shows which ffmpeg is used and why.",
    )


def bare_decode(
    path: Path, rate_hz: int, ffmpeg: Ffmpeg, limits: Video, threads: int
) -> process.Program:
    """Return the command that decodes a recording into nothing: what no reader of it can beat.

    Args:
        path: the recording.
        rate_hz: pictures kept a second.
        ffmpeg: from ``find_ffmpeg``.
        limits: the decoder's limits.
        threads: threads of the decoder.
    """
    pictures = open_input(path, limits, threads=threads)["v:0"].filter("fps", fps=rate_hz)
    return command(ffmpeg, limits, output([pictures], format="null"))


def name_of(path: Path) -> str:
    """Return a file's name fit for a message: names are data, and may hold line ends or worse.

    Messages stand on pages, where the folders of a server are nobody's business.
    """
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for char in path.name or str(path)
    )


def check_file(path: Path) -> int:
    """Return the size of a readable, regular, non-empty file, in bytes.

    Raises:
        InputError: it is something else; opening a FIFO would hang.
        TransientError: the machine has trouble, not the file.
    """
    name = name_of(path)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{name} is a folder.", hint="Give a recording inside it.")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{name} is not a regular file.", hint="Copy the recording to a file.")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno in PASSING:
            raise TransientError(
                f"{name} cannot be read now: {why}.",
                hint="The machine, its disk or its network has trouble; run again.",
            ) from error
        hint = "Check its permissions." if isinstance(error, PermissionError) else "Check the path."
        raise InputError(f"{name} cannot be read: {why}.", hint=hint) from error
    if found.st_size == 0:
        raise InputError(
            f"{name} is empty.", hint="The copy or download was broken off: repeat it."
        )
    return found.st_size


def raise_if_killed(path: Path, ended: process.Ended) -> None:
    """Raise TransientError if somebody ended ffmpeg, so that what came is not all there is."""
    # 255 is ffmpeg's own exit after SIGTERM, with what it has so far: it must not pass for the end.
    if ended.returncode < 0 or ended.returncode == 255:
        how = f"by signal {-ended.returncode}" if ended.returncode < 0 else "from outside"
        raise TransientError(
            f"ffmpeg was ended {how} while it read {name_of(path)}.",
            hint="The machine may be short of memory or shutting down.",
        )
