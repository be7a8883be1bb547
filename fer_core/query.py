"""SQL over the tables: DuckDB, read-only, shut off from every file and from the network.

An answer is an Arrow table. What its values are in JSON, CSV and print is said here, once for the
command and the web.
"""

# pyarrow and DuckDB are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from fer_core.errors import QuestionError
from fer_core.schema import TABLES
from fer_core.store import Store

# What other programs have no word for, or Arrow none (the zone of a time of day); and enumerations,
# of which the server would make as many copies of a text as there are rows, beyond every limit.
_AS_TEXT: Final = frozenset(
    {
        "enum",
        "blob",
        "bit",
        "union",
        "bignum",
        "interval",
        "variant",
        "geometry",
        "time with time zone",
    }
)

_PATH: Final = r"""(^|[^\w./])/(?:[^\s/'"]+/)+[^\s/'"]*"""

_WHOLE: Final = pa.decimal128(38, 0)
"""As what whole numbers of 128 bits come, such as every sum of whole numbers."""

_ROWS_AT_ONCE: Final = 10_000


def connect(
    store: Store,
    hidden: Mapping[str, frozenset[str]] | None = None,
    pathless: Mapping[str, frozenset[str]] | None = None,
    **limits: str | int,
) -> duckdb.DuckDBPyConnection:
    """Open a database in memory with one view per table, columns ``course`` and ``month`` added.

    Only recordings whose ``recordings`` row stands are seen: a table of a run that was cut off
    before its commit is not.

    Args:
        store: the dataset.
        hidden: columns that are not to be seen, by table.
        pathless: columns of text that are to be seen without the absolute paths in it, by table.
        limits: settings of the database, such as ``threads`` and ``memory_limit``.
    """
    connection = duckdb.connect(":memory:", config=dict(limits))
    for name in TABLES:
        table: Any = store.dataset(name)  # the stubs know no replace_schema
        for column in (hidden or {}).get(name, ()):
            at = table.schema.get_field_index(column)
            table = table.replace_schema(table.schema.remove(at))
        texts = (pathless or {}).get(name)
        if texts:
            connection.from_arrow(table).project(_without_paths(texts)).create_view(name)
        else:
            connection.register(name, table)
    # Rows are handed over in memory, so DuckDB may be forbidden every file. Leave to read the
    # tables' folder would be leave to write there too: `copy … to` could replace a table.
    connection.execute("set enable_external_access = false")
    connection.execute("set timezone = 'UTC'")
    # Under ``python -c`` the database takes itself for a shell, and would draw into the output.
    connection.execute("set enable_progress_bar = false")
    connection.execute("set lock_configuration = true")
    return connection


def ask(store: Store, sql: str) -> pa.Table:
    """Answer a question to the tables.

    Raises:
        QuestionError: the SQL is wrong, when it is read or while it runs.
    """
    try:
        answer = answer_of(connect(store), sql)
    except duckdb.Error as error:
        raise wrong_question(error) from error
    if answer is None:
        raise no_rows()
    return answer


def answer_of(
    connection: duckdb.DuckDBPyConnection, sql: str, most_rows: int | None = None
) -> pa.Table | None:
    """Return the rows that answer a question, in types that everybody can read; None without any.

    Args:
        connection: the database.
        sql: the question.
        most_rows: no more of them are wanted.

    Raises:
        duckdb.Error: the SQL is wrong, when it is read or while it runs.
    """
    answer = connection.sql(sql)
    if answer is None:  # pyright: ignore[reportUnnecessaryComparison]
        return None
    answer = answer.project("*")  # so that columns of one name get two
    if most_rows is not None:
        answer = answer.limit(most_rows)
    table: pa.Table = _plain(answer).to_arrow_table()
    for at, field in enumerate(table.schema):
        if field.type == _WHOLE:
            with suppress(pa.ArrowInvalid):  # beyond 64 bits: it stays
                table = table.set_column(at, field.name, table.column(at).cast(pa.int64()))
    return table


