"""Transcripts: found beside a recording, read without names; pace and pauses by hand."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_core import transcript
from fer_core.errors import InputError
from fer_core.transcript import Cue, Transcript

EXAMPLE = Path(__file__).parents[1] / "examples" / "biology-101"


def written(folder, text, name="class.vtt"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def vtt(*cues):
    """Each cue is (begin, end, text), times in seconds."""
    blocks = [
        f"00:{b // 60:02}:{b % 60:02}.000 --> 00:{e // 60:02}:{e % 60:02}.500\n{text}"
        for b, e, text in cues
    ]
    return "WEBVTT\n\n" + "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize(
    ("recording", "beside"),
    [
        ("class.mp4", "class.vtt"),
        ("class.mp4", "class.transcript.vtt"),
        ("class.mp4", "class.cc.vtt"),
        (
            "GMT20261103-093000_Recording_gallery_1280x720.mp4",
            "GMT20261103-093000_Recording.transcript.vtt",
        ),
        ("GMT20261103-093000_Recording_1280x720.mp4", "GMT20261103-093000_Recording.cc.vtt"),
        ("GMT20261103-093000_Recording.mp4", "GMT20261103-093000_Recording.transcript.vtt"),
        ("class_1280x720.mp4", None),
    ],
)
def test_where_a_transcript_lies(recording, beside, tmp_path):
    for name in filter(None, (beside, "other.vtt", "class_gallery.vtt")):
        (tmp_path / name).write_text("WEBVTT\n")
    assert transcript.beside(tmp_path / recording) == (tmp_path / beside if beside else None)


def test_the_preferred_one_of_several(tmp_path):
    for ending in transcript.SUFFIXES:
        (tmp_path / f"class{ending}").write_text("WEBVTT\n")
    assert transcript.beside(tmp_path / "class.mp4") == tmp_path / "class.transcript.vtt"


def test_a_name_that_leaves_no_room(tmp_path):
    assert transcript.beside(tmp_path / ("x" * 251 + ".mp4")) is None


@pytest.mark.parametrize("form", ["{name}: {text}", "<v {name}>{text}</v>"])
def test_names_are_dropped_and_turns_kept(form, tmp_path):
    said = [
        ("Ada Lovelace", "One: two."),
        ("Ada Lovelace", "Three"),
        ("Zoë O'Neil-Ng", "Four?"),
        ("Ada Lovelace", "Five"),
    ]
    cues = [(10 * i, 10 * i + 5, form.format(name=n, text=t)) for i, (n, t) in enumerate(said)]
    found = transcript.read_transcript(written(tmp_path, vtt(*cues)))
    assert [cue.text for cue in found.cues] == ["One: two.", "Three", "Four?", "Five"]
    assert [cue.turn for cue in found.cues] == [False, False, True, True]
    assert found.named
    assert "Ada" not in repr(found)
    assert "Zo" not in repr(found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Meier, Carla:", "Braun, Dieter:"),
        ("Prof. Dr. Emil Zzyzx-Kant (He/Him):", "Mrs. J. Smith:"),
        ("Dieter B. Braun Jr.:", "Carla Meier, Ph.D.:"),
        ("7b Carla Meier:", "23-Dieter Braun:"),
        ("7b_Dieter:", "carla.meier@school.edu:"),
        ("[Gustav Wx]:", ">> KARL LX:"),
        ("Lena Ax\uff1a", "Carla Meier (She/Her):"),
        ("Ivo Xq -", "Carla Meier \u2013"),
        ("(Ivo Xq)", "[Carla Meier]"),
        ("Ivo Xq\n", "Dr Carla Meier\n"),
    ],
)
def test_names_of_every_form_are_dropped(one, other, tmp_path):
    said = ["we look at the leaf", "light is what it needs", "why is that", "it makes sugar"]
    cues = [
        f"00:00:{4 * k:02d}.000 --> 00:00:{4 * k + 3:02d}.000\n{(one, other)[k % 2]} {text}\n"
        for k, text in enumerate(said)
    ]
    found = transcript.read_transcript(written(tmp_path, "WEBVTT\n\n" + "\n".join(cues)))
    assert [cue.text for cue in found.cues] == said
    assert [cue.turn for cue in found.cues] == [False, True, True, True]
    assert found.named


def test_a_colon_alone_makes_no_speaker(tmp_path):
    texts = ["We begin.", "Remember: water first.", "Then light.", "Then sugar.", "Done."]
    cues = [(10 * i, 10 * i + 5, text) for i, text in enumerate(texts)]
    found = transcript.read_transcript(written(tmp_path, vtt(*cues)))
    assert [cue.text for cue in found.cues] == texts
    assert not found.named


def test_sounds_in_brackets_and_broken_lines_are_no_speakers(tmp_path):
    texts = ["(laughter) Well.", "[music] Yes.", "so today we\nlook at", "the leaf that\nis green"]
    cues = [(10 * i, 10 * i + 5, text) for i, text in enumerate(texts)]
    found = transcript.read_transcript(written(tmp_path, vtt(*cues)))
    assert [cue.text for cue in found.cues] == [text.replace("\n", " ") for text in texts]
    assert not found.named


def test_who_is_named_only_where_a_turn_begins_is_dropped_too(tmp_path):
    said = ["Mr Meier: Good morning.", *["and so on"] * 8, "Lena Braun: I did not get that."]
    said += ["Mr Meier: No problem.", *["as we see"] * 8, "Tom Klein: Nor I."]
    cues = [(5 * i, 5 * i + 4, text) for i, text in enumerate(said)]
    found = transcript.read_transcript(written(tmp_path, vtt(*cues)))
    told = [cue.text for cue in found.cues]
    assert told == [text.rpartition(": ")[2] for text in said]
    assert [at for at, cue in enumerate(found.cues) if cue.turn] == [9, 10, 19]


def test_a_name_without_a_space_after_it_but_no_time_of_day(tmp_path):
    cues = [(0, 4, "Lena Braun:yes"), (5, 9, "Tom Klein:no"), (10, 14, "at 9:30 or https://x.org")]
    found = transcript.read_transcript(written(tmp_path, vtt(*cues)))
    assert [cue.text for cue in found.cues] == ["yes", "no", "at 9:30 or https://x.org"]


def test_several_who_speak_within_one_cue(tmp_path):
    cues = [
        (0, 4, "Mr Meier: good\nmorning"),
        (5, 9, "hi there\nTom  Klein: yes hello\n- Lena Braun:\nme, too"),
        (10, 14, "Mr Meier: fine"),
    ]
    found = transcript.read_transcript(written(tmp_path, vtt(*cues)))
    assert [(cue.start_s, cue.text, cue.turn) for cue in found.cues] == [
        (0, "good morning", False),
        (5, "hi there", False),
        (5, "yes hello", True),
        (5, "me, too", True),
        (10, "fine", True),
    ]


def test_where_voices_are_marked_a_name_before_a_colon_is_one_too(tmp_path):
    cues = [(0, 4, "<v Mr Meier>One: two.</v>"), *((5 * i, 5 * i + 4, "and") for i in range(1, 9))]
    cues.append((50, 54, "Lena Braun: I did not get that."))
    found = transcript.read_transcript(written(tmp_path, vtt(*cues)))
    assert [found.cues[0].text, found.cues[-1].text] == ["One: two.", "I did not get that."]


@pytest.mark.parametrize(
    "content", [b"", b"no captions", b"1\n00:00 --> 00:05\nhello", b"\xff\xfe\x00 WEBVTT"]
)
def test_what_is_no_transcript(content, tmp_path):
    path = tmp_path / "class.vtt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"class\.vtt"):
        transcript.read_transcript(path)


def test_a_file_too_large_and_one_that_is_gone(tmp_path, monkeypatch):
    path = written(tmp_path, vtt((0, 5, "hello")))
    monkeypatch.setattr(transcript, "_MOST_BYTES", 10)
    with pytest.raises(InputError, match="larger"):
        transcript.read_transcript(path)
    with pytest.raises(InputError, match="cannot be read"):
        transcript.read_transcript(tmp_path / "gone.vtt")


def test_odd_cues_are_put_in_order_or_left_out(tmp_path):
    text = vtt((20, 22, "second\nline"), (10, 12, "first"), (40, 30, "backwards"), (50, 55, " "))
    found = transcript.read_transcript(written(tmp_path, "\ufeff" + text))
    assert [(cue.start_s, cue.end_s, cue.text) for cue in found.cues] == [
        (10.0, 12.5, "first"),
        (20.0, 22.5, "second line"),
    ]


CUES = Transcript((
    Cue(0, 30, "one two three", turn=False),
    Cue(31, 50, "it's well-known", turn=True),
    Cue(55, 65, "ten words are spread evenly over these two minutes here", turn=False),
    Cue(100, 110, "one", turn=True),
))  # fmt: skip


def test_words_per_minute_by_hand():
    # 3 + 2 + 5 words in the first minute; 5 + 1 in the half of the second that there is.
    np.testing.assert_allclose(CUES.words_per_minute(120), [10, 6])
    np.testing.assert_allclose(CUES.words_per_minute(90), [10, 10])
    np.testing.assert_allclose(CUES.words_per_minute(60), [10])


def test_words_of_scripts_without_spaces():
    cue = Cue(0, 60, "光合作用 is 4 characters", turn=False)
    assert Transcript((cue,)).words_per_minute(60) == pytest.approx([7])


def test_speech_and_pauses_by_hand():
    assert CUES.speech() == [(0, 50), (55, 65), (100, 110)]
    assert CUES.pauses() == [(50, 55), (65, 100)]


def test_what_is_left_out_is_neither_speech_nor_silence():
    cues = (
        Cue(0, 10, "one two three", turn=False),
        Cue(18, 22, "reaches into it", turn=False),
        Cue(25, 35, "inside", turn=True),
        Cue(50, 60, "after", turn=False),
        Cue(70, 80, "the end", turn=False),
    )
    left = Transcript(cues).without([(20, 40)])
    assert [cue.text for cue in left.cues] == ["one two three", "after", "the end"]
    assert left.said(0, 45) == "one two three"
    assert left.pauses() == [(60, 70)]
    assert left.within(65).pauses() == []
    assert left.spoken_share((0, 20)) == 0.5
    assert left.spoken_share((10, 60), (60, 80)) == pytest.approx(20 / 50)
    assert math.isnan(left.spoken_share((20, 40)))
    # Three words in the 40 seconds of the first minute that may be looked at, and one.
    np.testing.assert_allclose(left.words_per_minute(80), [60 * 4 / 40, 60 * 2 / 20])
    np.testing.assert_allclose(left.without([(60, math.inf)]).words_per_minute(80), [4, np.nan])


def test_speech_that_goes_on_across_what_is_left_out_is_all_there_is():
    cues = (Cue(0, 10, "before", turn=False), Cue(12, 20, "after", turn=False))
    assert Transcript(cues).without([(10, 12)]).spoken_share((0, 20)) == 1


def test_what_was_said_in_a_part():
    assert CUES.said(28, 32) == "one two three it's well-known"
    assert CUES.said(66, 99) == ""


def test_the_bundled_class(tmp_path):
    for file in EXAMPLE.iterdir():
        shutil.copy(file, tmp_path)
    path = transcript.beside(tmp_path / next(tmp_path.glob("*.mp4")).name)
    found = transcript.read_transcript(path)
    assert found.said(37, 40) == "So the leaf is as tidy as your desk?"
    assert [cue.start_s for cue in found.cues if cue.turn][:2] == [37, 40.5]
    assert "Dana" not in repr(found)


def test_the_second_hour_is_in_its_hour(tmp_path):
    text = "WEBVTT\n\n01:02:03.500 --> 01:02:05.000\nlate\n\n02:10.000 --> 02:12.000\nearly\n"
    found = transcript.read_transcript(written(tmp_path, text))
    assert [(cue.start_s, cue.end_s, cue.text) for cue in found.cues] == [
        (130.0, 132.0, "early"),
        (3723.5, 3725.0, "late"),
    ]


def test_the_rate_is_of_the_speech_within_the_recording():
    # 10 words in 10 s; 20 words in 20 s, of which half lie behind the end; then others' words.
    cues = (
        Cue(0, 10, "word " * 10, turn=False),
        Cue(50, 70, "word " * 20, turn=False),
        Cue(80, 90, "word " * 99, turn=False),
    )
    assert Transcript(cues).rate(60) == pytest.approx(60 * 20 / 20)
    assert Transcript(cues).rate(90) == pytest.approx(60 * 129 / 40)
    assert Transcript(cues).rate(0) is None
    assert Transcript(cues[2:]).rate(60) is None
    # What begins before the end belongs to it, though it goes on.
    assert Transcript(cues).within(60).cues == cues[:2]


def test_speech_by_two_at_once_ends_with_the_later_one():
    cues = (
        Cue(0, 20, "long", turn=False),
        Cue(5, 8, "short", turn=True),
        Cue(22, 25, "on", turn=False),
    )
    assert Transcript(cues).speech() == [(0, 25)]
    assert Transcript(cues[:2]).speech() == [(0, 20)]
    # Three seconds are a pause.
    assert Transcript((cues[0], Cue(23, 25, "on", turn=False))).pauses() == [(20, 23)]


def test_a_second_that_is_left_out_in_part_is_left_out():
    spoken = Transcript((Cue(0, 30, "word " * 30, turn=False),)).without([(30.5, 39.5)])
    assert spoken.known_s(60).tolist() == [50]


@pytest.mark.parametrize("how", ["beside", "bytes"])
def test_what_was_said_in_what_is_left_out_is_not_read(how, tmp_path):
    path = written(tmp_path, vtt((0, 5, "open words"), (20, 25, "a secret"), (40, 45, "the end")))
    left_out = [(10, 30)]
    if how == "beside":
        found = transcript.spoken_beside(tmp_path / "class.mp4", left_out)
    else:
        found = transcript.spoken_in(path.name, path.read_bytes(), left_out)
    assert [cue.text for cue in found.cues] == ["open words", "the end"]
    # Two words in each 5.5 seconds of speech that may be looked at.
    columns = transcript.columns_of(tmp_path / "class.mp4", 60, left_out)
    assert columns["words_per_minute"] == pytest.approx(60 * 4 / 11)
