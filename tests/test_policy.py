"""The jurisdiction gate: where expressions may be read, and what is required before."""

from fractions import Fraction
from pathlib import Path

import pytest

from fer_core import inbox, pipeline, segment
from fer_core.errors import PolicyError
from fer_core.policy import COUNTRIES, permission
from fer_core.settings import Deployment, Discovery, Run, Settings
from tests import clips

EXAMPLES = Path(__file__).parents[1] / "examples"

# Written down from the treaties, not from the room.
EU = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE".split()
EEA = ["IS", "LI", "NO"]
UNION_LAW_TOO = ["GF", "GP", "MQ", "RE", "YT", "MF", "AX"]
ELSEWHERE = ["IN", "US", "US-IL", "GB", "CH", "JP", "BR", "TR", "UA", "NC", "GL"]


def test_there_are_27_members():
    assert len(set(EU)) == 27


@pytest.mark.parametrize("place", [*EU, *EEA, *UNION_LAW_TOO, "EU", "EL", "DE-BY", "ES-CN", "fr"])
@pytest.mark.parametrize("synthetic", [False, True])
def test_in_the_union_and_the_eea_expressions_are_not_read(place, synthetic):
    allowed = permission(Deployment(jurisdiction=place), synthetic=synthetic)
    assert allowed.mode == "presence"
    assert "Art. 5(1)(f)" in allowed.reason
    assert place.upper() in allowed.reason


@pytest.mark.parametrize("place", ELSEWHERE)
def test_elsewhere_they_are(place):
    allowed = permission(Deployment(jurisdiction=place), synthetic=False)
    assert allowed.mode == "emotion"
    assert place in allowed.reason


@pytest.mark.parametrize("place", [None, ""])
def test_real_recordings_need_a_jurisdiction(place):
    with pytest.raises(PolicyError) as caught:
        permission(Deployment(jurisdiction=place), synthetic=False)
    assert "--jurisdiction" in caught.value.hint
    assert caught.value.exit_code == 2


def test_people_who_do_not_exist_need_none():
    assert permission(Deployment(), synthetic=True).mode == "emotion"


@pytest.mark.parametrize(("place", "synthetic"), [("IN", False), ("DE", False), (None, True)])
def test_expressions_can_be_switched_off_anywhere(place, synthetic):
    deployment = Deployment(jurisdiction=place, presence_only=True)
    given = permission(deployment, synthetic=synthetic)
    assert given.mode == "presence"
    assert "presence_only" in given.reason


@pytest.mark.parametrize("exemption", ["medical", "safety"])
def test_an_exemption_lifts_the_rule_and_is_told_with_its_reason(exemption):
    deployment = Deployment(
        jurisdiction="DE", exemption=exemption, exemption_reason="Pilots at risk of fainting"
    )
    allowed = permission(deployment, synthetic=False)
    assert allowed.mode == "emotion"
    assert exemption in allowed.reason
    assert "Pilots at risk of fainting" in allowed.reason


@pytest.mark.parametrize("reason", [None, "", " \n"])
@pytest.mark.parametrize("place", ["DE", "IN"])
def test_an_exemption_needs_its_written_reason(place, reason):
    deployment = Deployment(jurisdiction=place, exemption="medical", exemption_reason=reason)
    with pytest.raises(PolicyError) as caught:
        permission(deployment, synthetic=False)
    assert "exemption_reason" in caught.value.hint


def test_consent_lifts_nothing():
    deployment = Deployment(jurisdiction="DE", consent="Everybody has agreed in writing.")
    assert permission(deployment, synthetic=False).mode == "presence"


@pytest.mark.parametrize("place", ["XX", "UK", "DR", "SW-1", "ZZ"])
def test_a_code_that_is_no_country_is_refused(place):
    with pytest.raises(PolicyError, match="ISO 3166"):
        permission(Deployment(jurisdiction=place), synthetic=False)


def test_every_country_of_iso_3166_is_known_once():
    assert len(COUNTRIES) == 249


def test_the_gate_is_in_the_python_api_too(tmp_path, monkeypatch):
    """Whoever calls the main job: no jurisdiction, nothing read and nothing written."""
    clip = tmp_path / "class.mp4"
    clips.write_clip(clip, clips.steady(Fraction(5), 1))
    (source,) = inbox.discover([clip], Discovery(settle_s=0)).sources
    settings = Settings(out=tmp_path / "out", run=Run(min_free_mb=0))
    monkeypatch.setattr(segment, "look", None)
    with pytest.raises(PolicyError):
        pipeline.process_recording(source, settings)
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_only_the_bundled_class_is_known_to_be_made_up(tmp_path):
    (bundled,) = inbox.discover([EXAMPLES], Discovery(settle_s=0)).sources
    assert inbox.is_made_up(bundled)
    clips.write_clip(tmp_path / "real.mp4", clips.steady(Fraction(5), 2))
    (tmp_path / "real.toml").write_text("synthetic = true\n")
    (claimed,) = inbox.discover([tmp_path], Discovery(settle_s=0)).sources
    assert claimed.sidecar.synthetic
    assert not inbox.is_made_up(claimed)
