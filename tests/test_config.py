"""Settings and where they come from: precedence, origins, documentation, and what is refused."""

import json
import os
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fer_core import config
from fer_core.config import leaves, value_of
from fer_core.errors import ConfigError
from fer_core.records import EMOTIONS
from fer_core.settings import Settings
from tests import factories
from tests.factories import examples


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """Work in an empty folder, with none of our variables set."""
    monkeypatch.chdir(tmp_path)
    for variable in [v for v in os.environ if v.upper().startswith("LECTUREPULSE_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def toml(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(*arguments, **named) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.load(*arguments, **named)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def uncommented(text: str) -> str:
    """Remove the '#' as a person would: from the lines that are settings, not prose."""
    names = "|".join({name.rpartition(".")[2] for name in leaves()})
    return re.sub(rf"^# (?=(?:{names}) = )", "", text, flags=re.MULTILINE)


def test_without_anything_every_value_is_its_default():
    loaded = config.load()
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert list(loaded.origins) == list(leaves())


def test_flag_beats_environment_beats_file_beats_default(toml, monkeypatch):
    path = toml("[sampling]\nrate_hz = 2\nsegment_s = 60\n[privacy]\nmin_group = 7\n")
    monkeypatch.setenv("LECTUREPULSE_SAMPLING__RATE_HZ", "3")
    monkeypatch.setenv("LECTUREPULSE_SAMPLING__SEGMENT_S", "90")
    loaded = config.load(
        path, {"sampling.rate_hz": 4, "out": "elsewhere", "privacy.min_group": None}
    )

    told = {
        name: (value_of(loaded.settings, name), loaded.origins[name])
        for name in ("sampling.rate_hz", "sampling.segment_s", "privacy.min_group", "run.retries")
    }
    assert told == {
        "sampling.rate_hz": (4, "command line"),
        "sampling.segment_s": (90, "environment"),
        "privacy.min_group": (7, str(path)),
        "run.retries": (2, "default"),
    }
    assert str(loaded.settings.out) == "elsewhere"
    assert loaded.origins["out"] == "command line"


def test_a_file_in_the_working_folder_is_found_by_itself(tmp_path):
    (tmp_path / "lecturepulse.toml").write_text("[run]\nretries = 9\n")
    loaded = config.load()
    assert (loaded.settings.run.retries, loaded.origins["run.retries"]) == (9, "lecturepulse.toml")


def test_values_in_the_environment_are_read_by_their_type(monkeypatch):
    weights = dict.fromkeys(EMOTIONS, 0.5)
    monkeypatch.setenv("LECTUREPULSE_ENGAGEMENT__WEIGHTS", json.dumps(weights))
    monkeypatch.setenv("LECTUREPULSE_DISCOVERY__EXTENSIONS", '["mp4", "ogv"]')
    monkeypatch.setenv("LECTUREPULSE_PRIVACY__PER_PERSON", "true")
    monkeypatch.setenv("LECTUREPULSE_PRIVACY__PER_PERSON_REASON", "A study with consent")
    monkeypatch.setenv("LECTUREPULSE_DEPLOYMENT__JURISDICTION", " us-il ")
    settings = config.load().settings
    assert settings.engagement.weights == weights
    assert settings.discovery.extensions == ("mp4", "ogv")
    assert settings.privacy.per_person is True
    assert settings.deployment.jurisdiction == "US-IL"


@pytest.mark.parametrize("name", leaves())
def test_every_setting_is_documented(name):
    description = leaves()[name].description
    assert description
    assert description.rstrip().endswith(".")


def test_the_file_written_by_init_changes_nothing_as_it_is(toml):
    text = config.as_toml()
    assert not [line for line in text.splitlines() if line and line[0] not in "#["]
    assert config.load(toml(text)).settings == Settings()


def test_the_file_written_by_init_says_the_defaults_when_uncommented(toml):
    text = uncommented(config.as_toml())
    given_there = tomllib.loads(text)
    for name in leaves():
        assert config._has(given_there, name), f"{name} is not listed"
    loaded = config.load(toml(text))
    assert loaded.settings == Settings()
    assert loaded.settings.result_hash() == Settings().result_hash()
    assert "default" not in loaded.origins.values()


def test_the_file_written_by_init_explains_every_setting():
    prose = re.sub(r"\s*\n# ", " ", config.as_toml())
    assert not [n for n, field in leaves().items() if (field.description or "?") not in prose]


def test_empty_text_means_not_set(toml, monkeypatch):
    monkeypatch.setenv("LECTUREPULSE_DEPLOYMENT__JURISDICTION", "")
    path = toml('[deployment]\nexemption = ""\n[discovery]\ncourse = ""\n[video]\nffmpeg = ""\n')
    settings = config.load(path).settings
    assert settings.deployment.jurisdiction is None
    assert settings.deployment.exemption is None
    assert settings.discovery.course is None
    assert settings.video.ffmpeg is None
    assert settings.report.time_link == ""


@pytest.mark.parametrize(
    ("text", "named", "meant"),
    [
        ("[sampling]\nrate = 2\n", "sampling.rate", "sampling.rate_hz"),
        ("[smapling]\nrate_hz = 2\n", "smapling", "sampling"),
        ("rate_hz = 2\n", "rate_hz", "sampling.rate_hz"),
        ("[privacy]\nmin_groups = 2\n", "privacy.min_groups", "privacy.min_group"),
        ("outt = 'x'\n", "outt", "out"),
    ],
)
def test_an_unknown_setting_in_the_file_is_named_with_the_one_meant(toml, text, named, meant):
    error = refused(toml(text))
    assert f"'{named}'" in error.message
    assert f"Did you mean {meant}?" in error.hint


def test_an_unknown_setting_in_the_environment_or_on_the_command_line(monkeypatch):
    assert "Did you mean run.workers?" in refused(None, {"run.worker": 2}).hint
    monkeypatch.setenv("LECTUREPULSE_SAMPLING__RATE_HERTZ", "2")
    error = refused()
    assert "LECTUREPULSE_SAMPLING__RATE_HERTZ" in error.message
    assert "Did you mean sampling.rate_hz?" in error.hint


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[sampling]\nrate_hz = 'often'\n", "sampling.rate_hz"),
        ("[sampling]\nrate_hz = 1.5\n", "sampling.rate_hz"),
        ("[sampling]\nrate_hz = 0\n", "sampling.rate_hz"),
        ("[sampling]\nrate_hz = 11\n", "sampling.rate_hz"),
        ("[privacy]\nmin_group = 0\n", "privacy.min_group"),
        ("[detection]\nmin_score = 1.1\n", "detection.min_score"),
        ("[tracking]\nmax_gap_s = nan\n", "tracking.max_gap_s"),
        ("[tracking]\nmax_shift = inf\n", "tracking.max_shift"),
        ("[discovery]\nextensions = 'mp4'\n", "discovery.extensions"),
        ("[deployment]\njurisdiction = 'India'\n", "deployment.jurisdiction"),
        ("[deployment]\nexemption = 'curiosity'\n", "deployment.exemption"),
        ("[engagement]\nvariant = 'mixed'\n", "engagement.variant"),
        ("[engagement]\nreplicates = 99\n", "engagement.replicates"),
        ("[engagement.weights]\nhappy = 1\n", "engagement.weights"),
        ("[engagement]\nweights = 3\n", "engagement.weights"),
        ("sampling = 3\n", "sampling"),
        ("out = 3\n", "out"),
    ],
)
def test_a_wrong_value_in_the_file_is_named_with_its_place(toml, text, named):
    path = toml(text)
    error = refused(path)
    assert f"{named} = " in error.message or f"{named} " in error.message
    if named in leaves():
        assert str(path) in error.message


