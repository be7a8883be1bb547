"""Figures of a model against formulas written out slowly, and calibration of known cases."""

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import keras
import numpy as np
import pytest

from fer_core import cli
from fer_core.assets import Calibration
from fer_core.classify import softmax
from fer_core.errors import ConfigError, InputError
from fer_core.training import evaluate, metrics, zoo
from fer_core.training.faces import HEADS, FaceData
from tests.training import pictures

RNG = np.random.default_rng(3)
N = 300
TRUTH = RNG.integers(0, 7, N)
LOGITS = RNG.normal(0, 1, (N, 7)) + 1.5 * np.eye(7)[TRUTH]


def slow_softmax(row, temperature=1.0):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def slow_nll(temperature):
    return -sum(
        math.log(slow_softmax(row, temperature)[truth])
        for row, truth in zip(LOGITS.tolist(), TRUTH.tolist(), strict=True)
    )


def test_softmax():
    probs = softmax(LOGITS, 1.7)
    assert probs[0] == pytest.approx(slow_softmax(LOGITS[0], 1.7))
    assert probs.sum(axis=1) == pytest.approx(np.ones(N))
    assert np.isfinite(softmax(np.array([[1e4, -1e4]]))).all()


def test_confusion_recall_and_f1():
    found = LOGITS.argmax(axis=1)
    counts = metrics.confusion(TRUTH, found, 7)
    pairs = list(zip(TRUTH.tolist(), found.tolist(), strict=True))
    assert counts.tolist() == [[pairs.count((t, f)) for f in range(7)] for t in range(7)]
    f1 = []
    for cls in range(7):
        hit = pairs.count((cls, cls))
        precision = hit / sum(f == cls for _, f in pairs)
        recall = hit / sum(t == cls for t, _ in pairs)
        assert metrics.recall(counts)[cls] == pytest.approx(recall)
        f1.append(2 * precision * recall / (precision + recall))
    assert metrics.macro_f1(counts) == pytest.approx(sum(f1) / 7)


def test_an_absent_class_has_no_recall_and_no_f1():
    counts = metrics.confusion(np.array([0, 0, 1]), np.array([0, 0, 1]), 3)
    assert metrics.recall(counts)[:2].tolist() == [1, 1]
    assert math.isnan(metrics.recall(counts)[2])
    assert metrics.macro_f1(counts) == 1


def test_calibration_error_by_hand():
    probs = softmax(LOGITS)
    total = 0.0
    for number in range(15):
        inside = [
            (max(row), row.index(max(row)) == truth)
            for row, truth in zip(probs.tolist(), TRUTH.tolist(), strict=True)
            if number / 15 < max(row) <= (number + 1) / 15
        ]
        if inside:
            confidence = sum(top for top, _ in inside) / len(inside)
            accuracy = sum(right for _, right in inside) / len(inside)
            total += len(inside) / N * abs(confidence - accuracy)
    assert metrics.calibration_error(probs, TRUTH) == pytest.approx(total)


def test_perfect_calibration_has_no_error_and_boasting_has():
    # Of ten faces read with 0.7, seven are right; of four with 0.5, two.
    tops = [0.7] * 10 + [0.5] * 4
    truth = np.array([0] * 7 + [1] * 3 + [0] * 2 + [1] * 2)
    probs = np.array([[top, 1 - top - 0.01, 0.01] for top in tops])
    assert metrics.calibration_error(probs, truth) == pytest.approx(0, abs=1e-12)
    sure = np.array([[1.0, 0.0, 0.0]] * 14)
    assert metrics.calibration_error(sure, truth) == pytest.approx(5 / 14)


def test_divergence():
    votes, probs = RNG.dirichlet(np.ones(7), 5), RNG.dirichlet(np.ones(7), 5)
    slow = sum(v * math.log(v / p) for v, p in zip(votes.ravel(), probs.ravel(), strict=True))
    assert metrics.divergence(votes, probs) == pytest.approx(slow / 5)
    assert metrics.divergence(votes, votes) == 0
    certain = np.eye(7)[:5]
    assert metrics.divergence(certain, certain) == 0
    assert np.isfinite(metrics.divergence(certain, certain[::-1]))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (40_000, 7))
    probs = softmax(logits)
    truth = (probs.cumsum(axis=1) < rng.random((len(probs), 1))).sum(axis=1)
    found = metrics.best_temperature(logits * temperature, truth)
    assert found == pytest.approx(temperature, rel=0.03)


