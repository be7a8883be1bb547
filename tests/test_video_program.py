"""The ffmpeg program: which one is used, what it is given, and how it ends."""

import os
import threading
from contextlib import suppress

import pytest

from fer_core import process
from fer_core.errors import EnvironmentProblem, InputError, TransientError
from fer_core.records import Segment
from fer_core.settings import Video
from fer_core.video import Ffmpeg, Sampler, find_ffmpeg, header, probe, program, sampler
from tests.clips import LIMITS, WHOLE, ffmpeg, look, numbers, take

VERSION = """echo 'ffmpeg version {} Copyright (c) the FFmpeg developers'
echo 'libavcodec     {} / {}'"""


@pytest.fixture
def children(monkeypatch):
    """Return the list of the children that are started."""
    started = []

    class Noted(process.Child):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(process, "Child", Noted)
    return started


@pytest.fixture
def fake(tmp_path):
    """Return a function that makes an ffmpeg of a shell script."""

    def make(script, name="ffmpeg", version="9.0"):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return Ffmpeg(path, version)

    return make


def test_variables_that_make_it_write_files_are_not_passed_on(fake, monkeypatch):
    monkeypatch.setenv("FFREPORT", "file=report.log")
    monkeypatch.setenv("AV_LOG_FORCE_COLOR", "1")
    monkeypatch.setenv("LP_KEPT", "yes")
    ffmpeg = fake("env >&2; exit 1")
    given = program.bare_decode(ffmpeg.path, 1, ffmpeg, LIMITS, 1)
    _, ended = process.run(given, limit_s=30, max_output_bytes=1)
    names = {line.partition("=")[0] for line in ended.tail}
    assert "LP_KEPT" in given.env
    assert not names & {"FFREPORT", "AV_LOG_FORCE_COLOR"}
    assert names <= set(given.env) | {"PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.parametrize(
    "name",
    [
        "-i.mp4",
        "concat:a.mp4",
        "quo\"te's.mp4",
        "two\nlines.mp4",
        "%03d *?[a]\\.mp4",
        "<script>.mp4",
        "lecture é☃ 中.mp4",
        "a" * 251 + ".mp4",
        os.fsdecode(b"latin\xe9.mp4"),
    ],
    ids=ascii,
)
def test_a_name_is_never_taken_for_anything_else(name, library, tmp_path):
    path = tmp_path / name
    path.write_bytes(library.clip("steady.mp4").path.read_bytes())
    info = look(path)
    assert numbers(take(info, Segment(1, 5, 7))[0]) == {5: 125, 6: 150}
    path.write_bytes(b"nothing")
    with pytest.raises(InputError) as caught:
        look(path)
    assert caught.value.message.isprintable()


def is_gone(child):
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)
    names = [thread.name for thread in threading.enumerate()]
    return not {"read-ahead", "drain-stderr"} & set(names)


def test_a_consumer_that_stops_early_leaves_nothing_behind(library, children):
    info = library.info("uneven.mkv")
    children.clear()
    with Sampler(info, WHOLE, 10, find_ffmpeg(None), LIMITS) as frames:
        for frame in frames:
            if frame.sample == 2:
                break
    # One reads the packets, one decodes.
    assert len(children) == 2
    assert all(is_gone(child) for child in children)
    assert list(frames) == []


def test_a_consumer_that_fails_leaves_nothing_behind(library, children):
    info = library.info("uneven.mkv")
    children.clear()
    with (
        suppress(ZeroDivisionError),
        Sampler(info, WHOLE, 10, find_ffmpeg(None), LIMITS) as frames,
    ):
        for frame in frames:
            1 // (2 - frame.sample)
    # One reads the packets, one decodes.
    assert len(children) == 2
    assert all(is_gone(child) for child in children)


def test_a_decoder_without_end_is_stopped(library, fake, children):
    info = library.info("steady.mp4")
    children.clear()
    with Sampler(info, WHOLE, 1, fake("exec cat /dev/zero"), LIMITS) as frames:
        assert next(iter(frames)).sample == 0
    assert is_gone(children[0])


def test_a_sampler_never_asked_starts_nothing(library, children):
    info = library.info("steady.mp4")
    children.clear()
    with Sampler(info, WHOLE, 1, find_ffmpeg(None), LIMITS):
        pass
    assert children == []


@pytest.mark.parametrize(
    ("end", "said"), [("kill -SEGV $$", "by signal 11"), ("exit 255", "from outside")]
)
def test_an_ffmpeg_that_was_killed_may_be_tried_again(end, said, library, fake):
    path = library.clip("steady.mp4").path
    info = look(path)
    dying = fake(f"head -c 100000 /dev/zero; {end}")
    with pytest.raises(TransientError, match=said):
        probe(path, dying, LIMITS)
    with (
        pytest.raises(TransientError, match=said),
        Sampler(info, WHOLE, 1, dying, LIMITS) as frames,
    ):
        list(frames)


def test_an_ffmpeg_that_hangs_is_killed(library, fake, monkeypatch, children):
    path = library.clip("steady.mp4").path
    info = look(path)
    children.clear()
    monkeypatch.setattr(header, "GRACE_S", 0.2)
    monkeypatch.setattr(sampler, "GRACE_S", 0.2)
    stuck = fake("exec sleep 600")
    with pytest.raises(TransientError, match="could not be read within"):
        probe(path, stuck, LIMITS)
    with (
        pytest.raises(TransientError, match="got stuck"),
        Sampler(info, WHOLE, 1, stuck, LIMITS) as frames,
    ):
        list(frames)
    assert len(children) == 2
    assert all(is_gone(child) for child in children)


