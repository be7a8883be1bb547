"""Reads the formats that FER2013 and FER+ come in; which parts are needed is ``dataset``'s work."""

# The stubs of pyarrow and pandas leave much open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import lzma
import reprlib
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_core.errors import InputError, in_short
from fer_core.records import EMOTIONS, FACE_SIZE_PX
from fer_core.training.faces import (
    FER_PLUS,
    FaceData,
    counted,
    decoded,
    faces_of,
    need_columns,
    need_every_class,
    numbered,
)

VOTE_COLUMNS: Final = tuple(f"votes_{name.lower()}" for name in FER_PLUS)
"""The same as columns of the Parquet files."""

CSV: Final = ("fer2013.csv", "icml_face_data.csv")
"""The contest's file, under its two names."""

FER_PLUS_CSV: Final = "fer2013new.csv"
"""FER+'s votes, row by row for the contest's file."""

_USAGES: Final = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
_WORDS: Final = {
    "train": ("train",),
    "valid": ("valid", "val", "public"),
    "test": ("test", "private"),
}
# The contest's numbers follow another order than ours: neutral comes last there.
_CONTEST_LABELS: Final = {
    str(number): name
    for number, name in enumerate(
        ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    )
}
# Python reads no number of thousands of digits.
_LONGEST_NUMBER: Final = 20
_LARGEST_PICTURE_BYTES: Final = 1_000_000
_PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

Parts = dict[str, FaceData]


def read_parts(path: Path, only: str | None = None) -> Parts:
    """Read the parts that a file or folder holds.

    Args:
        path: a Parquet, CSV or zip file, or a folder with such files or with pictures by class.
        only: the one part that is wanted, where the others can be left unread; None for all.

    Raises:
        InputError: missing, of no known format, or its content is wrong; names file and row.
    """
    kind = path.suffix.lower()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name too long for any file
        raise InputError(
            f"{str(path)[:80]}… cannot be a data set: {error.strerror}.",
            hint="Name a file or folder that exists.",
        ) from error
    if is_folder:
        if parquet := sorted(path.glob("*.parquet")):
            return _parquet_files(parquet, only)
        for name in CSV:
            if (path / name).is_file():
                return _contest(path / name)
        with _reading(f"{path} cannot be read", OSError):
            return _pictures(path, _files_of(path))
    if not is_file:
        raise InputError(f"There is no data set {path}.", hint="Name a file or folder that exists.")
    if kind == ".parquet":
        return {_role(path) or only or "test": read_parquet(path)}
    if kind == ".csv":
        return _contest(path)
    if kind == ".zip":
        return _archive(path)
    raise InputError(
        f"{path} is no data set.",
        hint="Give a Parquet file, fer2013.csv, Kaggle's archive.zip, or a folder of them.",
    )


@contextmanager
def _reading(what: str, *damage: type[Exception]) -> Generator[None]:
    """Turn what a library raises for a damaged file into an ``InputError`` about ``what``."""
    try:
        yield
    except damage as error:
        raise InputError(f"{what}: {in_short(error)}.", hint="Copy the file again.") from error


def _role(path: Path) -> str | None:
    words = path.stem.lower().replace("_", "-").split("-")
    for part, known in _WORDS.items():
        if any(word.startswith(known) for word in words):
            return part
    return None


def _parquet_files(paths: list[Path], only: str | None) -> Parts:
    roles: dict[str, Path] = {}
    # A file of another name is what one wants to be measured on, unless one is named so.
    other = None if "test" in map(_role, paths) else "test"
    for path in paths:
        part = _role(path) or other
        if part is None:
            continue
        if part in roles:
            raise InputError(
                f"Both {roles[part]} and {path.name} look like the part '{part}'.",
                hint="Name one of the files instead of the folder.",
            )
        roles[part] = path
    return {part: read_parquet(path) for part, path in roles.items() if only in (None, part)}