def test_the_best_temperature_has_the_least_loss():
    best = metrics.best_temperature(LOGITS, TRUTH)
    assert slow_nll(best) < min(slow_nll(best * 0.98), slow_nll(best * 1.02))
    shifted = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    assert metrics.best_temperature(shifted, TRUTH) == pytest.approx(best)


def test_faces_that_are_all_right_or_all_wrong_keep_within_the_limits():
    logits = np.eye(7)
    low, high = metrics.TEMPERATURES
    assert metrics.best_temperature(logits, np.arange(7)) == pytest.approx(low)
    assert metrics.best_temperature(logits, np.roll(np.arange(7), 1)) == pytest.approx(high)


def test_balancing_finds_the_rare_class_as_long_as_accuracy_allows():
    # 990 faces of one class, ten of another that is as sure, but for its rarity.
    truth = np.repeat([0, 1], [990, 10])
    clear = np.where(truth[:, None] == np.arange(2), 4.0, 0.0)
    assert metrics.balance(clear, truth, 0.0) == pytest.approx([0, max(metrics.OFFSETS)])
    logits = clear - [0, 4.5]  # every rare face lost, and found again by an offset of 0.5
    offset = metrics.balance(logits, truth, 0.0)
    assert ((logits + offset).argmax(axis=1) == truth).all()
    # Any offset that finds the ten rare faces loses twenty common ones.
    logits[:20, 1] = logits[:20, 0] - 0.1
    assert not metrics.balance(logits, truth, 0.0).any()
    assert metrics.balance(logits, truth, 0.011).any()
    # A third class that is not there is not the rarest.
    assert not metrics.balance(np.pad(clear, ((0, 0), (0, 1))), truth, 0.0)[2]


def test_calibration_makes_probabilities_of_logits_once_moved_and_divided():
    data = pictures.faces(70)
    given = {"fer2013": RNG.normal(0, 1, (70, 7))}
    offset = tuple(0.1 * step for step in range(7))
    report = evaluate.measure(given, data, {"fer2013": Calibration(1.5, offset)})["fer2013"]
    probs = np.array([slow_softmax(row + np.array(offset), 1.5) for row in given["fer2013"]])
    assert report["accuracy"] == pytest.approx((probs.argmax(axis=1) == data.labels).mean())
    assert report["ece"] == pytest.approx(metrics.calibration_error(probs, data.labels))
    assert report["ece_before"] == pytest.approx(
        metrics.calibration_error(softmax(given["fer2013"]), data.labels)
    )
    assert report["offset"] == list(offset)


def test_the_consensus_head_is_never_balanced():
    data = pictures.faces(140, seed=4)
    given = {head: RNG.normal(0, 1, (140, 7)) for head in HEADS}
    given["fer2013"] += 4 * np.eye(7)[data.labels]
    found = evaluate.best_calibration(given, data)
    assert not any(found["consensus"].offset)


def test_kept_above():
    probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    truth = np.array([0, 0, 0])
    assert metrics.kept_above(probs, truth, 0.6) == (pytest.approx(2 / 3), 0.5)
    share, accuracy = metrics.kept_above(probs, truth, 0.95)
    assert share == 0
    assert math.isnan(accuracy)


