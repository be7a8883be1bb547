"""The index page: every lecture, last night and each course, safe and quick."""

from __future__ import annotations

import re
import time

import pytest

from fer_core import overview, report
from fer_core.wording import clean
from tests import pages, tables
from tests.pages import NASTY

MEANS = dict(zip(tables.MEAN, (0.7, 0.6, 0.8), strict=True))


def test_hostile_text_in_the_index_is_shown_and_nothing_else() -> None:
    rows = tables.recordings(3)
    nasty = NASTY.replace("\ud800", "")  # Arrow holds no lone surrogate
    rows.loc[0, ["title", "course", "error_message", "layout"]] = nasty
    rows.loc[1, "page"] = "javascript:alert(1)"
    html = report.index_page(rows, last_night=[*rows["recording_id"], NASTY])

    root = pages.check(html)

    assert len(list(root.iter("script"))) == 1
    assert clean(nasty, 90) in pages.text_of(pages.by_id(root, "all"))
    night = pages.by_id(root, "night")
    assert clean(nasty, 90) in pages.text_of(night)
    assert len([entry for entry in night.iter() if entry.tag == "li"]) == 3


def test_the_index_of_a_thousand_lectures_is_quick_and_small() -> None:
    rows = tables.recordings(1000, courses=30)
    rows["moments"] = 3

    start = time.process_time()
    html = report.index_page(rows, last_night=list(rows["recording_id"][:9]))
    assert time.process_time() - start < 5

    root = pages.check(html)
    bodies = [list(body.iter("tr")) for body in root.iter("tbody")]
    assert (len(bodies), sum(map(len, bodies))) == (30, 1000)
    assert report.index_page(rows.iloc[::-1]).count("<tr>") == 1030


def test_the_index_lists_the_newest_first_and_counts_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overview, "MOST_LECTURES", 10)
    rows = tables.recordings(13)
    root = pages.check(report.index_page(rows))

    first = next(next(root.iter("tbody")).iter("tr"))
    assert "Lecture 12 " in pages.text_of(first)
    assert len(list(next(root.iter("tbody")).iter("tr"))) == 10
    assert "3 older lectures" in pages.text_of(pages.by_id(root, "all"))


def test_a_failure_without_a_date_is_not_among_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MOST_LECTURES", 2)
    rows = tables.recordings(4, courses=1).assign(status="done")
    rows.loc[1, "status"] = "failed"
    rows["started_at"] = rows["started_at"].where(~rows.index.isin([0, 1]))
    root = pages.check(report.index_page(rows))
    listed = [pages.text_of(row) for row in next(root.iter("tbody")).iter("tr")]
    assert [row.partition("course")[0].strip() for row in listed] == ["Lecture 1", "Lecture 3"]


def test_the_index_shows_what_each_lecture_came_to() -> None:
    rows = tables.recordings(2, courses=1)
    rows["status"] = ["done", "failed"]
    rows["seconds"], rows["seconds_scored"] = 3600, 900
    rows["people_median"], rows["engagement_mean"] = [7.0, None], [0.625, None]
    rows["words_per_minute"], rows["moments"] = [141.4, None], [2, None]
    rows["error_message"], rows["error_hint"] = [None, "Not a video."], [None, "Open it."]
    ids = list(rows["recording_id"])
    root = pages.check(report.index_page(rows, last_night=[ids[1], "f" * 16]))

    failed, done = [pages.text_of(row) for row in next(root.iter("tbody")).iter("tr")]
    assert re.search("1\u00a0h 25\u00a0% 7 0.6[23] \\([^)]*\\) 2 141 done$", done)
    assert failed.endswith("– – – – – – failed")
    night = pages.text_of(pages.by_id(root, "night"))
    assert "failed Lecture 1 course-1 Not a video. Open it." in night.replace("1Not", "1 Not")
    assert "f" * 16 not in night, "its rows are gone"


def test_an_index_of_nothing_says_how_to_begin() -> None:
    root = pages.check(report.index_page(tables.recordings(0)))

    assert "lecturepulse run" in pages.text_of(pages.by_id(root, "all"))


def test_a_course_history_breaks_where_lectures_cannot_be_compared() -> None:
    rows = tables.recordings(6, courses=1)
    rows["status"], rows["engagement_mean"] = "done", [0.5, 0.6, 0.7, None, 0.6, 0.5]
    rows["layout"] = ["gallery", "gallery", "speaker", "speaker", "speaker", "speaker"]
    root = pages.check(report.index_page(rows))

    chart = pages.by_id(root, "course-1")
    lines = [p.get("d", "") for p in chart.iter() if pages.name_of(p) == "path"]
    assert [line.count("L") for line in lines] == [1, 2]
    assert len([c for c in chart.iter() if pages.name_of(c) == "circle"]) == 5
    assert "1 break" in pages.text_of(pages.by_id(root, "courses"))


