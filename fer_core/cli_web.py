"""The command that opens the web interface, and says where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fer_core.cli_options import Config, Jurisdiction, Out


def open_web(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, Parameter(help="Port; 0: any free one. Default: 8000.")] = None,
    token_file: Annotated[
        Path | None, Parameter(help="File with the token people log in with.")
    ] = None,
    out: Out = None,
    config: Config = None,
    jurisdiction: Jurisdiction = None,
) -> int:
    """Open the web interface: try pictures and videos, read reports, ask the tables."""
    from fer_core import config as configuration
    from fer_core import terminal
    from fer_core.web import serving

    flags: dict[str, Any] = {
        "out": out,
        "deployment.jurisdiction": jurisdiction,
        "web.host": host,
        "web.port": port,
        "web.token_file": token_file,
    }
    settings = configuration.load(config, flags).settings
    with serving.opened(settings) as server:
        terminal.line(f"Open {server.address}   Ctrl-C ends it.")
        server.serve()
    terminal.line("Ended. Uploads that were not kept are deleted.")
    return 0