def test_each_head_is_measured_on_the_faces_it_has_a_truth_for():
    data = pictures.faces(140, seed=2)
    given = {head: RNG.normal(0, 1, (140, 7)) for head in ("consensus", "fer2013")}
    given["consensus"] += 4 * np.eye(7)[data.majority]
    given["fer2013"] += 4 * np.eye(7)[data.labels]
    calibration = {"consensus": Calibration(0.7)}
    report = evaluate.measure(given, data, calibration)
    assert report["fer2013"]["faces"] == 140
    assert report["consensus"]["faces"] == data.has_majority.sum() < 140
    for head, truth, known in (
        ("consensus", data.votes.argmax(axis=1), data.has_majority),
        ("fer2013", data.labels, np.ones(140, bool)),
    ):
        of = report[head]
        right = [
            bool(row.argmax() == truth[number])
            for number, row in enumerate(given[head])
            if known[number]
        ]
        fresh = known & ~data.is_duplicate
        assert of["accuracy"] == pytest.approx(sum(right) / len(right))
        assert of["accuracy_without_duplicates"] == pytest.approx(
            np.mean(given[head][fresh].argmax(axis=1) == truth[fresh])
        )
        assert of["faces_without_duplicates"] == fresh.sum()
        assert np.sum(of["confusion"]) == known.sum()
        assert of["temperature"] == calibration.get(head, Calibration()).temperature
    assert "divergence" not in report["fer2013"]
    assert [row["least"] for row in report["consensus"]["thresholds"]] == [0.3, 0.35, 0.4, 0.5]
    json.dumps(report)


def test_the_bins_of_the_reliability_diagram():
    probs = np.array([[0.9, 0.1], [0.92, 0.08], [0.55, 0.45]])
    low, border, high = metrics.reliability(probs, np.array([0, 1, 1]), bins=10)
    assert (low["low"], low["high"], low["faces"]) == (0.5, 0.6, 1)
    assert (low["said"], low["right"]) == (0.55, 0)
    assert (border["high"], border["right"]) == (0.9, 1)  # of two bins the lower one
    assert (high["said"], high["right"]) == (0.92, 0)


def test_faces_are_shrunk_and_enlarged_again():
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    small = evaluate.shrunk(images, 24)
    # The mean of four pixels, and pixels between two such means.
    exact = images.reshape(3, 24, 2, 24, 2).mean(axis=(2, 4))
    assert small.shape == images.shape
    assert abs(small.mean() - exact.mean()) < 1
    assert small.std() < images.std() / 1.5


def test_neutral_and_sad_taken_for_each_other():
    data = pictures.faces(70)
    given = {"fer2013": 9 * np.eye(7)[data.labels]}
    neutral, sad = np.flatnonzero(data.labels == 4), np.flatnonzero(data.labels == 5)
    given["fer2013"][neutral[:3]] = 9 * np.eye(7)[5]
    given["fer2013"][sad[:1]] = 9 * np.eye(7)[4]
    given["fer2013"][sad[1:4]] = 9 * np.eye(7)[0]
    assert evaluate.measure(given, data, {})["fer2013"]["neutral_sad"] == pytest.approx(4 / 20)


def test_without_votes_or_known_duplicates_nothing_is_made_up():
    voted = pictures.faces(70)
    data = FaceData(
        voted.images,
        voted.labels,
        np.zeros_like(voted.votes),
        np.zeros_like(voted.weight),
        np.zeros_like(voted.has_majority),
    )
    given = {head: RNG.normal(0, 1, (70, 7)) for head in HEADS}
    assert evaluate.best_calibration(given, data).keys() == {"fer2013"}
    report = evaluate.measure(given, data, {})
    assert "consensus" not in report
    assert report["fer2013"]["accuracy_without_duplicates"] is None


def run(*words):
    with pytest.raises(SystemExit) as ended:
        cli.main(["model", *map(str, words)])
    return ended.value.code


def test_unknown_models_and_data_end_with_a_sentence(tmp_path, capsys):
    assert run("evaluate", "lecturenet", "--data", tmp_path) == 1
    assert "holds no data set" in capsys.readouterr().err
    assert run("evaluate", "lecturenot", "--data", tmp_path) == 2
    assert "lecturenot" in capsys.readouterr().err
    assert run("evaluate", tmp_path / "absent.keras", "--data", tmp_path) == 1
    assert "absent.keras" in capsys.readouterr().err


