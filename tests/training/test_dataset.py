"""Labelled faces from Parquet: votes mapped by hand, and every fault named with file and row."""

import numpy as np
import pytest

from fer_core.errors import InputError
from fer_core.records import EMOTIONS
from fer_core.training import dataset
from tests.training import pictures

# FER+'s words, in the order of EMOTIONS, then what is no class of ours.
FER_PLUS = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    *("contempt", "unknown", "nf"),
)


def voted(row: dict[str, int], n: int = 7) -> dict[str, list]:
    """Columns whose first row has just these votes."""
    table = pictures.columns(n)
    for name in FER_PLUS:
        table[f"votes_{name}"][0] = row.get(name, 0)
    return table


def read(tmp_path, table):
    return dataset.read_parquet(pictures.write(tmp_path / "faces.parquet", table))


def test_pictures_labels_and_duplicates_come_back_as_written(tmp_path):
    table = pictures.columns(7)
    image = np.random.default_rng(5).integers(0, 256, (48, 48), np.uint8)
    table["image"][3] = pictures.encoded(image)
    data = read(tmp_path, table)
    assert len(data) == 7
    assert np.array_equal(data.images[3], image)
    assert [EMOTIONS[label] for label in data.labels] == table["label"]
    assert data.is_duplicate.tolist() == table["duplicate_of_train"]


@pytest.mark.parametrize("number", range(7))
def test_each_vote_column_is_its_own_class(tmp_path, number):
    data = read(tmp_path, voted({FER_PLUS[number]: 10}))
    assert data.votes[0].tolist() == [float(place == number) for place in range(7)]
    assert data.majority[0] == number
    assert data.weight[0] == 1
    assert data.has_majority[0]


@pytest.mark.parametrize(
    ("row", "shares", "weight", "has_majority"),
    [
        (
            {"happiness": 6, "neutral": 2, "contempt": 1, "unknown": 1},
            {3: 0.75, 4: 0.25},
            0.8,
            True,
        ),
        ({"happiness": 5, "neutral": 5}, {3: 0.5, 4: 0.5}, 1, False),
        ({"anger": 3, "unknown": 4, "nf": 3}, {0: 1}, 0.3, False),
        ({"sadness": 4, "contempt": 4}, {5: 1}, 0.5, False),
        ({"contempt": 5, "unknown": 2, "nf": 3}, {}, 0, False),
        ({}, {}, 0, False),
    ],
)
def test_votes_by_hand(tmp_path, row, shares, weight, has_majority):
    data = read(tmp_path, voted(row))
    assert data.votes[0] == pytest.approx([shares.get(number, 0) for number in range(7)])
    assert data.weight[0] == pytest.approx(weight)
    assert bool(data.has_majority[0]) is has_majority


def wrong(column, row, value):
    table = pictures.columns(8)
    table[column][row] = value
    return table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (wrong("label", 5, "joy"), ["row 5", "'joy'"]),
        (wrong("image", 2, b"no picture"), ["row 2", "decoded"]),
        (wrong("image", 6, b""), ["row 6", "decoded"]),
        (
            wrong("image", 1, pictures.encoded(np.zeros((40, 48), np.uint8))),
            ["row 1", "48×40"],
        ),
        (wrong("votes_fear", 4, -1), ["row 4", "votes_fear", "-1"]),
        (wrong("votes_nf", 4, None), ["row 4", "votes_nf", "None"]),
        (wrong("duplicate_of_train", 3, None), ["row 3", "duplicate_of_train"]),
        (pictures.columns(8) | {"votes_anger": [0.5] * 8}, ["votes_anger", "double"]),
        (pictures.columns(6), ["surprise"]),
        ({name: [] for name in pictures.columns(1)}, ["no faces"]),
        (
            {n: v for n, v in pictures.columns(8).items() if n not in {"label", "votes_nf"}},
            ["label, votes_nf"],
        ),
    ],
)
def test_faults_name_file_and_row(tmp_path, table, words):
    with pytest.raises(InputError) as caught:
        read(tmp_path, table)
    assert caught.value.hint
    for word in ("faces.parquet", *words):
        assert word in caught.value.message


def test_files_that_are_not_there_or_not_parquet(tmp_path):
    with pytest.raises(InputError, match=r"fer2013-valid\.parquet does not exist"):
        dataset.read_part(tmp_path, "valid")
    (tmp_path / "fer2013-train.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        dataset.read_part(tmp_path, "train")
    with pytest.raises(InputError, match="no part 'test'"):
        dataset.read_part(tmp_path, "test")


def test_a_part_is_found_in_its_folder(tmp_path):
    pictures.write(tmp_path / "fer2013-valid.parquet", pictures.columns(9))
    assert len(dataset.read_part(tmp_path, "valid")) == 9
