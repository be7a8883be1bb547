"""The lecturepulse library: recordings in, per-second tables and reports out.

Of Prefect only ``cli`` knows, of Flask only ``web``. A person at a terminal hears from
``cli``, the rooms ``cli_…``, ``terminal`` and ``training``.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lecturepulse")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0+unknown"
