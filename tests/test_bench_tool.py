"""``make bench``: how far quick tables may be from exact ones, and what it is asked for."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from fer_core.records import EMOTIONS
from tools import bench

if TYPE_CHECKING:
    from pathlib import Path

ONE = ["3x3-720p", "--repeats", "1"]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command with a guard that finds what is given; return its exit status."""
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "make", lambda gallery, folder: folder / gallery.name)
    figures = dict.fromkeys(list(bench.COLUMNS)[1:-2], 1.0)
    taken = SimpleNamespace(as_dict=lambda: dict(figures))
    monkeypatch.setattr(bench.bench, "measure_recording", lambda *_, **__: taken)

    def run(faces_off: float, probability_off: float, *given: str) -> int:
        found = {"faces_off": faces_off, "probability_off": probability_off}
        monkeypatch.setattr(bench, "guard", lambda *_, **__: found)
        monkeypatch.setattr("sys.argv", ["bench", *(given or ONE)])
        return bench.main()

    return run


@pytest.mark.parametrize(
    ("faces_off", "probability_off", "status"),
    [(0.01, 0.01, 0), (0.0101, 0.0, 1), (0.0, 0.0101, 1), (math.nan, 0.0, 1), (0.0, math.nan, 1)],
)
def test_tables_too_far_from_the_exact_ones_fail(
    measured: Any, tmp_path: Path, faces_off: float, probability_off: float, status: int
) -> None:
    assert measured(faces_off, probability_off) == status
    (written,) = (tmp_path / ".bench").glob("bench-*.json")
    told = json.loads(written.read_text(encoding="utf-8"))
    (result,) = told["results"]
    assert result["recording"].startswith("3x3-720p")
    assert isinstance(told["int8_instructions"], bool)


def test_a_recording_that_there_is_not_is_a_wrong_question(
    measured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        measured(0.0, 0.0, "typo")
    assert ended.value.code == 2
    assert "there is no recording 'typo'" in capsys.readouterr().err


def test_faces_are_compared_second_by_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many does not make up for one too few; a second only one side read counts whole."""
    probs = {f"p_{name}": [0.25, 0.5, math.nan] for name in EMOTIONS}
    exact = pd.DataFrame({"faces": [4, 4, 2], **probs})
    quick = exact.assign(faces=[5, 3, 2], p_happy=[0.25, 0.5, 0.7])
    tables = iter([quick, exact])
    monkeypatch.setattr(bench, "make", lambda *_: None)
    monkeypatch.setattr(bench, "seconds_of", lambda *_, **__: next(tables))
    found = bench.guard(bench.Gallery(3, 720), bench.ROOT)
    assert found["faces_off"] == pytest.approx(2 / 10)
    # Two values of each of seven classes and one more, which is 0.7 off.
    assert found["probability_off"] == pytest.approx(0.7 / 15)
