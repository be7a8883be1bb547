"""One live view: pictures of a camera in, what is in each of them out, and nothing kept.

Only while somebody records are faces, thumbnails and samples collected (``tape``); pictures never
are. Who may look, and how many at once, is ``viewers``' business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fer_core import assets, engagement, exclude, policy, segment
from fer_core.checkpoint import Effort
from fer_core.detect import QuickSearch, YuNet
from fer_core.errors import InputError
from fer_core.jpeg import open_jpeg
from fer_core.picture import Reading, read_faces
from fer_core.planes import Planes
from fer_core.records import FACE_SIZE_PX, Faces, Frame, Observations
from fer_core.settings import Settings
from fer_core.tape import Tape

RATE_HZ: Final = 5
"""Most pictures a second that a page sends."""

THREADS: Final = 2
"""What one picture is worked on with. From one thread to two its time halves."""

_AHEAD_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Second:
    """What one second of a view amounts to; None where nothing may or can be said.

    Attributes:
        second: whole seconds since the first picture.
        people: the most seen in one of its pictures.
        scored: the most of them whose expression could be read.
        withheld: whether there were fewer people than ``privacy.min_group``.
        facing: mean of how directly people face the camera, 0 to 1.
        probs: ``(7,)`` mean probabilities of the faces scored, in the order of ``EMOTIONS``.
        engagement: mean index of the faces scored.
    """

    second: int
    people: int
    scored: int
    withheld: bool
    facing: float | None
    probs: NDArray[np.float64] | None
    engagement: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in one picture.

    Attributes:
        time_s: when it was taken, seconds since the first one.
        reading: the faces in it.
        seconds: those that have ended since the picture before.
        recorded_s: seconds recorded so far; None while nothing is.
        full: whether recording has come to its limit.
        looked_s: time the work took.
    """

    time_s: float
    reading: Reading
    seconds: tuple[Second, ...]
    recorded_s: float | None
    full: bool
    looked_s: float


@dataclass(frozen=True, slots=True)
class Take:
    """What a recording came to: all that was seen, the pictures' size, and what it cost."""

    observations: Observations
    size_px: tuple[int, int]
    effort: Effort
    full: bool


