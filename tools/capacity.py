"""Simulates nights of many recordings: hours, cores, storage, cost, and what is the bottleneck.

Work arrives at the beginning of the night. A conductor (one for each dataset) plans a recording,
gives its segments to the cores that all conductors share, and finishes it: tracks, intervals,
tables, page. A segment may fail and is tried again; a core may be lost while it works on one, and
comes back. Everything that can be measured was (docs/capacity.md says how); prices cannot.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count, product
from typing import Any, Final

# Measured (make prefect-load).
REQUESTS: Final = 12
SEGMENT_REQUESTS: Final = 3
_SEED: Final = 20131
_BAR: Final = 40
_BUSY: Final = 0.9


@dataclass(frozen=True, slots=True)
class Load:
    """What comes, what it costs, and what there is to do it with.

    Attributes:
        recordings: a night.
        minutes: of video each.
        cores: that read segments, all machines together; one worker each.
        datasets: each with its own conductor, one core, not counted above.
        at_once: recordings under way for each conductor.
        kept: recordings that lie in all datasets together, before the night.
        core_s: CPU seconds for a second of video: decoding, finding and reading 16 faces at 720p.
        segment_s: length of a segment at most, seconds of video.
        workers: of which number there are so many segments, or a multiple (``run.workers``).
        plan_s: conductor's seconds to hash, probe and plan a recording.
        finish_s: conductor's seconds to finish one of 50 minutes; more minutes take more.
        lookup_s: conductor's seconds for a recording and for each one that its dataset holds:
            those of its course are looked for.
        nightly_s: likewise once a night: looked at for damage, drawn in the index.
        fails: share of segments that fail and are tried again.
        lost: cores lost, for each core and hour; back after ``back_s``.
        back_s: seconds until then.
        spread: standard deviation of a segment's time, as a share of its mean.
    """

    recordings: int = 10_000
    minutes: float = 50
    cores: int = 300
    datasets: int = 1
    at_once: int = 64
    kept: int = 0
    core_s: float = 0.05
    segment_s: float = 300
    workers: int = 4
    plan_s: float = 0.5
    finish_s: float = 3.0
    lookup_s: float = 60e-6
    nightly_s: float = 10.6e-3
    fails: float = 0.005
    lost: float = 0.01
    back_s: float = 300
    spread: float = 0.2

    @property
    def segments(self) -> int:
        """Segments of a recording."""
        return self.workers * math.ceil(60 * self.minutes / self.segment_s / self.workers)

    @property
    def finishing_s(self) -> float:
        """Conductor's seconds to finish a recording."""
        return self.finish_s * self.minutes / 50


@dataclass(frozen=True, slots=True)
class Night:
    """How it went.

    Attributes:
        hours: from the first plan to the last page and the index.
        cores_busy: share of the time that the cores worked.
        conductors_busy: likewise the conductors.
        core_hours: that all cores and conductors worked.
        again: segments tried again.
    """

    hours: float
    cores_busy: float
    conductors_busy: float
    core_hours: float
    again: int

    @property
    def bottleneck(self) -> str:
        """What more of would make it shorter."""
        if max(self.cores_busy, self.conductors_busy) < _BUSY:
            return "at once"  # too few recordings are under way
        return "conductors" if self.conductors_busy > self.cores_busy else "cores"


class _Play:
    """A night as it goes: what is under way, and what happens next."""

    def __init__(self, load: Load) -> None:
        self.load, self.now, self.free, self.again = load, 0.0, load.cores, 0
        self.cores_s = self.conductors_s = 0.0
        self.waiting: deque[int] = deque()
        self._events: list[tuple[float, int, str, int]] = []
        self._order = count()
        self._chance = random.Random(_SEED)  # noqa: S311 - a simulation
        self._left: dict[int, int] = {}
        many = range(load.datasets)
        self._share = [len(range(k, load.recordings, load.datasets)) for k in many]
        self._begun, self._finished = [0 for _ in many], [0 for _ in many]
        self._read: list[deque[int]] = [deque() for _ in many]
        self._conducting = [False for _ in many]

    def run(self) -> None:
        for k in range(self.load.datasets):
            self._conduct(k)
        while self._events:
            self.now, _, what, which = heapq.heappop(self._events)
            if what in ("plan", "finish"):
                self._conducted(what, which)
            else:
                self._worked(what, which)
            self._conduct(which % self.load.datasets)
            self._work()

    def _later(self, after_s: float, what: str, which: int) -> None:
        heapq.heappush(self._events, (self.now + after_s, next(self._order), what, which))

    def _conduct(self, k: int) -> None:
        """Have a conductor do the next thing: what is read before what is new."""
        load = self.load
        if self._conducting[k]:
            return
        if self._read[k]:
            took_s, what, which = load.finishing_s, "finish", self._read[k].popleft()
        elif self._begun[k] < min(self._share[k], self._finished[k] + load.at_once):
            held = load.kept / load.datasets + self._finished[k]
            took_s, what = load.plan_s + load.lookup_s * held, "plan"
            which = self._begun[k] * load.datasets + k
            self._begun[k] += 1
        else:
            return
        self._conducting[k] = True
        self.conductors_s += took_s
        self._later(took_s, what, which)

    def _conducted(self, what: str, which: int) -> None:
        k = which % self.load.datasets
        self._conducting[k] = False
        if what == "finish":
            self._finished[k] += 1
        else:
            self._left[which] = self.load.segments
            self.waiting.extend([which] * self.load.segments)

    def _work(self) -> None:
        """Give every free core a segment."""
        load, chance = self.load, self._chance
        sigma = math.sqrt(math.log1p(load.spread**2))
        mean_s = 60 * load.minutes / load.segments * load.core_s
        while self.free and self.waiting:
            self.free -= 1
            which = self.waiting.popleft()
            took_s = mean_s * chance.lognormvariate(-(sigma**2) / 2, sigma)
            what = "failed" if chance.random() < load.fails else "read"
            if chance.random() < 1 - math.exp(-load.lost * took_s / 3600):
                took_s, what = took_s * chance.random(), "lost"
            self.cores_s += took_s
            self._later(took_s, what, which)

    def _worked(self, what: str, which: int) -> None:
        if what == "read":
            self._left[which] -= 1
            if not self._left[which]:
                self._read[which % self.load.datasets].append(which)
        elif what != "back":
            self.again += 1
            self.waiting.append(which)
        if what == "lost":
            self._later(self.load.back_s, "back", which)
        else:
            self.free += 1


