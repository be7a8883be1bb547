"""The main job on the bundled class, as a person runs it: command line, Prefect, tables, page."""

import csv
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fer_core.schema import TABLES
from fer_core.store import Store
from tests import clips, pages

REPO = Path(__file__).parent.parent
EXAMPLE = REPO / "examples" / "biology-101"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def lecturepulse(*arguments, home, cwd=REPO):
    environment = os.environ | {
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PYTHONPATH": str(REPO),
        "COLUMNS": "200",
    }
    environment.pop("PREFECT_API_URL", None)
    return subprocess.run(
        [sys.executable, "-m", "fer_core", *map(str, arguments)],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def core(home, tmp_path_factory):
    out = tmp_path_factory.mktemp("core")
    done = lecturepulse("run", "examples", "--no-prefect", "--out", out, home=home)
    return done, out


@pytest.fixture(scope="module")
def conducted(home, tmp_path_factory):
    out = tmp_path_factory.mktemp("conducted")
    done = lecturepulse("run", "examples", "--out", out, home=home)
    return done, out


@pytest.fixture(scope="module")
def seconds(core):
    store = Store(core[1])
    (recording_id,) = store.all("recordings")["recording_id"]
    return store.read("seconds", recording_id)


@pytest.fixture(scope="module")
def truth():
    """People present, and who shows what, by second."""
    by_second = defaultdict(list)
    (path,) = EXAMPLE.glob("*.truth.csv")
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            by_second[int(row["second"])].append(row)
    return by_second


def test_the_last_lines_name_report_and_tables(core):
    done, out = core
    assert done.returncode == 0, done.stderr
    *_, report, tables = done.stdout.strip().splitlines()
    page = Path(report.removeprefix("Report: "))
    assert page.is_absolute()
    assert page.is_file()
    assert Path(tables.removeprefix("Tables: ")) == out / "tables"


def test_prefect_and_core_give_the_same_tables_byte_for_byte(core, conducted):
    assert conducted[0].returncode == 0, conducted[0].stderr
    assert "not available" not in conducted[0].stderr

    def files(out):
        return {
            path.relative_to(out): path.read_bytes()
            for path in (out / "tables").rglob("*.parquet")
            if "runs" not in path.parts
        }

    assert files(core[1]) == files(conducted[1])
    assert {path.parts[1] for path in files(core[1])} == {
        "seconds",
        "moments",
        "marks",
        "recordings",
    }


def test_prefect_and_core_draw_the_same_page(core, conducted):
    def drawn(out):
        found = (out / "reports").rglob("*.html")
        texts = {path.relative_to(out): path.read_text("utf-8") for path in found}
        # The index says when the last run ended.
        return {path: re.sub(r"ended [^.]*\.", "ended.", text) for path, text in texts.items()}

    assert drawn(core[1]) == drawn(conducted[1])


def test_every_table_has_its_schema(core):
    for path in (core[1] / "tables").rglob("*.parquet"):
        schema = pq.read_schema(path)
        expected = TABLES[path.relative_to(core[1] / "tables").parts[0]]
        assert schema.remove_metadata() == expected.remove_metadata()


def test_one_row_for_each_of_the_150_seconds(seconds):
    assert list(seconds["second"]) == list(range(150))
    assert (seconds["frames"] == 1).all()


def test_the_people_present_are_found_in_every_second(seconds, truth):
    present = [sum(int(row["present"]) for row in truth[s]) for s in range(150)]
    assert set(present) == {8, 9}
    # A tile fades in and out around the second at which the camera is switched.
    wrong = [s for s in range(150) if seconds["faces"][s] != present[s]]
    assert len(wrong) <= 3, wrong


def test_the_camera_switched_off_is_seen(seconds):
    assert (seconds["faces"][62:89] == 8).all()
    assert (seconds["faces"][10:50] == 9).all()


def test_the_laugh_and_the_surprise_are_seen(seconds):
    rest = seconds[5:28]
    laugh = seconds["p_happy"][32:44].mean()
    assert laugh > rest["p_happy"].mean() + 0.3
    surprise = seconds["p_surprise"][98:104].mean()
    assert surprise > rest["p_surprise"].mean() + 0.15
    # The laugh is scripted from 30 to 45: the smiling stretch of 12 s before the minute ends there.
    stretch = seconds["p_happy"][:60].rolling(12).mean()
    assert abs(int(np.argmax(stretch.fillna(0))) - 43) <= 4


def test_the_page_shows_the_laugh_and_the_absence_when_they_were(core, truth):
    (page,) = (core[1] / "reports" / "biology-101").glob("*.html")
    root = pages.check(page.read_text("utf-8"))
    laughing = [s for s in range(60) if any(r["expression"] == "happy" for r in truth[s])]
    absent = [s for s in range(150) if not all(int(r["present"]) for r in truth[s])]
    assert (laughing[0], laughing[-1]) == (30, 44)
    assert (absent[0], absent[-1]) == (60, 89)

    names, *rows = pages.csv_of(root, "groups")
    smiling = {int(row[0]): float(row[names.index("happy")]) for row in rows}
    most = max(range(60), key=lambda second: smiling[second])
    assert 32 <= most <= 43
    assert smiling[most] > 0.3 + smiling[15]

    names, *rows = pages.csv_of(root, "people")
    fewer = [int(row[0]) for row in rows if float(row[names.index("people_mean")]) < 9]
    assert abs(fewer[0] - 60) <= 1
    assert abs(fewer[-1] - 89) <= 1
    assert len(fewer) >= 28
    finding = pages.text_of(pages.by_id(root, "people-finding"))
    assert "8 to 9" in finding


def test_the_row_counts_the_moments_that_were_found(core):
    (count,) = pd.read_parquet(core[1] / "tables" / "recordings")["moments"]
    assert count == len(pd.read_parquet(core[1] / "tables" / "moments"))


def test_the_example_has_no_slide_and_no_new_layout(core):
    marks = pd.read_parquet(core[1] / "tables" / "marks")
    assert marks.empty


def test_probabilities_sum_to_one(seconds):
    probabilities = seconds[[name for name in seconds if name.startswith("p_")]].dropna()
    assert len(probabilities) > 100
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_times_are_those_of_the_clock(seconds):
    started = pd.Timestamp("2026-11-03T09:30:00Z")
    assert list(seconds["clock"]) == [started + pd.Timedelta(seconds=s) for s in range(150)]


def test_the_pages_are_sound(core):
    drawn = list((core[1] / "reports").rglob("*.html"))
    assert len(drawn) == 2
    for page in drawn:
        pages.check(page.read_text(encoding="utf-8"))


def test_no_name_of_a_person_reaches_the_output(core):
    names = (b"Asha", b"Chidi", b"Farid", b"Hugo", b"Ines")
    for path in core[1].rglob("*"):
        if path.is_file():
            assert not any(name in path.read_bytes() for name in names), path


def test_a_second_run_finds_nothing_to_do(core, home):
    out = core[1]
    before = {p: p.read_bytes() for p in (out / "tables").rglob("*.parquet")}
    again = lecturepulse("run", "examples", "--no-prefect", "--out", out, home=home)
    assert again.returncode == 0
    assert "skipped" in again.stdout
    assert {p: p.read_bytes() for p in (out / "tables").rglob("*.parquet")} == before


def test_report_draws_the_same_page_from_the_tables_alone(core, home):
    out = core[1]
    (page,) = (out / "reports" / "biology-101").glob("*.html")
    drawn = page.read_bytes()
    page.unlink()
    done = lecturepulse("report", "--all", "--out", out, home=home)
    assert done.returncode == 0, done.stderr
    assert page.read_bytes() == drawn


def test_work_files_are_gone(core):
    assert not list((core[1] / "work").rglob("*.npz"))


def test_the_readme_queries_answer(core, home):
    out = core[1]
    text = (REPO / "README.md").read_text(encoding="utf-8")
    queries = re.findall(r'^lecturepulse query "(.+)"( --csv)?$', text, re.MULTILINE)
    assert len(queries) == 3
    for sql, flag in queries:
        done = lecturepulse("query", sql, "--out", out, *flag.split(), home=home)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.strip().splitlines()) >= 2


