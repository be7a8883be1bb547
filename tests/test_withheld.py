"""What is withheld of a second: people who take turns, new layouts, faces just large enough."""

from dataclasses import replace

import numpy as np

from fer_core.records import Faces
from fer_core.settings import Settings
from fer_core.track import Tracks, link
from tests import factories
from tests.test_engagement import QUICK, measured


def test_values_of_people_who_take_turns_are_withheld_each_for_itself():
    # Six people in each of two pictures of one second; only three of each are read, and other
    # three large enough to tell where they look: six in the second, never four at once.
    corner = np.array([[x * 200.0, 0.0] for x in range(6)])
    pictures = []
    for sample, clear in ((0, slice(0, 3)), (1, slice(3, 6))):
        read = factories.probs(["neutral"] * 6, 0.3)
        read[clear] = factories.probs(["neutral"] * 3)
        pictures.append(factories.faces(6, sample=sample, corner=corner, read=read))
    settings = factories.settings(privacy={"min_group": 4}, engagement=QUICK | {"min_coverage": 0})
    found = measured(factories.observations(Faces.concat(pictures), seconds=1, rate_hz=2), settings)
    assert (found.faces[0], found.faces_scored[0]) == (6, 6)
    assert found.suppressed.tolist() == [True]
    assert np.isnan(found.probs).all() and np.isnan(found.engagement).all()

    small = [replace(part, box=part.box.copy()) for part in pictures]
    small[0].box[3:, 2:] /= 4
    small[1].box[:3, 2:] /= 4
    unread = [replace(part, probs=np.full_like(part.probs, np.nan)) for part in small]
    people = Tracks(np.array([*range(6), *range(6)], np.int32), 6, ())
    found = measured(
        factories.observations(Faces.concat(unread), seconds=1, rate_hz=2), settings, tracks=people
    )
    assert not found.suppressed[0]
    assert np.isnan(found.facing).all()


def test_the_coverage_floor_holds_in_the_second_of_a_layout_change_too():
    # Eight people, of whom three can be read: both tracks of each must not make six of eight.
    seen = factories.lesson(0, people=8, seconds=3, rate_hz=2, layout_change=3, unreadable=0)
    probs = seen.observations.faces.probs.copy()
    probs[seen.person >= 3] = 1 / 7
    observations = replace(seen.observations, faces=replace(seen.observations.faces, probs=probs))
    settings = factories.settings(
        privacy={"min_group": 1}, engagement=QUICK | {"min_coverage": 0.5}
    )
    assert link(observations, settings.tracking).layout_changes == (3,)
    found = measured(observations, settings)
    assert found.faces_scored.tolist() == [3] * 3
    assert np.isnan(found.engagement).all()
    assert np.isfinite(found.probs).all()


def test_a_face_of_just_the_least_size_says_where_it_looks():
    least = Settings().classification.min_face_px
    for height_px, told in ((least, True), (least - 1, False)):
        seen = factories.observations(factories.faces(6, height_px=height_px), seconds=1)
        assert np.isfinite(measured(seen, Settings()).facing[0]) == told
