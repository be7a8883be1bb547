"""What may be computed and shown where: the jurisdiction gate.

Minimum group and per-person tables are settings applied in ``engagement`` and ``store``; this
room answers one question before any model is loaded: expressions, presence only, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fer_core.errors import PolicyError
from fer_core.settings import Deployment

Mode = Literal["emotion", "presence"]

AI_ACT_PLACES: Final = frozenset(
    place
    for places in (
        "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK",
        "IS LI NO",
        "AX GF GP MF MQ RE YT",
        "EU EL",
    )
    for place in places.split()
)
"""Member states of the EU, then of the EEA besides; then places with a code of their own to which
Union law applies (Art. 355 TFEU); then two codes that people write although ISO 3166 does not
give them, for the Union and for Greece. Regulation (EU) 2024/1689, Art. 5(1)(f):
inferring emotions in education institutions is prohibited since 2 February 2025, except for
medical or safety reasons. As of November 2026; not legal advice."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done with a recording, and why.

    Attributes:
        mode: ``emotion``, or ``presence`` (people visible and facing only).
        reason: one sentence for the report.
    """

    mode: Mode
    reason: str


def permission(deployment: Deployment, *, synthetic: bool) -> Permission:
    """Decide what may be computed from a recording.

    Args:
        deployment: where this runs, and any exemption.
        synthetic: the recording's people do not exist (declared in its sidecar).

    Raises:
        PolicyError: no jurisdiction for a real recording, or an exemption without its reason.
    """
    place = deployment.jurisdiction
    if synthetic and place is None:
        return Permission("emotion", "The people in this recording do not exist.")
    if place is None:
        raise PolicyError(
            "A jurisdiction is required for recordings of real people.",
            hint="Say whose law applies: --jurisdiction IN, or deployment.jurisdiction in "
            "lecturepulse.toml.",
        )
    if deployment.exemption and not (deployment.exemption_reason or "").strip():
        raise PolicyError(
            f"The exemption '{deployment.exemption}' lacks its written reason.",
            hint="Set deployment.exemption_reason.",
        )
    if place.split("-")[0] not in AI_ACT_PLACES:
        return Permission("emotion", f"Jurisdiction {place}.")
    if deployment.exemption:
        return Permission(
            "emotion",
            f"Jurisdiction {place}, {deployment.exemption} exemption: "
            f"{deployment.exemption_reason}",
        )
    return Permission(
        "presence",
        f"In {place} expressions of students may not be read (EU AI Act, Art. 5(1)(f)).",
    )