def read_parquet(path: Path) -> FaceData:
    """Read labelled faces from one Parquet file.

    Args:
        path: columns ``image`` (an encoded picture), ``label`` (a class name), and, if they are
            there, ``duplicate_of_train`` and the FER+ ``votes_*``.

    Raises:
        InputError: the file is unreadable or empty, a column is missing or holds the wrong kind
            of value, a picture cannot be decoded or is not 48×48, a label is unknown, votes are
            negative, or a class has no face; names file and row.
    """
    with _reading(f"{path} cannot be read as Parquet", OSError, pa.ArrowException):
        table = pq.read_table(path)
    names = set(table.column_names)
    # By how they begin: misspelt ones must not count as none.
    voted = any(name.startswith("vote") for name in names)
    needed = {"image", "label"} | (set(VOTE_COLUMNS) if voted else set[str]())
    need_columns(path, names, needed)
    if not table.num_rows:
        raise InputError(f"{path} holds no faces.", hint="Copy the file again.")
    columns = {name: table.column(name) for name in table.column_names}
    votes = None
    if "votes_nf" in names:
        for name in VOTE_COLUMNS:
            if not pa.types.is_integer(columns[name].type):
                raise InputError(
                    f"{path}: column {name} holds {columns[name].type}, not whole numbers.",
                    hint="Votes are counts of taggers.",
                )
        votes = counted(path, {name: _values(path, columns, name) for name in VOTE_COLUMNS})
    duplicate = None
    if "duplicate_of_train" in names:
        duplicate = _flags(path, _values(path, columns, "duplicate_of_train"))
    return faces_of(
        labels=numbered(path, _values(path, columns, "label")),
        images=_images(path, _values(path, columns, "image")),
        votes=votes,
        is_duplicate=duplicate,
    )


def _values(path: Path, columns: dict[str, Any], name: str) -> list[Any]:
    # Text that is none, a date beyond Python's.
    with _reading(f"{path}: column {name} cannot be read", ValueError, OverflowError):
        return columns[name].to_pylist()


def _flags(path: Path, values: list[Any]) -> NDArray[np.bool_]:
    for row, value in enumerate(values):
        if not isinstance(value, bool):
            raise InputError(
                f"{path}, row {row}: duplicate_of_train is {reprlib.repr(value)}.",
                hint="It is true or false.",
            )
    return np.array(values, np.bool_)


def _images(path: Path, encoded: list[Any]) -> NDArray[np.uint8]:
    images = np.empty((len(encoded), FACE_SIZE_PX, FACE_SIZE_PX), np.uint8)
    for row, data in enumerate(encoded):
        images[row] = decoded(f"{path}, row {row}", data)
    return images


def _contest(path: Path) -> Parts:
    table = _csv(path, {"emotion", "pixels", "Usage"})
    n = len(table["emotion"])
    images = np.empty((n, FACE_SIZE_PX, FACE_SIZE_PX), np.uint8)
    labels, usages = np.empty(n, np.int64), table["Usage"]
    for row in range(n):
        where = f"{path}, row {row}"
        images[row] = _pixels(where, table["pixels"][row])
        labels[row] = _contest_label(where, table["emotion"][row])
        if usages[row] not in _USAGES:
            raise InputError(
                f"{where}: Usage is {reprlib.repr(usages[row])}.",
                hint=f"It is one of: {', '.join(_USAGES)}.",
            )
    beside = path.with_name(FER_PLUS_CSV)
    votes = _fer_plus(beside, path, usages) if beside.is_file() else None
    parts: Parts = {}
    for usage, part in _USAGES.items():
        rows = np.array([each == usage for each in usages], np.bool_)
        if rows.any():
            need_every_class(f"{path}, {usage}", labels[rows])
            parts[part] = faces_of(
                labels=labels[rows],
                images=images[rows],
                votes=None if votes is None else votes[rows],
            )
    return parts


def _contest_label(where: str, text: str) -> int:
    if text not in _CONTEST_LABELS:
        raise InputError(
            f"{where}: emotion is {reprlib.repr(text)}.",
            hint="Emotions are 0 (angry) to 6 (neutral), as in FER2013.",
        )
    return EMOTIONS.index(_CONTEST_LABELS[text])


def _fer_plus(path: Path, contest: Path, usages: list[str]) -> NDArray[np.int64]:
    table = _csv(path, {"Usage", *FER_PLUS})
    if len(table["Usage"]) != len(usages):
        raise InputError(
            f"{path} has {len(table['Usage']):,} rows, {contest.name} has {len(usages):,}.",
            hint="FER+ votes belong to the whole fer2013.csv, row by row.",
        )
    for row, (one, other) in enumerate(zip(table["Usage"], usages, strict=True)):
        if one != other:
            raise InputError(
                f"{path}, row {row}: Usage is {reprlib.repr(one)}, in {contest.name} {other!r}.",
                hint="The rows of both files must be in their original order.",
            )
    votes = {name: [_whole_number(text) for text in table[name]] for name in FER_PLUS}
    return counted(path, votes)


