"""Who is who: detections joined to people over time, halves of one person joined to one.

Files of trackers number their people; in others people stand in any order, and OpenPose sometimes
reports one person as two, an upper and a lower half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.optimize import linear_sum_assignment

from jrepose.errors import InputError, listed
from jrepose.motion.readers.detections import Detections

_MEMORY = 45  # frames after which a person who was lost is somebody else
_STEP, _STEP_LATER, _FARTHEST = 0.35, 0.03, 1.0
"""How far joints move from one frame to the next, for each frame more, and at most; in sizes of the
person."""
_NEW_SPEED = 0.2  # share of the newest movement in a person's speed
_COASTING = 15  # frames for which somebody unseen goes on at that speed
_SHARED = 2  # joints that two halves may both have
_DUPLICATES = 0.05  # share of rows with another one of the same number in their frame
_FAINT = 0.25  # mean confidence of what is nobody
_SHORT = 0.02  # share of the frames; what is seen less is left out of `all`


@dataclass(frozen=True, eq=False)
class Person:
    """One person over all frames of a file.

    Attributes:
        name: the file's number or name, or "1", "2", ... from the largest on.
        points: [frames, keypoints, 2], (0, 0) where missing.
        confidence: 0 where missing.
    """

    name: str
    points: Float32[np.ndarray, "frames keypoints 2"]
    confidence: Float32[np.ndarray, "frames keypoints"]

    @property
    def there(self) -> Bool[np.ndarray, " frames"]:
        """In which frames there is anything of them."""
        return (self.confidence > 0).any(1)

    @property
    def size(self) -> float:
        """How large and sure they are, over all frames."""
        sides = _sides(self.points, self.confidence > 0)
        return float((sides * self.confidence.mean(1)).sum())


def people_of(found: Detections) -> tuple[list[Person], list[str]]:
    """The people in a file, the largest first, and what was decided.

    The file's own numbers count where it has them and they name one person of a frame each;
    otherwise people are followed from frame to frame by their joints.
    """
    notes: list[str] = []
    counts = np.bincount(found.frames, minlength=found.num_frames)
    if (crowd := int((counts > 1).sum())) > 0:
        notes.append(
            f"several people in {crowd} of {found.num_frames} frames, up to {counts.max()}"
        )
    present = found.confidence > 0
    identities = found.track
    numbered = (identities >= 0).all() and _are_people(found)
    if numbered:
        groups = {
            found.people.get(number, str(number)): np.flatnonzero(identities == number)
            for number in np.unique(identities).tolist()
        }
        people = [_person(name, rows, found) for name, rows in groups.items()]
    elif counts.max() <= 1:
        people = [_person("1", np.arange(len(found.frames)), found)]
    else:
        tracks = _follow(found, present)
        tracks, joined = _join_halves(tracks, found)
        joined += sum(len(track.rows) > len({*found.frames[track.rows]}) for track in tracks)
        if joined:
            notes.append("one person was reported in two parts, which are joined")
        people = [_person("", np.array(track.rows), found) for track in tracks]
    people = [person for person in people if person.there.any()]
    people.sort(key=lambda person: -person.size)
    if not numbered:
        people = [Person(str(k), p.points, p.confidence) for k, p in enumerate(people, 1)]
    return people, notes


def choose_people(
    people: Sequence[Person], chosen: str, where: str
) -> tuple[list[Person], list[str]]:
    """The people who are wanted.

    Args:
        people: of a file, the largest first.
        chosen: `"largest"`, `"all"` (without who is hardly there), or a person's name.
        where: the file, for messages.

    Returns:
        Them, and what was decided.

    Raises:
        InputError: nobody has that name.
    """
    names = [person.name for person in people]
    if chosen in names:
        return [people[names.index(chosen)]], []
    if chosen == "all":
        kept = [person for person in people if not _is_ghost(person)] or list(people[:1])
        left = len(people) - len(kept)
        return kept, [f"{left} left out who are hardly there or hardly sure"] * bool(left)
    if chosen != "largest":
        raise InputError(f"{where}: no person {chosen!r}; there are {listed(names)}")
    return _largest_alone(people)


def _largest_alone(people: Sequence[Person]) -> tuple[list[Person], list[str]]:
    """The largest person; who is alone while they are not there counts as the same."""
    first, *others = people
    there = first.there
    points, confidence = first.points.copy(), first.confidence.copy()
    crowd = sum(person.there.astype(int) for person in people)
    added = 0
    for person in others:
        here = person.there
        if (here & there).any() or (crowd[here] > 1).any() or _is_ghost(person):
            continue
        points[here], confidence[here] = person.points[here], person.confidence[here]
        there = there | here
        added += int(here.sum())
    notes = []
    if others:
        notes.append(f"taken is the largest of {len(people)} people, {first.name}")
    if added:
        notes.append(f"{added} frames in which somebody else is alone count as the same person's")
    return [Person(first.name, points, confidence)], notes


def _is_ghost(person: Person) -> bool:
    there = person.there
    sure = person.confidence[there]
    return bool(sure[sure > 0].mean() < _FAINT or there.mean() < _SHORT)


def _are_people(found: Detections) -> bool:
    """Whether the numbers name one person of a frame each."""
    pairs = np.stack([found.frames, found.track], axis=1)
    return len(pairs) - len(np.unique(pairs, axis=0)) <= _DUPLICATES * len(pairs)


def _person(name: str, rows: Int[np.ndarray, " rows"], found: Detections) -> Person:
    """The rows as one person; the better ones fill, the best last."""
    keypoints = found.points.shape[1]
    points = np.zeros((found.num_frames, keypoints, 2), np.float32)
    confidence = np.zeros((found.num_frames, keypoints), np.float32)
    frames, counts = np.unique(found.frames[rows], return_counts=True)
    several = set(frames[counts > 1].tolist())
    goodness = found.score[rows] + 1e-3 * found.confidence[rows].sum(1)
    for row in rows[np.argsort(goodness, kind="stable")].tolist():
        frame = int(found.frames[row])
        present = found.confidence[row] > 0
        if frame in several and (confidence[frame] > 0).any():
            overlap = present & (confidence[frame] > 0)
            if overlap.sum() > _SHARED:  # not two halves, but the same twice
                points[frame], confidence[frame] = 0, 0
        points[frame, present] = found.points[row, present]
        confidence[frame, present] = found.confidence[row, present]
    return Person(name, points, confidence)


def _sides(points: np.ndarray, present: np.ndarray) -> Float[np.ndarray, " rows"]:
    """The longer side of each row's box, 0 where nothing is present."""
    low = np.where(present[..., None], points, np.inf).min(1)
    high = np.where(present[..., None], points, -np.inf).max(1)
    return np.where(present.any(1), (high - low).max(1), 0.0).astype(np.float64)


