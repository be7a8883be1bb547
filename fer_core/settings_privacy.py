"""The settings that concern the people recorded: on what ground, what is withheld, how long kept.

Each change of them is written into the audit log.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from fer_core.exclude import Exclusion
from fer_core.settings_section import Section

_CODE: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


class Deployment(Section):
    """Where and on what ground the school runs this."""

    jurisdiction: str | None = Field(
        None,
        description="ISO 3166 code of the place whose law applies, such as IN or US-IL. Required "
        "for real recordings. In the EU and EEA expressions are not read (presence mode).",
    )
    presence_only: bool = Field(
        False, description="Read no expressions, although the place would allow it (presence mode)."
    )
    exemption: Literal["medical", "safety"] | None = Field(
        None, description="Legal exemption from the EU rule; needs exemption_reason."
    )
    exemption_reason: str | None = Field(None, description="The written reason of the exemption.")
    consent: str | None = Field(
        None, description="Consent statement, printed in every report. Missing: a banner says so."
    )

    @field_validator("jurisdiction", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        code = value.strip().upper() if isinstance(value, str) else value
        if isinstance(code, str) and code and not _CODE.fullmatch(code):
            raise ValueError("needs the ISO 3166 code of a country, such as IN, DE or US-IL")
        return code


class Privacy(Section):
    """What is withheld."""

    min_group: int = Field(
        5, ge=1, description="Fewer people than this: values of that second are withheld."
    )
    per_person: bool = Field(
        False,
        description="Also write the faces and tracks tables (anonymous, not ranked); needs "
        "per_person_reason.",
    )
    per_person_reason: str | None = Field(
        None,
        validate_default=True,
        description="The written reason for per-person tables, printed in the report.",
    )
    exclude: tuple[Exclusion, ...] = Field(
        (),
        max_length=100,
        description="What is left out of every recording before faces are searched, such as "
        '{ what = "lecturer", tile = [1, 1], grid = [3, 3] }; more in the sidecar.',
    )

    @field_validator("per_person_reason")
    @classmethod
    def _given(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("per_person") and not (value or "").strip():
            raise ValueError("per-person tables need a written reason")
        return value


_EXPIRE_ALONE: Final = ("moments", "marks", "faces", "tracks")


class Retention(Section):
    """How long results are kept; recordings themselves are never touched."""

    days: int | None = Field(
        None,
        ge=1,
        le=36500,
        description="Everything about a recording is deleted so many days after it was made "
        "(its start, or else the file's time), and it is not read again. Not set: kept.",
    )
    tables: dict[str, int] = Field(
        default_factory=lambda: {"faces": 30, "tracks": 30},
        description="Days for single tables that go earlier: moments, marks, faces, tracks.",
    )

    @field_validator("tables")
    @classmethod
    def _known(cls, value: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(value.keys() - set(_EXPIRE_ALONE)):
            raise ValueError(
                f"{unknown[0]} cannot go alone; choose from {', '.join(_EXPIRE_ALONE)}"
            )
        if any(days < 1 for days in value.values()):
            raise ValueError("needs at least 1 day")
        return dict(sorted(value.items()))
