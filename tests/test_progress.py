"""Telling what happens to whoever listens, and to nobody after they left."""

import pytest

from fer_core import progress
from fer_core.progress import Event


def test_everybody_who_listens_hears_everything_in_order():
    one: list[Event] = []
    two: list[Event] = []
    progress.tell("note", "nobody hears this")
    with progress.listening(one.append), progress.listening(two.append):
        progress.tell("started", "a.mp4", 150)
        progress.tell("note", "a sentence")
    progress.tell("finished", "a.mp4")
    assert one == two == [Event("started", "a.mp4", 150), Event("note", "a sentence", 0.0)]


def test_who_stops_on_an_error_hears_no_more():
    heard: list[Event] = []
    with pytest.raises(KeyError), progress.listening(heard.append):
        raise KeyError
    progress.tell("note", "too late")
    assert not heard
