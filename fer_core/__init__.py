"""The lecturepulse library: recordings in, per-second tables and reports out.

Knows nothing of Prefect or Flask; ``fer_core.cli`` is the only room that talks to a terminal.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lecturepulse")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0+unknown"
