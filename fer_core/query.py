"""SQL over the tables: DuckDB, read-only, shut off from every other file and from the network."""

from __future__ import annotations

import duckdb

from fer_core.errors import InputError
from fer_core.schema import TABLES
from fer_core.store import Store


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """Open a database in memory with one view per table, columns ``course`` and ``month`` added.

    Only recordings whose ``recordings`` row stands are seen: a table of a run that was cut off
    before its commit is not.

    Args:
        store: the dataset.
    """
    connection = duckdb.connect(":memory:")
    # recordings first: the other views ask it which recordings are committed.
    for name in sorted(TABLES, key=lambda name: name != "recordings"):
        pattern = f"{store.tables}/{name}/*/*/*.parquet"
        if any((store.tables / name).glob("*/*/*.parquet")):
            # Without its own types DuckDB would read a course named 101 as a number.
            source = (
                f"read_parquet({_quoted(pattern)}, hive_partitioning = true, "
                "hive_types = {'course': VARCHAR, 'month': VARCHAR})"
            )
        else:
            connection.register(f"no_{name}", TABLES[name].empty_table())
            source = f"(select *, '' as course, '' as month from no_{name})"
        committed = "" if name == "recordings" else " semi join recordings using (recording_id)"
        connection.execute(f"create view {name}_rows as from {source}")
        connection.execute(f"create view {name} as from {name}_rows{committed}")
    connection.execute(f"set allowed_directories = [{_quoted(f'{store.tables}/')}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def ask(store: Store, sql: str) -> duckdb.DuckDBPyRelation:
    """Answer a question to the tables.

    Raises:
        InputError: the SQL is wrong.
    """
    try:
        answer = connect(store).sql(sql)
    except duckdb.Error as error:
        raise _wrong(error) from error
    if answer is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise InputError(
            "That statement returns no rows.", hint="Ask with SELECT; the tables cannot be changed."
        )
    return answer


def _wrong(error: duckdb.Error) -> InputError:
    first = str(error).strip().splitlines()[0]
    return InputError(
        f"The query failed: {first}",
        hint=f"Views: {', '.join(TABLES)}. Their columns: lecturepulse query \"describe seconds\"",
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