def _whole_number(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < _LONGEST_NUMBER else text


def _csv(path: Path, needed: set[str]) -> dict[str, list[str]]:
    """Return the columns of a CSV file as text."""
    with _reading(f"{path} cannot be read as CSV", OSError, ValueError):
        frame = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            # Kaggle's icml_face_data.csv has blanks before its column names.
            usecols=lambda name: str(name).strip() in needed,
        )
    table = {str(name).strip(): [str(v) for v in frame[name]] for name in frame.columns}
    need_columns(path, set(table), needed)
    if frame.empty:
        raise InputError(f"{path} holds no faces.", hint="Copy the file again.")
    return table


def _pixels(where: str, text: str) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        values = np.array([-1])
    if len(values) != FACE_SIZE_PX**2 or values.min() < 0 or values.max() > 255:
        raise InputError(
            f"{where}: pixels are not {FACE_SIZE_PX**2} numbers from 0 to 255.",
            hint="The file is cut off or altered; copy it again.",
        )
    return values.astype(np.uint8).reshape(FACE_SIZE_PX, FACE_SIZE_PX)


# What zipfile raises for a damaged, encrypted or strangely compressed archive.
_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(OSError, NotImplementedError, RuntimeError),
)

# Name, size in bytes, and what reads it.
_File = tuple[PurePosixPath, int, Callable[[], bytes]]


def _files_of(folder: Path) -> Iterator[_File]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = PurePosixPath(path.relative_to(folder).as_posix())
            yield name, path.stat().st_size, path.read_bytes


def _archive(path: Path) -> Parts:
    damage = _reading(f"{path} cannot be read as a zip archive", *_DAMAGED)
    with damage, zipfile.ZipFile(path) as archive:
        sizes = {i.filename: i.file_size for i in archive.infolist() if not i.is_dir()}
        for name in sizes:
            if PurePosixPath(name).name in CSV:
                raise InputError(
                    f"{path} holds {name}.", hint="Unpack it, and give the CSV file itself."
                )
        return _pictures(
            path,
            (
                (PurePosixPath(name), sizes[name], lambda name=name: archive.read(name))
                for name in sorted(sizes)
            ),
        )


def _pictures(root: Path, files: Iterable[_File]) -> Parts:
    images: dict[str, list[NDArray[np.uint8]]] = {}
    labels: dict[str, list[int]] = {}
    for name, size, content in files:
        if not _is_picture(name):
            continue
        if size > _LARGEST_PICTURE_BYTES:
            raise InputError(
                f"{root}: {name} has {size:,} bytes.",
                hint=f"Faces are {FACE_SIZE_PX}×{FACE_SIZE_PX} px.",
            )
        part, label = _place(root, name)
        images.setdefault(part, []).append(decoded(f"{root}: {name}", content()))
        labels.setdefault(part, []).append(label)
    if not images:
        raise InputError(
            f"{root} holds no data set.",
            hint="Expected Parquet files, fer2013.csv, or pictures as train/happy/….jpg.",
        )
    parts: Parts = {}
    for part, numbers in labels.items():
        found = np.array(numbers, np.int64)
        need_every_class(f"{root}, {part}", found)
        parts[part] = faces_of(labels=found, images=np.stack(images[part]))
    return parts


def _is_picture(name: PurePosixPath) -> bool:
    # Hidden ones are the litter of file managers and notebooks.
    litter = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return name.suffix.lower() in _PICTURES and not litter


def _place(root: Path, name: PurePosixPath) -> tuple[str, int]:
    folders = [folder.lower() for folder in name.parts[:-1]]
    parts = [p for f in folders for p, words in _WORDS.items() if f.startswith(words)]
    if not parts or not folders:
        raise InputError(
            f"{root}: {name} lies in no folder 'train' or 'test'.",
            hint="Pictures are expected as train/happy/….jpg and test/happy/….jpg.",
        )
    if folders[-1] not in EMOTIONS:
        raise InputError(
            f"{root}: {name} lies in a folder of no known class, '{name.parts[-2]}'.",
            hint=f"Classes are: {', '.join(EMOTIONS)}.",
        )
    # The innermost: what lies around a data set may be called "training_data".
    return parts[-1], EMOTIONS.index(folders[-1])
