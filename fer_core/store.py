"""The dataset on disk: where tables, pages and work files lie, and how they get there whole.

Every write goes beside its target, is flushed, read back and moved into place; the
``recordings`` row is written last and is the commit. What the rows say is decided elsewhere.
"""

# pandas and pyarrow are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import glob
import hashlib
import json
import re
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fer_core.errors import StoreError
from fer_core.folder import explained, held, write_whole
from fer_core.schema import TABLES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.dataset

UNKNOWN_MONTH: Final = "unknown"

PUBLISHED: Final = ".published"
"""Folder that tells what of the dataset is in object storage; there is one only if it is."""

_NIGHT: Final = "last-night.json"

# Of the 255 that file systems allow, "course=" takes seven.
_LONGEST_COURSE_BYTES: Final = 240


@dataclass(frozen=True, slots=True)
class Place:
    """Where one recording's rows lie: its partition and its name."""

    course: str
    month: str
    recording_id: str

    @property
    def folder(self) -> str:
        """The Hive partition, names percent-encoded so that none can leave its folder."""
        return f"course={_encoded(self.course)}/month={self.month}"


@dataclass(frozen=True, slots=True)
class Worked:
    """What a run worked on: when it ended (ISO 8601), and ids in its order."""

    ended_at: str
    worked_on: tuple[str, ...]


def _encoded(course: str) -> str:
    """Percent-encode a course; one too long for a folder's name ends in its hash instead."""
    encoded = quote(course, safe=" ", errors="replace")
    if len(encoded) <= _LONGEST_COURSE_BYTES:
        return encoded
    # Two sections of a class often differ in their last letter only.
    digest = hashlib.sha256(course.encode("utf-8", "backslashreplace")).hexdigest()
    end = f"~{digest[:8]}"
    while len(encoded) + len(end) > _LONGEST_COURSE_BYTES:
        course = course[:-1]
        encoded = quote(course, safe=" ", errors="replace")
    return encoded + end


