"""Seconds from faces, against a slow plain reading of the design's formulas."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core import engagement
from fer_core.engagement import Seconds
from fer_core.records import EMOTIONS, Faces, Observations
from fer_core.settings import Settings
from fer_core.track import Tracks, link
from tests import factories
from tests.factories import examples

# Formula 1, written down from the design.
WEIGHTS = {
    "neutral": 0.9,
    "happy": 0.6,
    "surprise": 0.6,
    "sad": 0.3,
    "fear": 0.3,
    "angry": 0.25,
    "disgust": 0.2,
}
VALUES = ("probs", "uncertain", "facing", "engagement", "engagement_low", "engagement_high")
QUICK = {"replicates": 100}


def measured(
    seen: Observations, settings: Settings, *, tracks: Tracks | None = None, seconds: int = 0
) -> Seconds:
    tracks = tracks or link(seen, settings.tracking)
    length = seconds or int(seen.content_end_s)
    people = engagement.by_person(seen, tracks, length, settings)
    changes = {sample // seen.rate_hz for sample in tracks.layout_changes}
    return engagement.aggregate(seen, people, settings, changes)


def expected(seen: Observations, who: list[int], settings: Settings) -> list[dict]:
    """Read the formulas person by person; for one sample a second and frontal faces."""
    least, floor = settings.privacy.min_group, settings.engagement.min_coverage
    rows = []
    for second in range(int(seen.content_end_s)):
        here = [k for k in range(len(who)) if seen.faces.sample[k] == second]
        read = [
            k
            for k in here
            if seen.faces.box[k, 3] >= 36 and max(seen.faces.probs[k].tolist()) >= 0.4
        ]
        row = dict.fromkeys(VALUES) | {"faces": len(here), "faces_scored": len(read)}
        row["suppressed"] = 0 < len(here) < least or 0 < len(read) < least
        if here and len(here) >= least:
            row["uncertain"] = 1 - len(read) / len(here)
        if len(here) >= least and not row["suppressed"]:
            row["facing"] = 1.0
        if len(read) >= least and not row["suppressed"]:
            row["probs"] = [
                sum(float(seen.faces.probs[k, c]) for k in read) / len(read) for c in range(7)
            ]
            if len(read) >= floor * len(here):
                index = [
                    sum(
                        float(p) * WEIGHTS[name] / 0.9
                        for p, name in zip(seen.faces.probs[k], EMOTIONS, strict=True)
                    )
                    for k in read
                ]
                row["engagement"] = sum(index) / len(index)
        rows.append(row)
    return rows


@examples(40)
@given(
    st.integers(0, 10_000),
    st.integers(0, 9),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from([0.0, 0.3, 0.8]),
)
def test_every_second_is_what_the_formulas_say(seed, people, min_group, coverage, unreadable):
    lesson = factories.lesson(
        seed, people=people, seconds=6, leaves={0: 3, 1: 4, 2: 4}, unreadable=unreadable
    )
    settings = factories.settings(
        privacy={"min_group": min_group}, engagement={"min_coverage": coverage} | QUICK
    )
    found = measured(lesson.observations, settings)
    for second, row in enumerate(expected(lesson.observations, lesson.person.tolist(), settings)):
        for name in ("faces", "faces_scored", "suppressed"):
            assert getattr(found, name)[second] == row[name], (second, name)
        for name in ("probs", "uncertain", "facing", "engagement"):
            value = getattr(found, name)[second]
            if row[name] is None:
                assert np.isnan(value).all(), (second, name)
            else:
                assert value == pytest.approx(row[name], abs=2e-5), (second, name)


def assert_sound(found: Seconds, seen: Observations, seconds: int, least: int):
    """Check what must hold of any table: rows, sums, bounds, NULL, and the minimum group."""
    assert {len(getattr(found, name)) for name in (*VALUES, "frames", "faces")} == {seconds}
    told = ~np.isnan(found.probs[:, 0])
    assert np.array_equal(told[:, None].repeat(7, axis=1), ~np.isnan(found.probs))
    assert np.abs(found.probs[told].sum(axis=1, dtype=float) - 1).max(initial=0) <= 1e-5
    index = ~np.isnan(found.engagement)
    assert not (index & ~told).any()
    assert np.array_equal(index, ~np.isnan(found.engagement_low))
    assert np.array_equal(index, ~np.isnan(found.engagement_high))
    low, mid, high = (
        x[index] for x in (found.engagement_low, found.engagement, found.engagement_high)
    )
    assert ((low <= mid) & (mid <= high)).all()
    for values in (low, high, mid, found.uncertain, found.facing):
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    # However they are tracked, no more people were there than one picture shows.
    for second in range(seconds):
        mine = seen.faces.sample // seen.rate_hz == second
        pictures = [int((seen.faces.sample[mine] == s).sum()) for s in set(seen.faces.sample[mine])]
        if max(pictures, default=0) < least:
            for name in VALUES:
                if name == "uncertain" and not pictures:
                    continue
                assert np.isnan(getattr(found, name)[second]).all(), (second, name)
        if found.suppressed[second]:
            for name in set(VALUES) - {"uncertain"}:
                assert np.isnan(getattr(found, name)[second]).all(), (second, name)
        if not pictures:
            assert not found.suppressed[second]
            assert np.isnan(found.uncertain[second])


@examples(40)
@given(
    seed=st.integers(0, 10_000),
    people=st.integers(0, 8),
    rate_hz=st.sampled_from([1, 2, 5]),
    layout_change=st.one_of(st.none(), st.integers(1, 20)),
    variant=st.sampled_from(["expression", "expression_x_facing"]),
    min_group=st.integers(1, 6),
)
def test_every_table_is_sound(seed, people, rate_hz, layout_change, variant, min_group):
    seen = factories.lesson(
        seed, people=people, seconds=5, rate_hz=rate_hz, layout_change=layout_change, leaves={0: 2}
    ).observations
    settings = factories.settings(
        privacy={"min_group": min_group}, engagement={"variant": variant} | QUICK
    )
    assert_sound(measured(seen, settings), seen, 5, min_group)


@pytest.mark.parametrize("rate_hz", [2, 5, 10])
@pytest.mark.parametrize(("people", "clear"), [(4, 4), (4, 0), (8, 4)])
def test_a_layout_change_within_a_second_does_not_double_a_small_group(rate_hz, people, clear):
    # In the second of the change everybody has two tracks; a minimum of five must still hold.
    seen = factories.lesson(
        0, people=people, seconds=3, rate_hz=rate_hz, layout_change=rate_hz + 1, unreadable=0
    )
    probs = seen.observations.faces.probs.copy()
    probs[seen.person >= clear] = 1 / 7
    faces = replace(seen.observations.faces, probs=probs)
    settings = factories.settings(privacy={"min_group": 5}, engagement=QUICK | {"min_coverage": 0})
    observations = replace(seen.observations, faces=faces)
    assert len(link(observations, settings.tracking).layout_changes) == 1
    found = measured(observations, settings)
    assert found.faces.tolist() == [people] * 3
    assert found.faces_scored.tolist() == [clear] * 3
    assert found.suppressed.all()
    for name in set(VALUES) - {"uncertain"}:
        assert np.isnan(getattr(found, name)).all(), name
    assert np.isnan(found.uncertain).all() == (people < 5)


def test_people_who_take_turns_are_no_group():
    # Six people, three in each of the second's two pictures.
    corner = np.array([[x * 200.0, y * 200.0] for y in (0, 1) for x in range(3)])
    faces = factories.faces(6, sample=np.array([0, 0, 0, 1, 1, 1]), corner=corner)
    found = measured(
        factories.observations(faces, seconds=1, rate_hz=2),
        factories.settings(privacy={"min_group": 4}),
    )
    assert found.suppressed.tolist() == [True]
    assert np.isnan(found.engagement).all()


@pytest.mark.parametrize(
    ("visible", "scored", "suppressed", "values"),
    [(4, 4, True, False), (5, 5, False, True), (9, 4, True, False), (9, 0, False, False)],
)
def test_the_minimum_group_counts_who_is_visible_and_who_is_read(
    visible, scored, suppressed, values
):
    read = factories.probs(["happy"] * visible)
    read[scored:] = 1 / 7
    seen = factories.observations(factories.faces(visible, read=read), seconds=1)
    found = measured(seen, factories.settings(engagement={"min_coverage": 0} | QUICK))
    assert (found.faces[0], found.faces_scored[0]) == (visible, scored)
    assert found.suppressed[0] == suppressed
    for name in ("probs", "engagement", "engagement_low", "engagement_high"):
        assert np.isnan(getattr(found, name)).all() != values, name


def test_nobody_is_null_and_not_zero():
    found = measured(factories.observations(Faces.empty(), seconds=4, lost=[2]), Settings())
    for name in VALUES:
        assert np.isnan(getattr(found, name)).all(), name
    assert found.faces.tolist() == [0] * 4
    assert found.frames.tolist() == [1, 1, 0, 1]
    assert not found.suppressed.any()


def test_faces_that_were_never_read_give_presence_but_no_expression():
    plain = factories.faces(6)
    unread = replace(plain, probs=np.full_like(plain.probs, np.nan))
    found = measured(factories.observations(unread, seconds=1), Settings())
    assert (found.faces[0], found.faces_scored[0]) == (6, 0)
    assert found.facing[0] == pytest.approx(1, abs=1e-3)
    assert found.uncertain[0] == 1
    assert np.isnan(found.probs).all()
    assert np.isnan(found.engagement).all()


@pytest.mark.parametrize(
    ("people", "scored", "suppressed", "uncertain"),
    [
        (9, 9, False, 0),
        (9, 5, False, 4 / 9),
        (9, 4, True, 5 / 9),
        (9, 0, False, 1),
        (4, 4, True, None),
    ],
)
def test_the_share_that_could_not_be_read_is_told_wherever_enough_were_visible(
    people, scored, suppressed, uncertain
):
    read = factories.probs(["happy"] * people)
    read[scored:] = 1 / 7
    found = measured(
        factories.observations(factories.faces(people, read=read), seconds=1),
        factories.settings(privacy={"min_group": 5}, engagement=QUICK),
    )
    assert found.suppressed[0] == suppressed
    assert np.isnan(found.probs[0]).all() == (scored < 5)
    if uncertain is None:
        assert np.isnan(found.uncertain[0])
    else:
        assert found.uncertain[0] == pytest.approx(uncertain)


@pytest.mark.parametrize(("scored", "given_"), [(5, True), (4, False)])
def test_below_the_coverage_floor_there_is_no_index(scored, given_):
    read = factories.probs(["happy"] * 10)
    read[scored:] = 1 / 7
    found = measured(
        factories.observations(factories.faces(10, read=read), seconds=1),
        factories.settings(privacy={"min_group": 1}, engagement={"min_coverage": 0.5} | QUICK),
    )
    assert np.isfinite(found.engagement[0]) == given_
    assert found.uncertain[0] == pytest.approx(1 - scored / 10)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        *(("neutral", 1), ("happy", 2 / 3), ("surprise", 2 / 3), ("sad", 1 / 3), ("fear", 1 / 3)),
        *(("angry", 0.25 / 0.9), ("disgust", 0.2 / 0.9)),
    ],
)
def test_the_index_of_a_face(name, index):
    sure = np.eye(7, dtype=np.float32)[[EMOTIONS.index(name)]]
    default = Settings().engagement.weights
    assert engagement.expression_index(sure, default)[0] == pytest.approx(index, abs=1e-6)
    half = (sure + np.eye(7, dtype=np.float32)[[EMOTIONS.index("neutral")]]) / 2
    assert engagement.expression_index(half, default)[0] == pytest.approx((index + 1) / 2, abs=1e-6)


def test_which_faces_are_read():
    limits = Settings().classification
    height = np.array([36, 35.9, 64, 64, 64, 64], np.float32)
    turned = np.array([1, 1, 0.1, 0.09, 1, 1], np.float32)
    top = factories.probs(["sad"] * 6)
    top[4] = factories.probs(["sad"], 0.39)
    top[5] = np.nan
    assert engagement.readable(height, turned, top, limits).tolist() == [
        *(True, False, True, False, False, False)
    ]
    assert engagement.readable(height[:1], turned[:1], factories.probs(["sad"], 0.4), limits).all()


@pytest.mark.parametrize("variant", ["expression", "expression_x_facing"])
def test_the_variants(variant):
    # Turned by 22.5°, half of 45°: facing is a half. Everybody neutral at 0.7, the rest 0.05 each.
    faces = factories.faces(6, yaw_deg=22.5)
    settings = factories.settings(engagement={"variant": variant} | QUICK)
    found = measured(factories.observations(faces, seconds=1), settings)
    rest = sum(WEIGHTS.values()) - 0.9
    index = (0.7 * 0.9 + 0.05 * rest) / 0.9
    share = 0.5 if variant == "expression_x_facing" else 1
    assert found.facing[0] == pytest.approx(0.5, abs=0.01)
    assert found.engagement[0] == pytest.approx(index * share, abs=0.01)


def test_a_person_counts_once_a_second_however_often_sampled():
    # Person 0 is seen ten times as often as the others and must weigh no more.
    sample = np.array([*range(10), 9, 9, 9, 9])
    corner = np.array([[0.0, 0.0]] * 10 + [[x * 200.0, 0.0] for x in range(1, 5)])
    read = factories.probs(["disgust"] * 10 + ["neutral"] * 4)
    seen = factories.observations(
        factories.faces(14, sample=sample, corner=corner, read=read), seconds=1, rate_hz=10
    )
    found = measured(seen, factories.settings(engagement=QUICK))
    assert found.faces[0] == found.faces_scored[0] == 5
    assert found.frames[0] == 10
    neutral = (4 * 0.7 + 0.05) / 5
    assert found.probs[0, EMOTIONS.index("neutral")] == pytest.approx(neutral, abs=1e-5)


@examples(15)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 10]))
def test_sampling_more_often_changes_nothing_when_nothing_changes(seed, rate_hz):
    once = factories.lesson(seed, people=7, seconds=3).observations
    often = Observations.concat(
        [
            replace(
                once,
                rate_hz=rate_hz,
                samples=np.arange(second * rate_hz, (second + 1) * rate_hz),
                thumbnails=once.thumbnails[[second] * rate_hz],
                stale=once.stale[[second] * rate_hz],
                faces=Faces.concat(
                    [
                        replace(mine, sample=np.full(len(mine), second * rate_hz + k))
                        for k in range(rate_hz)
                    ]
                ),
            )
            for second in range(3)
            for mine in [chosen(once.faces, once.faces.sample == second)]
        ]
    )
    one, other = (measured(x, factories.settings(engagement=QUICK)) for x in (once, often))
    for name in ("faces", "faces_scored", "suppressed", *VALUES):
        same = np.allclose(getattr(one, name), getattr(other, name), atol=1e-5, equal_nan=True)
        assert same, name
    assert other.frames.tolist() == [rate_hz] * 3


def chosen(faces: Faces, use: np.ndarray) -> Faces:
    names = ("sample", "box", "score", "landmarks", "probs", "change")
    return Faces(*(getattr(faces, name)[use] for name in names))


@examples(20)
@given(st.integers(0, 10_000))
def test_the_order_of_faces_and_tracks_does_not_matter(seed):
    seen = factories.lesson(seed, people=8, seconds=4, leaves={2: 2}).observations
    settings = factories.settings(engagement=QUICK)
    mixed, _ = factories.reordered(seen, seed)
    tracks = link(mixed, settings.tracking)
    other_names = np.random.default_rng(seed).permutation(tracks.count).astype(np.int32)
    renamed = replace(tracks, track=other_names[tracks.track])
    plain = measured(seen, settings)
    for found in (measured(mixed, settings), measured(mixed, settings, tracks=renamed)):
        for name in ("frames", "faces", "faces_scored", "suppressed", *VALUES[:4]):
            same = np.allclose(
                getattr(plain, name), getattr(found, name), atol=1e-6, equal_nan=True
            )
            assert same, name


def test_the_same_input_gives_the_same_table_to_the_last_bit():
    seen = factories.lesson(3, people=9, seconds=5).observations
    one, other = (measured(seen, Settings()) for _ in range(2))
    for name in VALUES:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