@dataclass(eq=False)
class _Track:
    """A person as far as they were followed."""

    position: np.ndarray  # of each joint when it was last seen
    seen: np.ndarray  # frame of that, far back where never
    size: float
    last: int
    rows: list[int] = field(default_factory=list)
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2, np.float32))

    def add(self, row: int, frame: int, points: np.ndarray, present: np.ndarray, side: float):
        before = present & (self.seen == frame - 1)
        if before.sum() > _SHARED:
            moved = np.median(points[before] - self.position[before], axis=0)
            self.velocity = self.velocity + _NEW_SPEED * (moved - self.velocity)
        self.position[present], self.seen[present] = points[present], frame
        self.size = max(side, 0.95 * self.size)
        self.last = frame
        self.rows.append(row)

    def distance(self, frame: int, points: np.ndarray, present: np.ndarray) -> float:
        """How far joints would have moved, in sizes."""
        known = present & (frame - self.seen <= _MEMORY)
        if not known.any():
            return np.inf
        ahead = np.minimum(frame - self.seen[known], _COASTING)[:, None] * self.velocity
        moved = np.linalg.norm(points[known] - self.position[known] - ahead, axis=-1)
        return float(np.median(moved)) / max(self.size, 1e-9)

    def reach(self, frame: int) -> float:
        return min(_STEP + _STEP_LATER * (frame - self.last - 1), _FARTHEST)


