"""Measures galleries it makes itself against the floor of decoding alone: `make bench`.

Each line is one recording: medians of the repeats, with the quality guard beside them: how far the
tables are from those of the exact slow path (everything decoded, every frame searched in full, all
faces read twice by the float32 network).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core import bench, config, inbox, pipeline, processor  # noqa: E402
from fer_core.records import EMOTIONS  # noqa: E402
from fer_core.settings import Settings  # noqa: E402
from fer_core.store import Store  # noqa: E402
from fer_core.workers import employed  # noqa: E402
from tools.galleries import Gallery, make  # noqa: E402

CASES = [
    (3, 720, 2),
    (4, 720, 2),
    (5, 720, 2),
    (5, 720, 10),
    (4, 1080, 2),
    (5, 1080, 2),
    (7, 1080, 2),
]
EXACT = {
    "detection.quick_side_px": 0,
    "classification.mirror": True,
    "classification.runtime": "keras",
    "video.skip_unneeded": False,
}
MOST_FACES_OFF = 0.01
MOST_PROBABILITY_OFF = 0.01
GUARDED_MINUTES = 1.0

COLUMNS = {
    "recording": ("", "s"),
    "decode_only_s": ("floor s", ".1f"),
    "wall_s": ("wall s", ".1f"),
    "over_decode": ("/ floor", ".2f"),
    "times_real_time": ("x real", ".1f"),
    "first_s": ("first s", ".1f"),
    "decode_cpu_s": ("decode", ".1f"),
    "detect_cpu_s": ("detect", ".1f"),
    "classify_cpu_s": ("read", ".1f"),
    "other_cpu_s": ("other", ".1f"),
    "faces_per_s": ("faces/s", ".0f"),
    "peak_memory_mb": ("MB", ".0f"),
    "faces_off": ("faces off", ".2%"),
    "probability_off": ("prob. off", ".4f"),
}


def settings_of(**flags: object) -> Settings:
    """Return settings fit for measuring: real people's law, no wait for copies."""
    given: dict[str, Any] = {"deployment.jurisdiction": "IN", "discovery.settle_s": 0} | flags
    return config.load(None, given).settings


def seconds_of(path: Path, **flags: object) -> Any:
    """Return the seconds table of a recording, read in this process's workers."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = settings_of(out=scratch, **flags)
        (source,) = inbox.discover([path], settings.discovery).sources
        with employed(settings.run.workers):
            pipeline.process_recording(source, settings)
        return Store(settings.out).all("seconds")


def guard(gallery: Gallery, folder: Path, **flags: object) -> dict[str, float]:
    """Return how far the tables of a minute are from the exact ones."""
    short = Gallery(gallery.side, gallery.height, gallery.key_s, GUARDED_MINUTES)
    path = make(short, folder)
    quick, exact = seconds_of(path, **flags), seconds_of(path, **EXACT | flags)
    names = [f"p_{name}" for name in EMOTIONS]
    # A second that only one of the two could read is as far off as can be.
    read = quick[names].notna() | exact[names].notna()
    off = (quick[names].fillna(0) - exact[names].fillna(0)).abs().where(read)
    return {
        # Second by second: one too many here must not make up for one too few there.
        "faces_off": float(quick["faces"].sub(exact["faces"]).abs().sum() / exact["faces"].sum()),
        "probability_off": float(off.mean(axis=None)),
    }


def shown(figures: dict[str, Any]) -> str:
    """Return a line of the table."""
    cells = [
        f"{'-' if figures[name] is None else format(figures[name], form):>{max(8, len(head))}}"
        for name, (head, form) in list(COLUMNS.items())[1:]
    ]
    return " ".join([f"{figures['recording']:<24}", *cells])


def main() -> int:
    """Measure, print a table, write JSON; fail if the quality guard does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names that begin so, such as 4x4-720p")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", help="also with so many, for scaling")
    parser.add_argument("--model", default="lecturenet", help="the network that reads the faces")
    given = parser.parse_args()
    folder = ROOT / ".bench"
    galleries = [Gallery(side, height, key, given.minutes) for side, height, key in CASES]
    for begins in given.only:
        if not any(gallery.name.startswith(begins) for gallery in galleries):
            names = ", ".join(gallery.name for gallery in galleries)
            parser.error(f"there is no recording '{begins}'; choose of: {names}")
    chosen = [g for g in galleries if not given.only or g.name.startswith(tuple(given.only))]
    folder.mkdir(exist_ok=True)
    heads = [f"{head:>{max(8, len(head))}}" for head, _ in list(COLUMNS.values())[1:]]
    print(" ".join([f"{'':<24}", *heads]))  # noqa: T201
    results: list[dict[str, Any]] = []
    for gallery in chosen:
        path = make(gallery, folder)
        model = {"classification.model": given.model}
        checked = guard(gallery, folder, **model)
        for workers in given.workers or [settings_of().run.workers]:
            settings = settings_of(**{"run.workers": workers} | model)
            figures = bench.measure_recording(path, settings, repeats=given.repeats).as_dict()
            figures |= checked | {"workers": workers, "model": given.model}
            figures["recording"] = f"{gallery.name} {workers}w"
            results.append(figures)
            print(shown(figures), flush=True)  # noqa: T201
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    about = {
        "at": at,
        "int8_instructions": processor.multiplies_int8(),
        "cores": os.cpu_count(),
        "results": results,
    }
    (folder / f"bench-{at}.json").write_text(json.dumps(about, indent=1))
    bad = [
        each["recording"]
        for each in results
        # Not a number, where one side read nobody, is no success either.
        if not (
            each["faces_off"] <= MOST_FACES_OFF and each["probability_off"] <= MOST_PROBABILITY_OFF
        )
    ]
    if bad:
        print(f"The quality guard failed for: {', '.join(bad)}")  # noqa: T201
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
