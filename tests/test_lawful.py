"""Law and privacy on real video: the gate, what is left out, and what may never reach a disk."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fer_core import audit, segment
from fer_core.records import THUMBNAIL_PX
from fer_core.schema import TABLES
from fer_core.store import Store
from tests import clips, pages
from tests.conftest import Command

REPO = Path(__file__).resolve().parent.parent
EXAMPLE = next((REPO / "examples").rglob("*.mp4"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Nobody's names; they stand in the transcript as the speakers'.
SPEAKERS = ("Zenobia Quartermaine", "Ignatius Featherstonehaugh")
Night = Callable[..., Path]


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of the bundled class that does not say its people are rendered."""
    path = tmp_path_factory.mktemp("lesson") / "lesson.mp4"
    clips.ffmpeg("-i", EXAMPLE, "-r", "2", "-frames:v", "60", "-g", "20", "-an", *clips.H264, path)
    return path


@pytest.fixture
def night(
    tmp_path: Path,
    lesson: Path,
    command: Command,
) -> Night:
    """Read the class under a jurisdiction, with a sidecar; return the folder of the results."""
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    (inbox / "lesson.mp4").write_bytes(lesson.read_bytes())

    def run(*words: str, sidecar: str = "", out: str = "out", code: int = 0) -> Path:
        (inbox / "lesson.toml").write_text(sidecar)
        ended, said = command("run", "inbox", "--no-prefect", *words, out=out)
        assert ended == code, said
        return tmp_path / out

    return run


def row(out: Path) -> pd.Series:
    (found,) = Store(out).all("recordings").to_dict("records")
    return pd.Series(found)


def seconds(out: Path) -> pd.DataFrame:
    return Store(out).read("seconds", row(out)["recording_id"])


def page(out: Path) -> str:
    (found,) = (out / "reports" / "maths").glob("*.html")
    return found.read_text("utf-8")