class View:
    """A live view of one camera.

    Args:
        settings: all settings; what may be read is decided from them before any model is loaded.
        clock: seconds, never going back.

    Raises:
        PolicyError: no jurisdiction is set.
        AssetMissing, AssetCorrupt: weights are not in order.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.permission = policy.permission(settings.deployment, synthetic=False)
        self.model = assets.permitted(self.permission, settings.classification)
        self._settings, self._clock = settings, clock
        finder = YuNet(settings.detection, threads=THREADS)
        self._detector = QuickSearch(finder, settings.detection, RATE_HZ)
        self._first: tuple[float, float] | None = None
        self._last_s = -1.0
        self._now: list[Reading] = []
        self._tape: Tape | None = None
        self._tape_from_s: float | None = None
        self._effort = Effort()
        # Pictures have their order.
        self._looking = threading.Lock()
        self._warm_up()

    def _warm_up(self) -> None:
        """Load what the first picture would have to wait for."""
        blank = Planes.of_image(np.zeros((720, 1280, 3), np.uint8))
        self._detector.detect(Frame(-RATE_HZ, Fraction(-1), blank))
        if self.model is not None:
            reads = segment.classifier(self.model, mirror=self._settings.classification.mirror)
            reads.classify(np.zeros((1, FACE_SIZE_PX, FACE_SIZE_PX), np.uint8))

    def see(self, data: bytes, captured_s: float) -> Seen:
        """Look at one picture.

        Args:
            data: a JPEG file.
            captured_s: when it was taken, seconds on the camera's own clock.

        Raises:
            InputError: it is no picture that can be taken, or taken before the one before.
        """
        with self._looking:
            began, began_cpu_s = self._clock(), time.thread_time()
            time_s = self._time_of(captured_s, began)
            image = open_jpeg(data)
            decoded_cpu_s = time.thread_time()
            image = exclude.black_out(image, self._settings.privacy.exclude, self._since(time_s))
            faces, grey = self._find(image, time_s)
            found_cpu_s = time.thread_time()
            reading = read_faces(faces, grey, self.model, self._settings.classification)
            self._first = self._first or (captured_s, began)
            before = int(self._last_s)
            ended = (self._end_second(before),) if self._now and int(time_s) > before else ()
            self._now.append(reading)
            self._last_s = time_s
            if self._tape is not None:
                if self._tape_from_s is None:
                    self._tape_from_s = time_s
                self._tape.add(time_s, grey, reading.faces)
                self._effort += Effort(
                    decoded_cpu_s - began_cpu_s,
                    found_cpu_s - decoded_cpu_s,
                    time.thread_time() - found_cpu_s,
                )
            return Seen(
                time_s=time_s,
                reading=reading,
                seconds=ended,
                recorded_s=self._tape.length_s if self._tape else None,
                full=self._tape is not None and self._tape.full,
                looked_s=self._clock() - began,
            )

    def record(self, most_s: int) -> None:
        """Collect what is seen from the next picture on, for so many seconds at most."""
        with self._looking:
            self._tape = Tape(self._settings.sampling.rate_hz, most_s)
            self._tape_from_s, self._effort = None, Effort()

    def stop(self) -> Take | None:
        """Stop collecting; return what there is, None if there was no picture or no recording."""
        with self._looking:
            tape, self._tape = self._tape, None
            observations = tape.end() if tape else None
            if tape is None or observations is None:
                return None
            return Take(observations, tape.size_px, self._effort, tape.full)

    def _time_of(self, captured_s: float, now: float) -> float:
        """Return when a picture was taken, seconds since the first one."""
        first_s, first_at = self._first or (captured_s, now)
        time_s = captured_s - first_s
        # A clock that runs away would make days of a minute; and this holds of no NaN.
        if not self._last_s < time_s <= now - first_at + _AHEAD_S:
            raise InputError(
                "This picture was taken before the last one, or is not taken yet.",
                hint="Send pictures one after the other, each with the time it was taken at.",
            )
        return time_s

    def _since(self, time_s: float) -> float:
        """Return seconds since recording began, or the view: what exclusions are counted from."""
        if self._tape is None:
            return time_s
        # The first picture of a recording is its beginning, and nothing has told so yet.
        return 0.0 if self._tape_from_s is None else time_s - self._tape_from_s

    def _find(self, image: NDArray[np.uint8], time_s: float) -> tuple[Faces, NDArray[np.uint8]]:
        planes = Planes.of_image(image)
        sample = int(time_s * RATE_HZ)
        faces = self._detector.detect(Frame(sample, Fraction(sample, RATE_HZ), planes))
        if left_out := self._settings.privacy.exclude:
            since = self._since(time_s)
            keep = exclude.uncovered(faces.box, left_out, since, planes.size_px)
            faces = faces.only(keep)
        return faces, planes.grey

    def _end_second(self, second: int) -> Second:
        """Sum up the pictures of a second."""
        seen, self._now = self._now, []
        most = max(len(reading.faces) for reading in seen)
        scored = max(reading.uncounted.count(None) for reading in seen)
        faces = Faces.concat([reading.faces for reading in seen])
        turned = np.concatenate([reading.facing for reading in seen])
        counts = np.array([why is None for reading in seen for why in reading.uncounted], np.bool_)
        least = self._settings.privacy.min_group
        withheld = 0 < most < least or 0 < scored < least
        facing = probs = index = None
        if most and not withheld:
            large = faces.box[:, 3] >= self._settings.classification.min_face_px
            if large.any():
                facing = float(turned[large].mean())
            if counts.any():
                probs = faces.probs[counts].mean(axis=0, dtype=np.float64)
                weights = self._settings.engagement.weights
                each = engagement.expression_index(faces.probs[counts], weights)
                index = float(each.mean())
        return Second(second, most, scored, withheld, facing, probs, index)
