"""The parts of a data set: found by their names, kept of one another, duplicates told."""

import numpy as np
import pytest

from fer_core.errors import InputError
from fer_core.training import dataset
from tests.training import pictures


def test_parts_are_found_by_their_names(tmp_path):
    pictures.write(tmp_path / "fer2013-train.parquet", pictures.columns(21))
    pictures.write(tmp_path / "FER2013_PublicTest.parquet", pictures.columns(9, seed=1))
    pictures.write(tmp_path / "private-test.parquet", pictures.columns(8, seed=2))
    pictures.write(tmp_path / "other.parquet", {"x": [1]})
    data = dataset.read_dataset(tmp_path)
    assert {name: len(part) for name, part in data.parts.items()} == {
        "train": 21,
        "valid": 9,
        "test": 8,
    }
    assert list(dataset.read_dataset(tmp_path, "valid").parts) == ["valid"]
    pictures.write(tmp_path / "test2.parquet", pictures.columns(8))
    with pytest.raises(InputError, match="look like the part"):
        dataset.read_dataset(tmp_path)


def test_a_part_that_is_not_there_is_told_with_those_that_are(tmp_path):
    pictures.write(tmp_path / "fer2013-train.parquet", pictures.columns(420))
    with pytest.raises(InputError, match="no part 'test'") as caught:
        dataset.read_dataset(tmp_path, "test")
    assert caught.value.hint == "It has: train."
    # Kept from training, whether the other parts are asked for or not.
    assert len(dataset.read_dataset(tmp_path, "valid").part("valid")) == len(
        dataset.read_dataset(tmp_path).part("valid")
    )


def test_one_file_is_the_part_that_is_wanted(tmp_path):
    file = pictures.write(tmp_path / "held-back.parquet", pictures.columns(9))
    assert list(dataset.read_dataset(file).parts) == ["test"]
    assert list(dataset.read_dataset(tmp_path).parts) == ["test"]
    assert len(dataset.read_dataset(file, "valid").part("valid")) == 9
    with pytest.raises(InputError, match="no part 'train'"):
        dataset.read_dataset(file).part("train")


def test_a_file_of_any_name_beside_the_training_part_is_to_be_measured_on(tmp_path):
    pictures.write(tmp_path / "fer2013-train.parquet", pictures.columns(700))
    said = dataset.read_dataset(tmp_path).overlaps()
    assert any("one picture in 10 of train, which only a model that was" in s for s in said)
    pictures.write(tmp_path / "heldout.parquet", pictures.columns(14, seed=1))
    data = dataset.read_dataset(tmp_path)
    assert len(data.part("test")) == 14
    pictures.write(tmp_path / "more.parquet", pictures.columns(14, seed=2))
    with pytest.raises(InputError, match="look like the part 'test'"):
        dataset.read_dataset(tmp_path)


def test_duplicates_across_parts_are_found_and_told(tmp_path):
    table = {name: pictures.columns(14)[name] for name in ("image", "label")}
    pictures.write(tmp_path / "train.parquet", table)
    other = {name: pictures.columns(14, seed=1)[name] for name in ("image", "label")}
    other["image"][2] = other["image"][5] = table["image"][9]
    pictures.write(tmp_path / "valid.parquet", other)
    data = dataset.read_dataset(tmp_path)
    assert np.flatnonzero(data.part("valid").is_duplicate).tolist() == [2, 5]
    assert data.overlaps() == [
        "valid: 1 of 14 pictures are there more than once",
        "valid: 2 of 14 pictures are in train too",
    ]
    alone = dataset.read_dataset(tmp_path, "valid").part("valid")
    assert np.flatnonzero(alone.is_duplicate).tolist() == [2, 5]
    pictures.write(tmp_path / "test.parquet", other)
    assert "test: 14 of 14 pictures are in valid too" in dataset.read_dataset(tmp_path).overlaps()