def test_the_same_recording_under_four_laws(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exempt = (
        '[deployment]\njurisdiction = "DE"\nexemption = "medical"\n'
        'exemption_reason = "Trainee pilots who may faint"\n'
    )

    # Unset: nothing is done, nothing is written, no model is loaded.
    with monkeypatch.context() as without_models:
        without_models.setattr(segment, "YuNet", None)
        without_models.setattr(segment, "classifier", None)
        assert not night(code=2).exists()

    # India: expressions.
    india = night("--jurisdiction", "IN", out="india")
    assert row(india)["mode"] == "emotion"
    assert seconds(india)["p_happy"].notna().sum() >= 25
    assert "Engagement index" in page(india)

    # Germany: the expression model is not even loaded; presence is there, on page and index.
    with monkeypatch.context() as without_model:
        without_model.setattr(segment, "classifier", None)
        germany = night("--jurisdiction", "DE", out="germany")
    facts, values = row(germany), seconds(germany)
    assert (facts["mode"], facts["jurisdiction"]) == ("presence", "DE")
    assert facts[["model", "model_sha256", "exemption", "engagement_mean"]].isna().all()
    expressions = [name for name in values if name.startswith(("p_", "engagement"))]
    assert values[expressions].isna().all(axis=None)
    assert (values["faces_scored"] == 0).all()
    assert (values["faces"] == seconds(india)["faces"]).all()
    assert np.allclose(values["facing"], seconds(india)["facing"])
    root = pages.check(page(germany))
    assert "Article 5(1)(f)" in pages.text_of(pages.by_id(root, "notice"))
    assert not [e for e in root.iter() if e.get("id") in ("expressions", "groups", "seven")]
    assert "Presence mode" in (germany / "reports" / "index.html").read_text("utf-8")

    # Germany, exempt: as in India, and it says why.
    (tmp_path / "lecturepulse.toml").write_text(exempt)
    medical = night(out="medical")
    assert row(medical)["mode"] == "emotion"
    assert row(medical)["exemption"] == "medical: Trainee pilots who may faint"
    assert "Trainee pilots who may faint" in page(medical)
    same = [name for name in seconds(india) if name != "recording_id"]
    assert seconds(medical)[same].equals(seconds(india)[same])

    # The same folder under another law is read again, and nothing of the old one stays.
    again = night("--jurisdiction", "DE", "--config", os.devnull, out="india")
    assert row(again)["mode"] == "presence"
    assert seconds(again)["p_happy"].isna().all()
    grounds = [line["ground"] for line in audit.lines(again) if line["event"] == "processed"]
    assert [text[:14] for text in grounds] == ["Jurisdiction I", "In DE expressi"]


def test_what_is_left_out_is_seen_by_nobody(night: Night) -> None:
    plain = night("--jurisdiction", "IN", out="plain")
    out = night(
        "--jurisdiction",
        "IN",
        sidecar="exclude = [\n"
        '{ what = "lecturer", tile = [1, 1], grid = [3, 3] },\n'
        '{ what = "opt-out", area = [0.66, 0.66, 1.0, 1.0], start = 20 },\n'
        '{ what = "break", start = 10, end = "0:15" },\n]\n',
    )
    assert (seconds(plain)["faces"] == 9).all()
    values = seconds(out)
    expected = [8] * 10 + [0] * 5 + [8] * 5 + [7] * 10
    assert values["faces"].tolist() == expected
    assert values["left_out"].tolist() == [10 <= second < 15 for second in range(30)]
    facts = row(out)
    assert facts["seconds_left_out"] == 5
    assert facts["people_median"] == 8
    assert [part["what"] for part in json.loads(facts["exclusions"])] == [
        "lecturer",
        "opt-out",
        "break",
    ]
    assert Store(out).read("marks", facts["recording_id"]).empty
    said = page(out)
    assert "lecturer (a part of the picture)" in said
    assert "break (the whole picture, 00:10–00:15)" in said
    # The others' values are theirs: with everybody's they cannot be told from the two tables.
    assert not values["p_happy"].equals(seconds(plain)["p_happy"])


def test_a_photograph_is_not_a_person(night: Night, lesson: Path, tmp_path: Path) -> None:
    """The middle tile is a picture of its person: a camera that is off, with a photo."""
    frozen = tmp_path / "inbox" / "maths" / "lesson.mp4"
    tile = "crop=424:238:428:241,trim=start=4:end=4.4,setpts=PTS-STARTPTS,loop=-1:1"
    graph = f"[0:v]split[a][b];[b]{tile}[photo];[a][photo]overlay=428:241:shortest=1[v]"
    cut = ("-filter_complex", graph, "-map", "[v]", "-frames:v", "60", "-r", "2", *clips.H264)
    clips.ffmpeg("-i", lesson, *cut, frozen)
    out = night("--jurisdiction", "IN")
    assert row(out)["tracks_still"] == 1
    assert (seconds(out)["faces"] == 8).all()
    assert "1 face never moved" in page(out)


def started(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "PREFECT_HOME": str(tmp_path / "home" / "prefect"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": str(REPO),
        "LECTUREPULSE_DISCOVERY__SETTLE_S": "0",
        "LECTUREPULSE_RUN__WORKERS": "1",
        "LECTUREPULSE_SAMPLING__SEGMENT_S": "30",
        "LECTUREPULSE_PRIVACY__PER_PERSON": "true",
        "LECTUREPULSE_PRIVACY__PER_PERSON_REASON": "A test of the worst case",
    }
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen(
        [sys.executable, "-m", "fer_core", "run", "inbox", "--out", "out", *words],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


PICTURES = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"GIF8",
    b"WEBP",
    b"II*\0",
    b"MM\0*",
    b"ftyp",
    b"\x1aE\xdf\xa3",
)
ARRAYS = {
    "stale": (),
    "rate_hz": (),
    "samples": (),
    "decode_failures": (),
    "content_end_s": (),
    "thumbnails": THUMBNAIL_PX,
    "effort": (),
    "sample": (),
    "box": (4,),
    "score": (),
    "landmarks": (5, 2),
    "probs": (7,),
    "change": (),
}


def written(tmp_path: Path) -> Iterator[Path]:
    """Yield every file that a run has written: results, work, Prefect's home, temporary files."""
    for folder in ("out", "home", "tmp"):
        yield from (path for path in (tmp_path / folder).rglob("*") if path.is_file())


def assert_nobody_is_in(tmp_path: Path) -> set[str]:
    """Check every byte on the disk; return the kinds of files there were."""
    kinds: set[str] = set()
    for path in written(tmp_path):
        kinds.add(path.suffix)
        content = path.read_bytes()
        if path.suffix in (".begun", ".npz"):
            with np.load(path, allow_pickle=False) as arrays:
                assert {name: arrays[name].shape[1:] for name in arrays} == ARRAYS
                assert_faceless(arrays)
            continue
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
            name = path.relative_to(tmp_path / "out" / "tables").parts[0]
            assert table.schema.names == TABLES[name].names
            content = str(table.to_pylist()).encode()
        if path.suffix == ".db":
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as base:
                content += "\n".join(base.iterdump()).encode()
        for said in SPEAKERS:
            for part in (said, *said.split()):
                assert part.encode() not in content, f"{part} is in {path}"
        if path.suffix not in (".db", ".parquet"):  # those may hold three such bytes by chance
            for magic in PICTURES:
                assert magic not in content, f"{magic!r} is in {path}"
            assert b"data:image" not in content, path
            assert not re.search(rb"[A-Za-z0-9+/]{2000}", content), f"something encoded in {path}"
    return kinds


def assert_faceless(arrays: np.lib.npyio.NpzFile) -> None:
    """Check that thumbnails in a work file are black where the faces were."""
    scale = np.array([THUMBNAIL_PX[1] / 1280, THUMBNAIL_PX[0] / 720])
    assert len(arrays["box"]) > 9
    for sample, box in zip(arrays["sample"], arrays["box"], strict=True):
        (at,) = np.flatnonzero(arrays["samples"] == sample)
        corner, size = box[:2] * scale, box[2:] * scale
        left, top = np.floor(corner).astype(int)
        right, bottom = np.ceil(corner + size).astype(int)
        assert not arrays["thumbnails"][at, max(top, 0) : bottom, max(left, 0) : right].any()


def test_no_picture_and_no_name_reaches_the_disk(tmp_path: Path, prefect_home: Path) -> None:
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    prefect_home.rename(tmp_path / "home" / "prefect")
    (tmp_path / "tmp").mkdir()
    cut = ("-t", "70", "-r", "2", "-g", "20", "-an", *clips.H264)
    clips.ffmpeg("-i", EXAMPLE, *cut, inbox / "lesson.mp4")
    spoken = "".join(
        f"\n00:00:{at:02}.000 --> 00:00:{at + 2:02}.000\n{SPEAKERS[at % 2]}: a leaf is green\n"
        for at in range(0, 50, 3)
    )
    (inbox / "lesson.transcript.vtt").write_text(f"WEBVTT\n{spoken}", encoding="utf-8")
    place = ("--jurisdiction", "IN")

    # In the middle of the work, with what a stopped run leaves behind.
    process = started(tmp_path, *place)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("work/*/*/segment-0-*.npz")):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert ".npz" in assert_nobody_is_in(tmp_path)

    process = started(tmp_path, *place)
    said_later, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said_later
    kinds = assert_nobody_is_in(tmp_path)
    assert {".parquet", ".html", ".db", ".jsonl"} <= kinds
    assert not list((tmp_path / "tmp").rglob("*.*"))
    for name in SPEAKERS:
        assert name.split()[0] not in said + said_later
    assert len(Store(tmp_path / "out").all("faces")) > 500, "the worst case was not tried"


def test_tracks_of_two_recordings_cannot_be_linked(
    night: Night, tmp_path: Path, lesson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same people twice: their tracks say nothing that would match them, but their place."""
    monkeypatch.setenv("LECTUREPULSE_PRIVACY__PER_PERSON", "true")
    monkeypatch.setenv("LECTUREPULSE_PRIVACY__PER_PERSON_REASON", "A study")
    mirrored = tmp_path / "inbox" / "maths" / "mirrored.mp4"
    clips.ffmpeg("-i", lesson, "-vf", "hflip", *clips.H264, mirrored)
    out = night("--jurisdiction", "IN")
    tracks = Store(out).all("tracks")
    numbers = tracks.groupby("recording_id")["track"].apply(sorted)
    assert len(numbers) == 2
    # Numbers in the order of appearance, from 0 in each recording: who has which is where they sat.
    assert numbers.iloc[0] == numbers.iloc[1] == list(range(9))
    assert set(tracks) - {"course", "month"} == set(TABLES["tracks"].names)
    allowed = {"recording_id", "track", "first_second", "last_second", "seconds", "person"}
    assert not set(TABLES["tracks"].names) - allowed - {"seconds_scored", "seconds_visible"}
