"""What strangers send, looked at before it is opened: kind by content, bytes and pixels by limits.

Nothing here trusts a name or a header. Videos go on to ``video``'s decode guard, in a child.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

import numpy as np
from flask import request
from numpy.typing import NDArray
from PIL import Image, ImageOps
from werkzeug.datastructures import FileStorage

from fer_core.web.problems import Problem

# We look at the size ourselves, before a pixel is decoded; Pillow would only warn.
Image.MAX_IMAGE_PIXELS = None

_HEAD_BYTES: Final = 512
_FORM_BYTES: Final = 100_000
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# A scan of a few bytes has a decoder go over every pixel again; programs write ten or so.
_SCAN: Final = b"\xff\xda"
_MOST_SCANS: Final = 50
_PNG_END: Final = b"IEND\xaeB`\x82"
_PICTURE_TYPES: Final = frozenset({"image/jpeg", "image/png", "application/octet-stream"})

_VIDEO_HEADS: Final = (
    re.compile(rb".{4}(?:ftyp|moov|mdat|free|wide|skip)", re.DOTALL),  # MP4, MOV, 3GP
    re.compile(rb"\x1aE\xdf\xa3"),  # Matroska, WebM
    re.compile(rb"RIFF.{4}AVI ", re.DOTALL),
    re.compile(rb"GIF8[79]a"),
    re.compile(rb"\x00\x00\x01[\xba\xb3]"),  # MPEG
    re.compile(rb"G.{187}G", re.DOTALL),  # MPEG transport stream
    re.compile(rb"FLV\x01"),
    re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # WMV
)


def sent_picture(max_mb: int) -> bytes:
    """Return the picture in a request: its whole body, or the file ``image`` of a form.

    Raises:
        Problem: there is none, or it is too large, or declared as something else.
    """
    _need_bytes(max_mb)
    if request.mimetype == "multipart/form-data":
        file = request.files.get("image")
        data = file.stream.read() if file else b""
    elif request.mimetype in _PICTURE_TYPES:
        data = request.get_data(cache=False)
    else:
        raise Problem(
            "wrong-kind",
            "A picture is sent as image/jpeg or image/png, or in a form.",
            hint="Set Content-Type.",
        )
    if not data:
        raise Problem("empty", "No picture was sent.", hint="Choose a JPEG or PNG file.")
    return data


def _need_bytes(max_mb: int) -> None:
    most = 1_000_000 * max_mb + _FORM_BYTES
    request.max_content_length = most
    if (request.content_length or 0) > most:
        raise Problem("too-large", f"More than {max_mb} MB were sent.", hint="Send it smaller.")


def open_picture(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a picture as it is meant to be seen.

    Args:
        data: the file.
        max_pixels: with more it is refused, before anything is decoded.

    Returns:
        ``(height, width, 3)`` blue-green-red.

    Raises:
        Problem: it is no JPEG or PNG, too large, drawn in too many passes, damaged, or has
            something behind its end.
    """
    kind = "JPEG" if data.startswith(_JPEG) else "PNG" if data.startswith(_PNG) else ""
    if not kind:
        raise Problem(
            "wrong-kind", "This is no JPEG or PNG picture.", hint="Save it as one of these."
        )
    _need_nothing_behind(data, kind)
    # In what is coded a 255 never stands before another byte than 0: these are true scans, or such
    # of a thumbnail.
    if kind == "JPEG" and data.count(_SCAN) > _MOST_SCANS:
        raise Problem(
            "too-large",
            f"The picture is drawn in more than {_MOST_SCANS} passes.",
            hint="Save it again, as a plain JPEG.",
        )
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as picture:
            _need_size(picture.size, max_pixels)
            turned = _as_shown(ImageOps.exif_transpose(picture))
            return np.ascontiguousarray(np.asarray(turned, np.uint8)[:, :, ::-1])
    except Problem:
        raise
    except Exception as error:
        raise Problem(
            "unreadable", "The picture is damaged: it cannot be decoded.", hint="Save it again."
        ) from error


def _as_shown(picture: Image.Image) -> Image.Image:
    """Return a picture in colours of 8 bits, on white where it lets something through."""
    if picture.mode.startswith("I"):  # grey of 16 bits, most of which Pillow would turn white
        grey = np.asarray(picture).astype(np.int32) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    # What was erased keeps its colours below: nobody who sees the picture sees them.
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _need_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise Problem(
            "too-large",
            f"The picture has {width} × {height} pixels; {max_pixels:,} are taken.",
            hint="Send it smaller.",
        )


def _need_nothing_behind(data: bytes, kind: str) -> None:
    """Refuse a file that is something else as well, such as an archive behind a picture."""
    end = b"\xff\xd9" if kind == "JPEG" else _PNG_END
    at = data.rfind(end)
    if at < 0:
        raise Problem("unreadable", "The end of the picture is missing.", hint="Copy it again.")
    if data[at + len(end) :].strip(b"\x00"):
        raise Problem(
            "wrong-kind",
            "There is something else behind the picture in that file.",
            hint="Save the picture again, as JPEG or PNG.",
        )


def sent_video(max_mb: int) -> FileStorage:
    """Return the file ``video`` of a form, the first bytes of which are those of a video.

    Raises:
        Problem: there is none, or it is too large or something else.
    """
    _need_bytes(max_mb)
    if request.mimetype != "multipart/form-data":
        raise Problem(
            "wrong-kind", "A video is sent in a form, as 'video'.", hint="multipart/form-data"
        )
    file = request.files.get("video")
    head = file.stream.read(_HEAD_BYTES) if file else b""
    if not file or not head:
        raise Problem("empty", "No video was sent.", hint="Choose a video file.")
    file.stream.seek(0)
    if not any(pattern.match(head) for pattern in _VIDEO_HEADS):
        raise Problem(
            "wrong-kind",
            "This is no video that can be read.",
            hint="Send MP4, MOV, MKV, WebM, AVI, GIF, MPEG, TS, FLV, WMV or 3GP.",
        )
    return file


def file_name_of(file: FileStorage, extensions: tuple[str, ...]) -> str:
    """Return what an upload is called on disk here: its own last part, and nothing that is odd.

    Args:
        file: the upload.
        extensions: the endings that recordings have; any other becomes ``mp4``.
    """
    name = Path((file.filename or "").replace("\\", "/")).name
    stem, _, ending = name.rpartition(".")
    stem = re.sub(r"[^\w .()+-]", "_", stem or ending).strip(" .")[:80] or "video"
    # A kept video is served under its ending: what says "script" or "page" is never written.
    known = {extension.lower().lstrip(".") for extension in extensions}
    return f"{stem}.{ending.lower() if ending.lower() in known else 'mp4'}"