@pytest.mark.parametrize(
    "weights",
    [
        dict.fromkeys(EMOTIONS, 0.0),
        dict.fromkeys(EMOTIONS, 0.5) | {"happy": 1.5},
        dict.fromkeys(EMOTIONS, 0.5) | {"bored": 0.5},
        dict.fromkeys(EMOTIONS, 0.5) | {"sad": float("nan")},
    ],
)
def test_weights_are_seven_from_0_to_1_and_not_all_0(weights):
    with pytest.raises(ValidationError):
        factories.settings(engagement={"weights": weights})


def test_weights_are_one_value_and_never_half_of_two(toml, monkeypatch):
    monkeypatch.setenv("LECTUREPULSE_ENGAGEMENT__WEIGHTS", '{"happy": 1.0}')
    table = "\n".join(f"{name} = 0.5" for name in EMOTIONS)
    refused(toml(f"[engagement.weights]\n{table}\n"))


def test_a_wrong_value_in_the_environment_or_on_the_command_line(monkeypatch):
    assert "command line" in refused(None, {"deployment.jurisdiction": "India"}).message
    monkeypatch.setenv("LECTUREPULSE_RUN__WORKERS", "many")
    assert "environment" in refused().message
    monkeypatch.setenv("LECTUREPULSE_RUN__WORKERS", "2")
    monkeypatch.setenv("LECTUREPULSE_DISCOVERY__EXTENSIONS", "mp4,mov")
    refused()


