"""A night over an inbox with faults in it: clear sentences, right exit codes, the rest is done."""

import os
from fractions import Fraction

import pytest

from fer_core import assets, processor
from fer_core.store import Place, Store
from tests import clips, factories


@pytest.fixture(scope="module")
def good_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "class.mp4"
    clips.write_clip(path, clips.steady(Fraction(5), 12))
    return path


@pytest.fixture
def inbox(tmp_path, good_clip):
    folder = tmp_path / "inbox" / "maths"
    folder.mkdir(parents=True)
    (folder / "good.mp4").write_bytes(good_clip.read_bytes())
    return folder


@pytest.fixture
def command(program):
    """Tell output and errors apart, and let the tests name the folder ``out``."""
    return program


def rows(tmp_path):
    frame = Store(tmp_path / "out").all("recordings")
    return dict(zip(frame["source_name"], frame["status"], strict=True))


def night(command, inbox, tmp_path, *more):
    place = ("--jurisdiction", "IN", "--no-prefect")
    return command("run", inbox.parent, "--out", tmp_path / "out", *place, *more)


def test_a_recording_without_faces_is_done(command, inbox, tmp_path):
    code, out, _ = night(command, inbox, tmp_path)
    assert code == 0, out
    assert rows(tmp_path) == {"good.mp4": "done"}
    (recording_id,) = Store(tmp_path / "out").all("recordings")["recording_id"]
    seconds = Store(tmp_path / "out").read("seconds", recording_id)
    assert list(seconds["second"]) == list(range(12))
    assert (seconds["faces"] == 0).all()
    # Nobody there is NULL, not 0, and nothing was withheld.
    assert seconds["p_happy"].isna().all()
    assert seconds["engagement"].isna().all()
    assert not seconds["suppressed"].any()


def test_a_machine_that_runs_another_file_of_the_model_reads_nothing_again(
    command, inbox, tmp_path, monkeypatch
):
    written = []
    for fast in (True, False):
        monkeypatch.setattr(processor, "multiplies_int8", lambda fast=fast: fast)
        written.append(assets.model().sha256)
        code, out, err = night(command, inbox, tmp_path)
        assert code == 0
    assert written[0] != written[1]
    assert "Nothing has changed since it was done." in out + err
    assert list(Store(tmp_path / "out").all("recordings")["model_sha256"]) == written[:1]
    monkeypatch.setenv("LECTUREPULSE_CLASSIFICATION__RUNTIME", "onnx")  # asked for
    night(command, inbox, tmp_path)
    assert list(Store(tmp_path / "out").all("recordings")["model_sha256"]) == written[1:]


def not_a_video(path):
    path.write_text("<html>not found</html>")


def empty(path):
    path.write_bytes(b"")


def audio_only(path):
    clips.ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", path)


def header_only(path):
    # The index of a plain MP4 comes last: the first half has none.
    whole = path.with_name("whole.tmp.mp4")
    clips.write_clip(whole, clips.steady(Fraction(5), 12))
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()


def link_to_nowhere(path):
    path.symlink_to(path.with_name("gone.mp4"))


def link_loop(path):
    path.symlink_to(path.name)


def fifo(path):
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make", [not_a_video, empty, audio_only, header_only, link_to_nowhere, link_loop, fifo]
)
def test_a_bad_file_is_told_and_the_others_are_done(make, command, inbox, tmp_path):
    make(inbox / "bad.mp4")
    code, out, err = night(command, inbox, tmp_path)
    assert code == 1
    assert rows(tmp_path)["good.mp4"] == "done"
    told = out[out.index("failed") :].splitlines()
    assert "bad.mp4" in told[0]
    sentence, hint = (line.strip() for line in told[1:3])
    assert sentence.endswith(".")
    assert "bad.mp4" in sentence
    assert hint.endswith(".")
    assert "Traceback" not in out + err
    assert "fault of lecturepulse" not in out


def test_an_unreadable_file_is_told_and_the_others_are_done(command, inbox, tmp_path, monkeypatch):
    (inbox / "bad.mp4").write_bytes((inbox / "good.mp4").read_bytes())
    opened = type(inbox).open

    def refuse(self, *arguments, **named):
        if self.name == "bad.mp4":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **named)

    # Tests may run as root, whom no permission stops.
    monkeypatch.setattr(type(inbox), "open", refuse)
    code, out, _ = night(command, inbox, tmp_path)
    assert code == 1
    assert "'bad.mp4' cannot be read: Permission denied." in out
    assert rows(tmp_path) == {"good.mp4": "done", "bad.mp4": "failed"}


def test_a_missing_path_is_told_and_the_others_are_done(command, inbox, tmp_path):
    code, out, _ = night(command, inbox, tmp_path, tmp_path / "nowhere.mp4")
    assert code == 1
    assert "'nowhere.mp4' cannot be read: No such file or directory." in out
    assert rows(tmp_path) == {"good.mp4": "done"}


