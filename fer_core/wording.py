"""Every visible string of the pages, by key, and how numbers and times are written.

The words themselves are data (``reports/templates/strings/en.toml``); what is said on which
page is decided by ``sections`` and the templates.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from fer_core import assets
from fer_core.errors import ConfigError

LANGUAGE: Final = "en"
"""The language of the pages unless another is asked for: a catalogue is a file, ``en.toml``."""

# Control characters, lone surrogates, noncharacters and bidirectional overrides: not allowed in
# HTML, not writable as UTF-8, or able to make one name look like another.
_NONCHARACTERS: Final = "".join(
    chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\u202a-\u202e\u2066-\u2069"
    f"{_NONCHARACTERS}]"
)
_LEAST_PERCENT: Final = 0.01


def clean(text: str, limit: int = 400) -> str:
    """Make foreign text fit for a page: nothing unprintable, no longer than ``limit``."""
    shown = _UNPRINTABLE.sub("\ufffd", text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class Wording:
    """The catalogue of one language.

    Args:
        catalogue: strings by key in nested tables; a table with the keys ``one`` and ``other``
            is one string in two numbers, chosen by the value ``n``.
        zone: the time zone that points in time are written in.
    """

    def __init__(self, catalogue: Mapping[str, Any], zone: tzinfo = UTC) -> None:
        self._catalogue, self._zone = catalogue, zone

    def table(self, key: str) -> dict[str, str]:
        """Return all strings under a key, such as the names of the expressions."""
        found = self._find(key)
        return {name: str(text) for name, text in found.items()}

    def __call__(self, key: str, /, **values: str | int) -> str:
        """Return the string of a key with its values filled in.

        Values are text to show, never templates: braces in them mean nothing.
        """
        found = self._find(key)
        if "n" in values and not isinstance(found, str):
            found = found["one" if values["n"] == 1 else "other"]
            values = {**values, "n": self.whole(int(values["n"]))}
        return str(found).format(**values)

    def _find(self, key: str) -> Any:
        found: Any = self._catalogue
        for part in key.split("."):
            found = found[part]
        return found

    def whole(self, number: float) -> str:
        """Write a whole number: 5,400."""
        return f"{round(number):,}"

    def about(self, number: float) -> str:
        """Write a number with at most one decimal: 8.5, 9."""
        return f"{number:,.1f}".removesuffix(".0")

    def index(self, number: float) -> str:
        """Write an engagement index or a probability: 0.71."""
        return f"{number:.2f}"

    def change(self, number: float) -> str:
        """Write a difference with its sign: +0.18, −0.05."""
        return f"{number:+.2f}".replace("-", "−")

    def percent(self, share: float) -> str:
        """Write a share; never '0 %' of what is there, nor '100 %' with a part missing."""
        return self("units.percent", n=self.hundredths(share))

    def hundredths(self, share: float) -> str:
        """Write a share without its unit: 12, and <1 or >99 for what is nearly nothing or all."""
        if 0 < share < _LEAST_PERCENT:
            return "<1"
        if 1 - _LEAST_PERCENT < share < 1:
            return ">99"
        return f"{100 * share:.0f}"

    def at(self, second: float) -> str:
        """Write a position in the recording: 02:05, 1:02:05."""
        minutes, s = divmod(int(second), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes:02}:{s:02}"

    def duration(self, seconds: float) -> str:
        """Write a length of time: 45 s, 2 min 30 s, 1 h 30 min."""
        total = round(seconds)
        hours, minutes, s = total // 3600, total // 60 % 60, total % 60
        if hours:
            parts = [("units.hours", hours), ("units.minutes", minutes)]
        elif minutes:
            parts = [("units.minutes", minutes), ("units.seconds", s)]
        else:
            return self("units.seconds", n=s)
        return " ".join(self(key, n=n) for key, n in parts if n)

    def day(self, moment: datetime | None) -> str:
        """Write the day of a point in time, or that it is not known."""
        if moment is None:
            return self("units.no_date")
        return moment.astimezone(self._zone).strftime("%Y-%m-%d")

    def date(self, moment: datetime | None) -> str:
        """Write a point in time, or that it is not known."""
        if moment is None:
            return self("units.no_date")
        here = moment.astimezone(self._zone)
        time, zone = here.strftime("%H:%M"), here.strftime("%Z")
        return self("units.date", date=self.day(moment), time=time, zone=zone)


@cache
def words(language: str = LANGUAGE, timezone: str = "UTC") -> Wording:
    """Return the catalogue of a language, read once a process.

    Args:
        language: its name, such as ``en``.
        timezone: what points in time are written in, such as ``Asia/Kolkata``.

    Raises:
        ConfigError: there is no such catalogue, or no such zone.
    """
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, OSError, ValueError) as error:  # whatever the name looks like to a system
        raise ConfigError(
            f"There is no time zone '{timezone}'.", hint="report.timezone is one like Asia/Kolkata."
        ) from error
    folder = assets.templates() / "strings"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if language not in known:
        raise ConfigError(
            f"There is no catalogue for the language '{language}'.",
            hint=f"report.language may be: {', '.join(known)}.",
        )
    path = folder / f"{language}.toml"
    return Wording(tomllib.loads(path.read_text(encoding="utf-8")), zone)


def rounded_parts(parts: Sequence[float], unit: float) -> list[float]:
    """Round parts to multiples of ``unit`` so that they still add up to their rounded sum."""
    exact = np.asarray(parts, float) / unit
    whole = np.floor(exact + 1e-9)
    missing = round(float(exact.sum())) - int(whole.sum())
    for index in np.argsort(-(exact - whole), kind="stable")[: max(missing, 0)]:
        whole[index] += 1
    return [float(part) * unit for part in whole]