@pytest.mark.parametrize(
    "content",
    [
        b"sampling.rate_hz = \n",
        b"[sampling\n",
        b"\xff\xfe\x00",
        b"\x00",
        b"a = 1\na = 2\n",
        b"a = " + b"[" * 5000,
        b"a = " + b"1" * 5000,
        b"<html>",
    ],
)
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    error = refused(path)
    assert "broken.toml" in error.message
    assert "not valid TOML" in error.message


def test_a_file_that_is_not_there_or_no_file(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.toml").message
    assert "config init" in refused(tmp_path / "none.toml").hint
    assert "cannot be read" in refused(tmp_path).message


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf[run]\r\nretries = 7\r\n")
    assert config.load(path).settings.run.retries == 7


def test_settings_cannot_be_changed():
    for change in (
        lambda s: setattr(s, "out", "x"),
        lambda s: setattr(s.privacy, "min_group", 1),
    ):
        with pytest.raises(ValidationError):
            change(Settings())


# A table computed under other values of these must be computed again; of the others it need not.
CHANGES_RESULTS = {"sampling", "detection", "classification", "tracking", "engagement", "privacy"}
CHANGES_RESULTS |= {"deployment.jurisdiction", "deployment.exemption", "deployment.presence_only"}
ONLY_TOLD = {"privacy.per_person_reason"}
OTHER_VALUES = {
    "deployment.jurisdiction": "IN",
    "deployment.exemption": "medical",
    "discovery.extensions": ("mp4",),
    "privacy.exclude": [{"what": "lecturer", "tile": (1, 1), "grid": (3, 3)}],
    "publish_to": "s3://school/pulse",
    "run.recordings_at_once": 2,
    "run.runner": "dask",
    "web.hosts": ("pulse.school.example",),
    "retention.days": 30,
    "retention.tables": {"faces": 3},
    "classification.model": "another",
    "classification.runtime": "keras",
    "engagement.variant": "expression_x_facing",
    "engagement.weights": dict.fromkeys(EMOTIONS, 0.5),
}


def other_value(name: str) -> object:
    now = value_of(Settings(), name)
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    if isinstance(now, bool):
        return not now
    if isinstance(now, int):
        return now + 1
    return now / 2 if isinstance(now, float) else "other"


@pytest.mark.parametrize("name", leaves())
def test_the_hash_changes_with_what_changes_a_result_and_with_nothing_else(name):
    needed = {"privacy.per_person_reason": "A study"} if name == "privacy.per_person" else {}
    changed = config.load(None, needed | {name: other_value(name)}).settings
    assert value_of(changed, name) != value_of(Settings(), name)
    expected = name in CHANGES_RESULTS or name.partition(".")[0] in CHANGES_RESULTS
    expected = expected and name not in ONLY_TOLD
    assert (changed.result_hash() != Settings().result_hash()) is expected


def test_the_hash_does_not_depend_on_how_a_value_is_written(toml):
    table = ", ".join(f"{k} = {v}" for k, v in reversed(Settings().engagement.weights.items()))
    path = toml(f"[tracking]\nmax_gap_s = 60\n[engagement]\nweights = {{ {table} }}\n")
    assert config.load(path).settings.result_hash() == Settings().result_hash()


@examples(60)
@given(st.binary(max_size=60))
def test_no_file_whatever_brings_anything_but_settings_or_one_clear_error(
    tmp_path_factory, content
):
    path = tmp_path_factory.mktemp("any") / "any.toml"
    path.write_bytes(content)
    try:
        config.load(path)
    except ConfigError as error:
        told = error
        assert told.hint


@pytest.mark.parametrize(
    "retention",
    [
        {"days": 0},
        {"tables": {"faces": 0}},
        {"tables": {"recordings": 30}},
        {"tables": {"seconds": 30}},
        {"tables": {"runs": 30}},
    ],
)
def test_what_cannot_be_kept_that_long_is_refused(retention):
    with pytest.raises(ValidationError):
        factories.settings(retention=retention)