class Store:
    """One dataset: folders of tables, pages, work files and logs, and of what was set aside.

    Args:
        root: the folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.tables = self.root / "tables"
        self.reports = self.root / "reports"
        self.work = self.root / "work"
        self.logs = self.root / "logs"
        self.aside = self.root / "set-aside"

    @contextmanager
    def writing(self) -> Generator[None]:
        """Hold the dataset for writing; nobody else can meanwhile.

        Raises:
            StoreError: another run holds it, or the folder cannot be written.
        """
        with held(self.root):
            yield

    def commit(
        self, place: Place, tables: Mapping[str, pa.Table], provenance: Mapping[str, str]
    ) -> None:
        """Write all tables of one recording; ``recordings`` last.

        A file of the same recording in another partition (its course was renamed, say) is removed
        once the new row stands.

        Args:
            place: partition and recording.
            tables: rows by table name; must hold ``recordings``.
            provenance: goes into every file's metadata.

        Raises:
            StoreError: a write failed; the rows of before are untouched or complete.
        """
        if "recordings" not in tables:
            raise ValueError("a commit needs the recordings row")
        order = [*(name for name in tables if name != "recordings"), "recordings"]
        checked = [
            tables[name].cast(TABLES[name]).replace_schema_metadata(dict(provenance))
            for name in order
        ]
        for name, table in zip(order, checked, strict=True):
            self._write_table(self._file(name, place), table)
        kept = {self._file(name, place) for name in order}
        for path in self.files_of(place.recording_id):
            if path not in kept:
                path.unlink(missing_ok=True)

    def amend(self, recording_id: str, **values: Any) -> None:
        """Give some columns of a recording's row other values; nothing else is touched.

        Raises:
            StoreError: the row cannot be read or written.
        """
        for path in self._committed("recordings", recording_id):
            with _readable(path):
                table = pq.read_table(path, partitioning=None)
            for name, value in values.items():
                at, field = table.schema.get_field_index(name), TABLES["recordings"].field(name)
                if at < 0:  # of an earlier schema
                    at, table = table.num_columns, table.append_column(field, [[None]])
                table = table.set_column(at, field, pa.array([value], field.type))
            self._write_table(path, table)

    def forget(self, recording_id: str) -> None:
        """Remove a recording's rows; ``recordings`` first, so that a reader never sees half."""
        if (self.root / PUBLISHED).is_dir():  # what only lacks here is not to go there
            (self.root / PUBLISHED / f"{recording_id}.gone").touch()
        paths = self.files_of(recording_id)
        for path in sorted(
            paths, key=lambda p: p.relative_to(self.tables).parts[0] != "recordings"
        ):
            path.unlink(missing_ok=True)
        (self.logs / f"{recording_id}.log").unlink(missing_ok=True)

    def all(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a whole table with ``course`` and ``month``, in the order of its files.

        Args:
            name: of the table.
            columns: those wanted; by default all.

        Raises:
            StoreError: a file is damaged.
        """
        import pandas as pd  # a second of its own, which a night has later

        paths = sorted(self._committed(name))
        empty = TABLES[name].empty_table().select(list(columns or TABLES[name].names))
        parts = [empty, *(_read(path, columns) for path in paths)]
        # One conversion for all: a thousand small frames would take longer than their files.
        frame = pa.concat_tables(parts, promote_options="default").to_pandas()
        sizes = [part.num_rows for part in parts[1:]]
        for at, column in enumerate(("course", "month")):
            values = np.array([_partition(path)[at] for path in paths], dtype=object)
            frame[column] = pd.Series(np.repeat(values, sizes), dtype="str")
        return frame

    def counts(self, name: str) -> dict[str, int]:
        """Return the number of rows of each recording in a table, by id.

        Raises:
            StoreError: a file is damaged.
        """
        counts: dict[str, int] = {}
        for path in self._committed(name):
            with _readable(path):
                counts[path.stem] = pq.read_metadata(path).num_rows
        return counts

    def recording(self, recording_id: str) -> dict[str, Any] | None:
        """Return a recording's row with ``course`` and ``month``; None if it is unknown.

        NULL is None.
        """
        frame = self.read("recordings", recording_id)
        if frame.empty:
            return None
        return _as_row(frame)

    def course(self, course: str) -> list[dict[str, Any]]:
        """Return the rows of ``recordings`` of one course, the oldest start first; NULL is None."""
        rows = [
            _row(path, path.stat().st_mtime_ns)
            for path in self._committed("recordings")
            if _partition(path)[0] == course
        ]
        return sorted(rows, key=lambda row: (str(row["started_at"] or ""), row["recording_id"]))

    def last_night(self) -> Worked | None:
        """Return what the last run worked on; None before the first, or if that is not known."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads((self.root / _NIGHT).read_text(encoding="utf-8"))
            worked_on = stored["worked_on"]
            datetime.fromisoformat(stored["ended_at"])
            if isinstance(worked_on, list):
                return Worked(stored["ended_at"], tuple(map(str, worked_on)))
        return None

    def remember_night(self, night: Worked | None) -> None:
        """Keep what a run worked on, for the index; None forgets it."""
        if night is None:
            (self.root / _NIGHT).unlink(missing_ok=True)
        else:
            write_whole(self.root / _NIGHT, json.dumps(asdict(night)).encode())

    def read(self, name: str, recording_id: str) -> pd.DataFrame:
        """Return one recording's rows of a table; empty if it has none."""
        paths = self._committed(name, recording_id)
        return _as_frame(paths[0]) if paths else TABLES[name].empty_table().to_pandas()

    def dataset(self, name: str) -> pyarrow.dataset.Dataset:
        """Return a whole table with ``course`` and ``month``, to be read when it is asked for."""
        from pyarrow import dataset, fs

        field, files = dataset.field, fs.LocalFileSystem()
        parquet = dataset.ParquetFileFormat()
        fragments: list[dataset.Fragment] = []
        for path in sorted(self._committed(name)):
            course, month = _partition(path)
            where = (field("course") == course) & (field("month") == month)
            fragments.append(parquet.make_fragment(str(path), files, where))
        schema = TABLES[name]
        for column in ("course", "month"):
            schema = schema.append(pa.field(column, pa.string(), nullable=False))
        return dataset.FileSystemDataset(fragments, schema, parquet, files)

    def write_page(self, name: str, html: str) -> Path:
        """Write a page below ``reports/`` and return its path.

        Raises:
            StoreError: it cannot be written.
        """
        path = self.reports / name
        write_whole(path, html.encode("utf-8"))
        return path

    def write_log(self, recording_id: str, text: str) -> str:
        """Write the log of a failure and return its path, relative to the dataset.

        Raises:
            StoreError: it cannot be written.
        """
        path = self.logs / f"{recording_id}.log"
        write_whole(path, text.encode("utf-8", "backslashreplace"))
        return path.relative_to(self.root).as_posix()

    def page(self, place: Place) -> str:
        """Return the name of a recording's page below ``reports/``."""
        folder = _encoded(place.course).replace("%", "_")
        # No folder may be called "." or "..", one that begins with a dot is hidden, and the page of
        # all lectures lies beside them.
        folder = re.sub("^[.]", "_2E", folder)
        if folder.lower() == "index.html":
            folder = f"_{folder}"
        return f"{folder}/{place.recording_id}.html"

    def work_folder(self, recording_id: str, key: str) -> Path:
        """Return the folder of a recording's work files, made if need be.

        Files of the same recording under another key (other settings, another model) are of no
        use any more and are removed.
        """
        folder = self.work / recording_id / key
        with explained(folder):
            for other in folder.parent.glob("*"):
                if other != folder:
                    shutil.rmtree(other, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear_work(self, recording_id: str) -> None:
        """Remove a recording's work files."""
        shutil.rmtree(self.work / recording_id, ignore_errors=True)

    def _file(self, name: str, place: Place) -> Path:
        return self.tables / name / place.folder / f"{place.recording_id}.parquet"

    def files(self, name: str, recording_id: str | None = None) -> Iterator[Path]:
        """Return every file of a table, committed or not; none that a link leads to.

        Args:
            name: of the table.
            recording_id: of the only recording wanted: of a hundred thousand it is found at once.
        """
        files = "*.parquet" if recording_id is None else f"{glob.escape(recording_id)}.parquet"
        if "/" in files:  # no name of a file
            return
        for month in (self.tables / name).glob("course=*/month=*"):
            if not (month.is_symlink() or month.parent.is_symlink()):
                yield from month.glob(files)

    def places(self, recording_id: str | None = None) -> dict[str, tuple[str, ...]]:
        """Return the end of the path at which each recording's rows stand, by id.

        A run killed before its commit leaves files without a row; one killed while it moves a
        recording to another partition leaves two rows, of which the newer one counts.
        """
        found: list[tuple[int, Path]] = []
        for path in self.files("recordings", recording_id):
            with suppress(FileNotFoundError):  # removed just now by whoever is writing
                found.append((path.stat().st_mtime_ns, path))
        return {path.stem: path.parts[-3:] for _, path in sorted(found)}

    def _committed(self, name: str, recording_id: str | None = None) -> list[Path]:
        stands = self.places(recording_id)  # nothing else is ever read
        files = self.files(name, recording_id)
        return [path for path in files if stands.get(path.stem) == path.parts[-3:]]

    def files_of(self, recording_id: str) -> list[Path]:
        """Return every file of a recording, in whatever table and place."""
        return [path for name in TABLES for path in self.files(name, recording_id)]

    def _write_table(self, path: Path, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        write_whole(path, sink.getvalue().to_pybytes())


@contextmanager
def _readable(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeError) as error:
        raise StoreError(
            f"The table {path} cannot be read: {error}.",
            hint="Remove the file and run again; its recording is then computed anew.",
        ) from error


def _read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file of any schema version; columns that it does not know yet are NULL."""
    schema = TABLES[path.parts[-4]]
    wanted = list(columns or schema.names)
    with _readable(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        table = file.read(wanted, use_threads=False)
    for name in wanted:
        if name not in table.schema.names:
            kind = schema.field(name).type
            table = table.append_column(pa.field(name, kind), pa.nulls(len(table), kind))
    return table.select(wanted).replace_schema_metadata()


def _as_frame(path: Path) -> pd.DataFrame:
    course, month = _partition(path)
    return _read(path).to_pandas().assign(course=course, month=month)


# A term of lectures is drawn with the same few rows again and again.
@lru_cache(maxsize=4096)
def _row(path: Path, mtime_ns: int) -> dict[str, Any]:
    """Return the one row of a file of ``recordings``; the time tells a new file from an old one."""
    del mtime_ns
    return _as_row(_as_frame(path))


def _as_row(frame: pd.DataFrame) -> dict[str, Any]:
    row, lacks = frame.iloc[0], frame.iloc[0].isna()
    return {name: None if lacks[name] else row[name] for name in frame.columns}


def _partition(path: Path) -> tuple[str, str]:
    course, month = (part.partition("=")[2] for part in path.parts[-3:-1])
    return unquote(course), month
