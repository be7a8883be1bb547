"""The pages: true to their tables, safe whatever is in them, the same every time."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer_core import assets, report
from fer_core.records import EMOTIONS
from fer_core.report import Material
from fer_core.wording import clean, words
from tests import pages, tables
from tests.pages import NASTY

OPTIONS = ("time_link", "video_href", "course_name", "text")
MATERIAL = ("marks", "faces", "transcript", "earlier")


def page(seconds: pd.DataFrame, moments: pd.DataFrame | None = None, **changes: Any) -> str:
    """Render the page of a table of seconds; keywords change the recording or are options."""
    options, others = (
        {name: changes.pop(name) for name in names if name in changes}
        for names in (OPTIONS, MATERIAL)
    )
    material = Material(
        tables.recording(seconds, **changes),
        seconds,
        tables.moments(count=0) if moments is None else moments,
        **others,
    )
    return report.lecture_page(material, **{"course_name": "biology-101"} | options)


def changed(seconds: pd.DataFrame, rows: Any, **values: Any) -> pd.DataFrame:
    """Return a copy with other values in some rows."""
    copy = seconds.copy()
    for name, value in values.items():
        copy.loc[rows, name] = value
    return copy


def without_values(seconds: pd.DataFrame, rows: Any, **values: Any) -> pd.DataFrame:
    """Return a copy with NULL for every value in some rows."""
    names = [*(f"p_{name}" for name in EMOTIONS), "uncertain", "facing", "engagement"]
    nulls = dict.fromkeys([*names, "engagement_low", "engagement_high"], np.nan)
    return changed(seconds, rows, **nulls | values)


LECTURES: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
    "ordinary": (tables.seconds(1, 600), {}),
    "moments": (tables.seconds(2, 600), {"moments": tables.moments(2, 600, 3)}),
    "three hours": (tables.seconds(3, 10_800, people=25), {}),
    "one second": (tables.seconds(4, 1), {}),
    "no second": (tables.seconds(4, 0), {}),
    "empty room": (tables.seconds(5, 90, people=0), {"face_height_px_median": None}),
    "one person": (tables.seconds(6, 90, people=1), {"consent": None}),
    "no picture": (without_values(tables.seconds(7, 60), slice(None), frames=0, faces=0), {}),
    "nothing readable": (without_values(tables.seconds(8, 60), slice(None), faces_scored=0), {}),
    "presence": (
        tables.seconds(9, 300, presence=True),
        {"mode": "presence", "jurisdiction": "DE", "model": None, "model_sha256": None},
    ),
    "partial": (
        tables.seconds(10, 300),
        {"status": "partial", "error_message": "It ends early.", "error_hint": "Copy it again."},
    ),
    "failed": (
        tables.seconds(11, 0),
        {"status": "failed", "error_message": "Not a video.", "error_hint": "Open it yourself."},
    ),
    "facing": (tables.seconds(12, 300), {"engagement_variant": "expression_x_facing"}),
    "synthetic": (tables.seconds(13, 150), {"synthetic": True, "consent": None}),
    "bare": (
        tables.seconds(14, 100),
        dict.fromkeys(
            (
                "title started_at jurisdiction consent container codec width height model "
                "model_sha256 duration_s_from_header duration_s_from_content people_median "
                "engagement_mean face_height_px_p10 frame_rate_from_header"
            ).split()
        ),
    ),
}


@pytest.mark.parametrize("kind", LECTURES)
def test_every_kind_of_lecture_makes_a_page_of_the_house(kind: str) -> None:
    seconds, changes = LECTURES[kind]
    html = page(seconds, **changes)

    pages.check(html)

    assert not re.search(r"\b(nan|NaN|NaT|None|inf|<NA>)\b", html)
    assert page(seconds, **changes) == html


def test_the_order_of_the_rows_does_not_matter() -> None:
    seconds = tables.seconds(1, 300)

    assert page(seconds.sample(frac=1, random_state=1)) == page(seconds)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("<main", "<img src='https://example.org/x.png' alt=''><main"),
        ("<main", "<main onclick='x()'"),
        ("<main", "<main style='color:red'"),
        ("<main", "<script>alert(1)</script><main"),
        ("<main", "<p id='main'></p><main"),
        ("<main", "<a href='#nowhere'>x</a><main"),
        ("<main", "<a href='java\nscript:alert(1)'>x</a><main"),
        ("<main", "<svg></svg><main"),
        ("<main", "<h4>x</h4><main"),
        ("<main", "<b><p></b></p><main"),
        ("<main", "<iframe srcdoc='x'></iframe><main"),
        ("default-src &#39;none&#39;", "default-src &#39;self&#39;"),
        ("img-src data:", "img-src data: https:"),
        ("--paper: #fff", "--paper: #fffffe"),
        ('scope="col"', ""),
        ('aria-labelledby="people-title"', 'aria-labelledby="people"'),
        ("</body>", "x" * 1_000_000 + "</body>"),
    ],
)
def test_the_checker_of_pages_notices(good: str, bad: str) -> None:
    html = page(tables.seconds(1, 30))
    assert good in html

    with pytest.raises((AssertionError, ValueError, Exception)) as caught:
        pages.check(html.replace(good, bad, 1))
    assert caught.type.__name__ in ("AssertionError", "ParseError")


def test_the_headline_numbers_are_those_of_the_table() -> None:
    seconds = tables.seconds(21, 900, people=20)
    seen = seconds.loc[seconds["frames"] > 0, "faces"]
    given = seconds["engagement"].notna()
    root = pages.check(page(seconds))

    numbers = {
        pages.text_of(tile[0]): pages.text_of(tile) for tile in pages.of_class(root, "numbers")[0]
    }
    assert f"{100 * given.mean():.0f}\u00a0%" in numbers["Could be read"]
    assert f"{given.sum()} of 900\u00a0s" in numbers["Could be read"]
    assert f" {seen.median():g} median" in numbers["People visible"]
    assert f"most {seen.max()}" in numbers["People visible"]
    assert f"{seconds['engagement'].mean():.2f}" in numbers["Engagement index"]
    smiling = (seconds["p_happy"] * (1 - seconds["uncertain"])).mean()
    shown = re.search(r"smiling (\d+)", numbers["Neutral expression"])
    assert shown is not None
    assert abs(int(shown[1]) - 100 * smiling) <= 1


def test_the_parts_add_up() -> None:
    root = pages.check(page(tables.seconds(22, 700)))
    text = pages.text_of(pages.by_id(root, "minute"))

    shares = re.search(r"(\d+)\s% smiling (\d+)\s% · other (\d+)\s% · uncertain (\d+)\s%", text)
    assert shares is not None
    assert sum(map(int, shares.groups())) == 100
    index = re.search(r"index ([\d.]+) = ([\d.]+) neutral \+ ([\d.]+) smiling \+ ([\d.]+)", text)
    assert index is not None
    whole, *parts = map(float, index.groups())
    assert sum(parts) == pytest.approx(whole)


def test_the_table_twin_holds_plain_means_of_the_table() -> None:
    seconds = tables.seconds(23, 595)
    root = pages.check(page(seconds))
    head, *rows = pages.table_after(root, "curve")
    assert head[:2] == ["Time", "Engagement"]

    tens = seconds.groupby(seconds["second"] // 10)["engagement"].mean()
    assert len(rows) == len(tens) == 60
    assert [row[1] for row in rows] == ["–" if np.isnan(m) else f"{m:.2f}" for m in tens]
    assert rows[-1][0] == "09:50"


def test_the_twin_of_the_people_chart_counts_every_second() -> None:
    seconds = tables.seconds(24, 1234)
    _, *rows = pages.table_after(pages.check(page(seconds)), "people")

    assert sum(int(row[4]) for row in rows) == seconds["engagement"].notna().sum()


def test_what_every_second_was_adds_up_to_the_lecture() -> None:
    seconds = tables.seconds(25, 1000, people=8)
    root = pages.check(page(seconds))
    data = json.loads(pages.text_of(pages.by_id(root, "readout")))

    kinds = {name: data["state"].count(i) * data["step"] for i, name in enumerate(data["states"])}
    assert sum(kinds.values()) == len(seconds)
    assert kinds["no picture"] == pytest.approx((seconds["frames"] == 0).sum(), abs=4)


def test_null_is_never_zero() -> None:
    seconds = without_values(tables.seconds(26, 120, gaps=False), slice(None))
    root = pages.check(page(seconds))

    assert not [e for e in root.iter() if e.get("id") in ("curve", "groups", "seven")]
    for section in ("minute", "trust", "timeline", "expressions"):
        assert "0.00" not in pages.text_of(pages.by_id(root, section))
    data = json.loads(pages.text_of(pages.by_id(root, "readout")))
    values = [v for series in data["series"][1:] for v in series["values"]]
    assert values and set(values) == {None}


def test_fewer_people_than_the_minimum_are_shown_as_a_count_and_nothing_else() -> None:
    seconds = tables.seconds(27, 120, people=4, gaps=False)
    assert seconds["suppressed"].all()
    root = pages.check(page(seconds))

    text = pages.text_of(pages.by_id(root, "minute"))
    assert "as many as 5 people" in text
    assert "withheld" in text
    assert "Engagement index" not in text
    assert not [e for e in root.iter() if e.get("id") in ("curve", "groups", "seven")]


def test_presence_mode_says_why_and_shows_no_expression() -> None:
    seconds, changes = LECTURES["presence"]
    root = pages.check(page(seconds, **changes))

    assert "Article 5(1)(f)" in pages.text_of(pages.by_id(root, "notice"))
    assert not [e for e in root.iter() if e.get("id") in ("expressions", "groups", "seven")]
    shown = "".join(pages.text_of(pages.by_id(root, key)) for key in ("minute", "timeline"))
    assert not re.search("smiling|neutral|engagement", shown, re.IGNORECASE)
    assert "Facing the camera" in shown


def test_a_failed_recording_says_what_happened_and_what_to_do() -> None:
    seconds, changes = LECTURES["failed"]
    root = pages.check(page(seconds, **changes))

    notice = pages.text_of(pages.by_id(root, "notice"))
    assert "Not a video." in notice
    assert "Open it yourself." in notice
    assert not list(root.iter("figure"))


def test_missing_consent_is_a_banner_unless_nobody_exists() -> None:
    seconds = tables.seconds(28, 60)
    missing = words()("banner.no_consent")

    assert missing in page(seconds, consent=None)
    assert missing not in page(seconds)
    assert missing not in page(seconds, consent=None, synthetic=True)


def test_moments_stand_in_their_order_with_their_numbers() -> None:
    moments = tables.moments(29, 600, 2)
    moments["rank"] = [2, 1]
    moments["start_second"], moments["end_second"] = [60, 300], [120, 360]
    moments["change"] = [0.2, -0.1]
    root = pages.check(page(tables.seconds(29, 600), moments, video_href="a b.mp4"))

    first, second = pages.of_class(root, "moments")[0]
    assert "05:00–06:00 engagement index 0.10 lower" in pages.text_of(first)
    assert "01:00–02:00 engagement index 0.20 higher" in pages.text_of(second)
    assert [a.get("href") for a in first.iter("a")] == ["a%20b.mp4#t=300"]
    assert "2 moments stand out" in pages.text_of(pages.by_id(root, "curve-finding"))


def test_without_moments_the_page_says_so_only_if_it_looked() -> None:
    nothing = words()("minute.no_moments")

    assert nothing in page(tables.seconds(30, 300))
    assert nothing not in page(*LECTURES["presence"][:1], mode="presence")


@pytest.mark.parametrize(
    ("template", "href"),
    [
        ("https://v.example/{recording_id}?t={second}&a=1", "https://v.example/{id}?t=60&a=1"),
        ("file:///videos/{recording_id}.mp4#t={second}", "file:///videos/{id}.mp4#t=60"),
        ("../videos/{recording_id}.mp4#t={second}", "../videos/{id}.mp4#t=60"),
        ("javascript:alert({second})", None),
        ("JavaScript:alert({second})", None),
        ("java\nscript:alert({second})", None),
        (" javascript:alert({second})", None),
        ("\x01javascript:alert({second})", None),
        ("data:text/html,{second}", None),
        ("vbscript:{second}", None),
        ("https:///nowhere?{second}", None),
        ("https://[::1?{second}", None),
        (
            'https://v.example/"><script>alert(1)</script>{second}',
            'https://v.example/"><script>alert(1)</script>60',
        ),
    ],
)
def test_time_links_are_filled_in_or_left_out(template: str, href: str | None) -> None:
    moments = tables.moments(31, 70, 1)
    moments["start_second"] = 60
    root = pages.check(page(tables.seconds(31, 70), moments, time_link=template))

    found = [a.get("href") for a in pages.of_class(root, "moments")[0].iter("a")]
    assert found == ([href.replace("{id}", tables.recording_id(1))] if href else [])


def test_an_id_cannot_break_out_of_its_link() -> None:
    html = page(
        tables.seconds(31, 60),
        tables.moments(31, 60, 1),
        recording_id="x/../&\"'{second}",
        time_link="https://v.example/{recording_id}?t={second}",
    )

    root = pages.check(html)

    href = next(pages.of_class(root, "moments")[0].iter("a")).get("href", "")
    assert href.startswith("https://v.example/x%2F..%2F%26%22%27%7Bsecond%7D?t=")


def test_without_any_address_times_are_plain_text() -> None:
    root = pages.check(page(tables.seconds(32, 70), tables.moments(32, 70, 1)))

    assert not list(pages.of_class(root, "moments")[0].iter("a"))


def test_hostile_text_is_shown_and_nothing_else() -> None:
    texts = (
        "title source_name error_message error_hint jurisdiction exemption consent codec layout "
        "model model_sha256 settings_hash ffmpeg_version version engagement_variant "
        "engagement_weights detector_sha256 source_sha256 recording_id"
    ).split()
    seconds, moments = tables.seconds(33, 200), tables.moments(33, 200, 1)
    recording = tables.recording(seconds) | dict.fromkeys(texts, NASTY) | {"status": "partial"}
    material = Material(recording, seconds, moments)
    html = report.lecture_page(material, course_name=NASTY, video_href=NASTY)

    root = pages.check(html)

    assert len(list(root.iter("script"))) == 2  # the island and ours
    assert pages.text_of(next(root.iter("h1"))) == clean(NASTY)
    assert clean(NASTY) in pages.text_of(pages.by_id(root, "notice"))
    assert "49" not in pages.text_of(next(root.iter("h1")))


def test_a_text_without_end_does_not_make_a_page_without_end() -> None:
    html = page(tables.seconds(34, 60), title="x" * 5_000_000, consent="y" * 5_000_000)

    pages.check(html)


def test_three_hours_with_a_gap_every_other_second_stay_small() -> None:
    seconds = tables.seconds(35, 10_800, people=25)
    seconds = without_values(seconds, slice(1, None, 2), frames=0, faces=0)

    pages.check(page(seconds, tables.moments(35, 10_800, 3), video_href="lecture.mp4"))


def test_every_visible_word_comes_from_the_catalogue() -> None:
    # The web interface speaks English only; reports are read by all, in the school's language.
    for path in sorted(assets.templates().rglob("*.j2")):
        if path.parent.name == "web":
            continue
        text = re.sub(
            r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text("utf-8"), flags=re.DOTALL
        )
        text = re.sub(r"<p class=\"formula\".*?</p>", "", text)
        left = re.sub(r"<[^>]*>", " ", text)
        assert not re.search(r"[A-Za-z]", left), f"{path.name}: {left.split()}"
        for name in ("alt", "title", "aria-label", "placeholder"):
            assert not re.search(rf'{name}="[^"]', text), path.name


def test_the_catalogue_speaks_of_what_was_seen() -> None:
    path = assets.templates() / "strings" / "en.toml"
    texts = list(_strings(tomllib.loads(path.read_text("utf-8"))))
    assert len(texts) > 100

    for text in texts:
        assert not re.search(
            r"mood|attenti|unbiased|bored|happier|best lecture", text, re.IGNORECASE
        ), text
        if "feeling" in text.lower():
            assert "not" in text, text


def _strings(node: Any) -> Any:
    if isinstance(node, dict):
        for value in node.values():
            yield from _strings(value)
    else:
        yield node
