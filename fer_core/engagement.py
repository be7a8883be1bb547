"""From faces to seconds: who could be read, mean expressions, the engagement index, its interval.

Pure functions on arrays. What may be withheld is decided here by the minimum group; where
faces come from and where rows go is other rooms' work.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_core.records import EMOTIONS, Observations
from fer_core.settings import Classification, Engagement, Settings
from fer_core.spread import widening
from fer_core.track import Tracks

# A frontal face, millimetres, the person's right eye first: x to the person's left, y down, z
# away from the camera. Across: the median of 2,901 faces of FER2013 (``align.TEMPLATE_PX``)
# scaled to an interpupillary distance of 63. In depth: an average adult's nose, 28 in front.
_FACE_MM = np.array(
    [[-31.5, 0, 0], [31.5, 0, 0], [0, 37.6, -28], [-25.6, 64.4, -4], [25.6, 64.4, -4]], np.float64
)
_POSE = np.asarray(np.linalg.pinv(_FACE_MM - _FACE_MM.mean(axis=0)), np.float64)
_YAW_LIMIT_DEG = 45.0
_PITCH_LIMIT_DEG = 30.0
_BLOCK = 4096
_ENDS = (0.025, 0.975)


def head_pose(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Estimate how far each head is turned, from its five points.

    Fits the average face under scaled orthography (DeMenthon & Davis 1995, the POS step): least
    squares for the first two rows of the rotation, the third is their cross product.

    Args:
        landmarks: ``(n, 5, 2)`` pixels, in the order of ``records.LANDMARKS``.

    Returns:
        ``(n, 2)`` yaw and pitch in degrees; 0, 0 faces the camera, positive yaw turns the face
        to the right of the picture, positive pitch down.
    """
    centred = landmarks.astype(np.float64) - landmarks.mean(axis=1, keepdims=True)
    rows = np.einsum("kp,npi->nik", _POSE, centred)
    norms = np.linalg.norm(rows, axis=2, keepdims=True)
    right, down = np.moveaxis(rows / np.maximum(norms, 1e-9), 1, 0)
    into = np.cross(right, down)
    into /= np.maximum(np.linalg.norm(into, axis=1, keepdims=True), 1e-9)
    # The face looks along -z of its own frame. ``right``, ``down`` and ``into`` are the camera's
    # axes seen from the face, so its gaze in camera terms is minus their third components.
    gaze_x, gaze_y, gaze_z = -right[:, 2], -down[:, 2], -into[:, 2]
    yaw = np.degrees(np.arctan2(gaze_x, -gaze_z))
    pitch = np.degrees(np.arctan2(gaze_y, np.hypot(gaze_x, gaze_z)))
    return np.stack([yaw, pitch], axis=1)


