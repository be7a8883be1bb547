"""The commands about people's data: what is computed, shown and kept, and how it is deleted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fer_core.address import is_url
from fer_core.cli_options import Config, Jurisdiction, Out
from fer_core.errors import ConfigError

app = App(name="policy", help="What is computed, shown and kept under the settings in force.")


@app.command(name="show")
def show_policy(
    *,
    config: Config = None,
    jurisdiction: Jurisdiction = None,
) -> int:
    """Say in plain words what would be computed, shown and kept."""
    from fer_core import config as configuration
    from fer_core import policy, terminal

    flags = {"deployment.jurisdiction": jurisdiction}
    settings = configuration.load(config, flags).settings
    for heading, sentences in policy.in_words(settings).items():
        terminal.line(heading)
        for sentence in sentences:
            terminal.line(f"  - {sentence}")
    return 0


def purge_results(
    *,
    recording: Annotated[str | None, Parameter(help="Id of one recording.")] = None,
    before: Annotated[date | None, Parameter(help="Everything made before that day.")] = None,
    all_expired: Annotated[
        bool, Parameter(help="Everything past the retention settings.", negative=())
    ] = False,
    yes: Annotated[
        bool, Parameter(help="Delete. Without it only what would go is told.", negative=())
    ] = False,
    out: Out = None,
    config: Config = None,
) -> int:
    """Delete everything about recordings: tables, pages, logs, work files."""
    from fer_core import audit, published, retention, terminal
    from fer_core import config as configuration
    from fer_core.store import Store

    settings = configuration.load(config, {"out": out}).settings
    if (recording is not None) + (before is not None) + all_expired != 1:
        raise ConfigError(
            "Say what to delete.", hint="Give --recording ID, --before DATE or --all-expired."
        )
    store = Store(settings.out)
    there = store.tables.is_dir() or retention.unfinished(store) or settings.publish_to
    if not there:
        raise ConfigError(
            f"There are no tables in {store.root}.", hint="Name the folder of a run with --out."
        )
    with published.writing(settings):
        audit.note_settings(store.root, settings.for_audit())
        retention.resume_purge(store, settings)
        if recording is not None:
            found, why = [retention.one(store, recording)], "asked"
        elif before is not None:
            found, why = retention.made_before(store, before), "before"
        else:
            found, why = retention.expired(store, settings, datetime.now(UTC)), "expired"
            if settings.retention.days is None:
                terminal.line("No retention period is set (retention.days): results are kept.")
        for removal in found:
            what = "everything" if removal.tables is None else ", ".join(removal.tables)
            known = f"{removal.recording_id}  {removal.made_on}  {removal.course}"
            terminal.line(f"{known}  {removal.name}: {what}")
        if not yes:
            terminal.line(f"{len(found)} would be deleted. Nothing was; --yes deletes.")
            return 0
        retention.purge(store, found, settings, why)
    terminal.line(f"{len(found)} deleted.")
    _tell_what_stays(removal.source for removal in found if removal.tables is None)
    return 0


def _tell_what_stays(sources: Iterable[str | None]) -> None:
    from fer_core import terminal

    for source in sources:
        if source and is_url(source):
            terminal.line(f"The recording itself is left alone: {source}")
        elif source and Path(source).exists():
            terminal.line(f"The recording itself is still there: {source}")
