"""Ask: questions in SQL to the tables, answered as a table, a chart, or a file to take along."""

# pyarrow is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import importlib.resources
import io
import json
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from flask import Blueprint, Response, current_app, render_template, request

from fer_core import audit, process, query
from fer_core.errors import StoreError
from fer_core.schema import TABLES
from fer_core.settings_web import Web
from fer_core.web.asked import HIDDEN, LATE, NOTHING, VARIABLES, WRONG
from fer_core.web.common import common
from fer_core.web.guard import comes_from_elsewhere
from fer_core.web.plot import plot_of
from fer_core.web.problems import Problem, as_problem, body_of, told, without_paths
from fer_core.web.shapes import LONGEST_SQL
from fer_core.web.turns import Turns

blueprint: Final = Blueprint("ask", __name__)

_PROGRAM: Final = "import sys; from fer_core.web import asked; asked.answer_question(sys.argv[1])"
_MOST_BYTES: Final = 64_000_000
_SHOWN_ROWS: Final = 500
_AT_ONCE: Final = 2
_WAITING: Final = 4
# A process may take a while to start, and a single step of a question cannot be interrupted.
_GRACE_S: Final = 20.0

_WHOLE: Final[dict[pa.DataType, Any]] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}

_turns: Final = Turns(_AT_ONCE, _WAITING, "questions")


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that answer a question.

    Attributes:
        table: the rows.
        cut: whether there were more.
    """

    table: pa.Table
    cut: bool

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame, for a chart.

        Raises:
            QuestionError: there is something in them that a frame cannot hold.
        """
        with query.showable():
            # Not as doubles where one is missing: those are not whole beyond 2**53.
            return self.table.to_pandas(types_mapper=_WHOLE.get)


@dataclass(frozen=True, slots=True)
class SavedQuestion:
    """A question that is ready: its title, what the answer means, and the SQL."""

    title: str
    note: str
    sql: str


@cache
def saved_questions() -> dict[str, SavedQuestion]:
    """Return the questions that are ready, by a short name."""
    text = importlib.resources.files("fer_core.web").joinpath("questions.toml").read_text("utf-8")
    return {
        name: SavedQuestion(entry["title"], entry["note"], entry["sql"].strip())
        for name, entry in tomllib.loads(text).items()
    }


def answer_to(sql: str, *, form: str) -> Answer:
    """Answer a question in a process of its own, and note in the audit log that it was.

    Args:
        sql: the question.
        form: what the answer becomes, for the log.

    Raises:
        Problem: the SQL is wrong, takes too long or too much, or too many ask.
    """
    here = common()
    limits = here.settings.web
    if not here.store.tables.is_dir():
        raise Problem("not-found", "There are no tables yet.", hint="Read some recordings first.")
    if not sql.strip() or len(sql) > LONGEST_SQL:
        raise Problem("unreadable", f"A question has 1 to {LONGEST_SQL:,} characters.")
    task = {
        "root": str(here.store.root),
        "sql": sql,
        "rows": limits.query_rows,
        "memory_mb": limits.query_mb,
        "limit_s": limits.query_s,
    }
    with _turns.taken():
        try:
            output, ended = process.run(
                process.our_python("-c", _PROGRAM, json.dumps(task), variables=VARIABLES),
                limit_s=limits.query_s + _GRACE_S,
                max_output_bytes=_MOST_BYTES,
            )
        except TimeoutError:
            raise _late(limits.query_s) from None
    if ended.returncode == LATE:
        raise _late(limits.query_s)
    answer = _read(output, ended, limits)
    _note_export(sql, form, answer.table.num_rows)
    return answer


