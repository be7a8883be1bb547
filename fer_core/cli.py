"""The commands. Parses, calls the room that does the work, prints, and sets the exit code.

Heavy imports happen inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from fer_core import __version__, cli_config, cli_model, cli_privacy, cli_query, cli_web
from fer_core.address import absolute_or_url, is_url
from fer_core.cli_options import Config, Jurisdiction, Out
from fer_core.errors import (
    ConfigError,
    EnvironmentProblem,
    InputError,
    LecturePulseError,
    PolicyError,
)

if TYPE_CHECKING:
    from fer_core.config import Loaded
    from fer_core.inbox import Source
    from fer_core.outcome import Night
    from fer_core.settings import Settings

app = App(
    name="lecturepulse",
    version=f"lecturepulse {__version__}",
    help="Turn recorded classes into per-second expression tables and engagement reports.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main() says what is kept
)
app.command(cli_config.app)
app.command(cli_model.app)
app.command(cli_privacy.app)
app.command(cli_privacy.purge_results, name="purge")
app.command(cli_query.query_tables, name="query")
app.command(cli_web.open_web, name="web")

Runner = Annotated[
    str | None, Parameter(help="Where segments are read: processes, dask, or dask://HOST:PORT.")
]
Force = Annotated[bool, Parameter(help="Do it again even if nothing changed.", negative=())]


@app.command
def run(
    *paths: Annotated[str, Parameter(help="Recordings, folders, globs, s3://…")],
    out: Out = None,
    config: Config = None,
    jurisdiction: Jurisdiction = None,
    force: Force = False,
    retry_failed: Annotated[
        bool, Parameter(help="Also try again what failed before and has not changed.", negative=())
    ] = False,
    dry_run: Annotated[bool, Parameter(help="Only say what would be done.", negative=())] = False,
    prefect: Annotated[
        bool, Parameter(help="Conduct with Prefect, or without any server. Same tables.")
    ] = True,
    runner: Runner = None,
) -> int:
    """Read recordings: tables and reports out. New and changed ones only."""
    flags: dict[str, Any] = {
        "out": out,
        "deployment.jurisdiction": jurisdiction,
        "run.runner": runner,
    }
    if retry_failed:
        flags["run.retry_failed"] = True
    loaded = _load(config, flags)
    _need(paths)
    from fer_core import inbox, terminal

    settings = loaded.settings
    if settings.run.runner != "processes" and not prefect:
        raise ConfigError(
            f"The runner '{settings.run.runner}' is conducted by Prefect.",
            hint="Leave --no-prefect away, or set run.runner to processes.",
        )
    if dry_run:
        return _would_read(paths, settings)
    # What lies in object storage is listed by the run itself, under the dataset's lock.
    found = inbox.discover([path for path in paths if not is_url(path)], settings.discovery)
    for source in found.sources:
        _gate(source, settings)
    for path in found.waiting:
        terminal.line(f"waiting     {path}  (changed moments ago, still being copied?)")
    with terminal.watching():
        conduct = _with_prefect if prefect else _without_server
        night = conduct(paths, config, flags, loaded, force=force)
    if not (night.outcomes or night.waiting):
        terminal.line("No recording found.", console=terminal.err)
    for outcome in night.outcomes:
        terminal.report(outcome)
    drawn = [outcome.page for outcome in night.outcomes if outcome.page]
    terminal.line(f"Report: {drawn[0] if len(drawn) == 1 else night.index}")
    terminal.line(f"Tables: {settings.out.absolute() / 'tables'}")
    if settings.publish_to:
        terminal.line(f"Kept in: {settings.publish_to}")
    return night.exit_code


def _would_read(paths: Sequence[str], settings: Settings) -> int:
    from tempfile import TemporaryDirectory

    from fer_core import arrivals, inbox, policy, terminal
    from fer_core.address import address_of

    with TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        laid = arrivals.lay_out(paths, settings, root)
        found = inbox.discover(laid.paths, settings.discovery)
        for source in found.sources:
            made_up = inbox.is_made_up(arrivals.recognised(source, root))
            mode = policy.permission(settings.deployment, synthetic=made_up).mode
            about = f"course {source.course}; {mode} mode"
            terminal.line(f"would read  {address_of(source.path, root)}  ({about})")
        for path in found.waiting:
            where = address_of(path, root)
            terminal.line(f"waiting     {where}  (changed moments ago, still being copied?)")
        failed = (*laid.failed, *found.failed)
        for path, error in failed:
            terminal.line(f"cannot read {address_of(path, root)}  ({error.message})")
        if not (found.sources or found.waiting or failed):
            terminal.line("No recording found.", console=terminal.err)
    return int(bool(failed))


def _gate(source: Source, settings: Settings) -> None:
    from fer_core import inbox, nights, policy, published
    from fer_core.store import Store

    try:
        policy.permission(settings.deployment, synthetic=inbox.is_made_up(source))
    except PolicyError:
        store = Store(settings.out)
        if store.tables.is_dir():
            with published.writing(settings):
                nights.tidy(store, settings)
        raise


def _without_server(
    paths: Sequence[str], config: Path | None, flags: dict[str, Any], loaded: Loaded, *, force: bool
) -> Night:
    del config, flags
    from fer_core import nights, pipeline, published, stopping

    settings = loaded.settings
    limit_s = 3600 * settings.run.max_hours
    with stopping.heeding(limit_s), published.writing(settings) as publish:
        return nights.work_through(
            paths,
            settings,
            lambda source: pipeline.process_recording(source, settings, force=force),
            publish,
        )


def _with_prefect(
    paths: Sequence[str], config: Path | None, flags: dict[str, Any], loaded: Loaded, *, force: bool
) -> Night:
    from fer_core import progress
    from flows import server

    progress.tell("note", "Starting Prefect …")
    with ExitStack() as stack:
        try:
            # Our own sentences tell what went wrong; Prefect would add a traceback to each.
            stack.enter_context(server.running(log_level="CRITICAL"))
        except EnvironmentProblem as problem:
            progress.tell("note", f"{problem.message} Going on without it.")
            return _without_server(paths, config, flags, loaded, force=force)
        from flows.nightly import nightly

        given = [absolute_or_url(path) for path in paths]
        try:
            return nightly(given, str(config) if config else None, _plain(flags), force=force)
        except LecturePulseError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever befalls Prefect, the recordings can be read
            progress.tell("note", f"Prefect failed ({type(error).__name__}); going on without it.")
    return _without_server(paths, config, flags, loaded, force=force)


@app.command
def serve(
    *paths: Annotated[str, Parameter(help="The inbox: folders, globs, s3://…")],
    cron: Annotated[str, Parameter(help="When, as a cron expression.")] = "0 2 * * *",
    timezone: Annotated[
        str | None,
        Parameter(
            help="Its time zone; the pages', too, unless report.timezone is set. Default: UTC."
        ),
    ] = None,
    out: Out = None,
    config: Config = None,
    jurisdiction: Jurisdiction = None,
) -> int:
    """Stay, and read the inbox on a schedule (Prefect on this machine)."""
    flags = {"out": out, "deployment.jurisdiction": jurisdiction}
    loaded = _load(config, flags)
    _need(paths)
    from fer_core import inbox, policy, terminal
    from fer_core.folder import held
    from flows import schedule, server

    schedule.need_schedule(cron, timezone or "UTC")
    if loaded.origins["report.timezone"] == "default":
        flags["report.timezone"] = timezone
    given = [absolute_or_url(path) for path in paths]
    root = loaded.settings.out.absolute()
    # Now, and not at two in the morning. An inbox that is empty now will hold real people.
    here = [path for path in given if not is_url(path)]
    there = inbox.discover(here, loaded.settings.discovery).sources
    unreal = here == given and bool(there) and all(map(inbox.is_made_up, there))
    policy.permission(loaded.settings.deployment, synthetic=unreal)
    where = {"out": str(root), "publish_to": loaded.settings.publish_to}
    terminal.line("Starting Prefect …")
    alone = held(root, lock=".serving", by="lecturepulse serve looks after")
    history = server.running(schedules=True, keep_days=loaded.settings.retention.days)
    with alone, history as url:
        terminal.line(f"Reading {', '.join(given)} at '{cron}' ({timezone or 'UTC'}).")
        terminal.line(f"Prefect: {url.removesuffix('/api')}   Ctrl-C ends it.")
        with suppress(SystemExit):  # what Prefect's runner makes of SIGTERM
            schedule.serve(
                given,
                str(config.absolute()) if config else None,
                _plain(flags) | where,
                cron=cron,
                timezone=timezone or "UTC",
            )
    terminal.line("Ended. What is finished is kept, and the schedule stands.")
    return 0


@app.command
def report(
    recording_id: Annotated[str | None, Parameter(help="Its id in the tables.")] = None,
    /,
    *,
    every: Annotated[bool, Parameter(name="--all", help="Every recording.", negative=())] = False,
    out: Out = None,
    config: Config = None,
) -> int:
    """Draw pages again from the tables, without any video."""
    loaded = _load(config, {"out": out})
    if (recording_id is None) == (not every):
        raise ConfigError(
            "Say which report to draw.", hint="Give one recording's id, or --all for every one."
        )
    from fer_core import audit, pages, published, terminal
    from fer_core.store import Store

    store = Store(loaded.settings.out)
    with published.writing(loaded.settings):
        audit.note_settings(store.root, loaded.settings.for_audit())
        known = store.all("recordings")["recording_id"] if every else [str(recording_id)]
        for wanted in known:
            terminal.line(f"Report: {pages.write_lecture(store, wanted, loaded.settings)}")
        terminal.line(f"Index:  {pages.write_index(store, loaded.settings)}")
    return 0


@app.command
def doctor(
    *,
    repair: Annotated[
        bool, Parameter(help="Set damaged and stray files of the dataset aside.", negative=())
    ] = False,
    out: Out = None,
    config: Config = None,
) -> int:
    """Check that everything needed is there, and say how to mend what is not."""
    loaded = _load(config, {"out": out})
    from fer_core import terminal
    from fer_core.doctor import examine

    if repair:
        _repair(loaded.settings)
    good = True
    for finding in examine(loaded.settings):
        mark = "ok     " if finding.good else "PROBLEM"
        style = "" if finding.good else "red"
        terminal.line(f"{mark} {finding.name}: {finding.seen}", style=style)
        if finding.hint:
            terminal.line(f"        {finding.hint}")
        good = good and finding.good
    return 0 if good else 3


def _repair(settings: Settings) -> None:
    from fer_core import published, repair, terminal
    from fer_core.store import Store

    store = Store(settings.out)
    with published.writing(settings):
        faults = repair.find_faults(store)
        folder = repair.set_aside(store, faults)
    for fault in faults:
        terminal.line(f"set aside  {fault.path.relative_to(store.root)}  ({fault.why})")
    terminal.line(f"They lie in {folder}." if folder else "Nothing had to be set aside.")


@app.command
def bench(
    recording: Annotated[
        Path | None, Parameter(help="Recording. Default: the first one below examples/.")
    ] = None,
    /,
    *,
    repeats: Annotated[int, Parameter(help="How often; medians are printed.")] = 1,
    json: Annotated[bool, Parameter(help="Print JSON.", negative=())] = False,
    config: Config = None,
    jurisdiction: Jurisdiction = None,
) -> int:
    """Measure one recording: decoding alone, then every stage of the whole job."""
    loaded = _load(config, {"deployment.jurisdiction": jurisdiction})
    from fer_core import terminal
    from fer_core.bench import measure_recording

    path = recording or next(iter(sorted(Path("examples").rglob("*.mp4"))), None)
    if path is None:
        raise InputError("There is no recording to measure.", hint="Name one.")
    figures = measure_recording(path, loaded.settings, repeats=max(1, repeats)).as_dict()
    if json:
        import json as json_module

        sys.stdout.write(json_module.dumps(figures) + "\n")
    else:
        for name, value in figures.items():
            shown = f"{value:.2f}" if isinstance(value, float) else str(value)
            terminal.line(f"{name.replace('_', ' '):<24} {shown}")
    return 0


def _load(config: Path | None, flags: dict[str, Any]) -> Loaded:
    from fer_core import config as configuration

    return configuration.load(config, flags)


def _need(paths: Sequence[str]) -> None:
    if not paths:
        raise ConfigError(
            "Say which recordings to read.", hint="Name files, folders or globs: PATH…"
        )


def _plain(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the flags given, as values that survive JSON and another working folder."""
    given = {name: value for name, value in flags.items() if value is not None}
    if "out" in given:
        given["out"] = absolute_or_url(given["out"])
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code: as in ``errors``, or of the signal it heeded.

    Args:
        arguments: words after the program's name; None for those it was started with.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        sys.stderr.write(f"Error: {error}\nHint: lecturepulse --help\n")
        code = 2
    except LecturePulseError as error:
        from fer_core import terminal

        terminal.complain(error)
        code = error.exit_code
    except KeyboardInterrupt as stop:
        sys.stderr.write("Stopped. What is finished is kept; run again to go on.\n")
        code = 130 if type(stop) is KeyboardInterrupt else 143
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
