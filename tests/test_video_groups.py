"""What no sample needs is not decoded; what is shown stays the same, bit for bit."""

import subprocess
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.records import Segment
from fer_core.settings import Video
from fer_core.video import Sampler, find_ffmpeg, sampler
from fer_core.video.groups import Pictures, dropping, read_pictures
from fer_core.video.program import Ffmpeg
from tests import factories
from tests.clips import (
    H264,
    RECIPES,
    REORDERED,
    WHOLE,
    ffmpeg,
    look,
    steady,
    write_clip,
)

ALL = Video(skip_unneeded=False)
SOME = Video()


@pytest.fixture
def decoded(monkeypatch):
    """Count the pictures that decoders report."""
    shown = []
    note = sampler._Log._note
    monkeypatch.setattr(
        sampler._Log, "_note", lambda log, line: (shown.append(line["pts"]), note(log, line))
    )
    return shown


def pictures(info, limits, segment=WHOLE, rate_hz=1, program=None):
    with Sampler(info, segment, rate_hz, program or find_ffmpeg(None), limits) as frames:
        images = {frame.sample: frame.planes.image() for frame in frames}
    return images, (frames.content_end_s, frames.failures_between(segment.start_s, segment.end_s))


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_is_shown_as_without_leaving_out(name, library):
    info = library.info(name)
    for segment in (WHOLE, Segment(1, 3, 9)):
        every, ended = pictures(info, ALL, segment)
        some, same = pictures(info, SOME, segment)
        assert list(some) == list(every)
        assert same == ended
        assert all(np.array_equal(some[k], every[k]) for k in every)


LONG = steady(25, 30)
# Three pictures on which none builds between two that are built upon.
PLAIN_B = (*REORDERED, "-x264-params", "scenecut=0:b-pyramid=none:b-adapt=0:bframes=3")


@pytest.mark.parametrize(
    ("options", "rate_hz", "most"),
    [
        # A group of two seconds: its first second, the picture behind it, and the last two groups
        # whole.
        ((*H264, "-g", "50"), 1, 13 * 27 + 100),
        # Of reordered pictures only those on which others build: half of them, or every fourth.
        ((*REORDERED, "-g", "50", "-x264-params", "scenecut=0"), 1, 13 * 19 + 100),
        ((*PLAIN_B, "-g", "50"), 1, 13 * 14 + 100),
        ((*PLAIN_B, "-g", "250"), 1, 250 * 2 + 250 // 4 + 10 * 3),
        ((*H264, "-g", "25"), 1, 28 * 2 + 50),
        # Groups without any sample are left out whole.
        ((*H264, "-g", "10"), 1, 30 * 11 + 20),
        ((*H264, "-g", "1"), 1, 30 + 2),
        ((*H264, "-g", "50"), 2, 13 * 40 + 100),
        ((*H264, "-g", "9999"), 1, 750),
        # Nothing can begin at a picture that others shown before it need.
        ((*REORDERED, "-g", "50", "-x264-params", "open-gop=1:scenecut=0"), 1, 750),
    ],
)
def test_what_no_sample_needs_is_not_decoded(options, rate_hz, most, tmp_path, decoded):
    info = look(write_clip(tmp_path / "clip.mp4", LONG, options).path)
    every, ended = pictures(info, ALL, rate_hz=rate_hz)
    assert len(decoded) == 750
    decoded.clear()
    some, same = pictures(info, SOME, rate_hz=rate_hz)
    assert same == ended
    assert list(some) == list(range(30 * rate_hz))
    assert all(np.array_equal(some[k], every[k]) for k in every)
    assert len(decoded) <= most
    assert (len(decoded) == 750) == (most == 750)


FINE = ("-video_track_timescale", "10000000")
# Containers that hold one time for each picture: of reordered ones it is not the one shown.
NO_OFFSETS = ("-bsf:v", "setts=pts=DTS")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fine.mp4", (*H264, "-g", "50", *FINE)),
        ("labels.mkv", (*REORDERED, "-g", "50", *NO_OFFSETS)),
        ("labels.mp4", (*REORDERED, "-g", "50", *NO_OFFSETS)),
        # The same sets of parameters in a unit of their own, in every key picture.
        ("repeated.mkv", (*REORDERED, "-g", "50", "-x264-params", "repeat-headers=1")),
        ("fields.mp4", (*REORDERED, "-g", "50", "-flags", "+ilme+ildct", "-x264-params", "tff=1")),
        (
            "strict.mp4",
            (
                "-c:v",
                "libx265",
                "-preset",
                "fast",
                "-g",
                "50",
                "-x265-params",
                "open-gop=0:log-level=none",
            ),
        ),
    ],
)
def test_odd_recordings_are_shown_the_same(name, options, tmp_path):
    write_clip(tmp_path / "plain.mp4", LONG, options)
    ffmpeg(
        "-i",
        tmp_path / "plain.mp4",
        "-c",
        "copy",
        *(FINE if name == "fine.mp4" else ()),
        tmp_path / name,
    )
    info = look(tmp_path / name)
    for segment in (WHOLE, Segment(1, 13, 29)):
        every, ended = pictures(info, ALL, segment, rate_hz=2)
        some, same = pictures(info, SOME, segment, rate_hz=2)
        assert same == ended
        assert list(some) == list(every)
        assert all(np.array_equal(some[k], every[k]) for k in every)


