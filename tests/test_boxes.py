"""How much boxes overlap, against counting."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fer_core.boxes import overlap

SIDE = st.integers(0, 12)
BOXES = st.lists(st.tuples(SIDE, SIDE, SIDE, SIDE), min_size=1, max_size=4)


def dots(box):
    left, top, width, height = box
    return {(x, y) for x in range(left, left + width) for y in range(top, top + height)}


@given(BOXES, BOXES)
def test_overlap_is_the_share_of_dots_in_both(boxes, others):
    found = overlap(np.array(boxes, np.float32), np.array(others, np.float32))
    assert found.dtype == np.float32
    for row, box in zip(found, boxes, strict=True):
        for value, other in zip(row, others, strict=True):
            either = dots(box) | dots(other)
            expected = len(dots(box) & dots(other)) / len(either) if either else 0
            assert abs(value - expected) < 1e-6


def test_no_box_overlaps_nothing():
    none, one = np.zeros((0, 4), np.float32), np.ones((1, 4), np.float32)
    assert overlap(none, one).shape == (0, 1)
    assert overlap(one, none).shape == (1, 0)