def test_lectures_without_an_index_break_no_history() -> None:
    rows = tables.recordings(8, courses=1).assign(status="done", layout="gallery")
    # Presence mode at first and in the midst; the layout changes once.
    rows.loc[[0, 3, 4], list(tables.MEAN)] = None
    rows.loc[[0, 3, 4], "mode"] = "presence"
    rows.loc[[0, 3, 4], "model_sha256"] = None
    one = pages.check(report.index_page(rows))
    assert "break" not in pages.text_of(pages.by_id(one, "courses")).split("The line breaks")[0]
    rows.loc[6:, "layout"] = "speaker"
    two = pages.check(report.index_page(rows))
    assert "1 break in comparability" in pages.text_of(pages.by_id(two, "courses"))


def test_a_history_begins_with_the_first_lecture_that_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overview, "MOST_DOTS", 3)
    rows = tables.recordings(8, courses=1).assign(status="done", layout="gallery")
    rows["engagement_mean"] = [0.01, *[0.7] * 7]
    rows["engagement_mean_low"], rows["engagement_mean_high"] = 0.0, 0.9
    text = pages.text_of(pages.by_id(pages.check(report.index_page(rows)), "courses"))
    days = [f"{when:%Y-%m-%d}" for when in rows["started_at"]]
    assert [day for day in days if day in text] == [days[5], days[7]]
    assert "3 lectures, mean engagement index" in text
    assert "0.01" not in text


@pytest.mark.parametrize(("count", "shown"), [(None, "–"), (0, "0"), (2, "2")])
def test_where_moments_could_not_be_looked_for_none_are_counted(
    count: int | None, shown: str
) -> None:
    rows = tables.recordings(2).assign(status="done", moments=[count, 1])
    root = pages.check(report.index_page(rows))

    cells = [pages.text_of(cell) for cell in list(next(root.iter("tbody")).iter("tr"))[1]]
    assert cells[6] == shown


def test_an_index_of_presence_alone_has_no_column_that_is_never_filled() -> None:
    rows = tables.recordings(3).assign(status="done")
    assert "Could be read" in report.index_page(rows)
    html = report.index_page(rows.assign(mode="presence"))
    pages.check(html)
    assert "Could be read" not in html


def test_a_history_is_dated_by_the_lectures_that_have_a_dot() -> None:
    rows = tables.recordings(5, courses=1).assign(status="done", **MEANS)
    rows.loc[[0, 4], list(tables.MEAN)] = None
    text = pages.text_of(pages.by_id(pages.check(report.index_page(rows)), "courses"))
    days = [f"{when:%Y-%m-%d}" for when in rows["started_at"]]
    assert [day for day in days if day in text] == [days[1], days[3]]


def test_an_index_of_many_is_walked_by_course_and_begins_with_what_failed() -> None:
    rows = tables.recordings(80, courses=4).assign(status="done")
    rows.loc[[3, 70], "status"] = "failed"
    night = list(rows["recording_id"][60:])
    root = pages.check(report.index_page(rows, last_night=night))

    links = [a.get("href") for a in pages.of_class(root, "contents")[0].iter("a")]
    assert links == ["#night", "#courses", "#all"]
    shown, folded = pages.of_class(pages.by_id(root, "night"), "night")
    assert [pages.text_of(run) for run in shown] == [
        text for text in map(pages.text_of, shown) if text.startswith("failed")
    ]
    assert (len(shown), len(folded)) == (1, 19)
    assert "19 done" in pages.text_of(pages.by_id(root, "night"))
    folds = pages.of_class(pages.by_id(root, "all"), "fold")
    assert len(folds) == 4
    lists = [len(list(next(fold.iter("tbody")).iter("tr"))) for fold in folds]
    assert lists == [20, 20, 20, 20]
    assert sum("1 failed" in pages.text_of(fold[0]) for fold in folds) == 2
    # Each course that is drawn leads to its own lectures, failed ones included.
    drawn = {h.get("href") for h in pages.of_class(root, "multiples")[0].iter("a")}
    assert drawn == {f"#{fold[1].get('id')}" for fold in folds}


def test_a_few_lectures_are_one_table_and_an_empty_cell_is_marked() -> None:
    rows = tables.recordings(4, courses=2).assign(status=["done", "failed", "done", "done"])
    root = pages.check(report.index_page(rows))

    assert not pages.of_class(root, "fold")
    cells = list(next(root.iter("tbody")).iter("td"))
    empty = [cell for cell in cells if pages.text_of(cell) == "–"]
    assert empty and empty == pages.of_class(next(root.iter("tbody")), "none")
