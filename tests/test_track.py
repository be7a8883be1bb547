"""Who is who: tracks follow people who move a little, and nothing else."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.records import Faces
from fer_core.settings import Tracking
from fer_core.track import Tracks, link, shuffled
from tests import factories
from tests.factories import TILE_PX, Lesson, examples

SETTINGS = Tracking()


def at(*samples: tuple[int, list[tuple[float, float]]], height_px: float = 64) -> Faces:
    """Return faces at corners given sample by sample."""
    return Faces.concat(
        [
            factories.faces(
                len(corners),
                sample=sample,
                corner=np.array(corners, float).reshape(-1, 2),
                height_px=height_px,
            )
            for sample, corners in samples
        ]
    )


def linked(seen: Faces, seconds: int, *, rate_hz: int = 1, lost=(), **settings) -> Tracks:
    observations = factories.observations(seen, seconds=seconds, rate_hz=rate_hz, lost=lost)
    return link(observations, Tracking(**settings))


def assert_follows(lesson: Lesson, tracks: Tracks):
    """Each person has one track of their own."""
    pairs = set(zip(lesson.person.tolist(), tracks.track.tolist(), strict=True))
    assert len(pairs) == len({person for person, _ in pairs}) == len({t for _, t in pairs})


def assert_well_formed(seen: Faces, tracks: Tracks):
    """Numbers are dense from 0 by first appearance; nobody is twice in one picture."""
    assert tracks.track.dtype == np.int32
    assert sorted(set(tracks.track.tolist())) == list(range(tracks.count))
    first = list(dict.fromkeys(tracks.track.tolist()))
    assert first == sorted(first)
    cells = list(zip(seen.sample.tolist(), tracks.track.tolist(), strict=True))
    assert len(set(cells)) == len(cells)


@examples(25)
@given(st.integers(0, 10_000), st.integers(1, 16), st.sampled_from([1, 2, 5]))
def test_people_in_a_grid_keep_their_tracks(seed, people, rate_hz):
    lesson = factories.lesson(seed, people=people, seconds=8, rate_hz=rate_hz)
    tracks = link(lesson.observations, SETTINGS)
    assert_follows(lesson, tracks)
    assert tracks.count == people
    assert not tracks.layout_changes


@examples(25)
@given(st.integers(0, 10_000), st.dictionaries(st.integers(0, 8), st.integers(1, 7)))
def test_who_leaves_disturbs_nobody(seed, leaves):
    lesson = factories.lesson(seed, seconds=8, leaves=leaves)
    tracks = link(lesson.observations, SETTINGS)
    assert_follows(lesson, tracks)
    assert not tracks.layout_changes


@examples(40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 6),
            *[st.floats(0, 300, width=32)] * 2,
            *[st.floats(0, 200, width=32)] * 2,
        ),
        max_size=25,
    )
)
def test_whatever_boxes_come_the_tracks_are_well_formed(rows):
    rows = sorted(rows, key=lambda row: row[0])
    boxes = np.array([row[1:] for row in rows], np.float32).reshape(-1, 4)
    plain = factories.faces(len(rows), sample=np.array([row[0] for row in rows], np.int64))
    seen = Faces(plain.sample, boxes, plain.score, plain.landmarks, plain.probs, plain.change)
    assert_well_formed(seen, linked(seen, 7))


@examples(25)
@given(st.integers(0, 10_000), st.one_of(st.none(), st.integers(1, 7)))
def test_the_order_of_the_faces_does_not_matter(seed, layout_change):
    seen = factories.lesson(
        seed, seconds=8, leaves={3: 4}, layout_change=layout_change
    ).observations
    mixed, order = factories.reordered(seen, seed + 1)
    one, other = link(seen, SETTINGS), link(mixed, SETTINGS)
    pairs = set(zip(one.track[order].tolist(), other.track.tolist(), strict=True))
    assert len(pairs) == one.count == other.count
    assert one.layout_changes == other.layout_changes
    assert_well_formed(mixed.faces, other)


@examples(10)
@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(1, 7))
def test_a_layout_change_starts_every_track_anew(seed, people, change):
    lesson = factories.lesson(seed, people=people, seconds=8, layout_change=change)
    tracks = link(lesson.observations, SETTINGS)
    before = lesson.observations.faces.sample < change
    assert tracks.layout_changes == (change,)
    assert tracks.count == 2 * people
    assert not set(tracks.track[before]) & set(tracks.track[~before])


def test_tiles_that_change_hands_after_a_layout_change_do_not_go_on():
    # Back after two samples: whoever sits there now need not be who sat there before.
    grid = [(x * TILE_PX, 0.0) for x in range(4)]
    moved = [(x + TILE_PX / 2, y) for x, y in grid]
    tracks = linked(at((0, grid), (1, moved), (2, grid)), 3)
    assert tracks.layout_changes == (1, 2)
    assert tracks.count == 12


def test_two_people_moving_at_once_are_no_layout_change():
    grid = [(0.0, 0.0), (200.0, 0.0)]
    tracks = linked(at((0, grid), (1, [(x + 100, y) for x, y in grid])), 2)
    assert not tracks.layout_changes
    assert tracks.count == 4


def test_most_people_staying_is_no_layout_change():
    grid = [(x * 200.0, 0.0) for x in range(6)]
    two_moved = [*grid[:4], (800.0, 400.0), (1000.0, 400.0)]
    tracks = linked(at((0, grid), (1, two_moved)), 2)
    assert not tracks.layout_changes
    assert tracks.track.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 6, 7]


# A face 48 x 64 px is sqrt(48 * 64) = 55.4 px wide for the distance; 0.75 of it is 41.6 px.
@pytest.mark.parametrize(("shift_px", "same"), [(0, True), (41, True), (43, False), (200, False)])
def test_how_far_a_face_may_move(shift_px, same):
    # Sideways by 41 px two boxes 48 px wide overlap by 7 of 89: less than 0.2.
    tracks = linked(at((0, [(0, 0)]), (1, [(shift_px, 0)])), 2)
    assert (tracks.count == 1) is same


# Down by d the overlap is (64 - d) / (64 + d): 0.45 at 24.3 px.
@pytest.mark.parametrize(("shift_px", "same"), [(24, True), (25, False)])
def test_how_little_a_face_may_overlap(shift_px, same):
    seen = at((0, [(0, 0)]), (1, [(0, shift_px)]))
    tracks = linked(seen, 2, min_iou=0.45, max_shift=0.01)
    assert (tracks.count == 1) is same


@pytest.mark.parametrize(
    ("height_px", "same"), [(120, True), (136, False), (33, True), (31, False)]
)
def test_a_face_of_another_size_is_another_person(height_px, same):
    first, second = at((0, [(100, 100)])), at((1, [(100, 100)]), height_px=height_px)
    assert (linked(Faces.concat([first, second]), 2).count == 1) is same


@pytest.mark.parametrize("rate_hz", [1, 2, 10])
@pytest.mark.parametrize(("gap_s", "same"), [(1, True), (5, True), (6, False)])
def test_how_long_a_person_may_be_away_in_seconds(rate_hz, gap_s, same):
    seen = at((0, [(0, 0)]), (gap_s * rate_hz, [(5, 0)]))
    tracks = linked(seen, gap_s + 1, rate_hz=rate_hz, max_gap_s=5)
    assert (tracks.count == 1) is same


@pytest.mark.parametrize(("lost", "same"), [(range(1, 5), True), (range(1, 6), False)])
def test_samples_that_were_lost_count_as_time_too(lost, same):
    back = lost[-1] + 1
    tracks = linked(at((0, [(0, 0)]), (back, [(0, 0)])), back + 1, lost=lost, max_gap_s=5)
    assert (tracks.count == 1) is same


def test_the_nearest_face_goes_on_when_two_could():
    tracks = linked(at((0, [(0, 0)]), (1, [(30, 0), (4, 0)])), 2)
    assert tracks.track.tolist() == [0, 1, 0]


def test_nobody_at_all():
    tracks = linked(Faces.empty(), 5)
    assert (tracks.count, tracks.layout_changes, len(tracks.track)) == (0, (), 0)


def test_nothing_decoded():
    assert linked(Faces.empty(), 2, lost=range(2)).count == 0


def test_tracks_tell_nothing_but_numbers():
    assert [field.name for field in fields(Tracks)] == ["track", "count", "layout_changes"]


def test_a_class_most_of_which_leaves_at_once_is_no_layout_change():
    grid = [(x * 200.0, y * 200.0) for y in range(3) for x in range(3)]
    stay = [grid[0], grid[4]]
    tracks = linked(at((0, grid), (1, stay), (2, stay)), 3)
    assert not tracks.layout_changes
    assert tracks.count == 9


def test_who_was_away_is_nobody_who_moved():
    # Six of nine look away for a second; back are they and the three who stayed.
    grid = [(x * 200.0, y * 200.0) for y in range(3) for x in range(3)]
    tracks = linked(at((0, grid), (1, grid[:3]), (2, [grid[0], *grid[3:]])), 3)
    assert not tracks.layout_changes
    assert tracks.count == 9


@pytest.mark.parametrize(("stay", "changed"), [(1, True), (2, False), (3, False)])
def test_a_third_who_stay_are_enough_for_the_layout_to_stay(stay, changed):
    grid = [(x * 200.0, 0.0) for x in range(6)]
    moved = [*grid[:stay], *((x + 100.0, 400.0) for x, _ in grid[stay:])]
    tracks = linked(at((0, grid), (1, moved)), 2)
    assert bool(tracks.layout_changes) is changed


def test_people_who_come_back_do_not_hide_a_new_layout():
    # Three are seen and three were a second ago; then the three seen have moved, and the others
    # are back where they were: nobody seen a sample ago has stayed.
    grid = [(x * 200.0, 0.0) for x in range(6)]
    moved = [(x + 100.0, 400.0) for x, _ in grid[:3]]
    tracks = linked(at((0, grid), (1, grid[:3]), (2, [*moved, *grid[3:]])), 3)
    assert tracks.layout_changes == (2,)


def test_new_numbers_tell_nothing_of_the_order_and_are_each_recording_s_own():
    faces = at((0, [(x * 200.0, 0.0) for x in range(9)]))
    tracks = linked(faces, 1)
    one, same, other = (shuffled(tracks, seed * 64) for seed in ("a", "a", "b"))
    assert sorted(one.track.tolist()) == list(range(9))
    assert one.track.tolist() == same.track.tolist()
    assert one.track.tolist() != tracks.track.tolist()
    assert one.track.tolist() != other.track.tolist()
    assert (one.count, one.layout_changes) == (tracks.count, tracks.layout_changes)
