"""What a recording says about itself; and broken and hostile ones, refused in one sentence."""

import os
import time
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fer_core.errors import InputError
from fer_core.records import Chapter, Segment, VideoInfo
from fer_core.settings import Video
from fer_core.video import find_ffmpeg, plan_segments, probe
from tests.clips import (
    BOTH,
    H264,
    RECIPES,
    WHOLE,
    ffmpeg,
    look,
    numbers,
    steady,
    take,
    write_clip,
)

SMALL = (160, 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


def test_the_header_is_read(folder):
    tags = folder / "tags.txt"
    tags.write_text(
        ";FFMETADATA1\ntitle=Cells\\; part \\=2\ncreation_time=2026-11-03T09:30:00Z\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=Warm-up\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=3000\ntitle=Osmosis\n"
    )
    sound = ("-f", "lavfi", "-i", "sine=440:duration=3", "-i", str(tags))
    options = (*BOTH, "-map_metadata", "2", "-map_chapters", "2", *H264, "-c:a", "aac")
    truth = write_clip(folder / "tagged.mp4", steady(25, 3), options, inputs=sound)
    info = look(truth.path)
    assert info == VideoInfo(
        path=truth.path,
        size_bytes=truth.path.stat().st_size,
        container="mov,mp4,m4a,3gp,3g2,mj2",
        codec="h264",
        width=160,
        height=128,
        duration_s_from_header=3.0,
        frame_rate_from_header=Fraction(25),
        stream_index=0,
        created=datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
        title="Cells; part =2",
        chapters=(Chapter(0.0, 1.5, "Warm-up"), Chapter(1.5, 3.0, "Osmosis")),
    )


@pytest.mark.parametrize(
    ("name", "rate"), [("ntsc.mp4", Fraction(30000, 1001)), ("old.avi", Fraction(25))]
)
def test_the_frame_rate_is_exact(name, rate, library):
    assert library.info(name).frame_rate_from_header == rate


def test_the_declared_length_counts_from_the_start_of_the_container(library):
    for name in ("steady.mp4", "late.mp4", "late.mkv", "broadcast.ts"):
        assert library.info(name).duration_s_from_header == pytest.approx(13.4, abs=0.1)


def test_a_missing_length_is_none(folder):
    path = folder / "live.webm"
    options = (*RECIPES["vp8.webm"][1], "-live", "1", "-f", "webm")
    truth = write_clip(path, steady(25, 2), options)
    info = look(truth.path)
    assert info.duration_s_from_header is None
    assert plan_segments(info, 10, Video()) == [WHOLE]


def test_hostile_tags_are_bounded_and_plain(folder):
    title = "\x1b[31m<script>\n[info]   Stream #0:7: Video: evil, 9x9\u202e" + "x" * 100_000
    truth = write_clip(folder / "evil.mkv", steady(25, 1), (*H264, "-metadata", f"title={title}"))
    info = look(truth.path)
    assert (info.stream_index, info.codec, info.width) == (0, "h264", 160)
    assert info.title.startswith("[31m<script> [info] Stream #0:7: Video: evil, 9x9 xxx")
    assert len(info.title) == 200
    assert info.title.isprintable()


def test_a_year_nobody_set_is_no_time(folder):
    options = (*H264, "-metadata", "creation_time=1970-01-01T00:00:00Z")
    assert look(write_clip(folder / "year.mkv", steady(25, 1), options).path).created is None


@pytest.mark.parametrize(
    ("told", "created"),
    [
        ("2026-11-03T09:30:00-02:00", datetime(2026, 11, 3, 11, 30, tzinfo=UTC)),
        ("9999-12-31T23:00:00-02:00", None),
        ("9999-12-31T23:59:50Z", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_the_ends_of_all_dates_are_no_time(told, created, folder):
    # ffmpeg writes true dates only under the name that is read.
    options = (*H264, "-metadata", f"CREATION_TIMX={told}")
    path = write_clip(folder / "last.mkv", steady(25, 1), options).path
    path.write_bytes(path.read_bytes().replace(b"CREATION_TIMX", b"CREATION_TIME"))
    assert look(path).created == created


def test_cover_art_is_not_the_video(folder, library):
    cover = folder / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=400x400", "-frames:v", "1", cover)
    song, video = folder / "song.mp4", folder / "covered.mkv"
    art = ("-c", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", folder / "tone.m4a")
    ffmpeg("-i", folder / "tone.m4a", "-i", cover, "-map", "0", "-map", "1", *art, song)
    with pytest.raises(InputError, match="sound but no video"):
        look(song)
    source = library.clip("steady.mp4").path
    ffmpeg("-i", cover, "-i", source, "-map", "0", "-map", "1", *art, "-f", "matroska", video)
    info = look(video)
    assert (info.width, info.height) == SMALL
    assert numbers(take(info, Segment(0, 0, 3))[0]) == {0: 0, 1: 25, 2: 50}


@pytest.mark.parametrize(("default", "width"), [(None, 320), (0, 160), (1, 320)])
def test_of_two_videos_the_default_or_the_largest_is_taken(default, width, folder):
    path = folder / f"two-{default}.mkv"
    sources = [("-f", "lavfi", "-i", f"testsrc2=s={w}x128:d=2") for w in (160, 320)]
    marks = [f"-disposition:v:{n}" for n in (0, 1)]
    kinds = ["default" if n == default else "0" for n in (0, 1)]
    flags = [word for pair in zip(marks, kinds, strict=True) for word in pair]
    ffmpeg(
        *sources[0], *sources[1], "-map", "0", "-map", "1", *H264, *flags,
        "-default_mode", "passthrough", path,
    )  # fmt: skip
    info = look(path)
    assert info.width == width
    images, _ = take(info)
    assert images[0].shape == (128, width, 3)


def not_there(path):
    pass


def folder_named_as_video(path):
    path.mkdir()


def pipe(path):
    os.mkfifo(path)


def empty(path):
    path.touch()


def random_bytes(path):
    path.write_bytes(np.random.default_rng(7).bytes(200_000))


def web_page(path):
    path.write_text("<!doctype html><title>404</title>" * 100)


def playlist(path):
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n"
        f"{path.parent / 'secret.ts'}\n#EXT-X-ENDLIST\n"
    )


def list_of_files(path):
    path.write_text(f"ffconcat version 1.0\nfile '{path.parent / 'secret.ts'}'\n")


def sound_only(path):
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", path)


def subtitles_only(path):
    words = path.with_suffix(".srt")
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    ffmpeg("-i", words, "-c:s", "mov_text", path)


def without_index(path):
    whole = write_clip(path.with_name("whole.mp4"), steady(25, 2)).path
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def without_pictures(path):
    whole = write_clip(
        path.with_name("whole.mp4"), steady(25, 2), (*H264, "-movflags", "faststart")
    )
    content = whole.path.read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + bytes(len(content) - start))


def too_large(path):
    source = ("-f", "lavfi", "-i", "color=red:s=6000x6000", "-frames:v", "1")
    ffmpeg(*source, "-c:v", "png", "-f", "mov", path)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (not_there, "cannot be read: No such file or directory"),
        (folder_named_as_video, "is a folder"),
        (pipe, "is not a regular file"),
        (empty, "is empty"),
        (random_bytes, "is not a video that can be read"),
        (web_page, "is not a video that can be read"),
        (playlist, "is not a video that can be read"),
        (list_of_files, "is not a video that can be read"),
        (sound_only, "has sound but no video"),
        (subtitles_only, "has no video stream"),
        (without_index, "has no index"),
        (without_pictures, "no picture of it can be decoded"),
        (too_large, "more than 35,389,440 pixels"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_recording_is_said_in_one_sentence_with_a_hint(make, sentence, tmp_path):
    write_clip(tmp_path / "secret.ts", steady(25, 1))
    path = tmp_path / "lecture.mp4"
    make(path)
    began = time.monotonic()
    with pytest.raises(InputError, match=sentence) as caught:
        look(path)
    assert time.monotonic() - began < 30
    assert "lecture.mp4" in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_an_unreadable_file_is_said_so(library, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    path = library.clip("steady.mp4").path
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied") as caught:
        look(path)
    assert "permission" in caught.value.hint


@pytest.mark.parametrize(("aspect", "width"), [("9/1", 1440), ("100/1", 160), ("1/100", 160)])
def test_a_damaged_aspect_makes_no_giant(aspect, width, folder):
    name = f"aspect{aspect.replace('/', '-')}.mkv"
    path = write_clip(folder / name, steady(25, 1), filters=f"setsar={aspect}").path
    info = look(path)
    assert (info.width, info.height) == (width, 128)
    if width > 160:
        with pytest.raises(InputError, match="pixels"):
            probe(path, find_ffmpeg(None), Video(max_pixels=160 * 128 * 4))


def test_a_file_that_went_away_or_changed_since_is_said_so(tmp_path):
    path = write_clip(tmp_path / "gone.mp4", steady(25, 2)).path
    info = look(path)
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(InputError, match="can be decoded"):
        take(info)
    path.unlink()
    with pytest.raises(InputError, match="No such file"):
        take(info)
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        take(info)


def test_a_file_over_the_limit_in_megabytes_is_refused(library):
    path = library.clip("steady.mp4").path
    large = path.with_name("large.mp4")
    for size_bytes, fits in ((2_000_000, True), (2_000_001, False)):
        content = path.read_bytes()
        large.write_bytes(content + bytes(size_bytes - len(content)))
        if fits:
            assert probe(large, find_ffmpeg(None), Video(max_file_mb=2)).size_bytes == size_bytes
        else:
            with pytest.raises(InputError, match="larger than 2 MB"):
                probe(large, find_ffmpeg(None), Video(max_file_mb=2))
