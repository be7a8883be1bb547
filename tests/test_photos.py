"""Real photos with true boxes, where they lie beside the checkout: not ours to ship."""

import csv
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import cv2
import pytest

from fer_core.detect import YuNet
from fer_core.planes import Planes
from fer_core.records import Frame
from fer_core.settings import Detection

PHOTOS = Path(__file__).parent.parent.parent / "shared" / "clips" / "dlib_faces"
pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason="no photos beside the checkout")


def iou(a, b):
    width = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    height = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    both = width * height
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def test_42_of_43_true_faces_are_found_and_at_most_3_others():
    truth = defaultdict(list)
    with (PHOTOS / "faces.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            truth[row["image"]].append([int(row[k]) for k in ("left", "top", "width", "height")])
    detector = YuNet(Detection())
    found = others = 0
    for name, boxes in truth.items():
        frame = Frame(0, Fraction(0), Planes.of_image(cv2.imread(str(PHOTOS / name))))
        mine = detector.detect(frame).box.tolist()
        for box in boxes:
            best = max(mine, key=lambda own, box=box: iou(own, box), default=None)
            if best is not None and iou(best, box) >= 0.5:
                found += 1
                mine.remove(best)
        others += len(mine)
    assert sum(map(len, truth.values())) == 43
    assert found >= 42
    assert others <= 3
