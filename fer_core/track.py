"""Joins the faces of successive samples into anonymous tracks, one per person as far as seen.

A track's number means nothing outside its recording. Nothing about a face's looks is used,
only where it is: overlap and distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_core.boxes import overlap
from fer_core.records import Observations
from fer_core.settings import Tracking

# Fewer people than this moving at once is people moving, not the layout.
_LAYOUT_PEOPLE = 3
_LAYOUT_KEPT = 1 / 3
_MAX_SIZE_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Tracks:
    """Who is who within one recording.

    Attributes:
        track: ``(n,)`` int32, the track of each face, numbered from 0 by first appearance.
        count: number of tracks.
        layout_changes: numbers of the samples at which the people's arrangement changed.
    """

    track: NDArray[np.int32]
    count: int
    layout_changes: tuple[int, ...]


def link(observations: Observations, settings: Tracking) -> Tracks:
    """Give every face a track.

    Faces are matched to the tracks' last boxes, the best pair first, by overlap and centre
    distance. When most people have moved between two samples the layout has changed, and every
    track starts anew: a tile that now shows somebody else must not continue a track.

    Args:
        observations: all faces of one recording, in order.
        settings: gap, overlap and distance that a track survives.
    """
    faces = observations.faces
    track = np.full(len(faces), -1, np.int32)
    changes: list[int] = []
    count = 0
    last_box = np.zeros((0, 4), np.float32)
    last_seen = np.zeros(0, np.int64)
    last_track = np.zeros(0, np.int32)
    max_gap = settings.max_gap_s * observations.rate_hz

    starts = np.searchsorted(faces.sample, observations.samples, "left")
    ends = np.searchsorted(faces.sample, observations.samples, "right")
    previous = -1
    for sample, start, end in zip(observations.samples, starts, ends, strict=True):
        box = faces.box[start:end]
        alive = sample - last_seen <= max_gap
        last_box, last_seen, last_track = last_box[alive], last_seen[alive], last_track[alive]
        pairs = _match(last_box, box, settings)
        before = int(np.count_nonzero(last_seen == previous))
        kept = sum(1 for old, _ in pairs if last_seen[old] == previous)
        if min(before, len(box)) >= _LAYOUT_PEOPLE and kept < _LAYOUT_KEPT * min(before, len(box)):
            changes.append(int(sample))
            last_box, last_seen, last_track = last_box[:0], last_seen[:0], last_track[:0]
            pairs = []
        mine = np.full(len(box), -1, np.int32)
        for old, new in pairs:
            mine[new] = last_track[old]
        fresh = np.flatnonzero(mine < 0)
        mine[fresh] = np.arange(count, count + len(fresh))
        count += len(fresh)
        track[start:end] = mine
        idle = ~np.isin(last_track, mine)
        last_box = np.concatenate([last_box[idle], box])
        last_seen = np.concatenate([last_seen[idle], np.full(len(box), sample)])
        last_track = np.concatenate([last_track[idle], mine])
        previous = sample
    return Tracks(track, count, tuple(changes))


def shuffled(tracks: Tracks, seed: str) -> Tracks:
    """Return tracks under other numbers, drawn from a seed: in which order they came tells nothing.

    Args:
        tracks: any.
        seed: such as a recording's sha256: another recording's numbers differ, the same one's do
            not.
    """
    number = np.random.default_rng(int(seed, 16)).permutation(tracks.count).astype(np.int32)
    return Tracks(number[tracks.track], tracks.count, tracks.layout_changes)


def _match(
    old: NDArray[np.float32], new: NDArray[np.float32], settings: Tracking
) -> list[tuple[int, int]]:
    if not len(old) or not len(new):
        return []
    iou = overlap(old, new)
    size_old = np.sqrt(old[:, 2] * old[:, 3])[:, None]
    size_new = np.sqrt(new[:, 2] * new[:, 3])[None, :]
    ratio = np.maximum(size_old, size_new) / np.maximum(np.minimum(size_old, size_new), 1e-6)
    gap = (old[:, None, :2] + old[:, None, 2:] / 2) - (new[None, :, :2] + new[None, :, 2:] / 2)
    shift = np.linalg.norm(gap, axis=2) / np.maximum(np.maximum(size_old, size_new), 1e-6)
    possible = (ratio <= _MAX_SIZE_RATIO) & (
        (iou >= settings.min_iou) | (shift <= settings.max_shift)
    )
    likeness = np.where(possible, iou - shift, -np.inf)
    pairs: list[tuple[int, int]] = []
    free_old, free_new = set(range(len(old))), set(range(len(new)))
    # Greedy by likeness: with faces that hardly overlap each other the optimal assignment
    # differs from it only in cases where both are guesses.
    for flat in np.argsort(-likeness, axis=None, kind="stable"):
        at_old, at_new = divmod(int(flat), len(new))
        if not possible[at_old, at_new]:
            break
        if at_old in free_old and at_new in free_new:
            pairs.append((at_old, at_new))
            free_old.remove(at_old)
            free_new.remove(at_new)
    return pairs