def test_a_cut_recording_is_partial_and_keeps_its_good_seconds(command, inbox, tmp_path):
    whole = inbox / "good.mp4"
    fast = inbox / "cut.mp4"
    clips.ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", fast)
    fast.write_bytes(fast.read_bytes()[: fast.stat().st_size * 6 // 10])
    code, out, _ = night(command, inbox, tmp_path)
    assert code == 1
    assert rows(tmp_path) == {"good.mp4": "done", "cut.mp4": "partial"}
    assert "declares 12 s, but its pictures end after" in out
    frame = Store(tmp_path / "out").all("recordings").set_index("source_name")
    kept = frame.loc["cut.mp4"]
    assert 1 <= kept["seconds"] < 12
    assert kept["seconds"] >= kept["duration_s_from_content"] > kept["seconds"] - 1


def test_a_mended_file_replaces_its_failure(command, inbox, tmp_path):
    bad = inbox / "bad.mp4"
    not_a_video(bad)
    assert night(command, inbox, tmp_path)[0] == 1
    bad.unlink()
    clips.write_clip(bad, clips.steady(Fraction(5), 3))
    assert night(command, inbox, tmp_path)[0] == 0
    assert rows(tmp_path) == {"good.mp4": "done", "bad.mp4": "done"}


def test_replaced_content_replaces_the_rows(command, inbox, tmp_path):
    night(command, inbox, tmp_path)
    clips.write_clip(inbox / "good.mp4", clips.steady(Fraction(5), 3))
    night(command, inbox, tmp_path)
    frame = Store(tmp_path / "out").all("recordings")
    assert list(frame["seconds"]) == [3]
    assert len(list((tmp_path / "out" / "reports" / "maths").glob("*.html"))) == 1


def test_the_same_content_under_two_names_is_done_once(command, inbox, tmp_path):
    (inbox / "copy.mp4").write_bytes((inbox / "good.mp4").read_bytes())
    code, out, _ = night(command, inbox, tmp_path)
    assert code == 0
    assert len(Store(tmp_path / "out").all("recordings")) == 1
    assert "Same content as" in out


def test_force_does_it_again(command, inbox, tmp_path):
    assert "skipped" not in night(command, inbox, tmp_path)[1]
    assert "skipped" in night(command, inbox, tmp_path)[1]
    assert "skipped" not in night(command, inbox, tmp_path, "--force")[1]


def test_a_changed_setting_does_it_again(command, inbox, tmp_path, monkeypatch):
    night(command, inbox, tmp_path)
    monkeypatch.setenv("LECTUREPULSE_SAMPLING__RATE_HZ", "2")
    assert "skipped" not in night(command, inbox, tmp_path)[1]
    frame = Store(tmp_path / "out").all("recordings")
    assert list(frame["rate_hz"]) == [2]


def test_a_dry_run_writes_nothing(command, inbox, tmp_path):
    code, out, _ = night(command, inbox, tmp_path, "--dry-run")
    assert code == 0
    assert "good.mp4" in out
    assert not (tmp_path / "out").exists()


def test_a_jurisdiction_is_required(command, inbox, tmp_path):
    code, _, err = command("run", inbox, "--out", tmp_path / "out", "--no-prefect")
    assert code == 2
    assert "A jurisdiction is required" in err
    assert "--jurisdiction IN" in err
    assert not (tmp_path / "out").exists()


def test_in_the_eu_no_expression_is_read(command, inbox, tmp_path):
    code, _, _ = command(
        "run", inbox, "--out", tmp_path / "out", "--no-prefect", "--jurisdiction", "de"
    )
    assert code == 0
    frame = Store(tmp_path / "out").all("recordings")
    assert list(frame["mode"]) == ["presence"]
    assert frame["model"].isna().all()


def test_an_empty_inbox_is_nothing_to_do(command, tmp_path):
    (tmp_path / "inbox").mkdir()
    code, _, err = command("run", tmp_path / "inbox", "--out", tmp_path / "out", "--no-prefect")
    assert code == 0
    assert "No recording found" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run",), "Say which recordings to read"),
        (("run", "x.mp4", "--colour"), "--colour"),
        (("fly",), "fly"),
        (("run", "x.mp4", "--config", "missing.toml"), "missing.toml does not exist"),
        (("run", "x.mp4", "--jurisdiction", "India"), "deployment.jurisdiction"),
        (("report",), "Say which report"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, sentence, command):
    code, out, err = command(*arguments)
    assert code == 2, out + err
    assert sentence in err
    assert "Hint:" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[sampling]\nrate = 2\n", "'sampling.rate' is not a setting."),
        ('[sampling]\nrate_hz = "often"\n', "The setting sampling.rate_hz = 'often' is wrong"),
        ("[sampling\n", "is not valid TOML"),
    ],
)
def test_a_wrong_configuration_is_exit_code_2(text, sentence, command, inbox, tmp_path):
    (tmp_path / "lecturepulse.toml").write_text(text)
    code, _, err = night(command, inbox, tmp_path)
    assert code == 2
    assert sentence in err
    assert "Hint:" in err


