"""SQL over the tables: DuckDB, read-only, shut off from every file and from the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pandas as pd

from fer_core.errors import InputError
from fer_core.schema import TABLES
from fer_core.store import Store


def connect(
    store: Store,
    hidden: Mapping[str, frozenset[str]] | None = None,
    **limits: str | int,
) -> duckdb.DuckDBPyConnection:
    """Open a database in memory with one view per table, columns ``course`` and ``month`` added.

    Only recordings whose ``recordings`` row stands are seen: a table of a run that was cut off
    before its commit is not.

    Args:
        store: the dataset.
        hidden: columns that are not to be seen, by table.
        limits: settings of the database, such as ``threads`` and ``memory_limit``.
    """
    connection = duckdb.connect(":memory:", config=dict(limits))
    for name in TABLES:
        table: Any = store.dataset(name)  # the stubs know no replace_schema
        for column in (hidden or {}).get(name, ()):
            at = table.schema.get_field_index(column)
            table = table.replace_schema(table.schema.remove(at))
        connection.register(name, table)
    # Rows are handed over in memory, so DuckDB may be forbidden every file. Leave to read the
    # tables' folder would be leave to write there too: `copy … to` could replace a table.
    connection.execute("set enable_external_access = false")
    connection.execute("set timezone = 'UTC'")
    # Under ``python -c`` the database takes itself for a shell, and would draw into the output.
    connection.execute("set enable_progress_bar = false")
    connection.execute("set lock_configuration = true")
    return connection


def ask(store: Store, sql: str) -> pd.DataFrame:
    """Answer a question to the tables.

    Raises:
        InputError: the SQL is wrong, when it is read or while it runs.
    """
    try:
        answer = connect(store).sql(sql)
        if answer is not None:  # pyright: ignore[reportUnnecessaryComparison]
            return answer.df()
    except duckdb.Error as error:
        raise wrong_question(error) from error
    raise no_rows()


def no_rows() -> InputError:
    """Return what is wrong with a statement that answers nothing, such as one that changes."""
    return InputError(
        "That statement returns no rows.", hint="Ask with SELECT; the tables cannot be changed."
    )


def wrong_question(error: duckdb.Error) -> InputError:
    """Return what is wrong with a question, in the database's own first line."""
    first = str(error).strip().splitlines()[0]
    return InputError(
        f"The query failed: {first}",
        hint=f'Views: {", ".join(TABLES)}. Their columns: lecturepulse query "describe seconds"',
    )