def test_query_answers_as_json(core, home):
    sql = "select second, p_happy from seconds order by second limit 5"
    done = lecturepulse("query", sql, "--json", "--out", core[1], home=home)
    rows = json.loads(done.stdout)
    assert [row["second"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(0 <= row["p_happy"] <= 1 for row in rows)


def test_the_readme_snippets_run(core, tmp_path):
    (tmp_path / "lecturepulse-out").symlink_to(core[1])
    text = (REPO / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        done = subprocess.run(
            [sys.executable, "-c", snippet],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) >= 3


def test_bench_prints_every_stage(home):
    (example,) = EXAMPLE.glob("*.mp4")
    recording = home / "class.mp4"
    clips.ffmpeg("-i", example, "-t", "30", "-r", "5", "-an", *clips.H264, recording)
    done = lecturepulse("bench", recording, "--json", "--jurisdiction", "IN", home=home)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["video_s"] == pytest.approx(30, abs=0.05)
    for name in (
        "decode_only_s",
        "decode_cpu_s",
        "detect_cpu_s",
        "classify_cpu_s",
        "other_cpu_s",
        "peak_memory_mb",
    ):
        assert figures[name] > 0
    assert 0 < figures["first_s"] < figures["wall_s"]
    assert figures["times_real_time"] == pytest.approx(figures["video_s"] / figures["wall_s"])
