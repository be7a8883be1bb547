"""Two whole pages, letter by letter: what changes in them is changed on purpose.

After a wanted change: look at the difference, then ``make accept`` and commit the new pages.
Stylesheet and script are left out; they lie in ``reports/templates`` and show their own changes.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import pytest

from fer_core import report
from tests import pages, tables

FOLDER = Path(__file__).with_name("golden")
_DIFFERENCE = 40


def lecture() -> str:
    """Draw a lecture with every section there is."""
    material = tables.material(11, 60, people=6)
    return report.lecture_page(material, course_name="biology-101", video_href="../lecture.mp4")


def index() -> str:
    """Draw an index with lectures of every status."""
    rows = tables.recordings(8, courses=2)
    night = list(rows["recording_id"][-3:])
    ended = "2026-11-12T02:40:00+00:00"
    rows.loc[0, "moments"] = 2
    return report.index_page(rows, last_night=night, night_at=ended)


@pytest.mark.parametrize("draw", [lecture, index])
def test_a_page_is_what_it_was(draw) -> None:
    html = draw()
    pages.check(html)
    now = re.sub(r"(<(style|script)>).*?(</\2>)", r"\1…\3", html, flags=re.DOTALL)
    now = re.sub(r"'sha256-[^']*'|&#39;sha256-.*?&#39;", "…", now)
    gold = FOLDER / f"{draw.__name__}.html"
    if os.environ.get("LECTUREPULSE_ACCEPT"):
        gold.write_text(now, encoding="utf-8", newline="\n")
    before = gold.read_text(encoding="utf-8")
    if now != before:
        lines = difflib.unified_diff(before.split("\n"), now.split("\n"), "accepted", "now", n=0)
        shown = "\n".join(line[:200] for line, _ in zip(lines, range(_DIFFERENCE), strict=False))
        pytest.fail(
            f"{gold.name} has changed. If this is right: make accept\n{shown}", pytrace=False
        )
