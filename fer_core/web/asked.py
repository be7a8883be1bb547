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

PATHLESS: Final = {"recordings": frozenset({"error_message", "error_hint"})}
"""Columns in which rows of an earlier version may name absolute paths, by table."""

_THREADS: Final = 2


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
            PATHLESS,
            threads=_THREADS,
            memory_limit=f"{task['memory_mb'] // 2}MB",
            temp_directory="",
        )
        clock = threading.Timer(task["limit_s"], connection.interrupt)
        clock.daemon = True
        clock.start()
        table = query.answer_of(connection, task["sql"], task["rows"] + 1)
        clock.cancel()
        if table is None:
            sys.exit(NOTHING)
    except duckdb.InterruptException:
        sys.exit(LATE)
    except duckdb.Error as error:
        sys.stderr.write(f"{query.wrong_question(error).message}\n")
        sys.stderr.flush()
        os._exit(WRONG)  # at an ordinary end the database's binding would have the last word
    sink: Any = sys.stdout.buffer
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)


def _take_at_most(memory_mb: int) -> None:
    """Limit how much more address space this process may take (Linux)."""
    if sys.platform != "linux":
        return
    # From within, after every import: libraries that lack memory while they start may hang.
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + 1_000_000 * memory_mb
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
