"""What all sections of the settings have in common; they are in ``settings`` and beside it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A section of the settings: frozen, no unknown names, and "" for what is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _unset(cls, value: object, info: ValidationInfo) -> object:
        # TOML and the environment have no word for nothing: "" is how they say "not set".
        unset = value == "" and cls.model_fields[info.field_name or ""].default is None
        return None if unset else value