def _read(output: bytes, ended: process.Ended, limits: Web) -> Answer:
    if ended.returncode == WRONG:
        why = ended.tail[-1] if ended.tail else "The question is wrong."
        raise Problem("unreadable", why, hint=f"The tables: {', '.join(TABLES)}.")
    if ended.returncode == NOTHING:
        raise as_problem(query.no_rows())
    if ended.returncode:
        # Its last words may hold paths; a process that lacks memory often has none.
        current_app.logger.warning(
            "a question ended with status %d: %s", ended.returncode, " ".join(ended.tail[-3:])
        )
        raise Problem(
            "too-large",
            "The question broke off, as one does that takes too much memory: it may have "
            f"{limits.query_mb:,} MB.",
            hint="Ask for less: one course, one month, fewer columns, or means.",
        )
    try:
        table = pa.ipc.open_stream(output).read_all()
    except (pa.ArrowException, OSError):
        raise Problem(
            "too-large",
            f"The answer has more than {_MOST_BYTES // 1_000_000} MB.",
            hint="Ask for less: fewer columns, or means.",
        ) from None
    rows = limits.query_rows
    return Answer(table.slice(0, rows), table.num_rows > rows)


def _late(limit_s: float) -> Problem:
    return Problem(
        "unreadable",
        f"The question took longer than {limit_s:g} seconds and was ended.",
        hint="Ask for less: one course, one month, or means.",
    )


def _note_export(sql: str, form: str, rows: int) -> None:
    try:
        audit.note_answer(common().store.root, sql, form, rows)
    except StoreError:
        current_app.logger.warning("an answer could not be noted in the audit log")


@blueprint.get("/ask")
def show_question() -> str:
    """Show the questions that are ready, and room for another."""
    return _page("", "", None)


@blueprint.get("/ask/<name>")
def answer_ready(name: str) -> str | Response:
    """Answer a question that is ready; it has an address, so that one can go back to it.

    Raises:
        Problem: there is none of that name.
    """
    saved = saved_questions().get(name)
    if saved is None:
        raise Problem("not-found", "There is no such question.")
    if comes_from_elsewhere():  # another site's page may link to it, and have nothing computed
        return _page(saved.sql, name, None)
    return _answer_or_tell(saved.sql, "page", name)


@blueprint.post("/ask")
def answer() -> str | Response:
    """Answer a question: on the page, or as a file."""
    sql = request.form.get("sql", "").replace("\r\n", "\n")
    return _answer_or_tell(sql, request.form.get("form", "page"), "")


def _answer_or_tell(sql: str, form: str, given: str) -> str | Response:
    try:
        return _answered(sql, form, given)
    except Problem as problem:  # with the question, to be mended
        return told(problem, _page(sql, given, None, problem))


def _answered(sql: str, form: str, given: str) -> str | Response:
    found = answer_to(sql, form=form if form in ("csv", "parquet") else "page")
    if form == "csv":
        return _file(
            "".join(query.csv_lines(found.table)).encode(), "text/csv", _file_name(found, form)
        )
    if form == "parquet":
        sink = io.BytesIO()
        with query.showable():
            pq.write_table(found.table, sink, compression="zstd")
        kind = "application/vnd.apache.parquet"
        return _file(sink.getvalue(), kind, _file_name(found, form))
    return _page(sql, given, found)


def _page(sql: str, name: str, found: Answer | None, problem: Problem | None = None) -> str:
    columns = {
        table: [
            (f.name, (f.metadata or {}).get(b"doc", b"").decode())
            for f in schema
            if f.name not in HIDDEN.get(table, ())
        ]
        for table, schema in TABLES.items()
    }
    shown: dict[str, Any] = {}
    if found is not None:
        frame = found.frame
        shown = {
            "names": found.table.column_names,
            "rows": [
                [_cell(value) for value in row]
                for row in query.rows_of(found.table.slice(0, _SHOWN_ROWS))
            ],
            "textual": [not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes],
            "total": len(frame),
            "cut": found.cut,
            "plot": plot_of(frame),
        }
    return render_template(
        "web/ask.html.j2",
        sql=sql,
        question=name,
        saved=saved_questions(),
        columns=columns,
        found=shown,
        problem=body_of(problem) if problem else None,
        limits=common().settings.web,
        longest_sql=LONGEST_SQL,
    )


def _cell(value: Any) -> str:
    return without_paths(query.cell_of(value, "–"))[:500]


def _file_name(found: Answer, form: str) -> str:
    """Return what an answer is called as a file: one of which a part is missing says so."""
    return f"answer-first-{found.table.num_rows}-rows.{form}" if found.cut else f"answer.{form}"


def _file(data: bytes, kind: str, name: str) -> Response:
    response = current_app.response_class(data, mimetype=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
