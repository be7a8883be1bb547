"""Labelled faces from Parquet: votes mapped by hand, and every fault named with file and row."""

import struct
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_core.errors import InputError
from fer_core.records import EMOTIONS
from fer_core.training import dataset, formats
from tests.training import pictures

# FER+'s words, in the order of EMOTIONS, then what is no class of ours.
FER_PLUS = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    *("contempt", "unknown", "NF"),
)


def voted(row: dict[str, int], n: int = 7) -> dict[str, list]:
    """Columns whose first row has just these votes."""
    table = pictures.columns(n)
    for name in FER_PLUS:
        table[f"votes_{name.lower()}"][0] = row.get(name, 0)
    return table


def read(tmp_path, table):
    return formats.read_parquet(pictures.write(tmp_path / "faces.parquet", table))


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
        ({"anger": 3, "unknown": 4, "NF": 3}, {0: 1}, 0.3, False),
        ({"sadness": 4, "contempt": 4}, {5: 1}, 0.5, False),
        ({"contempt": 5, "unknown": 2, "NF": 3}, {}, 0, False),
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


def declaring(width, height):
    """A PNG file that declares so many pixels and holds none: whoever decodes it finds damage."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [head, b"IDAT", b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (wrong("label", 5, "joy"), ["row 5", "'joy'"]),
        (wrong("image", 2, declaring(32_000, 32_000)), ["row 2", "32000×32000 px"]),
        (wrong("image", 2, declaring(48, 48)), ["row 2", "decoded"]),
        (wrong("image", 2, b"no picture"), ["row 2", "decoded"]),
        (wrong("image", 6, b""), ["row 6", "decoded"]),
        (
            wrong("image", 1, pictures.encoded(np.zeros((40, 48), np.uint8))),
            ["row 1", "48×40"],
        ),
        (wrong("votes_fear", 4, -1), ["row 4", "votes_fear", "-1"]),
        (wrong("votes_nf", 4, None), ["row 4", "votes_nf", "None"]),
        (wrong("duplicate_of_train", 3, None), ["row 3", "duplicate_of_train"]),
        (wrong("votes_sadness", 1, 2**40), ["row 1", "votes_sadness", str(2**40)]),
        (pictures.columns(8) | {"label": [["happy"]] * 8}, ["row 0", "['happy']"]),
        (wrong("label", 3, "joy" * 10**6), ["row 3", "'joyjoy"]),
        (pictures.columns(8) | {"label": [["x" * 99] * 999] * 8}, ["row 0", "['xxx"]),
        (
            pictures.columns(8) | {"label": pa.array([b"\xff"] * 8).view(pa.string())},
            ["column label cannot be read", "utf-8"],
        ),
        (
            pictures.columns(8)
            | {"duplicate_of_train": pa.array([2**62] * 8).view(pa.timestamp("us"))},
            ["column duplicate_of_train cannot be read"],
        ),
        (pictures.columns(8) | {"votes_anger": [0.5] * 8}, ["votes_anger", "double"]),
        (pictures.columns(6), ["surprise"]),
        ({name: [] for name in pictures.columns(1)}, ["no faces"]),
        (
            {n: v for n, v in pictures.columns(8).items() if n not in {"label", "votes_nf"}},
            ["label, votes_nf"],
        ),
        (
            {name.replace("votes_", "vote_"): v for name, v in pictures.columns(8).items()},
            ["votes_contempt", "votes_nf"],
        ),
    ],
)
def test_faults_name_file_and_row(tmp_path, table, words):
    with pytest.raises(InputError) as caught:
        read(tmp_path, table)
    assert caught.value.hint
    assert len(caught.value.message) < 400
    for word in ("faces.parquet", *words):
        assert word in caught.value.message


def test_votes_and_duplicates_may_be_missing(tmp_path):
    table = {name: pictures.columns(8)[name] for name in ("image", "label")}
    data = read(tmp_path, table)
    assert not data.has_votes
    assert not data.has_majority.any()
    assert data.is_duplicate is None


def test_files_that_are_not_there_or_not_what_they_seem(tmp_path):
    with pytest.raises(InputError, match="There is no data set"):
        dataset.read_dataset(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no data set"):
        dataset.read_dataset(tmp_path)
    for name, words in (
        ("fer2013-train.parquet", "cannot be read as Parquet"),
        ("fer2013.csv", "lacks the columns"),
        ("archive.zip", "cannot be read as a zip archive"),
        ("notes.txt", "is no data set"),
    ):
        (tmp_path / name).write_bytes(b"PAR1 but not really")
        with pytest.raises(InputError, match=words):
            dataset.read_dataset(tmp_path / name)


def test_the_contests_file_with_and_without_votes(tmp_path):
    rows = pictures.contest()
    pictures.write_csv(tmp_path / "fer2013.csv", rows)
    data = dataset.read_dataset(tmp_path)
    assert {name: len(part) for name, part in data.parts.items()} == {
        "train": 28,
        "valid": 7,
        "test": 7,
    }
    train = data.part("train")
    assert [EMOTIONS[label] for label in train.labels[:7]] == list(pictures.CONTEST)
    assert train.images[3].ravel().tolist() == [int(v) for v in rows[3]["pixels"].split()]
    assert not train.has_votes
    votes = pictures.fer_plus(rows)
    pictures.write_csv(tmp_path / "fer2013new.csv", votes)
    voted = dataset.read_dataset(tmp_path / "fer2013.csv").part("test")
    ours = np.array([int(votes[35][name]) for name in FER_PLUS[:7]])
    assert voted.votes[0] == pytest.approx(ours / ours.sum())


def altered(rows, row, **values):
    return [dict(r, **values) if number == row else r for number, r in enumerate(rows)]


ROWS = pictures.contest()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (altered(ROWS, 5, emotion="7"), ["row 5", "'7'"]),
        (altered(ROWS, 6, emotion=""), ["row 6", "''"]),
        (altered(ROWS, 6, emotion="9" * 5000), ["row 6", "'999"]),
        (altered(ROWS, 9, Usage="Test"), ["row 9", "'Test'"]),
        (altered(ROWS, 9, Usage="Test" * 999), ["row 9", "'Test"]),
        (altered(ROWS, 3, pixels="1 2 3"), ["row 3", "2304"]),
        (altered(ROWS, 3, pixels=ROWS[3]["pixels"].replace(" ", " x", 1)), ["row 3", "2304"]),
        (altered(ROWS, 3, pixels=" ".join(["256"] * 2304)), ["row 3", "255"]),
        (altered(ROWS, 3, pixels=" ".join(["9" * 30] * 2304)), ["row 3", "255"]),
        ([{"emotion": "0", "pixels": "0"}], ["lacks", "Usage"]),
        ([r for r in ROWS if (r["emotion"], r["Usage"]) != ("1", "PublicTest")], ["disgust"]),
    ],
)
def test_faults_of_the_contests_file(tmp_path, rows, words):
    pictures.write_csv(tmp_path / "fer2013.csv", rows)
    with pytest.raises(InputError) as caught:
        dataset.read_dataset(tmp_path)
    assert len(caught.value.message) < 400
    for word in ("fer2013.csv", *words):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("votes", "words"),
    [
        (pictures.fer_plus(ROWS)[:-1], ["41 rows", "42"]),
        (altered(pictures.fer_plus(ROWS), 4, Usage="PublicTest"), ["row 4", "'PublicTest'"]),
        (altered(pictures.fer_plus(ROWS), 4, fear="many"), ["row 4", "fear", "'many'"]),
        (altered(pictures.fer_plus(ROWS), 4, NF="-1"), ["row 4", "NF", "'-1'"]),
        (altered(pictures.fer_plus(ROWS), 4, fear="9" * 5000), ["row 4", "fear"]),
        (altered(pictures.fer_plus(ROWS), 4, fear="9" * 19), ["row 4", "fear"]),
    ],
)
def test_faults_of_the_votes_beside_it(tmp_path, votes, words):
    pictures.write_csv(tmp_path / "fer2013.csv", ROWS)
    pictures.write_csv(tmp_path / "fer2013new.csv", votes)
    with pytest.raises(InputError) as caught:
        dataset.read_dataset(tmp_path)
    assert len(caught.value.message) < 400
    for word in ("fer2013new.csv", *words):
        assert word in caught.value.message


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_by_class_in_a_folder_or_an_archive(tmp_path, packed):
    folder = pictures.kaggle(tmp_path / "data", {"train": 40, "test": 2})
    image = np.random.default_rng(8).integers(0, 256, (48, 48), np.uint8)
    for place in ("train/happy/copy.png", "test/sad/copy.png", "test/sad/again.png"):
        (folder / place).write_bytes(pictures.encoded(image))
    path = folder
    if packed:
        path = tmp_path / "archive.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*.png")):
                archive.write(file, f"training_data/{file.relative_to(folder)}")
            archive.writestr("__MACOSX/training_data/train/happy/._0.png", b"")
            archive.writestr("training_data/readme.txt", b"")
    litter = folder / "train" / "happy" / ".ipynb_checkpoints"
    litter.mkdir()
    (litter / "copy.png").write_bytes(b"")
    (litter.parent / "._copy.png").write_bytes(b"")
    data = dataset.read_dataset(path)
    train, valid, test = (data.part(name) for name in dataset.PARTS)
    assert len(train) + len(valid) == 281
    assert len(test) == 16
    assert np.bincount(test.labels).tolist() == [2, 2, 2, 2, 2, 4, 2]
    # A part `valid` is kept from training, by content: the same pictures every time.
    assert len(valid) > 0
    seen = {image.tobytes() for image in train.images}
    assert not seen & {image.tobytes() for image in valid.images}
    assert test.is_duplicate.sum() == (2 if image.tobytes() in seen else 0)
    assert any(s.startswith("test: 1 of 16 pictures are there more") for s in data.overlaps())


@pytest.mark.parametrize(
    ("place", "content", "words"),
    [
        ("train/happy/bad.jpg", b"no picture", "train/happy/bad.jpg: the picture cannot be decod"),
        ("train/joy/0.png", pictures.encoded(np.zeros((48, 48), np.uint8)), "'joy'"),
        ("spare/happy/0.png", pictures.encoded(np.zeros((48, 48), np.uint8)), "spare/happy/0.png"),
        ("train/sad/l.png", pictures.encoded(np.zeros((64, 48), np.uint8)), "48×64"),
    ],
)
def test_faults_of_pictures_by_class(tmp_path, place, content, words):
    folder = pictures.kaggle(tmp_path, {"train": 2})
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(content)
    with pytest.raises(InputError, match=words):
        dataset.read_dataset(folder)


def test_a_file_of_a_folder_that_is_too_large_is_not_read(tmp_path):
    folder = pictures.kaggle(tmp_path, {"train": 2})
    with (folder / "train" / "happy" / "large.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"train/happy/large.png has 1,099,511,627,776 bytes"):
        dataset.read_dataset(folder)


def test_other_columns_of_a_table_are_left_alone(tmp_path):
    rows = [row | {f"extra{number}": "" for number in range(9)} for row in ROWS]
    pictures.write_csv(tmp_path / "fer2013.csv", rows)
    assert len(dataset.read_dataset(tmp_path).part("train")) == 28
    (tmp_path / "fer2013.csv").write_text("," * 300_000)
    with pytest.raises(InputError, match="lacks the columns"):
        dataset.read_dataset(tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_damaged_inside_is_told(method, tmp_path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("train/happy/0.png", bytes(range(256)) * 20)
    content = bytearray(path.read_bytes())
    content[52:70] = b"\xff" * 18
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a zip archive"):
        dataset.read_dataset(path)


def test_an_archive_is_not_unpacked_into_all_memory(tmp_path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/happy/0.png", bytes(2_000_000))
    with pytest.raises(InputError, match="2,000,000 bytes"):
        dataset.read_dataset(path)


def test_a_path_longer_than_any_file_s(tmp_path):
    with pytest.raises(InputError, match="cannot be a data set"):
        dataset.read_dataset(tmp_path / ("x" * 5000))


def test_columns_of_one_name(tmp_path):
    table = pa.table(pictures.columns(8))
    pq.write_table(table.append_column("label", table["label"]), tmp_path / "faces.parquet")
    with pytest.raises(InputError, match="Multiple matches"):
        dataset.read_dataset(tmp_path / "faces.parquet")


def test_too_few_pictures_to_keep_some_of_each_class(tmp_path):
    folder = pictures.kaggle(tmp_path, {"train": 1})
    with pytest.raises(InputError, match="too few pictures"):
        dataset.read_dataset(folder)


def test_an_empty_class_of_a_folder_is_named(tmp_path):
    folder = pictures.kaggle(tmp_path, {"train": 1})
    (folder / "train" / "fear" / "0.png").unlink()
    with pytest.raises(InputError, match="no face labelled fear"):
        dataset.read_dataset(folder)
