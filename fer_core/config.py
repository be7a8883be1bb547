"""Where settings come from: defaults < TOML file < environment < flags, and what is wrong there.

The settings themselves are ``settings``'; this room reads, merges, explains and lists them.
"""

from __future__ import annotations

import difflib
import json
import os
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource, SettingsError

from fer_core.errors import ConfigError
from fer_core.settings import ENV_PREFIX, Settings

CONFIG_NAME: Final = "lecturepulse.toml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings together with where each value came from."""

    settings: Settings
    origins: dict[str, str]


def load(config: Path | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """Read the settings: defaults < TOML file < environment < flags.

    Args:
        config: the TOML file; None for ``lecturepulse.toml`` in the working folder, if there.
        flags: values from the command line, by dotted name; None values are ignored.

    Raises:
        ConfigError: the file is missing or not TOML, or a setting is unknown or wrong.
    """
    path = config or Path(CONFIG_NAME)
    sources: list[tuple[str, dict[str, Any]]] = []
    if config or path.is_file():
        sources.append((str(path), _read_toml(path)))
    sources.append(("environment", _read_environment()))
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    sources.append(("command line", _nested(given)))

    merged: dict[str, Any] = {}
    origins = dict.fromkeys(leaves(), "default")
    for origin, values in sources:
        merged = _merged(merged, values)
        origins |= dict.fromkeys((name for name in origins if _has(values, name)), origin)
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise _as_config_error(error, origins) from error
    return Loaded(settings, origins)


def leaves() -> dict[str, FieldInfo]:
    """Return every setting's field by its dotted name, in the order of ``settings``."""
    found: dict[str, FieldInfo] = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= {f"{name}.{key}": inner for key, inner in kind.model_fields.items()}
        else:
            found[name] = field
    return found


def value_of(settings: Settings, name: str) -> object:
    """Return the value of a setting by its dotted name."""
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def as_toml() -> str:
    """Return a configuration file that lists every setting, explained, with its default."""
    lines = [
        "# Settings of lecturepulse. Every line shows a default; remove the '#' to change it.",
        "# The environment overrides this file (LECTUREPULSE_SAMPLING__RATE_HZ=2), flags override",
        "# both. 'lecturepulse config show' prints the values in force and where each came from.",
    ]
    defaults = Settings()  # pyright: ignore[reportCallIssue]
    section = ""
    for name, field in leaves().items():
        head, _, key = name.rpartition(".")
        if head != section:
            section = head
            about = (Settings.model_fields[head].annotation.__doc__ or "").strip()  # type: ignore[union-attr]
            lines += ["", f"# {about}", f"[{head}]"]
        lines += [
            "",
            *textwrap.wrap(
                field.description or "", 96, initial_indent="# ", subsequent_indent="# "
            ),
            f"# {key or name} = {_toml_value(value_of(defaults, name))}",
        ]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if value is None:
        return '""  # not set'
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in items) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml_value, cast("tuple[Any, ...]", value))) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # "-sig": some editors begin a file with a byte order mark.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"The configuration file {path} does not exist.",
            hint="Make one: lecturepulse config init",
        ) from None
    # tomllib gives up in these two other ways on numbers too long and nesting too deep.
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"The configuration file {path} is not valid TOML: {error}.",
            hint="Compare it with a fresh one: lecturepulse config init --stdout",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror}.",
            hint="Check its permissions.",
        ) from error


def _read_environment() -> dict[str, Any]:
    known = leaves()
    for variable in os.environ:
        name = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        if variable.startswith(ENV_PREFIX) and name not in known:
            raise ConfigError(
                f"The environment variable {variable} is not a setting.", hint=_suggest(name)
            )
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise ConfigError(
            f"An environment variable cannot be read: {error}.",
            hint="Lists and tables are written as JSON in the environment.",
        ) from error


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        head, _, key = name.rpartition(".")
        (nested.setdefault(head, {}) if head else nested)[key] = value
    return nested


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        # Weights are one value: a table that names three of seven must fail, not be completed.
        result[key] = result[key] | value if both else value
    return result


def _has(values: Mapping[str, Any], name: str) -> bool:
    at: Any = values
    for part in name.split("."):
        if not isinstance(at, Mapping) or part not in at:
            return False
        at = at[part]  # pyright: ignore[reportUnknownVariableType]
    return True


def _suggest(name: str) -> str:
    close = difflib.get_close_matches(name, [*leaves(), *Settings.model_fields], n=1, cutoff=0.6)
    meant = f"Did you mean {close[0]}? " if close else ""
    return f"{meant}All settings: lecturepulse config show"


def _as_config_error(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ConfigError(f"'{name}' is not a setting.", hint=_suggest(name))
    field = leaves().get(name)
    reason = first["msg"].removeprefix("Value error, ")
    origin = origins.get(name, "")
    where = f" ({origin})" if origin and origin != "default" else ""
    return ConfigError(
        f"The setting {name} = {first['input']!r} is wrong{where}: {reason}.",
        hint=(field.description if field and field.description else _suggest(name)),
    )
