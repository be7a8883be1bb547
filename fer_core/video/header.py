"""What a recording says about itself, read without ffprobe and proven by decoding one picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

from fer_core import process
from fer_core.errors import InputError, TransientError
from fer_core.records import Chapter, VideoInfo
from fer_core.settings import Video
from fer_core.video import program
from fer_core.video.program import GRACE_S, SHOWINFO, SHOWN, TIME_BASE, Ffmpeg

_OUTPUT_BYTES: Final = 1 << 20
_LINES: Final = 2000
_TEXT_CHARS: Final = 200
_CHAPTERS: Final = 200
_MOST_ASPECT: Final = 10

_DURATION = re.compile(r"^\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d+), start: (-?[\d.]+)")
_CONTAINER = re.compile(r"^\[info\] Input #0, (.+?), from ")
_STREAM = re.compile(
    r"^\[info\]   Stream #0:(?P<index>\d+)\S*: (?P<kind>Video|Audio): (?P<codec>\w+)(?P<rest>.*)"
)
_SIZE = re.compile(r", (\d+)x(\d+)[ ,]")
_BT709 = re.compile(r" color_space:bt709\b")
_RATE = re.compile(r", ([\d.]+) fps")
_NO_YEAR: Final = 3000
_NOT_PICTURES = ("(attached pic)", "(timed thumbnails)", "(still image)")


def probe(path: Path, ffmpeg: Ffmpeg, limits: Video) -> VideoInfo:
    """Read what the container says, and prove that its first picture can be decoded.

    Args:
        path: the recording.
        ffmpeg: from ``find_ffmpeg``.
        limits: the decoder's limits.

    Raises:
        InputError: this is no recording that can be used; the message says why.
        TransientError: ffmpeg was killed or did not answer; the machine has trouble.
        EnvironmentProblem: ffmpeg cannot be started.
    """
    path = path.absolute()
    size_bytes = program.check_file(path)
    if size_bytes > 1_000_000 * limits.max_file_mb:
        raise InputError(
            f"{program.name_of(path)} is larger than {limits.max_file_mb:,} MB.",
            hint="Raise the setting video.max_file_mb, or export it smaller.",
        )
    source = program.open_input(path, limits)
    tags = program.output([source], format="ffmetadata", map_metadata="0")
    header = _ask(path, program.command(ffmpeg, limits, tags), _HEADER, limits)
    try:
        video = _choose_stream(path, header)
    except InputError as error:
        error.detail = header.tail
        raise
    if (size := _SIZE.search(video["rest"])) and int(size[1]) * int(size[2]) > limits.max_pixels:
        raise _too_large(path, limits)

    picture = source[video["index"]].filter("showinfo", checksum=0)
    nothing = program.output([picture], format="null", **{"frames:v": 1})
    decoded = _ask(path, program.command(ffmpeg, limits, nothing), SHOWINFO, limits)
    shown = decoded.first(SHOWN)
    if not shown and "pixel count" in decoded.reason:
        raise _too_large(path, limits)
    if not shown:
        name = program.name_of(path)
        raise InputError(
            f"{name} has a video stream, but no picture of it can be decoded{decoded.reason}.",
            hint="Play it in a media player; if that fails too, export it again.",
        )
    width, height = _as_shown(shown)
    if width * height > limits.max_pixels:
        raise _too_large(path, limits)
    texts, chapters = _parse_ffmetadata(header.output)
    container = (header.first(_CONTAINER) or ["", ""])[1]
    return VideoInfo(
        path=path,
        size_bytes=size_bytes,
        container=container,
        codec=video["codec"],
        width=width,
        height=height,
        duration_s_from_header=_as_seconds(header.first(_DURATION), container),
        frame_rate_from_header=_as_rate(_RATE.search(video["rest"]), decoded.first(TIME_BASE)),
        stream_index=int(video["index"]),
        matrix="bt709" if decoded.first(_BT709) else "bt601",
        created=_as_utc(texts.get("creation_time", "")),
        title=_clean(texts.get("title", "")) or None,
        chapters=chapters,
    )


_HEADER = re.compile(
    "|".join(p.pattern for p in (_DURATION, _CONTAINER)) + r"|^\[info\]   Stream #0:"
)
_ERROR = re.compile(r"^(?:\[.*?\] )?\[(?:error|fatal|panic)\] (.*)")


@dataclass(frozen=True, slots=True)
class _Answer:
    output: str
    lines: list[str]
    reason: str
    tail: str

    def all(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        return [match for line in self.lines if (match := pattern.search(line))]

    def first(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return next(iter(self.all(pattern)), None)


def _ask(path: Path, command: process.Program, wanted: re.Pattern[str], limits: Video) -> _Answer:
    lines: list[str] = []

    def claim(line: str) -> bool:
        relevant = wanted.match(line) is not None
        if relevant and len(lines) < _LINES:
            lines.append(line)
        return relevant or line.startswith("[info]")

    try:
        output, ended = process.run(
            command,
            limit_s=GRACE_S,
            max_output_bytes=_OUTPUT_BYTES,
            max_memory_mb=limits.max_process_mb,
            claim=claim,
        )
    except TimeoutError:
        # A good file on a busy disk, more often than a bad one: it must not be given up for ever.
        raise TransientError(
            f"{program.name_of(path)} could not be read within {GRACE_S:.0f} seconds.",
            hint="Its disk may be slow or gone; otherwise the file is damaged.",
        ) from None
    program.raise_if_killed(path, ended)
    reason = next(
        (f": {_clean(text[1])}" for line in ended.tail if (text := _ERROR.match(line))), ""
    )
    return _Answer(output.decode("utf-8", "replace"), lines, reason, "\n".join(ended.tail))


def _choose_stream(path: Path, header: _Answer) -> re.Match[str]:
    name = program.name_of(path)
    streams = header.all(_STREAM)
    pictures = [
        stream
        for stream in streams
        if stream["kind"] == "Video" and not any(mark in stream["rest"] for mark in _NOT_PICTURES)
    ]
    if pictures:
        return max(pictures, key=_preference)
    if any(stream["kind"] == "Audio" for stream in streams):
        raise InputError(
            f"{name} has sound but no video.", hint="Give the recording with the picture."
        )
    if streams or header.first(_CONTAINER):
        raise InputError(f"{name} has no video stream.", hint="Give a video recording.")
    # ffmpeg also says this of anything whose name ends in .mp4.
    if "moov" in header.reason and _is_isobmff(path):
        raise InputError(
            f"{name} has no index (moov atom): it was cut off or its recording never finished.",
            hint="Copy or export it again; without the index nothing of it can be read.",
        )
    foreign = "moov" in header.reason or "whitelist" in header.reason or "m3u8" in header.reason
    raise InputError(
        f"{name} is not a video that can be read{'' if foreign else header.reason}.",
        hint="Supported: MP4, MOV, MKV, WebM, AVI, GIF, MPEG, TS, FLV, WMV and 3GP recordings.",
    )


def _is_isobmff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"free", b"wide", b"skip")


def _preference(stream: re.Match[str]) -> tuple[bool, int]:
    size = _SIZE.search(stream["rest"])
    return "(default)" in stream["rest"], int(size[1]) * int(size[2]) if size else 0


def _too_large(path: Path, limits: Video) -> InputError:
    return InputError(
        f"{program.name_of(path)} has pictures of more than {limits.max_pixels:,} pixels.",
        hint="Raise the setting video.max_pixels, or export it smaller.",
    )


def _as_shown(shown: re.Match[str]) -> tuple[int, int]:
    width, height = int(shown["width"]), int(shown["height"])
    aspect = (int(shown["sar_num"]) or 1) / (int(shown["sar_den"]) or 1)
    # A damaged aspect of 1:32767 must not make a picture of a billion pixels.
    if max(aspect, 1 / aspect) > _MOST_ASPECT:
        aspect = 1.0
    # The longer side grows: no detail of a face is thrown away.
    if aspect >= 1:
        return max(1, round(width * aspect)), height
    return width, max(1, round(height / aspect))


def _as_seconds(match: re.Match[str] | None, container: str) -> float | None:
    if match is None:
        return None
    duration_s = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    # Matroska declares the time of its end; everybody else the length.
    if container.startswith("matroska"):
        duration_s -= max(0.0, float(match[4]))
    return duration_s if duration_s > 0 else None


def _as_rate(average: re.Match[str] | None, config: re.Match[str] | None) -> Fraction | None:
    if average is None or not float(average[1]):
        return None
    shown = Fraction(average[1])
    # The dump rounds to two digits; 29.97 is 30000/1001.
    exact = [Fraction(int(config[3]), int(config[4]))] if config and int(config[4]) else []
    ntsc = Fraction(round(shown) * 1000, 1001)
    return next((rate for rate in (*exact, ntsc) if abs(rate - shown) <= Fraction(1, 200)), shown)


def _as_utc(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Zero in MP4 is 1904, in most others 1970: nobody set it. Nor did anybody the end of all dates,
    # where another time zone is out of the calendar.
    if not 1970 < moment.year < _NO_YEAR:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _clean(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_TEXT_CHARS].rstrip()


def _parse_ffmetadata(text: str) -> tuple[dict[str, str], tuple[Chapter, ...]]:
    unfolded = re.sub(r"\\(.|\n)", lambda found: f"\x00{ord(found[1]):x};", text)
    sections: list[tuple[str, dict[str, str]]] = [("", {})]
    for line in unfolded.split("\n"):
        if line.startswith("["):
            sections.append((line, {}))
        elif "=" in line:
            key, value = (
                re.sub(r"\x00([0-9a-f]+);", lambda found: chr(int(found[1], 16)), part)
                for part in line.split("=", 1)
            )
            sections[-1][1].setdefault(key.lower(), value)
    chapters = (_as_chapter(values) for name, values in sections if name == "[CHAPTER]")
    return sections[0][1], tuple(c for c in chapters if c is not None)[:_CHAPTERS]


def _as_chapter(values: dict[str, str]) -> Chapter | None:
    try:
        unit = Fraction(values["timebase"])
        start_s, end_s = (float(int(values[key]) * unit) for key in ("start", "end"))
    except (KeyError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return Chapter(start_s, end_s, _clean(values.get("title", "")))
