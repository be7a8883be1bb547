"""The options that several commands take, each with one text; their use is the commands' work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Config = Annotated[
    Path | None, Parameter(help="Configuration file. Default: lecturepulse.toml here, if any.")
]
Out = Annotated[str | None, Parameter(help="Folder of tables and reports, or s3://BUCKET/FOLDER.")]
Jurisdiction = Annotated[
    str | None,
    Parameter(help="ISO 3166 code of the place whose law applies, such as IN or US-IL."),
]
