"""The command that answers questions in SQL, and notes that it did."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fer_core.cli_options import Config, Out
from fer_core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from fer_core.settings import Settings


def query_tables(
    sql: Annotated[str, Parameter(help="The question, in SQL.")],
    /,
    *,
    csv: Annotated[bool, Parameter(help="Answer as CSV.", negative=())] = False,
    json: Annotated[bool, Parameter(help="Answer as JSON, an array of rows.", negative=())] = False,
    out: Out = None,
    config: Config = None,
) -> int:
    """Ask the tables: views seconds, moments, marks, recordings, runs (faces, tracks)."""
    from fer_core import config as configuration

    loaded = configuration.load(config, {"out": out})
    if csv and json:
        raise ConfigError("An answer has one form.", hint="Give --csv or --json, not both.")
    from fer_core import published, query, terminal

    store = published.reading(loaded.settings)
    if not store.tables.is_dir():
        raise ConfigError(
            f"There are no tables in {store.root}.", hint="Name the folder of a run with --out."
        )
    answer = query.ask(store, sql)
    form = "csv" if csv else "json" if json else "text"
    _note_export(loaded.settings, sql, form, answer.num_rows)
    if form == "text":
        rows = ([query.cell_of(value) for value in row] for row in query.rows_of(answer))
        terminal.table(answer.column_names, rows)
    else:
        sys.stdout.writelines((query.csv_lines if csv else query.json_lines)(answer))
    return 0


def _note_export(settings: Settings, sql: str, form: str, rows: int) -> None:
    from fer_core import audit, published, terminal

    try:
        audit.note_answer(settings.out.absolute(), sql, form, rows)
        published.note_read(settings)
    except StoreError as error:  # somebody who may read the tables may not be allowed to write
        terminal.line(f"Not noted in the audit log: {error.message}", console=terminal.err)
