"""What is withheld, and what is said about it: minimum group, per-person mode, policy in words."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core import cli, config, engagement, moments, policy, rows, track
from fer_core.errors import ConfigError
from fer_core.policy import PROHIBITED
from fer_core.records import Observations
from fer_core.settings import Settings
from tests import factories
from tests.factories import examples


def everything_told(seen: Observations, settings: Settings, seconds: int) -> list[Any]:
    """Return all that is kept of a recording: tables of seconds and moments, and the summary."""
    tracks = track.link(seen, settings.tracking)
    people = engagement.by_person(seen, tracks, seconds, settings)
    values = engagement.aggregate(seen, people, settings)
    found = moments.find(
        people.index,
        shown=np.isfinite(values.engagement),
        settings=settings.engagement,
        min_group=settings.privacy.min_group,
    )
    return [
        rows.seconds("a", None, values).to_pylist(),
        found,
        rows.summary(values, seen, tracks, people, settings),
    ]


@examples(25)
@given(st.integers(0, 10_000), st.integers(5, 8), st.sampled_from([1, 2]))
def test_nothing_that_is_kept_depends_on_what_few_people_showed(
    seed: int, people: int, rate_hz: int
) -> None:
    """Nobody can subtract: neither a mean of the recording nor a neighbour's interval tells it."""
    settings = factories.settings(engagement={"replicates": 100})
    leave = dict.fromkeys(range(4, people), 12)
    made = factories.lesson(seed, people=people, seconds=24, rate_hz=rate_hz, leaves=leave)
    seen = made.observations
    told = everything_told(seen, settings, 24)
    assert [row["suppressed"] for row in told[0]][12:] == [True] * 12

    few = seen.faces.sample >= 12 * rate_hz
    probs = seen.faces.probs.copy()
    # Who could be read is the same; what they showed is not.
    probs[few] = np.roll(probs[few], 1 + seed % 6, axis=1)
    other = replace(seen, faces=replace(seen.faces, probs=probs))
    assert repr(everything_told(other, settings, 24)) == repr(told)


def test_single_faces_tell_nothing_where_the_class_does_not() -> None:
    settings = factories.settings(engagement={"replicates": 100})
    made = factories.lesson(3, people=6, seconds=24, leaves={4: 12, 5: 12}, unreadable=0)
    seen = made.observations
    tracks = track.link(seen, settings.tracking)
    people = engagement.by_person(seen, tracks, 24, settings)
    values = engagement.aggregate(seen, people, settings)
    table = rows.faces("a", seen, tracks, people, values).to_pandas()
    few = table["second"] >= 12
    assert few.any()
    told = [name for name in table if name.startswith("p_")] + ["facing"]
    assert table.loc[few, told].isna().all(axis=None)
    assert not table.loc[few, "scored"].any()
    assert table.loc[~few, told].notna().all(axis=None)


def test_per_person_tables_need_a_written_reason() -> None:
    for reason in (None, "", "  \n"):
        with pytest.raises(ConfigError, match="written reason") as caught:
            config.load(
                None, {"privacy.per_person": True, "privacy.per_person_reason": reason or ""}
            )
        assert caught.value.exit_code == 2
    flags = {"privacy.per_person": True, "privacy.per_person_reason": "A study, with consent"}
    assert config.load(None, flags).settings.privacy.per_person


def test_what_prohibits_has_a_date_and_a_source_each() -> None:
    for code, entry in PROHIBITED.items():
        assert date(2025, 2, 2) <= entry.since <= entry.checked, code
        assert entry.checked >= date(2026, 1, 1), code
        assert "2024/1689" in entry.source, code
        assert all(str(value).strip() for value in dataclasses.asdict(entry).values()), code


def said_of(**sections: dict[str, Any]) -> str:
    told = policy.in_words(factories.settings(**sections))
    assert list(told) == ["Computed", "Shown", "Kept", "Never"]
    assert all(sentence and "\n" not in sentence for part in told.values() for sentence in part)
    return "\n".join(sentence for part in told.values() for sentence in part)


def test_the_policy_in_words_follows_the_settings() -> None:
    assert "Nothing of real people: A jurisdiction is required" in said_of()

    india = said_of(deployment={"jurisdiction": "IN"})
    assert "seven expressions" in india
    assert "at least 5 people" in india
    assert "without an end" in india
    assert "No consent statement is on record" in india
    assert "faces and tracks are not written" in india
    assert "How many were visible is always kept" in india
    assert "table faces" not in india

    germany = said_of(deployment={"jurisdiction": "DE"})
    assert "seven expressions" not in germany
    assert "not even loaded" in germany
    assert "Regulation (EU) 2024/1689" in germany

    chosen = said_of(deployment={"jurisdiction": "IN", "presence_only": True})
    assert "seven expressions" not in chosen
    assert "switched off" in chosen

    alone = said_of(deployment={"jurisdiction": "IN"}, privacy={"min_group": 1})
    assert "also of a single person" in alone

    medical = {"exemption": "medical", "exemption_reason": "Pilots who may faint."}
    exempt = said_of(deployment={"jurisdiction": "DE"} | medical)
    assert "seven expressions" in exempt
    assert "Pilots who may faint" in exempt

    much = said_of(
        deployment={"jurisdiction": "IN", "consent": "Signed in August."},
        privacy={
            "min_group": 3,
            "per_person": True,
            "per_person_reason": "A study",
            "exclude": [{"what": "lecturer", "tile": (1, 1), "grid": (3, 3)}],
        },
        retention={"days": 90, "tables": {"faces": 7, "moments": 60}},
        sampling={"rate_hz": 2},
    )
    for part in (
        "Signed in August.",
        "at least 3 people",
        "Fewer than 5",
        "ON",
        "A study",
        "lecturer, the tile in column 1, row 1 of 3 by 3",
        "for 90 days",
        "table faces for 7 days",
        "table moments for 60 days",
        "2 pictures a second",
    ):
        assert part in much, part


def test_the_command_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["policy", "show", "--jurisdiction", "FR"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("Computed\n  - In FR expressions of students may not be read")
    assert "  - No face recognition" in said
