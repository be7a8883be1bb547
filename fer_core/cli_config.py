"""The commands about settings: write a configuration file, show what is in force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fer_core.cli_options import Config
from fer_core.errors import ConfigError

app = App(name="config", help="Write or show the settings.")


@app.command
def init(
    *,
    path: Annotated[Path, Parameter(help="Where to write it.")] = Path("lecturepulse.toml"),
    stdout: Annotated[bool, Parameter(help="Print it instead.", negative=())] = False,
) -> int:
    """Write a configuration file that lists every setting with its default."""
    from fer_core import config, terminal

    if stdout:
        sys.stdout.write(config.as_toml())
        return 0
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(config.as_toml())
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists already.", hint="Remove it first, or give another --path."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}.", hint="Give another --path."
        ) from error
    terminal.line(f"Written: {path.absolute()}")
    return 0


@app.command
def show(*, config: Config = None) -> int:
    """Print every setting in force, and where its value came from."""
    from fer_core import terminal
    from fer_core.config import load, value_of

    loaded = load(config)
    for name, origin in loaded.origins.items():
        terminal.line(f"{name} = {value_of(loaded.settings, name)}  ({origin})")
    return 0
