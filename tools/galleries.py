"""Makes recordings to measure with: galleries of the bundled class's nine people, of any size."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fer_core.video import find_ffmpeg

ROOT: Final = Path(__file__).resolve().parent.parent
EXAMPLE_S: Final = 150
_SIDE: Final = 3
_PEOPLE: Final = _SIDE * _SIDE


@dataclass(frozen=True, slots=True)
class Gallery:
    """A recording of a call: so many tiles a side, so high, with a key picture so often.

    Attributes:
        side: tiles in a row and in a column.
        height: of the picture, pixels; it is 16 to 9.
        key_s: seconds between key pictures.
        minutes: length.
    """

    side: int
    height: int
    key_s: int = 2
    minutes: float = 10

    @property
    def name(self) -> str:
        """Name of its file, without suffix."""
        return f"{self.side}x{self.side}-{self.height}p-key{self.key_s}s-{self.minutes:g}min"


def make(gallery: Gallery, folder: Path) -> Path:
    """Write a gallery as H.264 at 25 pictures a second, unless it is there; return its path.

    Each further nine tiles show the same nine people later, so that no two tiles are alike at the
    same time. What is longer than the bundled class repeats it, without encoding it again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{gallery.name}.mp4"
    once = folder / f"{gallery.name.rpartition('-')[0]}.mp4"
    if not once.exists():
        part = once.with_suffix(".part.mp4")
        _ffmpeg(*_inputs(gallery), *_mosaic(gallery), "-t", str(EXAMPLE_S), f"file:{part}")
        part.replace(once)
    if not path.exists():
        part = path.with_suffix(".part.mp4")
        until = ["-t", str(60 * gallery.minutes), "-c", "copy"]
        _ffmpeg("-stream_loop", "-1", "-i", f"file:{once}", *until, f"file:{part}")
        part.replace(path)
    return path


def _inputs(gallery: Gallery) -> list[str]:
    example = next((ROOT / "examples").rglob("*.mp4"))
    copies = -(-(gallery.side**2) // _PEOPLE)
    words: list[str] = []
    for k in range(copies):
        words += ["-stream_loop", "1", "-ss", str(EXAMPLE_S * k // copies), "-i", f"file:{example}"]
    return words


def _mosaic(gallery: Gallery) -> list[str]:
    """Return the arguments that cut the people out and lay them side by side."""
    side, tiles = gallery.side, gallery.side**2
    high = 2 * (gallery.height // side // 2)
    wide = 2 * (gallery.height * 16 // 9 // side // 2)
    graph: list[str] = []
    for k in range(-(-tiles // _PEOPLE)):
        pads = "".join(f"[c{k}p{p}]" for p in range(_PEOPLE))
        graph.append(f"[{k}:v]fps=25,scale={_SIDE * wide}:{_SIDE * high},split={_PEOPLE}{pads}")
    for tile in range(_PEOPLE * len(graph)):
        k, p = divmod(tile, _PEOPLE)
        crop = f"crop={wide}:{high}:{p % _SIDE * wide}:{p // _SIDE * high}"
        graph.append(f"[c{k}p{p}]{crop}" + (f"[t{tile}]" if tile < tiles else ",nullsink"))
    layout = "|".join(f"{t % side * wide}_{t // side * high}" for t in range(tiles))
    stack = "".join(f"[t{t}]" for t in range(tiles))
    whole = f"{2 * (gallery.height * 16 // 9 // 2)}:{gallery.height}"
    graph.append(f"{stack}xstack=inputs={tiles}:layout={layout},pad={whole}[v]")
    key = str(25 * gallery.key_s)
    return [
        *("-filter_complex", ";".join(graph), "-map", "[v]", "-an"),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p"),
        *("-g", key, "-keyint_min", key, "-sc_threshold", "0"),
    ]


def _ffmpeg(*words: str) -> None:
    program = str(find_ffmpeg(None).path)
    subprocess.run([program, "-y", "-v", "error", *words], check=True)
