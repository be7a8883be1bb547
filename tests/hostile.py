"""Files that nobody should take for a picture or a video."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from functools import cache

from PIL import Image


@cache
def bomb_png(side: int) -> bytes:
    """Return a black PNG that is far larger than its file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packed = zlib.compressobj(1)
    rows = b"".join(packed.compress(b"\0" * (3 * side + 1)) for _ in range(side)) + packed.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bomb_jpeg(scans: int) -> bytes:
    """Return a small progressive JPEG with its last scan repeated: each is work, and few bytes."""
    file = io.BytesIO()
    Image.new("L", (64, 64), 90).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (scans - data.count(b"\xff\xda") + 1) + data[-2:]


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("a.html", "<script>alert(1)</script>")
    return file.getvalue()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damaged(data: bytes) -> bytes:
    """Return a picture whose rows are torn, but not its end."""
    return data[:200] + b"\x00" * (len(data) - 400) + data[-200:]
