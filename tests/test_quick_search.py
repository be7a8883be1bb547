"""Most frames are searched at a smaller size: nobody is lost by it, and there is no seam."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.detect import QuickSearch
from fer_core.planes import Planes
from fer_core.records import LANDMARKS, Faces, Frame
from fer_core.settings import Detection
from tests import factories
from tests.factories import examples

PLANES = Planes.of_image(np.zeros((720, 1280, 3), np.uint8))


@dataclass
class Scripted:
    """A detector that finds so many faces in each sample, in full and at the quick size."""

    full: list[int]
    quick: list[int]
    apart_px: float = 0
    moved_px: dict[int, float] = field(default_factory=dict)
    searches: list[str] = field(default_factory=list)

    def detect(self, frame: Frame) -> Faces:
        self.searches.append(f"{frame.sample} full")
        return factories.faces(self.full[frame.sample], sample=frame.sample)

    def detect_at(self, frame: Frame, longest_side_px: int) -> Faces:
        self.searches.append(f"{frame.sample} {longest_side_px}")
        n = self.quick[frame.sample]
        left = np.arange(n) * factories.TILE_PX + self.apart_px
        corner = np.stack([left, np.full(n, self.moved_px.get(frame.sample, 0.0))], axis=1)
        # A little higher, so that one can tell whose result it is.
        return factories.faces(n, sample=frame.sample, corner=corner, height_px=65)


def looked(
    scripted: Scripted, *, start_s: int = 0, rate_hz: int = 1, **detection: int
) -> list[tuple[int, float]]:
    """Return the number and height of the faces from a second on, as a segment would see them."""
    settings = factories.settings(detection={"quick_s": 5} | detection).detection
    search = QuickSearch(scripted, settings, rate_hz)
    found: list[tuple[int, float]] = []
    for sample in range(search.begins_at(start_s) * rate_hz, len(scripted.full)):
        frame = Frame(sample, Fraction(sample, rate_hz), PLANES)
        if sample < start_s * rate_hz:
            search.prepare(frame, start_s)
            continue
        faces = search.detect(frame)
        found.append((len(faces), float(faces.box[:, 3].max(initial=0))))
    return found


def test_where_both_find_the_same_the_rest_is_searched_quickly() -> None:
    scripted = Scripted([4] * 7, [4] * 7)
    assert looked(scripted) == [(4, 65)] * 7
    first = ["0 640", "0 full", "1 640", "2 640", "3 640", "4 640"]
    assert scripted.searches == [*first, "5 640", "5 full", "6 640"]


def test_who_left_is_not_searched_for_again_and_again() -> None:
    scripted = Scripted([4, 4, 3, 3, 4], [4, 4, 3, 3, 4])
    assert looked(scripted) == [(4, 65), (4, 65), (3, 65), (3, 65), (4, 65)]
    fulls = [search for search in scripted.searches if search.endswith("full")]
    assert fulls == ["0 full", "2 full", "4 full"]


@pytest.mark.parametrize(("quick", "apart_px"), [(3, 0), (5, 0), (0, 0), (4, 40)])
def test_where_they_do_not_everything_is_searched_in_full(quick: int, apart_px: float) -> None:
    scripted = Scripted([4] * 5, [quick] * 5, apart_px)
    assert looked(scripted) == [(4, 64)] * 5


def test_a_frame_in_which_somebody_is_missing_is_searched_in_full() -> None:
    scripted = Scripted([4] * 5, [4, 4, 3, 4, 5])
    assert looked(scripted) == [(4, 65), (4, 65), (4, 64), (4, 65), (4, 64)]


def test_a_frame_in_which_they_sit_elsewhere_is_searched_in_full() -> None:
    scripted = Scripted([4] * 5, [4] * 5)
    scripted.moved_px = {2: 40.0, 3: 90.0}
    assert looked(scripted) == [(4, 65), (4, 65), (4, 65), (4, 64), (4, 65)]


def test_nobody_is_searched_quickly_too() -> None:
    scripted = Scripted([0] * 5, [0] * 5)
    looked(scripted)
    assert scripted.searches.count("3 full") == 0


@pytest.mark.parametrize("side_px", [0, 1280, 2000])
def test_it_can_be_switched_off_and_is_for_small_pictures(side_px: int) -> None:
    scripted = Scripted([4] * 5, [4] * 5)
    assert looked(scripted, quick_side_px=side_px) == [(4, 64)] * 5
    assert all(search.endswith("full") for search in scripted.searches)


@examples(80)
@given(
    st.lists(st.tuples(st.integers(2, 4), st.integers(2, 4)), min_size=1, max_size=40),
    st.integers(0, 39),
    st.sampled_from([1, 2]),
)
def test_where_it_begins_does_not_show(
    faces: list[tuple[int, int]], start_s: int, rate_hz: int
) -> None:
    full, quick = map(list, zip(*faces, strict=True))
    whole = looked(Scripted(full, quick), rate_hz=rate_hz)
    rest = looked(Scripted(full, quick), start_s=start_s, rate_hz=rate_hz)
    assert rest == whole[start_s * rate_hz :]


def test_the_settings_say_how() -> None:
    assert Detection().quick_side_px < Detection().longest_side_px  # pyright: ignore[reportCallIssue]


class _Aside:
    """Finds the same faces at both sizes; at the smaller one from the right, all noses too low.

    By a tenth of a face in the first five seconds, by two tenths in the next.
    """

    def __init__(self, faces: int) -> None:
        self._faces = faces

    def detect(self, frame: Frame) -> Faces:
        faces = factories.faces(self._faces, sample=frame.sample)
        box = faces.box.copy()
        box[:, 3] *= np.linspace(0.8, 1, self._faces)
        return replace(faces, box=box)

    def detect_at(self, frame: Frame, longest_side_px: int) -> Faces:
        del longest_side_px
        faces = self.detect(frame)
        points = faces.landmarks.copy()
        points[:, LANDMARKS.index("nose"), 1] += aside(frame) * faces.box[:, 3]
        return replace(faces, landmarks=points).only(np.arange(self._faces)[::-1])


def aside(frame: Frame) -> float:
    return 0.1 * (1 + frame.sample // 5)


@pytest.mark.parametrize("start_s", [0, 3, 7])
@pytest.mark.parametrize("faces", [1, 4, 25])
def test_points_that_lie_aside_in_the_smaller_picture_are_moved_back(
    faces: int, start_s: int
) -> None:
    detector = _Aside(faces)
    settings = factories.settings(detection={"quick_s": 5}).detection
    search = QuickSearch(detector, settings, 1)
    for sample in range(search.begins_at(start_s), 13):
        frame = Frame(sample, Fraction(sample), PLANES)
        if sample < start_s:
            search.prepare(frame, start_s)
            continue
        exact, found = detector.detect(frame), search.detect(frame)
        found = found.only(np.arange(faces)[::-1])
        off = (found.landmarks - exact.landmarks) / exact.box[:, 3, None, None]
        # What few faces tell may be chance: four more count as if they were in place.
        left = np.zeros((5, 2))
        left[LANDMARKS.index("nose"), 1] = aside(frame) * 4 / (faces + 4)
        np.testing.assert_allclose(off, np.broadcast_to(left, off.shape), atol=1e-5)
        assert np.array_equal(found.box, exact.box)
