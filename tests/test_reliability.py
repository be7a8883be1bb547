"""A few kills and a few mutations of what ``make chaos`` and ``make fuzz`` do at length."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
TRIALS = 4


def tool(name: str) -> ModuleType:
    """Load a tool: they are programs, not a package."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_killed_run_is_finished_by_the_next(tmp_path: Path) -> None:
    chaos = tool("chaos").Chaos(tmp_path, seed=3)

    trials = [chaos.trial(number) for number in range(TRIALS)]

    assert [trial for trial in trials if trial.faults] == []
    assert any(trial.killed for trial in trials)


@pytest.mark.slow
def test_mutated_recordings_end_as_rows(tmp_path: Path) -> None:
    fuzz = tool("fuzz")
    found = fuzz.Found()

    fuzz.run_batch(tmp_path, range(30), 7, found)

    assert found.faults == []
    assert sum(found.statuses.values()) == 30
    assert found.statuses["failed"] > 0
    assert found.statuses["done"] > 0


def test_a_mutation_is_the_same_every_time(tmp_path: Path) -> None:
    fuzz = tool("fuzz")
    clips = fuzz.make_clips(tmp_path)

    assert set(clips) == {"mp4", "mkv", "webm", "avi", "gif"}
    made = [fuzz.mutated(clips, number, 1) for number in range(40)]
    assert made == [fuzz.mutated(clips, number, 1) for number in range(40)]
    assert made != [fuzz.mutated(clips, number, 2) for number in range(40)]
    assert len({kind for _, kind, _ in made}) >= 6