def simulate(load: Load) -> Night:
    """Play a night, event by event."""
    play = _Play(load)
    play.run()
    ends_s = load.nightly_s * (load.kept + load.recordings) / load.datasets
    whole_s = play.now + ends_s
    conductors_s = play.conductors_s + ends_s * load.datasets
    return Night(
        whole_s / 3600,
        play.cores_s / (whole_s * load.cores),
        conductors_s / (whole_s * load.datasets),
        (play.cores_s + conductors_s) / 3600,
        play.again,
    )


def told(load: Load, night: Night) -> str:
    """Return a line about a night."""
    return (
        f"{load.cores:>6} {load.datasets:>9} {load.kept:>9,} {night.hours:>7.1f} "
        f"{night.cores_busy:>7.0%} {night.conductors_busy:>11.0%} {night.core_hours:>11,.0f} "
        f"{night.again:>6}   {night.bottleneck:<10} {'#' * min(_BAR, round(2 * night.hours))}"
    )


def _above_nothing(kind: type[Any]) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise ValueError
        return value

    number.__name__ = "number above 0"  # as argparse names it
    return number


def main() -> None:
    """Print what nights of that size take."""
    usual = Load()
    parser = argparse.ArgumentParser(description=__doc__)
    whole, number = _above_nothing(int), _above_nothing(float)
    parser.add_argument("--recordings", type=whole, default=usual.recordings)
    parser.add_argument("--minutes", type=number, default=usual.minutes)
    parser.add_argument("--cores", type=whole, nargs="+", default=[100, 200, 400])
    parser.add_argument("--datasets", type=whole, nargs="+", default=[1, 4, 16])
    parser.add_argument("--at-once", type=whole, default=usual.at_once)
    parser.add_argument("--kept", type=int, nargs="+", default=[0, 200_000], help="in the datasets")
    parser.add_argument("--core-s", type=number, default=usual.core_s, help="CPU s a s of video")
    parser.add_argument("--finish-s", type=number, default=usual.finish_s, help="for 50 minutes")
    parser.add_argument("--core-hour", type=float, default=0.04, help="price; an assumption")
    parser.add_argument("--gb-month", type=float, default=0.02, help="price; an assumption")
    parser.add_argument("--mb", type=number, default=0.36, help="tables and page of 50 minutes")
    given = parser.parse_args()
    load = replace(
        usual,
        recordings=given.recordings,
        minutes=given.minutes,
        at_once=given.at_once,
        core_s=given.core_s,
        finish_s=given.finish_s,
    )
    tell(f"{load.recordings:,} recordings of {load.minutes:g} minutes; a # is half an hour\n")
    tell(" cores  datasets      kept   hours   cores  conductors  core hours  again   bottleneck")
    core_hours: list[float] = []
    for kept, datasets, cores in product(given.kept, given.datasets, given.cores):
        tried = replace(load, cores=cores, datasets=datasets, kept=kept)
        night = simulate(tried)
        core_hours.append(night.core_hours)
        tell(told(tried, night))
    least, most = (hours / load.recordings for hours in (min(core_hours), max(core_hours)))
    kept_gb = given.mb * load.minutes / 50 / 1000
    gb = load.recordings * kept_gb
    tell(f"\n{gb:.1f} GB of tables and pages a night, {365 * gb:,.0f} a year")
    tell(
        f"a lecture: {least:.4f} to {most:.4f} core hours, {least * given.core_hour:.5f} to "
        f"{most * given.core_hour:.5f} for them and {12 * kept_gb * given.gb_month:.5f} "
        f"for a year of keeping, if a core hour costs {given.core_hour:g} and a GB month "
        f"{given.gb_month:g} (assumptions)"
    )
    asked = (REQUESTS + SEGMENT_REQUESTS * load.segments) * load.recordings
    tell(f"Prefect: {asked:,.0f} requests a night, {asked / 8 / 3600:.0f} a second over 8 hours")


def tell(text: str) -> None:
    """Print a line."""
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