def test_pictures_that_memory_does_not_hold_end_the_wait(library, monkeypatch):
    def none_left(*_):
        raise MemoryError

    info = library.info("steady.mp4")
    # What reads the packets first reads in chunks.
    monkeypatch.setattr(process.Child, "read_into", none_left)
    with (
        pytest.raises(TransientError, match="no memory for a picture"),
        Sampler(info, WHOLE, 1, find_ffmpeg(None), Video(skip_unneeded=False)) as frames,
    ):
        list(frames)


def test_an_ffmpeg_that_cannot_be_started_is_a_problem_of_the_machine(library, tmp_path):
    path = library.clip("steady.mp4").path
    missing = Ffmpeg(tmp_path / "ffmpeg", "9.0")
    with pytest.raises(EnvironmentProblem, match="could not be started"):
        probe(path, missing, LIMITS)
    with (
        pytest.raises(EnvironmentProblem, match="could not be started"),
        Sampler(look(path), WHOLE, 1, missing, LIMITS) as frames,
    ):
        list(frames)


def test_a_picture_over_the_memory_limit_is_refused(tmp_path):
    path = tmp_path / "wide.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=s=2000x2000:d=0.1", "-c:v", "ffv1", path)
    assert look(path).width == 2000
    with pytest.raises(InputError, match="no picture of it can be decoded"):
        probe(path, find_ffmpeg(None), Video(max_memory_mb=4))
    with pytest.raises(InputError, match="more than 1,000,000 pixels"):
        probe(path, find_ffmpeg(None), Video(max_pixels=1_000_000))


@pytest.fixture
def fresh():
    find_ffmpeg.cache_clear()
    yield
    find_ffmpeg.cache_clear()


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("n9.0.2-17-g2a571b6068-20260930", (9, 0, 2)),
        ("5.1.6-0+deb12u1", (5, 1, 6)),
        ("10.0", (10, 0)),
        ("N-12345-g0123abc", ()),
    ],
)
def test_versions_are_read_as_numbers(name, release):
    text = f"ffmpeg version {name} Copyright\nlibavutil  61.  1.102 / x\nlibavcodec  63.  1.102 / x"
    version = program._parse_version(text)
    assert (version.name, version.release, version.avcodec) == (name, release, (63, 1, 102))
    assert program._parse_version("not ffmpeg") is None


@pytest.mark.parametrize(
    ("name", "avcodec", "taken"),
    [
        ("5.1.6-0+deb12u1", "59. 37.100", False),
        ("4.4", "58.134.100", False),
        ("N-99999-gabcdef0", "99.  1.100", True),
        ("10.0", "99.  1.100", True),
    ],
)
@pytest.mark.usefixtures("fresh")
def test_the_newest_is_taken_of_the_path_and_the_wheel(name, avcodec, taken, fake, monkeypatch):
    mine = fake(VERSION.format(name, avcodec, avcodec))
    monkeypatch.setenv("PATH", f"{mine.path.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    found = find_ffmpeg(None)
    assert (found.path == mine.path) is taken
    assert (found.version == name) is taken
    assert found.path.is_absolute()


@pytest.mark.usefixtures("fresh")
def test_the_one_in_the_settings_is_taken_whatever_else_there_is(fake):
    mine = fake(VERSION.format("5.1.9", "59. 37.100", "59. 37.100"))
    assert find_ffmpeg(mine.path) == Ffmpeg(mine.path, "5.1.9")


@pytest.mark.parametrize(
    "script",
    ["exit 1", "echo hello", VERSION.format("4.4", "58.134.100", "58.134.100"), None],
)
@pytest.mark.usefixtures("fresh")
def test_an_unusable_one_in_the_settings_is_said_so(script, fake, tmp_path):
    path = fake(script).path if script else tmp_path / "nothing"
    with pytest.raises(EnvironmentProblem, match=r"The setting video\.ffmpeg") as caught:
        find_ffmpeg(path)
    assert "bundled" in caught.value.hint


@pytest.mark.usefixtures("fresh")
def test_no_ffmpeg_at_all_is_said_so(monkeypatch):
    def missing(_name):
        raise ModuleNotFoundError

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(program.importlib.resources, "files", missing)
    with pytest.raises(EnvironmentProblem, match="No ffmpeg") as caught:
        find_ffmpeg(None)
    assert "imageio-ffmpeg" in caught.value.hint


def test_no_ffmpeg_may_open_anything_but_the_file(library):
    path = library.clip("steady.mp4").path
    source = program.open_input(path, LIMITS)
    wanted = program.output([source], format="null")
    command = program.command(find_ffmpeg(None), LIMITS, wanted).command
    before = command[: command.index("-i")]
    assert before[before.index("-protocol_whitelist") + 1] == "file,pipe"
    kinds = before[before.index("-format_whitelist") + 1].split(",")
    assert not {"hls", "concat", "dash", "sdp", "rtsp", "image2", "lavfi"} & set(kinds)
    assert command[command.index("-i") + 1] == f"file:{path}"