def rows_of(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Give an answer's rows, of values that JSON has.

    NULL is None wherever it stands, and so is a number that is none. A date or time is ISO 8601. A
    whole number beyond 64 bits is text.

    Raises:
        QuestionError: there is something in them that cannot be said, such as a date beyond 9999.
    """
    kinds: list[pa.DataType] = list(table.schema.types)
    with showable():
        for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            columns = [
                [_said(value, kind) for value in column.to_pylist()]
                for column, kind in zip(batch.columns, kinds, strict=True)
            ]
            yield from zip(*columns, strict=True)


def json_lines(table: pa.Table) -> Iterator[str]:
    """Give an answer as a JSON array of rows, a line each."""
    names = table.column_names
    before = "["
    for row in rows_of(table):
        yield before + json.dumps(dict(zip(names, row, strict=True)), separators=(",", ":"))
        before = ",\n"
    yield "[]\n" if before == "[" else "]\n"


def csv_lines(table: pa.Table) -> Iterator[str]:
    """Give an answer as CSV, the names first: NULL is nothing, an empty text ``""``."""
    yield _csv_line(table.column_names)
    for row in rows_of(table):
        yield _csv_line(row)


def cell_of(value: Any, null: str = "NULL") -> str:
    """Return a value of a row as people read it: six digits of a number that is not whole."""
    if value is None:
        return null
    if isinstance(value, float):
        return f"{value:.6g}"
    return _text(value)


@contextmanager
def showable() -> Generator[None]:
    """Have whatever cannot be shown in the form that is asked for told as such.

    Raises:
        QuestionError: that is so.
    """
    try:
        yield
    except (ValueError, ArithmeticError, pa.ArrowException) as error:
        raise QuestionError(
            "There are values in the answer that cannot be shown, such as dates beyond 9999.",
            hint="Ask for them as text: select column::varchar.",
        ) from error


def _without_paths(names: frozenset[str]) -> str:
    """Return what is seen of a table: every column, the paths in some of them left out."""
    pattern = _PATH.replace("'", "''")
    kept = (f"regexp_replace({name}, '{pattern}', '\\1…', 'g') as {name}" for name in sorted(names))
    return f"* replace ({', '.join(kept)})"


def no_rows() -> QuestionError:
    """Return what is wrong with a statement that answers nothing, such as one that changes."""
    return QuestionError(
        "That statement returns no rows.", hint="Ask with SELECT; the tables cannot be changed."
    )


def wrong_question(error: duckdb.Error) -> QuestionError:
    """Return what is wrong with a question, in the database's own first line."""
    first = str(error).strip().splitlines()[0]
    return QuestionError(
        f"The query failed: {first}",
        hint=f'Views: {", ".join(TABLES)}. Their columns: lecturepulse query "describe seconds"',
    )


def _said(value: Any, kind: Any) -> Any:
    """Return a value of an Arrow type as one that JSON has."""
    types: Any = pa.types
    if value is None:
        return None
    if types.is_struct(kind):
        return {part.name: _said(value[part.name], part.type) for part in kind}
    if types.is_map(kind):
        return [[_said(key, kind.key_type), _said(one, kind.item_type)] for key, one in value]
    if types.is_nested(kind):
        return [_said(one, kind.value_type) for one in value]
    if types.is_float32(kind):
        value = float(str(np.float32(value)))  # the shortest: 0.1, and not 0.10000000149
    return _said_simply(value)


def _said_simply(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        if value.as_tuple().exponent:
            return float(value)
        return int(value) if -(2**63) <= value < 2**63 else f"{value:f}"
    if isinstance(value, date | time):
        return value.isoformat().replace("+00:00", "Z")
    return value if isinstance(value, int | str) else str(value)


def _csv_line(row: Iterable[Any]) -> str:
    return ",".join(_csv_field(value) for value in row) + "\n"


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    text = _text(value)
    if text and not any(sign in text for sign in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _plain(answer: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return an answer of types that everybody can read."""
    kinds = [_plain_type(kind) for kind in answer.types]
    if not any(kinds):
        return answer
    # By number: two columns may have one name.
    return answer.project(
        ", ".join(
            (f"#{at}::{kind}" if kind else f"#{at}") + f" as {_quoted(name)}"
            for at, (name, kind) in enumerate(zip(answer.columns, kinds, strict=True), start=1)
        )
    )


def _plain_type(kind: Any) -> str:
    """Return the type that another is cast to; empty if it can stay as it is."""
    if kind.id in _AS_TEXT:
        return "varchar"
    if kind.id not in ("list", "array", "map", "struct"):
        return ""
    parts = [(name, part) for name, part in kind.children if not isinstance(part, int)]
    if not any(_plain_type(part) for _, part in parts):
        return ""
    inner = [(name, _plain_type(part) or str(part)) for name, part in parts]
    if kind.id == "struct":
        return f"struct({', '.join(f'{_quoted(name)} {part}' for name, part in inner)})"
    if kind.id == "map":
        return f"map({inner[0][1]}, {inner[1][1]})"
    size = dict(kind.children).get("size", "")
    return f"{inner[0][1]}[{size}]"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
