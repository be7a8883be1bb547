"""The process in which one question in SQL is answered: it may write no file, and not for long.

Whoever starts it limits its time and forbids it to write; the rows leave as an Arrow stream.
"""

# pyarrow and DuckDB are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from fer_core import query
from fer_core.store import Store

WRONG: Final = 3
"""Exit status of a question that is wrong; why is in the last line of the error stream."""

NOTHING: Final = 4
"""Exit status of a statement that returns no rows."""

LATE: Final = 5
"""Exit status of a question that took too long."""

# Address space is limited here, and these reserve far more of it than they ever use: 64 MB for each
# thread that allocates, and gigabytes at once.
VARIABLES: Final = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""What whoever starts the process adds to its environment."""

HIDDEN: Final = {
    "recordings": frozenset({"source_path", "error_log"}),
    "runs": frozenset({"host"}),
}
"""Columns that tell about the machine and not about a lecture, by table."""

_THREADS: Final = 2

# What other programs have no word for; and enumerations, of which the server would make as many
# copies of a text as there are rows, beyond every limit of this process.
_AS_TEXT: Final = frozenset(
    {"enum", "blob", "bit", "union", "bignum", "interval", "variant", "geometry"}
)


def answer_question(given: str) -> None:
    """Answer one question; write an Arrow stream with one row more than wanted, if there is one.

    Args:
        given: JSON of ``root``, ``sql``, ``rows``, ``memory_mb`` and ``limit_s``.
    """
    task: dict[str, Any] = json.loads(given)
    os.environ["HOME"] = "/"  # the database would tell where its own folders are
    pa.set_cpu_count(_THREADS)
    pa.set_io_thread_count(_THREADS)
    _take_at_most(task["memory_mb"])
    try:
        connection = query.connect(
            Store(Path(task["root"])),
            HIDDEN,
            threads=_THREADS,
            memory_limit=f"{task['memory_mb'] // 2}MB",
            temp_directory="",
        )
        clock = threading.Timer(task["limit_s"], connection.interrupt)
        clock.daemon = True
        clock.start()
        answer = connection.sql(task["sql"])
        if answer is None:  # pyright: ignore[reportUnnecessaryComparison]
            sys.exit(NOTHING)
        table: pa.Table = _plain(answer.limit(task["rows"] + 1)).to_arrow_table()
        clock.cancel()
    except duckdb.InterruptException:
        sys.exit(LATE)
    except duckdb.Error as error:
        sys.stderr.write(f"{query.wrong_question(error).message}\n")
        sys.stderr.flush()
        os._exit(WRONG)  # at an ordinary end the database's binding would have the last word
    sink: Any = sys.stdout.buffer
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)


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


def _take_at_most(memory_mb: int) -> None:
    """Limit how much more address space this process may take (Linux)."""
    if sys.platform != "linux":
        return
    # From within, after every import: libraries that lack memory while they start may hang.
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + 1_000_000 * memory_mb
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
