"""The values behind the cursor of a lecture's charts: those of its tables, and how wide."""

from __future__ import annotations

import json

from fer_core import report
from fer_core.records import EMOTIONS
from fer_core.report import Material
from tests import pages, tables


def test_the_slider_reads_what_its_table_says_and_how_wide_its_means_are() -> None:
    seconds = tables.seconds(26, 1000, gaps=False)
    seconds[[f"p_{name}" for name in EMOTIONS]] = [0, 0, 0, 0.003, 0.997, 0, 0]
    seconds["uncertain"] = 0.0
    rows = seconds["second"].between(270, 279)
    index = ["engagement", "engagement_low", "engagement_high"]
    seconds.loc[rows, index] = [0.2, 0.1, 0.3]
    material = Material(tables.recording(seconds), seconds, tables.moments(count=0))
    root = pages.check(report.lecture_page(material, course_name="biology-101"))
    data = json.loads(pages.text_of(pages.by_id(root, "readout")))

    assert data["step"] == 2
    _, curve, neutral, happy, other, _ = data["series"]
    # The second 274 reads 269 to 278, of which 9 are in the stretch.
    outside = float(seconds["engagement"][269])
    read = [curve[name][137] for name in ("values", "low", "high")]
    assert read[0] == round(100 * (9 * 0.2 + outside) / 10)
    assert read[1] < read[0] < read[2]
    table = {row[0]: row[1:] for row in pages.table_after(root, "curve")}
    assert table["04:30"][:3] == ["0.20", "0.10", "0.30"]
    assert [neutral["values"][0], happy["values"][0], other["values"][0]] == [">99", "<1", "0"]
    assert data["words"]["mean"] == "10-second means:"
