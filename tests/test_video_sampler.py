"""Samples of recordings with known truth: the right picture, at the right time, of every kind."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.records import Segment, VideoInfo
from fer_core.settings import Video
from fer_core.video import (
    Sampler,
    find_ffmpeg,
    is_cut_short,
    plan_segments,
)
from tests import factories
from tests.clips import (
    BOTH,
    H264,
    LIMITS,
    RECIPES,
    REORDERED,
    SOUND,
    STEADY,
    WHOLE,
    draw_number,
    ffmpeg,
    look,
    numbers,
    read_number,
    steady,
    take,
    write_clip,
)

SMALL = (160, 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


def length_s(times):
    return times[-1] + times[-1] - times[-2]


def check(truth, rate_hz, images, done):
    assert list(images) == list(range(math.ceil(length_s(truth.times_s) * rate_hz)))
    assert numbers(images) == {k: truth.number_at(Fraction(k, rate_hz)) for k in images}
    assert done.content_end_s == pytest.approx(float(length_s(truth.times_s)), abs=0.051)
    assert done.failures_between(0, None) == 0
    assert done.cpu_s > 0


@pytest.mark.parametrize("name", RECIPES)
def test_a_sample_shows_the_last_picture_due(name, library):
    check(library.clip(name), 2, *library.whole(name))


@pytest.mark.parametrize("rate_hz", [1, 3, 10])
@pytest.mark.parametrize("name", ["frozen.mp4", "ntsc.mp4"])
def test_any_rate_shows_the_last_picture_due(name, rate_hz, library):
    check(library.clip(name), rate_hz, *take(library.info(name), rate_hz=rate_hz))


@pytest.mark.parametrize("name", RECIPES)
def test_segments_give_the_same_pictures_as_the_whole_bit_for_bit(name, library):
    whole, _ = library.whole(name)
    end_s = math.ceil(length_s(library.clip(name).times_s))
    # At, before and after key pictures, inside the freeze, and far behind the content.
    cuts = [0, 1, 4, 5, 7, 8, 12, end_s + 3, None]
    seen = 0
    for i in range(len(cuts) - 1):
        start_s, stop_s = cuts[i], cuts[i + 1]
        images, done = take(library.info(name), Segment(i, start_s, stop_s), rate_hz=2)
        assert all(start_s * 2 <= k and (stop_s is None or k < stop_s * 2) for k in images)
        for k, image in images.items():
            assert np.array_equal(image, whole[k]), f"sample {k} differs"
        seen += len(images)
        if start_s > end_s:
            assert (images, done.content_end_s) == ({}, None)
        elif stop_s < end_s:
            assert done.content_end_s == stop_s
    assert seen == len(whole)


def test_a_marked_start_that_is_none_is_not_trusted(library):
    """A list of key pictures that was lost makes every picture a key picture, to a reader."""
    broken = library.clip("steady.mp4").path.with_name("no-key-list.mp4")
    content = library.clip("steady.mp4").path.read_bytes()
    assert content.count(b"stss") == 1
    broken.write_bytes(content.replace(b"stss", b"free"))
    whole, _ = take(library.info("steady.mp4"))
    for start_s in range(1, 12):
        images, _ = take(look(broken), Segment(1, start_s, start_s + 1))
        assert np.array_equal(images[start_s], whole[start_s]), f"second {start_s}"


def test_sound_that_starts_before_time_shifts_by_less_than_a_picture(folder):
    options = (*BOTH, *REORDERED, "-g", "60", "-c:a", "libopus")
    truth = write_clip(folder / "early-sound.mkv", STEADY, options, inputs=SOUND)
    for k, number in numbers(take(look(truth.path))[0]).items():
        assert truth.number_at(k) - 1 <= number <= truth.number_at(k)


def test_what_an_edit_list_hides_is_not_shown(library):
    whole = library.clip("steady.mp4").path
    # A copy can begin at a key picture only; an edit list hides what comes before the wanted time.
    edited = whole.with_name("edited.mp4")
    ffmpeg("-ss", "3", "-i", whole, "-t", "6", "-c", "copy", edited)
    images, done = take(look(edited))
    assert numbers(images) == {k: 25 * (k + 3) for k in images}
    assert done.content_end_s == pytest.approx(6, abs=0.2)


def test_a_clock_that_goes_back_is_shown_by_its_times(library, folder):
    # Matroska cannot say a time before zero: its first 2.2 seconds are written over the next.
    path = folder / "back.mkv"
    shifted = ("-output_ts_offset", "-2.2", "-avoid_negative_ts", "disabled")
    ffmpeg("-i", library.clip("steady.mp4").path, "-c", "copy", *shifted, path)
    images, _ = take(look(path))
    # The pictures after them bear their number's time, less 2.2 s.
    assert numbers(images) == {k: 25 * k if k < 3 else 25 * k + 55 for k in range(12)}


@pytest.mark.parametrize("size", [(640, 512), (80, 64)])
def test_a_change_of_size_in_the_middle_keeps_time_and_size(size, folder):
    vp8 = RECIPES["vp8.webm"][1]
    first = write_clip(folder / "first.webm", steady(5, 4), vp8)
    second = write_clip(folder / f"second{size[0]}.webm", steady(5, 4), vp8, size=size)
    listing = folder / f"list{size[0]}.txt"
    listing.write_text(f"file {first.path.name}\nfile {second.path.name}\n")
    joined = folder / f"joined{size[0]}.webm"
    ffmpeg("-f", "concat", "-i", listing, "-c", "copy", joined)
    images, _ = take(look(joined))
    assert numbers(images) == {k: (k % 4) * 5 for k in range(8)}
    assert {image.shape for image in images.values()} == {(128, 160, 3)}
    later, _ = take(look(joined), Segment(1, 5, None))
    assert all(np.array_equal(later[k], images[k]) for k in (5, 6, 7))


def test_pictures_that_grow_beyond_the_limit_are_refused_when_they_come(folder):
    vp8 = RECIPES["vp8.webm"][1]
    parts = [
        write_clip(folder / f"grows{n}.webm", steady(5, 4), vp8, size=(160 * n, 128 * n)).path.name
        for n in (1, 2)
    ]
    listing = folder / "grows.txt"
    listing.write_text("".join(f"file {part}\n" for part in parts))
    grown = folder / "grows.webm"
    ffmpeg("-f", "concat", "-i", listing, "-c", "copy", grown)
    tight = Video(max_pixels=2 * 160 * 128)
    with Sampler(look(grown), WHOLE, 1, find_ffmpeg(None), tight) as frames:
        images = {frame.sample: frame.planes.image() for frame in frames}
    assert numbers(images) == {0: 0, 1: 5, 2: 10, 3: 15}
    assert frames.failures_between(0, None) > 0


def test_joined_broadcasts_whose_clock_starts_anew_are_shown_to_the_end(folder):
    part = write_clip(folder / "part.ts", steady(25, 12), (*H264, "-g", "50")).path
    joined = folder / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    images, _ = take(look(joined))
    assert numbers(images) == {k: (k % 12) * 25 for k in range(24)}


@pytest.mark.parametrize(
    ("ending", "start_s"),
    # A transport stream is one segment.
    [("mp4", 0), ("mp4", 20), ("mkv", 0), ("mkv", 20), ("ts", 0)],
)
def test_a_pause_keeps_its_time_and_its_pictures_are_stale(ending, start_s, folder):
    # No picture from 5 to 40 s; the last one before is of 4.96 s.
    times = (*steady(25, 5), *(40 + time for time in steady(25, 5)))
    clip = write_clip(folder / f"pause{start_s}.{ending}", times, (*H264, "-g", "50"))
    info = look(clip.path)
    with Sampler(info, Segment(0, start_s, None), 1, find_ffmpeg(None), LIMITS) as frames:
        images = {frame.sample: frame.planes.image() for frame in frames}
    assert list(images) == list(range(start_s, 45))
    assert numbers(images) == {k: clip.number_at(Fraction(k)) for k in images}
    stale = frames.stale(np.array(list(images)), 10)
    assert [k for k, old in zip(images, stale, strict=True) if old] == [
        *range(max(15, start_s), 40)
    ]


def test_what_shows_a_picture_a_minute_is_not_stale(folder):
    clip = write_clip(folder / "slow.mkv", steady(Fraction(1, 60), 300))
    with Sampler(look(clip.path), WHOLE, 1, find_ffmpeg(None), LIMITS) as frames:
        samples = np.array([frame.sample for frame in frames])
    assert len(samples) > 240
    assert not frames.stale(samples, 10).any()


def test_a_single_picture_is_one_take(folder):
    for name in ("single.gif", "single.mkv"):
        options = () if name.endswith("gif") else H264
        truth = write_clip(folder / name, (Fraction(0),), options, unit="1:100")
        images, done = take(look(truth.path))
        assert numbers(images) == {0: 0}
        assert 0 < done.content_end_s <= 1


@pytest.mark.parametrize(
    ("turn", "undo"), [(90, "clock"), (180, "clock,transpose=clock"), (270, "cclock")]
)
def test_turned_recordings_are_shown_upright(turn, undo, folder):
    stored = write_clip(folder / f"stored{turn}.mp4", steady(25, 3), filters=f"transpose={undo}")
    turned = folder / f"turned{turn}.mp4"
    ffmpeg("-display_rotation", str(turn), "-i", stored.path, "-c", "copy", turned)
    info = look(turned)
    assert (info.width, info.height) == SMALL
    images, _ = take(info)
    assert numbers(images) == {0: 0, 1: 25, 2: 50}
    assert images[0].shape == (128, 160, 3)


@pytest.mark.parametrize(("stored", "aspect"), [((80, 128), "2/1"), ((160, 64), "1/2")])
def test_pixels_that_are_not_square_are_made_square(stored, aspect, folder):
    name = f"aspect{stored[0]}.mp4"
    truth = write_clip(folder / name, steady(25, 2), size=stored, filters=f"setsar={aspect}")
    info = look(truth.path)
    assert (info.width, info.height) == SMALL
    images, _ = take(info)
    assert images[1].shape == (128, 160, 3)
    assert read_number(images[1]) == 25


@pytest.mark.parametrize("size", [(161, 127), (1, 1), (5, 300)])
def test_odd_sizes_are_kept(size, folder):
    options = ("-c:v", "ffv1", "-pix_fmt", "yuv444p")
    truth = write_clip(folder / f"odd{size[0]}.mkv", steady(25, 2), options, size=size)
    info = look(truth.path)
    images, _ = take(info)
    assert (info.width, info.height) == size
    assert [image.shape for image in images.values()] == [(size[1], size[0], 3)] * 2


def test_colours_come_in_the_order_blue_green_red(folder):
    path = folder / "orange.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=0xFF8000:s=64x64:d=1", "-pix_fmt", "yuv420p", path)
    images, _ = take(look(path))
    assert np.allclose(images[0].mean(axis=(0, 1)), (0, 128, 255), atol=8)


@pytest.mark.parametrize("name", ["sound.mp4", "steady.mkv"])
def test_a_recording_cut_in_half_yields_its_good_seconds(name, library):
    whole = library.clip("sound.mp4").path.with_name(name)
    if not whole.exists():
        ffmpeg("-i", library.clip("sound.mp4").path, "-c", "copy", whole)
    half = whole.with_name(f"half-{name}")
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    info = look(half)
    assert info.duration_s_from_header == pytest.approx(13.4, abs=0.1)
    images, done = take(info)
    good_s = done.content_end_s
    assert 3 < good_s < 10
    assert len(images) == math.ceil(good_s)
    shown = numbers(images)
    last = max(shown)
    # The cut falls into some picture: of that one the decoder may show what it was made from.
    assert shown.pop(last) in (last * 25, last * 25 - 1)
    assert shown == {k: k * 25 for k in shown}
    assert is_cut_short(info, good_s, find_ffmpeg(None), LIMITS)

    before, done = take(info, Segment(0, 0, 3))
    assert (len(before), done.content_end_s) == (3, 3.0)
    after, done = take(info, Segment(1, 10, 13))
    assert (after, done.content_end_s) == ({}, None)


def test_a_whole_recording_is_not_called_cut_short(library, folder):
    for name in ("steady.mp4", "late.mkv", "broadcast.ts", "picture.gif"):
        info = library.info(name)
        _, done = take(info)
        assert not is_cut_short(info, done.content_end_s, find_ffmpeg(None), LIMITS), name


def test_sound_that_goes_on_after_the_video_is_no_cut(folder):
    options = (*BOTH, *H264, "-c:a", "aac")
    truth = write_clip(folder / "goes-on.mp4", steady(25, 4), options, inputs=SOUND)
    info = look(truth.path)
    assert info.duration_s_from_header == pytest.approx(13.4, abs=0.1)
    images, done = take(info)
    assert (len(images), done.content_end_s) == (4, 4.0)
    assert not is_cut_short(info, 4.0, find_ffmpeg(None), LIMITS)
    assert take(info, Segment(1, 10, None))[0] == {}


@pytest.fixture(scope="module")
def damaged(library, folder):
    """Return a recording of 13.4 s of which 3,000 bytes in the midst are lost."""
    content = bytearray(library.clip("sound.mp4").path.read_bytes())
    start = content.index(b"mdat") + 8
    middle = start + (len(content) - start) // 2
    content[middle : middle + 3000] = bytes(3000)
    (folder / "damaged.mp4").write_bytes(content)
    return look(folder / "damaged.mp4")


def test_damage_in_the_middle_is_counted_and_passed(damaged):
    info = damaged
    images, done = take(info)
    assert done.failures_between(0, None) > 0
    assert done.content_end_s == pytest.approx(13.4, abs=0.05)
    assert len(images) == 14
    for k in (0, 1, 2, 3, 11, 12, 13):
        assert read_number(images[k]) == k * 25
    assert done.failures_between(0, 3) == 0
    assert take(info, Segment(0, 0, 3))[1].failures_between(0, 3) == 0


def described(duration_s, container="matroska,webm"):
    return VideoInfo(Path("/x.mkv"), 1, container, "h264", 2, 2, duration_s, None, 0)


@factories.examples(100)
@given(
    duration_s=st.none() | st.floats(min_value=0.01, max_value=2 * LIMITS.max_duration_s),
    segment_s=st.integers(min_value=10, max_value=3600),
)
def test_segments_cover_the_recording_without_gap_or_overlap(duration_s, segment_s):
    segments = plan_segments(described(duration_s), segment_s, LIMITS)
    assert segments[0].start_s == 0
    assert [segment.index for segment in segments] == list(range(len(segments)))
    for i in range(len(segments) - 1):
        assert segments[i].end_s == segments[i + 1].start_s == (i + 1) * segment_s
    assert segments[-1].end_s is None
    assert segments[-1].start_s < min(duration_s or 1, LIMITS.max_duration_s)
    if duration_s is not None:
        assert segments[-1].start_s + segment_s >= min(duration_s, LIMITS.max_duration_s)


def test_a_recording_without_exact_jumps_is_one_segment():
    for container in ("mpegts", "mpeg", "avi", "gif", "asf"):
        assert plan_segments(described(5000.0, container), 300, LIMITS) == [WHOLE]


def test_a_number_is_read_only_from_an_upright_picture():
    image = draw_number(43_210)
    assert read_number(image[:, :, None]) == 43_210
    for wrong in (image[::-1], image[:, ::-1], np.full_like(image, 128), image.T):
        with pytest.raises(ValueError, match="no upright number"):
            read_number(wrong)


def test_damage_is_counted_in_the_segment_it_lies_in(damaged):
    _, every = take(damaged)
    parts = [
        take(damaged, Segment(k, 2 * k, 2 * k + 2))[1].failures_between(2 * k, 2 * k + 2)
        for k in range(7)
    ]
    found = every.failures_between(0, None)
    assert found > 0
    assert (parts[0], parts[-1]) == (0, 0)
    assert max(parts[1:-1]) > 0
    assert [every.failures_between(k, k + 1) for k in range(14)].count(0) >= 10
    assert sum(every.failures_between(k, k + 1) for k in range(14)) == found