def with_outputs(outputs, channels=1):
    faces = keras.Input((48, 48, channels))
    x = keras.layers.GlobalAveragePooling2D()(faces)
    given = outputs(x)
    return keras.Model(faces, given)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("outputs", "channels"),
    [
        (keras.layers.Dense(7), 1),
        (lambda x: {"consensus": keras.layers.Dense(8)(x)}, 1),
        (lambda x: {"other": keras.layers.Dense(7)(x)}, 1),
        (lambda x: {"consensus": keras.layers.Dense(7)(x)}, 3),
    ],
    ids=["no heads", "eight classes", "another head", "colour"],
)
def test_models_of_other_programs_are_refused(outputs, channels, tmp_path):
    with_outputs(outputs, channels).save(tmp_path / "other.keras")
    with pytest.raises(InputError, match="'other' cannot be loaded: it"):
        evaluate.open_model(str(tmp_path / "other.keras"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_file_damaged_inside_is_told_in_short(tmp_path):
    path = tmp_path / "damaged.keras"
    with_outputs(lambda x: {"consensus": keras.layers.Dense(7)(x)}, 1).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255  # a checksum that zipfile looks at
    path.write_bytes(content)
    for read in (evaluate.open_model, lambda name: zoo.read_model(Path(name))):
        with pytest.raises(InputError, match="cannot be loaded: Bad CRC-32") as caught:
            read(str(path))
        assert len(caught.value.message) < 400


def test_a_file_cut_off_and_choices_that_mean_nothing(tmp_path):
    path = tmp_path / "cut.keras"
    path.write_bytes(b"PK and no more")
    with pytest.raises(InputError, match=r"cut\.keras is no \.keras file"):
        evaluate.open_model(str(path))
    for choice in ({"runtime": "litert"}, {"weights": path}):
        with pytest.raises(ConfigError, match="its own weights"):
            evaluate.open_model(str(path), **choice)


@pytest.fixture
def quickly_timed(monkeypatch):
    """Time a model over few batches, where the time itself is not looked at."""
    monkeypatch.setattr(evaluate, "_TIMED_BATCHES", 1)


@pytest.mark.usefixtures("quickly_timed")
def test_shipped_weights_are_measured_from_the_command_line(tmp_path, capsys):
    pictures.write(tmp_path / "fer2013-valid.parquet", pictures.columns(21))
    plot = tmp_path / "reliability.svg"
    assert run("evaluate", "lecturenet", "--data", tmp_path, "--json", "--plot", plot) == 0
    report = json.loads(capsys.readouterr().out)
    wanted = {"accuracy", "accuracy_without_duplicates", "macro_f1", "recall", "ece", "ms_per_face"}
    assert wanted <= report["consensus"].keys()
    assert wanted <= report["fer2013"].keys()
    assert report["fer2013"]["by_size"].keys() == {"24", "36", "48"}
    assert 0 < report["consensus"]["ms_per_face"] == report["fer2013"]["ms_per_face"]
    assert report["part"] == "valid"
    assert "consensus: " in evaluate.as_text(report)
    drawn = ET.parse(plot).getroot()
    assert drawn.find("{*}title").text == "Reliability of lecturenet on the part valid"
    # A point and a bar for each bin of each head, a frame each, and the paper.
    bins = [len(report[head]["reliability"]) for head in HEADS]
    assert len(drawn.findall(".//{*}circle")) == sum(bins)
    assert len(drawn.findall(".//{*}rect")) == sum(bins) + 3


@pytest.mark.usefixtures("quickly_timed")
def test_a_class_that_nobody_voted_for_has_no_recall_in_json(tmp_path, capsys):
    columns = pictures.columns(21) | {"votes_disgust": [0] * 21}
    columns["image"][1] = columns["image"][0]
    pictures.write(tmp_path / "fer2013-test.parquet", columns)
    words = ("evaluate", "lecturenet", "--data", tmp_path, "--json")
    assert run(*words) == 0

    def refused(word):
        raise AssertionError(word)

    report = json.loads(capsys.readouterr().out, parse_constant=refused)
    assert report["part"] == "test"
    assert "test: 1 of 21 pictures are there more than once" in report["notes"]
    assert report["consensus"]["recall"]["disgust"] is None
    assert "disgust       –" in evaluate.as_text(report)
    assert run(*words, "--plot", tmp_path / "absent" / "plot.svg") == 2
    assert "plot.svg cannot be written" in capsys.readouterr().err


def test_models_and_card_are_listed(capsys):
    assert run("list") == 0
    said = capsys.readouterr().out
    assert "lecturenet  (default)" in said
    assert "deepface-package" in said
    assert run("card") == 0
    assert capsys.readouterr().out.startswith("# ")