def facing(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how directly each face is turned to the camera, ``(n,)``, 0 (away) to 1 (frontal).

    ``clip(1 - |yaw| / 45°, 0, 1) · clip(1 - |pitch| / 30°, 0, 1)``.
    """
    yaw, pitch = head_pose(landmarks).T if len(landmarks) else np.zeros((2, 0))
    share = np.clip(1 - np.abs(yaw) / _YAW_LIMIT_DEG, 0, 1)
    share *= np.clip(1 - np.abs(pitch) / _PITCH_LIMIT_DEG, 0, 1)
    return share.astype(np.float32)


def expression_index(probs: NDArray[np.float32], weights: dict[str, float]) -> NDArray[np.float32]:
    """Return the index of each face, ``(n,)`` in [0, 1]: ``Σ p·w / max w``.

    The concentration index of Sharma et al. (arXiv:1909.12913): a documented proxy, not a
    measurement of anything felt.
    """
    weight = np.array([weights[name] for name in EMOTIONS])
    return (probs @ (weight / weight.max())).astype(np.float32)


@dataclass(frozen=True, slots=True)
class People:
    """What each track showed in each second; every array is ``(tracks, seconds, …)``.

    Attributes:
        visible: whether the person was seen.
        scored: whether the expression could be read.
        probs: ``(tracks, seconds, 7)`` mean probabilities; NaN where not scored.
        facing: mean facing; NaN where no face was large enough to tell.
        index: engagement index; NaN where not scored.
        face_scored: ``(n,)`` which of the faces counted.
        face_facing: ``(n,)`` facing of every face.
    """

    visible: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    probs: NDArray[np.float32]
    facing: NDArray[np.float32]
    index: NDArray[np.float32]
    face_scored: NDArray[np.bool_]
    face_facing: NDArray[np.float32]


def readable(
    height_px: NDArray[np.float32],
    face_facing: NDArray[np.float32],
    probs: NDArray[np.float32],
    settings: Classification,
) -> NDArray[np.bool_]:
    """Tell which faces count: large enough, not turned away, and with a clear expression.

    Args:
        height_px: ``(n,)`` heights of the boxes, pixels.
        face_facing: ``(n,)`` from 0, turned away, to 1, frontal.
        probs: ``(n, 7)`` calibrated probabilities; NaN where the expression was not read.
        settings: the limits.

    Returns:
        ``(n,)``.
    """
    large = height_px >= settings.min_face_px
    sure = np.nan_to_num(probs, nan=-1.0).max(axis=1, initial=-1.0) >= settings.min_confidence
    return large & (face_facing >= settings.min_facing) & sure


def by_person(
    observations: Observations, tracks: Tracks, seconds: int, settings: Settings
) -> People:
    """Average the faces of each track within each second.

    A person counts once a second however often it was sampled, so that the rate changes the
    noise of a row but not its meaning.

    Args:
        observations: all faces of the recording.
        tracks: the track of each face.
        seconds: length of the recording in whole seconds.
        settings: what counts, weights, variant.
    """
    faces = observations.faces
    face_facing = facing(faces.landmarks)
    scored = readable(faces.box[:, 3], face_facing, faces.probs, settings.classification)
    index = expression_index(faces.probs, settings.engagement.weights)
    if settings.engagement.variant == "expression_x_facing":
        index = index * face_facing
    cell = tracks.track.astype(np.int64) * seconds + faces.sample // observations.rate_hz

    def mean(values: NDArray[np.float32], use: NDArray[np.bool_]) -> NDArray[np.float32]:
        cells = tracks.count * seconds
        total = np.bincount(cell[use], values[use], minlength=cells)
        number = np.bincount(cell[use], minlength=cells)
        share = np.divide(total, number, out=np.full(cells, np.nan), where=number > 0)
        return share.reshape(tracks.count, seconds).astype(np.float32)

    def seen(use: NDArray[np.bool_]) -> NDArray[np.bool_]:
        number = np.bincount(cell[use], minlength=tracks.count * seconds)
        return (number > 0).reshape(tracks.count, seconds)

    large = faces.box[:, 3] >= settings.classification.min_face_px
    return People(
        visible=seen(np.ones(len(faces), np.bool_)),
        scored=seen(scored),
        probs=np.stack([mean(faces.probs[:, k], scored) for k in range(len(EMOTIONS))], axis=2),
        facing=mean(face_facing, large),
        index=mean(index, scored),
        face_scored=scored,
        face_facing=face_facing,
    )


@dataclass(frozen=True, slots=True)
class Seconds:
    """The values of the seconds table, each ``(seconds,)``; NaN stands for NULL.

    ``probs`` is ``(seconds, 7)``. ``frames`` counts the samples of each second.
    ``engagement_mean`` is the mean of the whole recording with its interval's two ends.
    """

    frames: NDArray[np.int64]
    faces: NDArray[np.int64]
    faces_scored: NDArray[np.int64]
    probs: NDArray[np.float32]
    uncertain: NDArray[np.float32]
    facing: NDArray[np.float32]
    engagement: NDArray[np.float32]
    engagement_low: NDArray[np.float32]
    engagement_high: NDArray[np.float32]
    engagement_mean: tuple[float, float, float]
    suppressed: NDArray[np.bool_]


def aggregate(
    observations: Observations,
    people: People,
    settings: Settings,
    layout_changes: Collection[int] = (),
) -> Seconds:
    """Average people into seconds and withhold what the minimum group and coverage demand.

    No usable face gives NULL, never 0. Where fewer people than ``privacy.min_group`` were visible
    or scored, values are withheld and ``suppressed`` is true: the mean of one is that one; the
    share that could not be read is given wherever enough were visible. Only
    people seen in the same picture count as several: within one second the same person may have
    two tracks, before and after a layout change, say.

    Args:
        observations: all faces of the recording.
        people: what each track showed.
        settings: minimum group, coverage, replicates and seed.
        layout_changes: seconds in which all tracks begin anew: they count whom one picture shows.
    """
    least = settings.privacy.min_group
    seconds = people.visible.shape[1]
    faces = people.visible.sum(axis=0)
    scored = people.scored.sum(axis=0)
    read = scored.copy()
    some = scored > 0

    def crowd(use: NDArray[np.bool_]) -> NDArray[np.int64]:
        return _most_at_once(observations, use, seconds)

    together, read_together = crowd(np.ones_like(people.face_scored)), crowd(people.face_scored)
    twice = np.array(sorted(layout_changes), np.intp)
    faces[twice], scored[twice] = together[twice], read_together[twice]
    too_few, too_few_scored = together < least, read_together < least
    suppressed = ((faces > 0) & too_few) | (some & too_few_scored)
    given = some & ~suppressed
    covered = given & (scored >= settings.engagement.min_coverage * faces)

    probs = np.full((seconds, len(EMOTIONS)), np.nan)
    total = np.asarray(np.nansum(people.probs, axis=0, dtype=np.float64))[given]
    probs[given] = total / total.sum(axis=1, keepdims=True)

    facing_known = np.isfinite(people.facing).sum(axis=0)
    large = observations.faces.box[:, 3] >= settings.classification.min_face_px
    told = (crowd(large) >= least) & ~suppressed
    facing_mean = _ratio(np.nansum(people.facing, axis=0), facing_known, told)
    # How many could be read is told anyway (faces, faces_scored), and says nothing of what they
    # showed: where hardly anybody could, this share must not be missing of all places.
    uncertain = _ratio(faces - scored, faces, (faces > 0) & ~too_few)

    engagement = _ratio(np.nansum(people.index, axis=0), read, covered)
    low, high, whole = interval(people.index, covered, settings.engagement)
    mean = float(engagement[covered].mean(dtype=np.float64)) if covered.any() else np.nan
    return Seconds(
        frames=np.bincount(observations.samples // observations.rate_hz, minlength=seconds),
        faces=faces,
        faces_scored=scored,
        probs=probs.astype(np.float32),
        uncertain=uncertain,
        facing=facing_mean,
        engagement=engagement,
        engagement_low=np.minimum(low, engagement),
        engagement_high=np.maximum(high, engagement),
        engagement_mean=(mean, min(whole[0], mean), max(whole[1], mean)),
        suppressed=suppressed,
    )


def _most_at_once(
    observations: Observations, use: NDArray[np.bool_], seconds: int
) -> NDArray[np.int64]:
    """Return the most of the faces chosen that one sample of each second shows."""
    sample, number = np.unique(observations.faces.sample[use], return_counts=True)
    most = np.zeros(seconds, np.int64)
    np.maximum.at(most, sample // observations.rate_hz, number)
    return most


def interval(
    index: NDArray[np.float32], wanted: NDArray[np.bool_], settings: Engagement
) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[float, float]]:
    """Return the ends of the 95 % interval of each second's mean, and of their mean.

    Cluster bootstrap: whole tracks are drawn with replacement, the same draw for every second,
    because people, not frames, are the sample. The 2.5 % and 97.5 % percentiles are widened since
    people are few (``spread``); of one alone nothing can be said, and the interval is 0 to 1.

    A track is no person: whoever leaves the picture, or is rearranged, comes back as another one,
    and many pieces would look like many people. The interval of the whole is therefore that of as
    many people as a typical second shows.

    Args:
        index: ``(tracks, seconds)``, NaN where not scored.
        wanted: ``(seconds,)`` which seconds need an interval.
        settings: number of replicates and seed.

    Returns:
        Two ``(seconds,)`` arrays, NaN where not wanted; and the ends for the mean of all seconds
        wanted, NaN if there is none.
    """
    tracks, seconds = index.shape
    ends = np.full((2, seconds), np.nan, np.float32)
    columns = np.flatnonzero(wanted)
    if not len(columns):
        return ends[0], ends[1], (np.nan, np.nan)
    draw = np.random.default_rng(settings.seed)
    counts = draw.multinomial(tracks, np.full(tracks, 1 / tracks), settings.replicates)
    counts = counts.astype(np.float32)
    whole, seen = np.zeros(len(counts)), np.zeros(len(counts))
    sum_of_means, seconds_of = 0.0, np.zeros(tracks)
    for start in range(0, len(columns), _BLOCK):
        block = columns[start : start + _BLOCK]
        values = index[:, block]
        known = np.isfinite(values)
        total = counts @ np.where(known, values, np.float32(0))
        number = counts @ known.astype(np.float32)
        # A draw in which nobody of this second takes part says nothing: it sorts to the end.
        means = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
        whole += np.nansum(means, axis=1, dtype=np.float64)
        seen += (number > 0).sum(axis=1)
        means.sort(axis=0)
        valid = (number > 0).sum(axis=0)
        at = np.maximum(np.rint(np.array(_ENDS)[:, None] * (valid - 1)), 0).astype(np.int64)
        people = known.sum(axis=0).astype(np.float64)
        mean = np.where(known, values, 0).sum(axis=0, dtype=np.float64) / people
        ends[:, block] = _widened(np.take_along_axis(means, at, axis=0), mean, people)
        sum_of_means += float(mean.sum())
        seconds_of += known.sum(axis=1)
    typical = seconds_of.sum(keepdims=True) / len(columns)
    # As many tracks of equal length would say as much (Kish 1965).
    pieces = seconds_of.sum() ** 2 / (seconds_of**2).sum()
    percentiles = np.quantile(whole[seen > 0] / seen[seen > 0], _ENDS)[:, None]
    factor, mean = np.sqrt(pieces / typical), np.array([sum_of_means / len(columns)])
    low, high = _widened(percentiles, mean, typical, factor)[:, 0].tolist()
    return ends[0], ends[1], (low, high)


def _widened(
    ends: NDArray[np.floating],
    mean: NDArray[np.float64],
    people: NDArray[np.float64],
    factor: NDArray[np.float64] | float = 1.0,
) -> NDArray[np.float64]:
    """Move both ends, ``(2, n)``, away from the mean; the index stays between 0 and 1."""
    few = people < 2
    wider = mean + (ends - mean) * factor * widening(np.where(few, 2, people))
    return np.where(few, np.array([[0.0], [1.0]]), np.clip(wider, 0, 1)).round(6)


def _ratio(
    top: NDArray[np.generic], bottom: NDArray[np.generic], use: NDArray[np.bool_]
) -> NDArray[np.float32]:
    result = np.full(len(use), np.nan)
    return np.divide(top, bottom, out=result, where=use).astype(np.float32)