def test_marks_that_lie_are_not_believed(tmp_path, decoded):
    """Without its list of key pictures, a reader takes every picture for one."""
    clip = write_clip(tmp_path / "clip.mp4", LONG, (*H264, "-g", "50"))
    broken = tmp_path / "no-key-list.mp4"
    broken.write_bytes(clip.path.read_bytes().replace(b"stss", b"free"))
    every, _ = pictures(look(clip.path), ALL)
    decoded.clear()
    some, _ = pictures(look(broken), SOME)
    assert all(np.array_equal(some[k], every[k]) for k in every)
    assert len(decoded) <= 13 * 27 + 100


def test_an_ffmpeg_that_cannot_leave_out_decodes_all(library, decoded):
    able = find_ffmpeg(None)
    info = library.info("steady.mp4")
    every, ended = pictures(info, SOME, program=Ffmpeg(able.path, able.version))
    assert len(decoded) == 335
    assert ended == (pytest.approx(13.4, abs=0.05), 0)
    assert list(every) == list(range(14))


@pytest.mark.parametrize("wide", [0, 300])
def test_a_lot_can_be_left_out(library, wide):
    """ffmpeg limits how deep an expression is nested, the system how long an argument is."""
    spans = [(10**12 + 1000 * n, 10**12 + 1000 * n + wide) for n in range(20_000)]
    program = find_ffmpeg(None).path
    command = [
        program,
        "-v",
        "error",
        "-bsf:v",
        dropping(spans, Fraction(1, 1000)),
        "-i",
        library.clip("late.mkv").path,
    ]
    done = subprocess.run(
        [*command, "-f", "null", "-"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert b"expr" not in done.stderr


def left_by(text, times):
    """Return which times the filter leaves out, reading its expression as ffmpeg does."""
    expression = text.removeprefix("noise=drop='")[:-1].replace("if(", "when(")
    names = {
        "eq": lambda a, b: a == b,
        "lt": lambda a, b: a < b,
        "between": lambda a, low, high: low <= a <= high,
        "when": lambda held, then, other=0: then if held else other,
        "tb": 1 / 90000,
    }
    read = compile(expression, "filter", "eval")
    return {pts for pts in times if eval(read, names | {"pts": pts})}


@factories.examples(100)
@given(
    edges=st.lists(st.integers(-1000, 1000), min_size=2, max_size=120, unique=True),
    single=st.booleans(),
)
def test_the_filter_leaves_out_the_spans_and_nothing_else(edges, single):
    edges.sort()
    spans = list(zip(edges[::2], edges[::2] if single else edges[1::2], strict=False))
    times = {edge + step for edge in edges for step in (-1, 0, 1)}
    within = {pts for pts in times if any(a <= pts <= b for a, b in spans)}
    assert left_by(dropping(spans, Fraction(1, 90000)), times) == within
    assert not left_by(dropping(spans, Fraction(1, 1000)), times)


def test_of_too_many_the_widest_are_left_out():
    narrow = [(100 * n, 100 * n) for n in range(20_000)]
    wide = (10**9, 10**9 + 500)
    expression = dropping([*narrow, wide], Fraction(1, 90000))
    assert len(expression) < 128 * 1024
    assert f"between(pts,{wide[0]},{wide[1]})" in expression
    assert f"eq(pts,{narrow[0][0]})" in expression


@st.composite
def streams(draw):
    """Packets in the order of decoding: groups of reordered pictures, some open, uneven times."""
    packets, at = Pictures(Fraction(1, 100)), 0
    for number in range(draw(st.integers(1, 10))):
        length = draw(st.integers(1, 8))
        steps = draw(st.lists(st.integers(1, 40), min_size=length, max_size=length))
        shown = [at := at + step for step in steps]
        # Of an open group some pictures are shown before the key picture and need what came before.
        key = shown[draw(st.integers(0, min(2, length - 1)))]
        others = draw(st.permutations([due for due in shown if due != key]))
        if number and draw(st.booleans()):
            packets.pts.append(shown[-1] + 1)
            at = shown[-1] + 1
        packets.pts += [key, *others]
        if draw(st.integers(0, 3)):
            packets.clean.add(key)
    packets.dts, packets.order = list(range(len(packets.pts))), packets.pts
    if draw(st.booleans()):
        packets.parameters.add(draw(st.sampled_from(packets.pts)))
    if draw(st.booleans()):
        packets.references = draw(st.sets(st.sampled_from(packets.pts)))
    return packets


@factories.examples(300)
@given(packets=streams(), rate_hz=st.sampled_from([1, 2, 5]))
def test_everything_that_leads_to_a_sample_is_kept(packets, rate_hz):
    end_s = max(packets.pts) * packets.unit_s
    wanted = [Fraction(k, rate_hz) for k in range(int(end_s * rate_hz) + 1)]
    left = packets.unneeded(wanted)
    kept = [not any(a <= pts <= b for a, b in left) for pts in packets.pts]
    built = [packets.references is None or pts in packets.references for pts in packets.pts]
    starts = [
        row
        for row, pts in enumerate(packets.pts)
        if pts in packets.clean and min(packets.pts[row:]) == pts == max(packets.pts[: row + 1])
    ]
    times = [pts * packets.unit_s for pts in packets.pts]
    last_due = [max((at for at in times if at <= at_s), default=min(times)) for at_s in wanted]
    for at in (*last_due, *(pts * packets.unit_s for pts in packets.parameters)):
        row = times.index(at)
        begin = max((start for start in starts if start <= row), default=0)
        assert kept[row]
        assert kept[begin]
        assert all(kept[k] for k in range(begin, row) if built[k])
        # Where a picture is two fields, in packets of their own.
        assert row == begin or kept[row - 1]
        assert row + 1 == len(kept) or row + 1 in starts or kept[row + 1]
    assert all(a <= b for a, b in left)
    assert all(b < c for (_, b), (c, _) in pairwise(left))


def test_parameters_that_later_groups_may_need_are_kept():
    times = list(range(90))
    packets = Pictures(Fraction(1, 10), times[:], times[:], times[:], {0, 20, 40, 60}, {15})
    assert packets.unneeded([Fraction(0), Fraction(8)]) == [(17, 39)]


def test_pictures_on_which_no_other_builds_are_left_out():
    times = list(range(90))
    packets = Pictures(Fraction(1, 10), times[:], times[:], times[:], {0, 30, 60, 70})
    packets.references = set(range(0, 90, 5))
    # The sample's picture, its neighbours, and what is built upon on the way to it.
    assert packets.unneeded([Fraction(0), Fraction(2), Fraction(42, 10)]) == [
        (2, 4),
        (6, 9),
        (11, 14),
        (16, 18),
        (22, 29),
        (32, 34),
        (36, 39),
        (44, 59),
    ]


def test_a_group_that_is_miscounted_is_decoded_whole():
    """The count of ffmpeg goes wrong in two groups of 64."""
    times = list(range(64 * 20))
    packets = Pictures(Fraction(1, 10), times[:], times[:], times[:], set(range(0, 64 * 20, 20)))
    wanted = [Fraction(k) for k in range(128)]
    every = packets.unneeded(wanted)
    assert len(every) == 62
    packets.order[200:202] = [201, 200]
    assert packets.unneeded(wanted) == every[:10] + every[11:]


def test_recordings_of_many_groups_are_skipped_through(tmp_path, decoded):
    """So many that the count of ffmpeg goes wrong."""
    options = (*REORDERED, "-g", "10", "-x264-params", "scenecut=0")
    info = look(write_clip(tmp_path / "clip.mp4", LONG, options).path)
    every, ended = pictures(info, ALL)
    decoded.clear()
    some, same = pictures(info, SOME)
    assert same == ended
    assert all(np.array_equal(some[k], every[k]) for k in every)
    # Of 75 groups 45 hold no sample.
    assert len(decoded) <= 30 * 10 + 40


@pytest.mark.parametrize("spoil", ["twice", "back", "hidden", "labels", "fewer", "withheld"])
def test_doubtful_times_leave_nothing_out(spoil):
    times = list(range(90))
    packets = Pictures(Fraction(1, 10), times[:], times[:], times[:], {0, 20, 40, 60})
    wanted = [Fraction(k) for k in range(9)]
    assert packets.unneeded(wanted) == [(12, 19), (32, 39)]
    if spoil == "twice":
        packets.pts[33] = packets.pts[34]
    elif spoil == "back":
        packets.dts[33] = 3
    elif spoil == "labels":  # pictures out of order, and the container does not know
        packets.order[33:35] = [34, 33]
    elif spoil == "fewer":
        packets.order.pop()
    elif spoil == "withheld":  # pictures out of order, of which a new group may hold some back
        packets.shows_all = False
        packets.pts[33:35] = packets.order[33:35] = [34, 33]
    else:
        packets.hidden = True
    assert packets.unneeded(wanted) == []


def test_pictures_that_an_edit_list_hides_make_all_doubtful(library, tmp_path, decoded):
    edited = tmp_path / "edited.mp4"
    source = library.clip("steady.mp4").path
    ffmpeg("-ss", "3", "-i", source, "-t", "6", "-c", "copy", edited)
    info = look(edited)
    found = read_pictures(info, find_ffmpeg(None), SOME, {}, float("inf"))
    assert found.hidden
    every, ended = pictures(info, ALL)
    most = len(decoded)
    decoded.clear()
    some, same = pictures(info, SOME)
    assert same == ended
    assert len(decoded) == most
    assert all(np.array_equal(some[k], every[k]) for k in every)