def _follow(found: Detections, present: np.ndarray) -> list[_Track]:
    """Tracks by the joints' movement from frame to frame."""
    tracks: list[_Track] = []
    living: list[_Track] = []
    sides = _sides(found.points, present)
    bounds = np.searchsorted(found.frames, np.arange(found.num_frames + 1))
    for frame in range(found.num_frames):
        rows = [r for r in range(bounds[frame], bounds[frame + 1]) if present[r].any()]
        living = [track for track in living if frame - track.last <= _MEMORY]
        if not rows:
            continue
        cost = np.array(
            [[t.distance(frame, found.points[r], present[r]) for r in rows] for t in living]
        ).reshape(len(living), len(rows))
        reach = np.array([track.reach(frame) for track in living])[:, None]
        fits = cost < reach
        groups = _halves(cost, fits, present[rows])
        # Parts of people must not take the place of whole ones.
        extent = np.array([present[[rows[k] for k in group]].any(0).mean() for group in groups])
        shared = np.array([cost[:, group].max(1, initial=0.0) for group in groups]).T
        possible = shared < reach
        assigned: dict[int, _Track] = {}
        if possible.any():
            worth = np.where(possible, shared - extent, 10.0)
            for track, place in np.stack(linear_sum_assignment(worth), axis=1).tolist():
                if possible[track, place]:
                    assigned[place] = living[track]
        for place, group in enumerate(groups):
            track = assigned.get(place)
            if track is None:
                joints = present.shape[1]
                track = _Track(
                    np.zeros((joints, 2), np.float32), np.full(joints, -(10**9)), 0.0, frame
                )
                tracks.append(track)
                living.append(track)
            for row in (rows[k] for k in group):
                track.add(row, frame, found.points[row], present[row], float(sides[row]))
    return tracks


def _halves(cost: np.ndarray, fits: np.ndarray, present: np.ndarray) -> list[list[int]]:
    """The people of a frame, each a list of reports: those of one that have different joints and
    are nearest to the same track belong together."""
    count = len(present)
    nearest = [int(cost[:, k].argmin()) if fits[:, k].any() else -1 for k in range(count)]
    groups: list[list[int]] = []
    for place in sorted(range(count), key=lambda k: -int(present[k].sum())):
        for group in groups:
            same = nearest[place] >= 0 and nearest[group[0]] == nearest[place]
            if same and (present[place] & present[group].any(0)).sum() <= _SHARED:
                group.append(place)
                break
        else:
            groups.append([place])
    return groups


def _join_halves(tracks: list[_Track], found: Detections) -> tuple[list[_Track], int]:
    """Joins tracks that never have the same joints at once and are continued in one another."""
    tracks = sorted(tracks, key=lambda track: -len(track.rows))
    kept: list[_Track] = []
    joined = 0
    for track in tracks:
        whole = next((other for other in kept if _is_half_of(track, other, found)), None)
        if whole is None:
            kept.append(track)
        else:
            whole.rows += track.rows
            joined += 1
    return kept, joined


def _is_half_of(half: _Track, whole: _Track, found: Detections) -> bool:
    frames = found.frames
    present = found.confidence > 0
    of_whole = {int(frames[row]): row for row in whole.rows}
    both = [(row, of_whole[int(frames[row])]) for row in half.rows if int(frames[row]) in of_whole]
    if len(both) < 0.9 * len(half.rows):
        return False
    if any((present[a] & present[b]).sum() > _SHARED for a, b in both):
        return False
    # Before it begins or after it ends the whole person has these joints, at these places.
    first, last = min(half.rows), max(half.rows)
    for end, direction in ((last, 1), (first, -1)):
        for step in range(1, 6):
            other = of_whole.get(int(frames[end]) + direction * step)
            if other is None:
                continue
            shared = present[end] & present[other]
            if shared.sum() >= max(2, present[end].sum() // 2):
                moved = np.linalg.norm(found.points[end] - found.points[other], axis=-1)[shared]
                if float(np.median(moved)) < (_STEP + _STEP_LATER * step) * whole.size:
                    return True
    return _complete_each_other(both, found, present)


def _complete_each_other(
    both: list[tuple[int, int]], found: Detections, present: np.ndarray
) -> bool:
    """Whether two tracks that are parts from beginning to end lie close to one another."""
    close = 0
    for a, b in both:
        first, second = found.points[a][present[a]], found.points[b][present[b]]
        gap = np.maximum(first.min(0) - second.max(0), second.min(0) - first.max(0)).max()
        extent = np.ptp(np.concatenate([first, second]), axis=0).max()
        aside = abs(first[:, 0].mean() - second[:, 0].mean())
        close += bool(gap < 0.25 * extent and aside < 0.25 * extent)
    return close > 0.8 * len(both)
