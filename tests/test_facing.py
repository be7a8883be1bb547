"""Head pose from five points: projected faces of known pose come back with their signs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.engagement import facing, head_pose
from tests.factories import FACE_MM, examples, turned

YAW, PITCH = st.floats(-60, 60), st.floats(-40, 40)
ROLL, SCALE = st.floats(-45, 45), st.floats(0.2, 5)


def pose(*points: np.ndarray) -> np.ndarray:
    return head_pose(np.array(points, np.float32))


@examples(50)
@given(YAW, PITCH, ROLL, SCALE, st.tuples(*[st.floats(0, 4000)] * 2))
def test_a_known_pose_comes_back(yaw, pitch, roll, scale, at):
    found = pose(turned(yaw, pitch, roll, scale=scale, at=at))[0]
    # Pixels of 4000 wide pictures are kept in 32 bits, which costs small faces a little.
    assert found == pytest.approx([yaw, pitch], abs=0.5)


def test_signs_by_hand():
    # Eyes, nose and mouth of a drawn face, the person's right eye on our left; its nose tip moves.
    front = np.array([[70, 100], [130, 100], [100, 137], [75, 163], [125, 163]], float)
    for offset, axis, sign in (((9, 0), 0, 1), ((-9, 0), 0, -1), ((0, 9), 1, 1), ((0, -9), 1, -1)):
        moved = front.copy()
        moved[2] += offset
        change = pose(moved)[0] - pose(front)[0]
        assert change[axis] * sign > 5
        assert abs(change[1 - axis]) < 1
    assert pose(front)[0] == pytest.approx([0, 0], abs=6)


def test_the_average_face_is_a_face():
    right_eye, left_eye, nose, right_mouth, left_mouth = FACE_MM
    assert left_eye[0] - right_eye[0] == pytest.approx(63)
    for one, other in ((right_eye, left_eye), (right_mouth, left_mouth)):
        assert (one * [-1, 1, 1]).tolist() == other.tolist()
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert nose[0] == 0
    assert nose[2] < min(right_eye[2], right_mouth[2])


def test_a_tilted_head_is_not_a_turned_one():
    for roll in (-45, -20, 20, 45, 90, 180):
        assert pose(turned(0, 0, roll))[0] == pytest.approx([0, 0], abs=1e-3)


@examples(40)
@given(st.integers(0, 10_000), st.floats(-40, 40), st.floats(-25, 25))
def test_people_are_not_the_average_face(seed, yaw, pitch):
    random = np.random.default_rng(seed)
    face = FACE_MM * random.uniform(0.92, 1.08, 3) * random.uniform(0.95, 1.05, (5, 3))
    face[1, 0], face[4, 0] = -face[0, 0], -face[3, 0]
    found = pose(turned(yaw, pitch, face=face))[0]
    assert found == pytest.approx([yaw, pitch], abs=15)


@pytest.mark.parametrize(
    ("yaw", "pitch", "share"),
    [
        (0, 0, 1),
        (22.5, 0, 0.5),
        (-22.5, 0, 0.5),
        (0, 15, 0.5),
        (0, -15, 0.5),
        (22.5, 15, 0.25),
        (45, 0, 0),
        (-60, 0, 0),
        (0, 30, 0),
        (60, -40, 0),
        (9, 6, 0.64),
    ],
)
def test_how_directly_a_face_looks(yaw, pitch, share):
    assert facing(np.array([turned(yaw, pitch)], np.float32))[0] == pytest.approx(share, abs=1e-3)


def test_many_faces_at_once_and_none():
    points = np.array([turned(yaw) for yaw in (-30, 0, 30)], np.float32)
    assert head_pose(points)[:, 0] == pytest.approx([-30, 0, 30], abs=1e-3)
    assert facing(np.zeros((0, 5, 2), np.float32)).shape == (0,)


@examples(40)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=10, max_size=10))
def test_whatever_points_come_facing_is_a_share(values):
    share = facing(np.array(values, np.float32).reshape(1, 5, 2))
    assert np.isfinite(share).all()
    assert 0 <= share[0] <= 1
