"""The records: every shape check fires, nothing can be changed afterwards, parts join in order."""

from dataclasses import FrozenInstanceError, fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.records import (
    EMOTIONS,
    LANDMARKS,
    THUMBNAIL_PX,
    Faces,
    Observations,
    Segment,
    VideoInfo,
)
from tests import factories
from tests.factories import examples

INFO = VideoInfo(
    path=Path("/recordings/a.mp4"),
    size_bytes=1,
    container="mov",
    codec="h264",
    width=1,
    height=1,
    duration_s_from_header=None,
    frame_rate_from_header=None,
    stream_index=0,
)


def test_the_orders_that_every_array_relies_on():
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    assert LANDMARKS == ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")


@pytest.mark.parametrize(
    "change",
    [{"path": Path("a.mp4")}, {"width": 0}, {"height": 0}, {"width": -1}, {"height": -1}],
)
def test_video_info_is_checked(change):
    with pytest.raises(ValueError, match=r"absolute|positive"):
        replace(INFO, **change)


@pytest.mark.parametrize(
    "values", [(-1, 0, None), (0, -1, None), (0, 10, 10), (0, 10, 9), (0, 0, 0)]
)
def test_a_segment_is_checked(values):
    with pytest.raises(ValueError, match="segment"):
        Segment(*values)


def test_a_segment_may_be_open_ended():
    assert Segment(3, 900, None).end_s is None


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("box", (3, 4)),
        ("box", (2, 5)),
        ("score", (3,)),
        ("score", (2, 1)),
        ("landmarks", (2, 5)),
        ("landmarks", (2, 4, 2)),
        ("landmarks", (2, 10)),
        ("probs", (2, 6)),
        ("probs", (1, 7)),
        ("sample", (2, 1)),
        ("sample", (3,)),
    ],
)
def test_faces_are_parallel_arrays(name, shape):
    with pytest.raises(ValueError, match="must be"):
        replace(factories.faces(2), **{name: np.zeros(shape)})


def test_faces_come_in_the_order_of_their_samples():
    assert len(factories.faces(3, sample=np.array([1, 1, 2]))) == 3
    with pytest.raises(ValueError, match="order"):
        factories.faces(3, sample=np.array([1, 2, 1]))


def test_faces_that_were_not_read_say_so_with_nan_not_zero():
    unread = Faces.unread(7, np.ones((2, 4)), np.ones(2), np.ones((2, 5, 2)))
    assert np.isnan(unread.probs).all()
    assert unread.sample.tolist() == [7, 7]
    assert [getattr(unread, field.name).dtype.name for field in fields(unread)] == [
        "int64",
        *["float32"] * 5,
    ]


def test_no_face_has_the_shapes_of_faces():
    assert len(Faces.empty()) == 0
    assert len(Faces.concat([])) == 0
    assert Faces.empty().landmarks.shape == (0, 5, 2)


def test_records_cannot_be_changed():
    for record in (INFO, Segment(0, 0, None), Faces.empty()):
        with pytest.raises(FrozenInstanceError):
            setattr(record, fields(record)[0].name, None)


def test_observations_are_checked():
    seen = factories.observations(factories.faces(2, sample=1), seconds=3)
    wrong = {"ascend": ([0, 1, 1, 2], [2, 1, 0]), "never decoded": ([0, 2], [])}
    for message, orders in wrong.items():
        for samples in orders:
            pictures = np.zeros((len(samples), *THUMBNAIL_PX), np.uint8)
            fresh = np.zeros(len(samples), np.bool_)
            numbers = np.array(samples, np.int64)
            with pytest.raises(ValueError, match=message):
                replace(seen, samples=numbers, thumbnails=pictures, stale=fresh)
    with pytest.raises(ValueError, match="thumbnails must be one a sample"):
        replace(seen, thumbnails=seen.thumbnails[1:])
    with pytest.raises(ValueError, match="stale must be one a sample"):
        replace(seen, stale=seen.stale[1:])


def test_stale_samples_go_with_their_faces():
    seen = factories.observations(
        Faces.concat([factories.faces(2, sample=1), factories.faces(3, sample=2)]), seconds=4
    )
    kept = replace(seen, stale=np.array([False, True, False, True])).without_stale()
    assert kept.samples.tolist() == [0, 2]
    assert kept.faces.sample.tolist() == [2, 2, 2]
    assert (len(kept.thumbnails), kept.stale.tolist()) == (2, [False, False])


@examples(30)
@given(st.integers(0, 99), st.lists(st.integers(1, 19), max_size=3, unique=True))
def test_a_recording_cut_into_segments_is_put_together_again(seed, cuts):
    whole = factories.lesson(seed, people=3, leaves={1: 4}).observations
    ends = [0, *sorted(cuts), 20]
    parts = [
        Observations(
            rate_hz=1,
            samples=np.arange(start, end),
            faces=Faces(
                *(
                    getattr(whole.faces, field.name)[
                        (whole.faces.sample >= start) & (whole.faces.sample < end)
                    ]
                    for field in fields(Faces)
                )
            ),
            decode_failures=1,
            content_end_s=float(end),
            thumbnails=whole.thumbnails[start:end],
            stale=whole.stale[start:end],
        )
        for start, end in pairwise(ends)
    ]

    joined = Observations.concat(parts)

    assert joined.decode_failures == len(parts)
    assert joined.content_end_s == 20
    assert np.array_equal(joined.samples, whole.samples)
    for field in fields(Faces):
        mine, theirs = getattr(joined.faces, field.name), getattr(whole.faces, field.name)
        assert np.array_equal(mine, theirs)


def test_segments_in_the_wrong_order_are_noticed():
    early, late = (
        factories.observations(factories.faces(1, sample=0), seconds=2),
        factories.observations(factories.faces(1, sample=5), seconds=6, lost=range(5)),
    )
    with pytest.raises(ValueError, match=r"order|ascend"):
        Observations.concat([late, early])
