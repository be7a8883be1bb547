"""The later sections of a lecture's page: moments in detail, course, tracks, lanes, downloads."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd
import pytest

from fer_core import assets, report, wording
from fer_core.errors import ConfigError
from fer_core.report import Material
from fer_core.transcript import Cue, Transcript
from tests import pages, tables
from tests.pages import NASTY

N = 600


def read(material: Material, **options: Any) -> Element:
    """Render a page, check it and return its tree."""
    return pages.check(report.lecture_page(material, **{"course_name": "biology-101"} | options))


def section(root: Element, name: str) -> str:
    """Return the text of a section."""
    return pages.text_of(pages.by_id(root, name))


def calm(**changes: Any) -> Material:
    """Make a lecture in which nothing happens, with one moment from 300 to 360."""
    rows = tables.seconds(3, N, gaps=False)
    probs = [name for name in rows.columns if name.startswith("p_")]
    rows[probs] = np.array([0.0, 0, 0, 0.1, 0.9, 0, 0], np.float32)
    rows["faces"], rows["faces_scored"], rows["uncertain"] = 12, 12, np.float32(0)
    moments = tables.moments(3, N, 1)
    moments["start_second"], moments["end_second"] = 300, 360
    marks = tables.marks(3, N)
    return replace(
        Material(tables.recording(rows, 3), rows, moments), **{"marks": marks[:0]} | changes
    )


def test_every_optional_part_at_once_makes_a_page_of_the_house() -> None:
    material = tables.material(5, 5400, people=25)

    root = read(material, video_href="lecture.mp4")

    ids = {element.get("id") for element in root.iter()}
    assert {"pace", "closeups", "course", "next", "visits"} <= ids
    order = [a.get("href") for a in pages.of_class(root, "contents")[0].iter("a")]
    sections = "notice minute trust timeline pace expressions closeups course next visits method"
    assert order == [f"#{name}" for name in sections.split()]


def test_what_there_is_no_data_for_has_no_section() -> None:
    rows = tables.seconds(3, N)
    root = read(Material(tables.recording(rows, 3), rows, tables.moments(count=0)))

    ids = {element.get("id") for element in root.iter()}
    assert not {"pace", "closeups", "visits"} & ids
    assert "comparison needs 3" in section(root, "course")
    assert "Nothing stood out" in section(root, "next")


@pytest.mark.parametrize("figure", ["curve", "people", "groups", "pace-chart", "course-chart"])
def test_a_download_holds_what_its_table_shows(figure: str) -> None:
    root = read(tables.material(7, N))
    _, *shown = pages.table_after(root, figure)
    names, *rows = pages.csv_of(root, figure)

    assert len(rows) == len(shown)
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    for cells, values in zip(shown, rows, strict=True):
        assert [cell == "–" or not cell for cell in cells] == [value == "" for value in values]
    if figure == "curve":
        assert names[:4] == ["second", "engagement", "engagement_low", "engagement_high"]
        assert [int(row[0]) for row in rows] == list(range(0, N, 10))
        known = [(float(v[1]), float(c[1])) for v, c in zip(rows, shown, strict=True) if v[1]]
        assert len(known) > 30
        assert all(abs(value - text) <= 0.00501 for value, text in known)


def test_a_title_cannot_become_a_formula_in_a_spreadsheet() -> None:
    marks = tables.marks(7, N)
    marks.loc[marks["kind"] == "chapter", "title"] = '=HYPERLINK("http://x.example")'
    material = tables.material(7, N)
    earlier = [row | {"title": "+1-2"} for row in material.earlier]

    root = read(replace(material, marks=marks, earlier=earlier))

    assert "'+1-2" in {row[1] for row in pages.csv_of(root, "course-chart")}


def test_a_closer_look_names_what_else_changed() -> None:
    marks = tables.marks(3, N)[:3].assign(
        second=[302, 10, 480], kind=["slide", "slide", "chapter"], title=[None, None, "Later"]
    )
    rows = calm().seconds
    inside = rows["second"].between(300, 359)
    rows.loc[inside, "faces"] = 7
    spoken = Transcript((Cue(180, 299, "quiet words", turn=False),))

    text = section(read(calm(seconds=rows, marks=marks, transcript=spoken)), "closeups")

    assert "the slide changed at 05:02" in text
    assert "00:10" not in text
    assert "people visible: 7 in it, 12 around it" in text
    assert "speech: 0\u00a0% of the time in it, 50\u00a0% around it" in text
    assert "could not be read" not in text


def test_a_closer_look_says_so_where_nothing_else_changed() -> None:
    text = section(read(calm()), "closeups")

    assert "Nothing else that is checked" in text
    assert "people visible:" not in text


def test_what_was_left_out_beside_a_moment_explains_nothing() -> None:
    rows = calm().seconds
    rows.loc[rows["second"].between(360, 479), ["faces", "left_out"]] = [0, True]

    assert "people visible:" not in section(read(calm(seconds=rows)), "closeups")


def test_a_closer_look_shows_two_minutes_on_either_side() -> None:
    root = read(calm(), video_href="a.mp4")

    _, *rows = pages.csv_of(root, "moment-1")
    seconds = [int(row[0]) for row in rows]
    assert (min(seconds), max(seconds)) == (180, 470)
    links = [a.get("href") for a in pages.by_id(root, "closeups").iter("a")]
    assert "a.mp4#t=300" in links


@pytest.mark.parametrize("start", [0, N - 30, N + 500])
def test_a_moment_at_the_edge_or_outside_is_no_crash(start: int) -> None:
    moments = calm().moments
    moments["start_second"], moments["end_second"] = start, start + 60

    read(calm(moments=moments))


def _lecture(mean: float, half: float = 0.01) -> Material:
    material = tables.material(7, N)
    ends = {"engagement_mean_low": mean - half, "engagement_mean_high": mean + half}
    row = dict(material.recording) | {"engagement_mean": mean} | ends
    return replace(material, recording=row)


@pytest.mark.parametrize(
    ("mean", "half", "sentence"),
    [
        # Means before: 0.58, 0.60, 0.64, 0.66, 0.70 and 0.72; quartiles 0.61 and 0.69.
        (0.65, 0.01, "within the middle half (0.61 to 0.69) of the last 6 comparable lectures"),
        (0.50, 0.01, "below the middle half (0.61 to 0.69) of the last 6 comparable lectures"),
        (0.90, 0.01, "above the middle half (0.61 to 0.69) of the last 6 comparable lectures"),
        (0.90, 0.30, "but its 95 % interval reaches into it"),
    ],
)
def test_a_lecture_is_compared_with_its_own_course(mean: float, half: float, sentence: str) -> None:
    root = read(_lecture(mean, half))

    finding = pages.text_of(pages.by_id(root, "course-chart-finding"))
    assert sentence in finding.replace("\u00a0", " ")
    assert ("reaches into it" in finding) == ("reaches" in sentence)
    assert "1 earlier lecture is left out" in section(root, "course")


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "c" * 64},
        {"layout": "camera"},
        {"engagement_variant": "expression_x_facing"},
        {"engagement_weights": "{}"},
        {"status": "failed"},
        {"engagement_mean": None},
        {"started_at": None},
        {"started_at": tables.START.replace(year=2030)},
    ],
)
def test_what_cannot_be_compared_is_left_out(change: dict[str, Any]) -> None:
    material = _lecture(0.65)
    earlier = [row | change for row in material.earlier]

    assert "No comparable lecture" in section(read(replace(material, earlier=earlier)), "course")


def test_only_the_last_ten_count() -> None:
    material = _lecture(0.65)
    earlier = tables.earlier(dict(material.recording), 14)

    _, *rows = pages.csv_of(read(replace(material, earlier=earlier)), "course-chart")

    assert [row[1] for row in rows[:-1]] == [f"Before {number}" for number in range(4, 14)]


def test_tracks_stand_in_the_order_of_their_first_appearance() -> None:
    material = tables.material(7, N, people=70)
    assert material.faces is not None
    first = material.faces.groupby("track")["second"].min()
    visible = material.faces.groupby("track")["second"].nunique()
    order = first.sort_values(kind="stable").index

    root = read(material)

    _, *rows = pages.csv_of(root, "visits-chart")
    assert [int(row[1]) for row in rows] == [int(first[track]) for track in order]
    assert [int(row[3]) for row in rows] == [int(visible[track]) for track in order]
    assert "10 later tracks are in the table only" in section(root, "visits")
    lanes = [e for e in pages.by_id(root, "visits").iter() if e.get("class") == "lane"]
    assert len(lanes) == 60


def test_lanes_show_chapters_changes_and_speech() -> None:
    material = tables.material(7, N)
    assert material.marks is not None
    root = read(material)

    chart = pages.by_id(root, "curve")
    kinds = [str(e.get("class")) for e in chart.iter()]
    wanted = material.marks["kind"].value_counts()
    assert kinds.count("mark slide") == wanted["slide"] == 4
    assert kinds.count("mark layout") == wanted["layout"] == 1
    assert kinds.count("span chapter") == wanted["chapter"] == 2
    assert kinds.count("span speech") > 5
    texts = {e.text: e.get("class") for e in pages.of_class(chart, "inlane")}
    # A phone would cut the longer one.
    assert texts == {
        "Introduction": "inlane",
        "Photosynthesis: the light reactions": "inlane roomy",
    }
    head, *rows = pages.table_after(root, "curve")
    column = head.index("Marks")
    assert rows[0][column].startswith("chapter “Introduction” begins")
    assert "the arrangement of the people changed" in rows[20][column]


def _chapters(seconds: list[int], titles: list[str | None]) -> list[tuple[float, float]]:
    """Return where the lane draws chapters: begin and length, percent."""
    marks = pd.DataFrame({"second": seconds, "kind": "chapter", "title": titles})
    chart = pages.by_id(read(calm(marks=marks)), "curve")
    boxes = [e for e in chart.iter() if len(e) and e[0].get("class") == "span chapter"]
    sides = [(str(e.get("x")), str(e.get("width"))) for e in boxes]
    return [(float(x.rstrip("%")), float(wide.rstrip("%"))) for x, wide in sides]


def test_what_does_not_fit_into_its_chapter_is_listed_below() -> None:
    titles = ["Welcome", "Q&A", "Summary"]
    marks = pd.DataFrame({"second": [0, 300, 306], "kind": "chapter", "title": titles})
    root = read(calm(marks=marks))

    written = [e.text for e in pages.of_class(pages.by_id(root, "curve"), "inlane")]
    assert written == ["Welcome", "Summary"]
    assert "Chapters: 00:00 Welcome, 05:00 Q&A, 05:06 Summary." in section(root, "timeline")


def test_an_untitled_chapter_is_one_of_its_own() -> None:
    assert _chapters([0, 150, 300], ["Intro", None, None]) == [(0, 25), (25, 25), (50, 50)]


def test_of_many_chapters_the_last_that_is_drawn_ends_where_the_next_begins() -> None:
    drawn = _chapters([3 * k for k in range(120)], [f"part {k}" for k in range(120)])
    assert len(drawn) == 100
    assert drawn[-1] == (pytest.approx(49.5), pytest.approx(0.5))


def test_hostile_text_in_every_optional_part() -> None:
    material = tables.material(7, N)
    assert material.marks is not None
    marks = material.marks.assign(title=wording.clean(NASTY))
    said = Transcript((Cue(290, 400, NASTY, turn=False),))
    earlier = [row | {"title": NASTY, "source_name": NASTY} for row in material.earlier]

    root = read(replace(material, marks=marks, transcript=said, earlier=earlier))

    assert len(list(root.iter("script"))) == 2


def test_marks_of_an_unknown_kind_are_left_out() -> None:
    marks = tables.marks(3, N).assign(
        kind=["banana", "", "<b>", "a b", "chapter", "slide", "layout"]
    )

    read(calm(marks=marks))


def test_moments_without_any_second_are_no_crash() -> None:
    read(calm(seconds=calm().seconds.head(0)))


def test_a_page_does_not_grow_with_what_nobody_can_see() -> None:
    n = 3 * 3600
    random = np.random.default_rng(1)
    material = tables.material(7, n, people=25)
    rows = [
        {"track": track, "second": int(second), "sample": int(second)}
        for track in range(60)
        for second in np.flatnonzero(random.random(n) < 0.85)
    ]
    shape = dict.fromkeys(("left", "top", "width", "height", "score"), 1.0)
    faces = pd.DataFrame(rows).assign(recording_id="x", scored=True, **shape)
    kinds = np.where(np.arange(4000) % 4, "slide", "chapter")
    marks = pd.DataFrame({"second": np.arange(4000), "kind": kinds, "title": "x" * 200})
    cues = tuple(Cue(at, at + 2, "word", turn=False) for at in range(0, n, 6))

    read(replace(material, faces=faces, marks=marks, transcript=Transcript(cues)))


def test_the_published_figures_are_those_of_the_very_file() -> None:
    entry = assets.manifest()["models"]["lecturenet"]
    sha256 = entry["files"]["litert"]["sha256"]
    accuracy = entry["metrics"]["litert"]["consensus"]["accuracy_without_duplicates"]
    rows = tables.seconds(3, 60)

    known = read(
        Material(tables.recording(rows, model_sha256=sha256), rows, tables.moments(count=0))
    )
    unknown = read(Material(tables.recording(rows), rows, tables.moments(count=0)))

    assert f"ten raters for {100 * accuracy:.0f}\u00a0%." in section(known, "method")
    assert "No published figures" in section(unknown, "method")


def test_another_language_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = assets.templates()
    (tmp_path / "strings").mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    english = (folder / "strings/en.toml").read_text("utf-8")
    foreign = "".join(_pseudo(line) for line in english.splitlines(keepends=True))
    tomllib.loads(foreign)
    (tmp_path / "strings/xx.toml").write_text(foreign, "utf-8")
    monkeypatch.setattr(assets, "templates", lambda: tmp_path)
    material = tables.material(7, N, synthetic=True, status="partial", error_message="13")

    root = read(material, text=wording.words("xx"))

    assert root.get("lang") == "xx"
    left = [
        text
        for element in root.iter()
        if element.tag not in ("style", "script", "code", "var", "sub", "bdi", "title")
        and "inlane" not in element.get("class", "").split()
        for text in (element.text, element.tail)
        if text and any(c.isascii() and c.islower() for c in text) and "ß" not in text
    ]
    assert {text.strip() for text in left} <= {"p", "max(", "w", "ffmpeg"}


def test_a_language_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'tlh'") as caught:
        wording.words("tlh")
    assert "en" in caught.value.hint
    with pytest.raises(ConfigError):
        wording.words("../../../etc/passwd")


def test_dates_are_written_in_the_zone_that_is_set() -> None:
    text = wording.words("en", "Asia/Kolkata")
    late = tables.START.replace(hour=20, minute=0)

    assert text.date(late) == "2026-11-04, 01:30\u00a0IST"
    assert text.day(late) == "2026-11-04"
    assert wording.words().date(late) == "2026-11-03, 20:00\u00a0UTC"
    root = read(calm(), text=text)
    assert "15:00\u00a0IST" in pages.text_of(pages.of_class(root, "facts")[0])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc", "a\0b"])
def test_a_time_zone_that_is_not_there_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        wording.words("en", zone)


def _pseudo(line: str) -> str:
    """Mark every string of a line of the catalogue; the language itself becomes 'xx'."""
    if line.startswith("language"):
        return 'language = "xx"\n'
    if " = " not in line or line.startswith("#"):
        return line
    key, _, value = line.partition(" = ")
    return (
        f"{key} = " + value.replace('"', '"ß', 1)
        if value.startswith('"')
        else (f"{key} = " + value.replace('= "', '= "ß'))
    )
