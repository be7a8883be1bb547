"""The command that answers questions in SQL, and notes that it did."""

from __future__ import annotations

import hashlib
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
    from fer_core import published, terminal
    from fer_core.query import ask

    store = published.reading(loaded.settings)
    if not store.tables.is_dir():
        raise ConfigError(
            f"There are no tables in {store.root}.", hint="Name the folder of a run with --out."
        )
    frame = ask(store, sql)
    _note_export(loaded.settings, sql, "csv" if csv else "json" if json else "text", len(frame))
    if csv:
        frame.to_csv(sys.stdout, index=False)
    elif json:
        sys.stdout.write(
            (frame.to_json(orient="records", date_format="iso", default_handler=str) or "[]") + "\n"
        )
    else:
        terminal.table(frame)
    return 0


def _note_export(settings: Settings, sql: str, form: str, rows: int) -> None:
    from fer_core import audit, published, terminal

    root = settings.out.absolute()
    digest = hashlib.sha256(sql.encode()).hexdigest()[:16]
    try:
        audit.note(root, "exported", form=form, rows=rows, sql_sha256=digest)
        published.note_read(settings)
    except StoreError as error:  # somebody who may read the tables may not be allowed to write
        terminal.line(f"Not noted in the audit log: {error.message}", console=terminal.err)
