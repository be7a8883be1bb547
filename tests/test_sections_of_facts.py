"""Facts in the sections of a page: bands, earlier lectures, published figures, marks."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from fer_core import assets
from fer_core.report import Material
from fer_core.story import visits_of
from tests import tables
from tests.test_sections import _lecture, read, section


@pytest.mark.parametrize(("count", "shown"), [(2, False), (3, True)])
def test_three_lectures_make_a_band(count: int, shown: bool) -> None:
    material = _lecture(0.65)
    earlier = tables.earlier(dict(material.recording), count)[:-1]
    root = read(replace(material, earlier=earlier))
    assert ("course-chart" in {e.get("id") for e in root.iter()}) is shown


def test_a_lecture_that_began_at_the_same_time_is_no_earlier_one() -> None:
    material = _lecture(0.65)
    started = material.recording["started_at"]
    earlier = [row | {"started_at": started} for row in material.earlier]
    assert "No comparable lecture" in section(read(replace(material, earlier=earlier)), "course")


def test_every_published_figure_is_the_file_s_own() -> None:
    entry = assets.manifest()["models"]["lecturenet"]
    figures = entry["metrics"]["litert"]["consensus"]
    rows = tables.seconds(3, 60)
    sha256 = entry["files"]["litert"]["sha256"]
    text = section(
        read(Material(tables.recording(rows, model_sha256=sha256), rows, tables.moments(count=0))),
        "method",
    ).replace("\u00a0", " ")
    small, mixed = figures["by_size"]["24"], figures["neutral_sad"]
    assert f"On all {figures['faces']:,} that were kept" in text
    assert f"it does so for {100 * small:.0f} % when the faces are only 24 px" in text
    assert f"taken for each other in {100 * mixed:.0f} % of their faces" in text
    assert f"off by {figures['ece']:.3f} on average" in text


def test_a_track_away_for_a_second_was_away() -> None:
    faces = pd.DataFrame({"track": 0, "second": [3, 4, 6, 7, 7, 12]})
    (visit,) = visits_of(faces)
    assert visit.stretches == ((3, 5), (6, 8), (12, 13))
    assert visit.seconds == 5
