"""The flow for a night: every new recording of an inbox, one sub-flow each, and a summary."""

# Prefect's decorators lose the types of what they decorate.
# pyright: reportUnknownMemberType=false, reportFunctionMemberAccess=false

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from fer_core import config as configuration
from fer_core import nights, published, stopping
from fer_core.inbox import Source
from fer_core.outcome import Night, Outcome
from flows import runners
from flows.recording import path_as_text, recording


@flow(name="nightly", persist_result=False)
def nightly(
    paths: list[str],
    config: str | None = None,
    flags: dict[str, Any] | None = None,
    *,
    force: bool = False,
) -> Night:
    """Work through an inbox; a bad recording never stops the night.

    Args:
        paths: files, folders or globs of recordings, or their addresses in object storage.
        config: the configuration file; None for ``lecturepulse.toml`` in the working folder.
        flags: settings by dotted name, over the file and the environment.
        force: do everything again, even what has not changed.
    """
    settings = configuration.load(Path(config) if config else None, flags).settings

    def one(source: Source) -> Outcome:
        conduct = recording.with_options(task_runner=runner)
        outcome: Outcome = conduct(path_as_text(source.path), config, flags, force=force)
        if outcome.page is not None:
            create_link_artifact(
                outcome.page.as_uri(),
                link_text=path_as_text(source.path),
                key=f"report-{outcome.recording_id}",
                description=f"Report of {path_as_text(source.path)}",
            )
        return outcome

    limit_s = 3600 * settings.run.max_hours
    # Prefect's runner conducts in a process of its own, which must not go on alone.
    orphaned = "PREFECT__FLOW_RUN_ID" in os.environ
    with ExitStack() as stack:
        stack.enter_context(stopping.heeding(limit_s, with_parent=orphaned))
        publish = stack.enter_context(published.writing(settings))
        runner = stack.enter_context(runners.task_runner(settings.run))
        night = nights.work_through(paths, settings, one, publish)
    create_markdown_artifact(
        as_markdown(night), key="night", description="What happened to each recording"
    )
    return night


def as_markdown(night: Night) -> str:
    """Return the night as a Markdown table."""
    lines = ["| recording | result | video | took | people | note |", "|---|---|--:|--:|--:|---|"]
    lines += [
        f"| {_cell(outcome.path.name)} | {outcome.status} | {outcome.video_s:.0f} s "
        f"| {outcome.wall_s:.1f} s | {outcome.people or 0:.0f} "
        f"| {_cell(outcome.message)} |"
        for outcome in night.outcomes
    ]
    if night.waiting:
        lines += ["", f"{len(night.waiting)} still being copied in, left for the next run."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text that stays inside its cell: names are data, not Markdown."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+-.!|" else c for c in printable)
