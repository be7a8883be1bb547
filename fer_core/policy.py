"""What may be computed where: the jurisdiction gate; and what the settings mean, in plain words.

The gate answers one question before any model is loaded: expressions, presence only, or nothing.
The minimum group is applied in ``engagement``, ``moments`` and ``live``; whether there are tables
of single people, in ``conclude``.
"""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from fer_core.errors import PolicyError
from fer_core.exclude import Exclusion
from fer_core.settings import Deployment, Settings

Mode = Literal["emotion", "presence"]

MADE_UP: Final = frozenset({"243fcf0be443662fc3287c25544cf07569809ff93f34b85086dd935ff2d6a522"})
"""Recordings, by sha256, whose people are known not to exist: the bundled class. What only a
sidecar declares synthetic needs a jurisdiction like any other."""

SENSIBLE_GROUP: Final = 5
"""With fewer people the mean of a group says much about each of them."""


@dataclass(frozen=True, slots=True)
class Prohibition:
    """A place where expressions of students may not be read: since when, by which source.

    ``checked`` is the day on which somebody last looked the source up.
    """

    name: str
    since: date
    source: str
    checked: date


def _prohibitions() -> dict[str, Prohibition]:
    text = importlib.resources.files("fer_core").joinpath("law.toml").read_text(encoding="utf-8")
    return {code: Prohibition(**entry) for code, entry in tomllib.loads(text).items()}


