"""The simulated night: what can be reckoned by hand comes out, and more of a thing never hurts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.capacity import Load, main, simulate

# Nothing by chance, nothing that grows.
PLAIN = Load(
    recordings=20,
    minutes=50,
    workers=1,
    cores=1,
    core_s=0.1,
    plan_s=0,
    finish_s=0,
    lookup_s=0,
    nightly_s=0,
    fails=0,
    lost=0,
    spread=0,
)


def test_cores_share_the_segments() -> None:
    whole_h = 20 * 50 * 60 * 0.1 / 3600
    for cores in (1, 2, 5):
        night = simulate(replace(PLAIN, cores=cores))
        assert night.hours == pytest.approx(whole_h / cores)
        assert night.cores_busy == pytest.approx(1)
        assert night.bottleneck == "cores"


def test_a_conductor_does_one_thing_after_the_other() -> None:
    slow = replace(PLAIN, cores=10_000, finish_s=60, minutes=50)
    # All are read at once, in 30 s; then one after the other is finished.
    assert simulate(slow).hours == pytest.approx((30 + 20 * 60) / 3600)
    assert simulate(slow).bottleneck == "conductors"
    assert simulate(replace(slow, datasets=4)).hours == pytest.approx((30 + 5 * 60) / 3600)


def test_too_few_at_once_leave_cores_idle() -> None:
    few = replace(PLAIN, cores=100, at_once=2)
    # Ten times two recordings of ten segments, 30 s each.
    assert simulate(few).hours == pytest.approx(10 * 30 / 3600)
    assert simulate(few).bottleneck == "at once"


def test_what_fails_is_read_again() -> None:
    half = simulate(replace(PLAIN, recordings=200, fails=0.5))
    assert half.again == pytest.approx(2000, rel=0.1)
    assert half.hours == pytest.approx(2 * simulate(replace(PLAIN, recordings=200)).hours, rel=0.1)
    lost = simulate(replace(PLAIN, recordings=200, lost=20, back_s=0))
    # 20 an hour and core is one in six of 30 s.
    assert lost.again == pytest.approx(2000 / 6, rel=0.25)


def test_what_is_kept_is_looked_for() -> None:
    held = replace(PLAIN, cores=10_000, kept=1000, lookup_s=0.001, nightly_s=0.01)
    # A second for each plan, ten seconds and a bit in the end.
    assert simulate(held).hours == pytest.approx((20 * 1 + 30 + 10.2) / 3600, rel=0.02)


def test_a_recording_is_cut_into_a_multiple_of_the_workers() -> None:
    assert Load(minutes=50).segments == 12
    assert Load(minutes=61).segments == 16


def test_core_hours_are_those_of_cores_and_conductors() -> None:
    night = simulate(replace(PLAIN, finish_s=36, minutes=100, nightly_s=1))
    # 600 s a recording, 72 s to finish one of twice fifty minutes, a second each in the end.
    assert night.core_hours == pytest.approx(20 * (600 + 72 + 1) / 3600)


@pytest.mark.parametrize("given", [["--cores", "0"], ["--recordings", "0"], ["--datasets", "-1"]])
def test_nothing_is_simulated_with_nothing(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["capacity", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "number above 0" in capsys.readouterr().err