def test_an_unknown_recording_is_told(command, tmp_path):
    code, _, err = command("report", "0123456789abcdef", "--out", tmp_path / "out")
    assert code == 2
    assert "There is no recording '0123456789abcdef'" in err


def test_output_that_cannot_be_written_is_exit_code_3(command, inbox, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, _, err = night(command, inbox, tmp_path)
    assert code == 3
    assert "cannot be written" in err


def test_two_runs_at_once_refuse_the_second(command, inbox, tmp_path):
    with Store(tmp_path / "out").writing():
        code, _, err = night(command, inbox, tmp_path)
    assert code == 3
    assert "Another run is writing" in err


def test_an_empty_output_path_is_refused(command, inbox, tmp_path):
    code, _, err = command("run", inbox, "--out", "", "--jurisdiction", "IN", "--no-prefect")
    assert code == 2
    assert "needs a folder" in err
    assert not (tmp_path / "tables").exists()


def test_a_query_without_tables_is_told(command, tmp_path):
    code, _, err = command("query", "select 1 from seconds", "--out", tmp_path / "nowhere")
    assert code == 2
    assert "There are no tables in" in err


def test_a_query_prints_null_and_sums_as_they_are(command, tmp_path):
    place = Place("math", "2026-11", "0" * 16)
    Store(tmp_path / "out").commit(place, factories.tables("0" * 16, 3), {})
    given = "null::int as a, null::varchar as b, null::timestamptz as c, '' as d, 'é日' as e"
    sql = f"select {given}, sum(second) * 49008821 as f, 2 / 3 as g, 'a\nb' as h from seconds"
    code, out, _ = command("query", sql, "--out", tmp_path / "out")
    assert code == 0
    assert out.splitlines() == [
        "   a    b    c d   e         f        g    h",
        r"NULL NULL NULL   é日 147026463 0.666667 a\nb",
    ]
    empty = "select second, engagement from seconds where 1 = 0"
    code, out, _ = command("query", empty, "--out", tmp_path / "out")
    assert (code, out.splitlines()) == (0, ["second engagement", "0 rows"])
    code, _, err = command("query", "selekt 1", "--out", tmp_path / "out")
    assert code == 2
    assert "The query failed" in err


def test_a_course_named_like_the_index_keeps_out_of_its_way(command, inbox, tmp_path):
    (inbox / "good.toml").write_text('course = "index.html"\n')
    code, out, _ = night(command, inbox, tmp_path)
    assert code == 0, out
    assert (tmp_path / "out" / "reports" / "index.html").is_file()


def test_ctrl_c_stops_soon_and_says_what_is_kept(command, inbox, tmp_path, monkeypatch):
    from fer_core import segment

    def interrupted(job, part):
        raise KeyboardInterrupt

    monkeypatch.setattr(segment, "look", interrupted)
    code, _, err = night(command, inbox, tmp_path)
    assert code == 130
    assert "What is finished is kept" in err


def test_doctor_finds_everything_here(command, tmp_path):
    code, out, _ = command("doctor", "--out", tmp_path / "out")
    assert code == 0, out
    for name in ("ffmpeg", "face detector", "expression model", "templates", "prefect", "disk"):
        assert f"ok      {name}" in out


def test_doctor_names_what_is_missing(command, tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREPULSE_VIDEO__FFMPEG", str(tmp_path / "no-ffmpeg"))
    code, out, _ = command("doctor", "--out", tmp_path / "out")
    assert code == 3
    assert "PROBLEM ffmpeg" in out


@pytest.mark.parametrize(("least_mb", "exit_code"), [("1", 0), (str(10**12), 3)])
def test_doctor_wants_the_space_that_a_run_wants(
    command, tmp_path, monkeypatch, least_mb, exit_code
):
    monkeypatch.setenv("LECTUREPULSE_RUN__MIN_FREE_MB", least_mb)
    code, out, _ = command("doctor", "--out", tmp_path / "out")
    assert code == exit_code
    assert ("PROBLEM disk" in out) == bool(exit_code)
    assert ("MB are free for" in out) == bool(exit_code)


def test_config_init_and_show(command, tmp_path):
    assert command("config", "init")[0] == 0
    assert (tmp_path / "lecturepulse.toml").is_file()
    assert command("config", "init")[0] == 2
    code, out, _ = command("config", "show")
    assert code == 0
    assert "sampling.rate_hz = 1  (default)" in out