PROHIBITED: Final = _prohibitions()
"""By ISO 3166 code, and two codes that people write although ISO 3166 does not give them, for the
Union and for Greece. The medical and safety exemptions are those of Art. 5(1)(f). Not legal
advice."""


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
        synthetic: the recording's people do not exist; see ``inbox.is_made_up``.

    Raises:
        PolicyError: no jurisdiction for a real recording, one that does not exist, or an exemption
            without its reason.
    """
    place = deployment.jurisdiction
    chosen = Permission("presence", "Expressions are switched off (deployment.presence_only).")
    if synthetic and place is None:
        unreal = Permission("emotion", "The people in this recording do not exist.")
        return chosen if deployment.presence_only else unreal
    if place is None:
        raise PolicyError(
            "A jurisdiction is required for recordings of real people.",
            hint="Say whose law applies: --jurisdiction IN, or deployment.jurisdiction in "
            "lecturepulse.toml.",
        )
    country = place.split("-")[0]
    if country not in COUNTRIES | PROHIBITED.keys():
        raise PolicyError(
            f"'{country}' is not the ISO 3166 code of a country.",
            hint="Two letters, such as IN, US-IL or GB.",
        )
    if deployment.exemption and not (deployment.exemption_reason or "").strip():
        raise PolicyError(
            f"The exemption '{deployment.exemption}' lacks its written reason.",
            hint="Set deployment.exemption_reason.",
        )
    if deployment.presence_only:
        return chosen
    if country not in PROHIBITED:
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


def in_words(settings: Settings) -> dict[str, list[str]]:
    """Return what would be computed, shown and kept under the settings, in plain sentences.

    Returns:
        Sentences by heading, for a data-protection officer.
    """
    return {
        "Computed": _computed(settings),
        "Shown": _shown(settings),
        "Kept": _kept(settings),
        "Never": [
            "No face recognition, no embeddings; no picture stays once a recording is done.",
            "No names, but where file names, folders, titles or spoken words hold them.",
            "Nothing is sent anywhere: it works without a network.",
            "No score or rank of a person, and no attendance: visible is not present.",
        ],
    }


def _computed(settings: Settings) -> list[str]:
    rate = settings.sampling.rate_hz
    try:
        gate = permission(settings.deployment, synthetic=False)
    except PolicyError as error:
        return [f"Nothing of real people: {error.message} {error.hint}"]
    pictures = "One picture" if rate == 1 else f"{rate} pictures"
    said = [gate.reason]
    country = (settings.deployment.jurisdiction or "").split("-")[0]
    if law := PROHIBITED.get(country):
        said.append(f"Source: {law.source}, since {law.since}; looked up on {law.checked}.")
    said.append(f"{pictures} a second: how many faces are visible, and which way they are turned.")
    if gate.mode == "emotion":
        said.append(
            "From each readable face a network estimates probabilities of seven expressions; from "
            "them an engagement index of the class, a documented proxy and not a feeling."
        )
    else:
        said.append("No expression is read; the expression model is not even loaded.")
    said.append(
        "A transcript beside the recording gives pace and quotes; speakers' names are "
        "dropped while it is read, names that are spoken are not."
    )
    said += [f"Left out before anybody looks: {_place(part)}." for part in settings.privacy.exclude]
    said.append(
        "A file beside a recording may leave out more of it: mind who may write into the inbox."
    )
    return said


def _place(part: Exclusion) -> str:
    where = "the whole picture"
    if part.tile and part.grid:
        (column, row), (columns, rows) = part.tile, part.grid
        where = f"the tile in column {column}, row {row} of {columns} by {rows}"
    elif part.area:
        left, top, right, bottom = (f"{share:.0%}" for share in part.area)
        where = f"from {left} to {right} of the width, {top} to {bottom} of the height"
    when = "" if part.end is None else f" to {part.end:g} s"
    return f"{part.what}, {where}" + (
        f", from {part.start:g} s{when}" if part.start or when else ""
    )


def _shown(settings: Settings) -> list[str]:
    privacy, least = settings.privacy, settings.privacy.min_group
    if least == 1:
        said = ["Values of every second, also of a single person: privacy.min_group is 1."]
    else:
        shown = f"Values of the class where at least {least} people are visible in a picture"
        said = [f"{shown}; with fewer they are withheld in tables, reports and exports alike."]
        said.append("How many were visible is always kept and shown, even one.")
        if least < SENSIBLE_GROUP:
            said.append(f"Fewer than {SENSIBLE_GROUP}: values may come close to single persons.")
    if privacy.per_person:
        said.append(
            "Per-person tables are ON. For every face and picture: where it was, how it was "
            "turned, its seven probabilities (withheld like the class's); for every anonymous "
            "track: its first and last second, and how long it was visible. Tracks hold within "
            f"one recording only, never ranked. Reason given: {privacy.per_person_reason}"
        )
    else:
        said.append("No tables of single people: those of faces and tracks are not written.")
    consent = settings.deployment.consent
    said.append(
        f"Consent statement in every report: {consent}"
        if consent
        else "No consent statement is on record; a banner in every report of real people says so."
    )
    return said


def _kept(settings: Settings) -> list[str]:
    days = settings.retention.days
    said = [f"Everything in {settings.out.absolute()}."]
    if settings.publish_to:
        said = [
            (
                f"Everything in {settings.publish_to}, and in this machine's working copy of it, "
                f"{settings.out.absolute()}; what is deleted in one is deleted in the other."
            ),
            (
                "Of recordings that arrive in object storage, a copy while they are read; then a "
                "hash of each object's address and version beside that of its content, which a "
                "purge blanks."
            ),
        ]
    said.append(
        f"Tables and pages for {days} days after a recording was made (its start, or else the "
        "file's time); then they are deleted, and it is not read again unless with --force."
        if days
        else "Tables and pages without an end: retention.days is not set."
    )
    said += [
        f"The table {name} for {most} days."
        for name, most in settings.retention.tables.items()
        if settings.privacy.per_person or name not in ("faces", "tracks")
    ]
    said.append(
        "Work files until a recording is done, or for a week if it never is: boxes, points, "
        "probabilities and grey thumbnails of 48 by 27 dots with the faces found blackened."
    )
    said += [
        "Logs of failed recordings, with their paths, until they go; damaged tables in set-aside.",
        f"Prefect's history of runs, with recordings' paths, for {days or 90} days (under serve).",
        "The audit log: account names, consent and reasons as in the settings; never deleted.",
        "The recordings themselves are never changed or deleted.",
        "Videos kept through the web interface as long as their results.",
        "Of a live camera nothing, unless somebody records it: then the same as of a recording.",
    ]
    return said
