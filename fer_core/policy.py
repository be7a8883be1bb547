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


COUNTRIES: Final = frozenset(
    code
    for codes in (
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM",
        "BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX",
        "CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG",
        "GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR",
        "IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV",
        "LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE",
        "NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO",
        "RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF",
        "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF",
        "WS YE YT ZA ZM ZW",
    )
    for code in codes.split()
)
"""The 249 codes of ISO 3166-1. A mistyped code must not pass for a place where everything may be
computed."""


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
        PolicyError: no jurisdiction for a real recording, one that does not exist, or an exemption
            without its reason.
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
    country = place.split("-")[0]
    if country not in COUNTRIES | AI_ACT_PLACES:
        raise PolicyError(
            f"'{country}' is not the ISO 3166 code of a country.",
            hint="Two letters, such as IN, US-IL or GB.",
        )
    if deployment.exemption and not (deployment.exemption_reason or "").strip():
        raise PolicyError(
            f"The exemption '{deployment.exemption}' lacks its written reason.",
            hint="Set deployment.exemption_reason.",
        )
    if country not in AI_ACT_PLACES:
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
