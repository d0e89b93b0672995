"""Whether a dataset can be what its reader takes it for: units, axes, image sizes, confidences.

Poses in metres, keypoints from 0 to 1 or a y axis that points up have the right shapes and are
read like any others; what is learned from them is wrong.  What cannot be is refused with the
remedy, what is only strange is said in one line.  Every video is looked at, a sample of its frames
at a time; the bounds are wide enough for children, crouching and bad detectors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from jrepose.data.dataset import PoseDataset, Video
from jrepose.errors import InputError
from jrepose.skeleton import SKELETONS, Skeleton

_LOG = logging.getLogger(__name__)

_SAMPLE = 60  # frames of a video
_FARTHEST = 1e7  # mm or px: ten kilometres
_LIMB_MM = (50.0, 5000.0)
_OWN_LIMB_MM = (4.0, 5000.0)
"""Mean length of limbs: those of a body are 100 to 400 mm; of a hand, of which a skeleton of one's
own may be, 30 mm."""
_NORMALISED = 4.0  # px; no person is so small
_SMALLEST_IMAGE = 64  # px; of which that can be said
_LEAST_CONFIDENCE, _MOST_CONFIDENCE = -0.1, 1.5
_FOLLOWS, _STRAYS = 0.7, 0.3
"""Correlations of an axis of the keypoints with one of the poses: the same, and another."""
_ENOUGH = 60  # points that correlations are taken of


def check_plausible(
    dataset: PoseDataset,
    where: str,
    *,
    keypoints: str = "keypoints_px",
    poses: str = "poses_camera_mm",
    confidence: str = "confidence",
    unit_mm: float = 1.0,
) -> None:
    """Checks what a reader made, and says what is strange.

    Args:
        dataset: as read.
        where: the file, what messages start with.
        keypoints, poses, confidence: what the file calls them.
        unit_mm: millimetres in the file's unit of the poses.

    Raises:
        InputError: coordinates beyond all measure, poses in another unit, keypoints that are no
            pixels; axes of the poses that are not those of a camera, told by the keypoints.
    """
    for name, array in dataset.arrays().items():
        if array.dtype.kind == "f" and array.size:
            low, high = float(array.min()), float(array.max())
            if not (-_FARTHEST < low and high < _FARTHEST):
                extreme = low if not low > -_FARTHEST else high
                raise InputError(f"{where}: {name} has the value {extreme:g}; expected less than "
                                 f"{_FARTHEST:g}")  # fmt: skip
    check_confidence(dataset.confidence, f"{where}: {confidence}")
    shared = _shared_joints(dataset)
    found = outside = exchanged = corner = 0
    for video in dataset.videos:
        rows = _sample(video)
        place = f" of video {video.name}" if len(dataset.videos) > 1 else ""
        millimetres = _millimetres(dataset, rows)
        if millimetres is not None:
            check_limbs(millimetres, dataset.skeleton, f"{where}: {poses}{place}", unit_mm)
        points = dataset.keypoints_px[rows].astype(np.float64)
        present = dataset.confidence[rows] > 0
        _check_pixels(points, present, video, f"{where}: {keypoints}{place}")
        found += int(present.sum())
        corner += int((present & (points == 0).all(-1)).sum())
        outside += _beyond(points, present, video.width, video.height)
        exchanged += _beyond(points, present, video.height, video.width)
        label = dataset.poses_camera_mm
        label = dataset.poses_image_px if label is None else label
        if label is not None and len(shared[0]) > 3:
            both = present[:, shared[0]]
            agree = _check_axes(points[:, shared[0]], _seen(label[rows][:, shared[1]]), both,
                                f"{where}: {poses}{place}", keypoints)  # fmt: skip
            if agree and dataset.poses_image_px is not None:
                image = dataset.poses_image_px[rows][:, shared[1], :2]
                _check_projection(points[:, shared[0]], image, both, f"{where}: {keypoints}{place}")
    for remark in _remarks(dataset, found, outside, exchanged, corner, keypoints):
        _LOG.warning("%s: %s", where, remark)


def check_confidence(confidence: Float32[np.ndarray, "frames keypoints"], where: str) -> None:
    """Checks that confidences go from 0 to 1, or little above as those of some detectors do.

    Raises:
        InputError: with the remedy.
    """
    if not confidence.size:
        return
    low, high = float(confidence.min()), float(confidence.max())
    if _LEAST_CONFIDENCE <= low and high <= _MOST_CONFIDENCE:
        return
    remedy = "divide by the largest that the detector gives"
    if (
        low >= 0
        and high <= 2
        and np.isin(confidence[:: len(confidence) // 1000 + 1], (0, 1, 2)).all()
    ):
        remedy = "COCO's flags of visibility? give 1 where they are above 0"
    elif 10 < high <= 100:
        remedy = "per cent? divide by 100"
    elif 200 < high <= 255:
        remedy = "bytes? divide by 255"
    bad = ~((confidence >= _LEAST_CONFIDENCE) & (confidence <= _MOST_CONFIDENCE))
    frame, joint = np.argwhere(bad)[0].tolist()
    raise InputError(f"{where} is {confidence[frame, joint]:g} at [{frame}, {joint}]; "
                     f"expected 0 to 1 ({remedy})")  # fmt: skip


def check_limbs(
    poses_mm: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    where: str,
    unit_mm: float = 1.0,
) -> None:
    """Checks that limbs are as long as a human's.

    Args:
        poses_mm: what is taken for millimetres; NaN where unknown.
        skeleton: joint order.
        where: file and field, what the message starts with.
        unit_mm: millimetres in the file's own unit, in which the message speaks.

    Raises:
        InputError: with the unit that it may be.
    """
    if skeleton.num_joints < 2:
        return
    parents, children = np.array(skeleton.limbs).T
    poses = np.asarray(poses_mm, np.float64)
    lengths = np.linalg.norm(poses[:, children] - poses[:, parents], axis=-1)
    lengths = lengths[np.isfinite(lengths).all(-1)]
    if not lengths.size:
        return
    mean = float(np.median(lengths.mean(-1)))
    low, high = _LIMB_MM if SKELETONS.get(skeleton.name) is skeleton else _OWN_LIMB_MM
    if low <= mean <= high or not mean:
        return
    units = {"metres": 1000.0, "millimetres": 1.0, "centimetres": 10.0}
    name = next(name for name, size in units.items() if size == unit_mm)
    guess = next((other for other, size in units.items()
                  if other != name and 50 < mean / unit_mm * size < 1500), None)  # fmt: skip
    hint = f" ({guess}? multiply by {units[guess] / unit_mm:g})" if guess else ""
    raise InputError(f"{where}: limbs are {mean / unit_mm:.3g} long on average, as no human's "
                     f"are in {name}; expected {name}{hint}")  # fmt: skip


def _sample(video: Video) -> Int[np.ndarray, " frames"]:
    count = min(video.frames, _SAMPLE)
    return np.linspace(video.start, video.stop - 1, count).astype(np.int64)


def _millimetres(dataset: PoseDataset, rows: np.ndarray) -> np.ndarray | None:
    if dataset.poses_camera_mm is not None:
        return dataset.poses_camera_mm[rows]
    if dataset.poses_image_mm is not None:
        return dataset.poses_image_mm[rows]
    if dataset.poses_image_px is not None and dataset.factor_mm_per_px is not None:
        return dataset.poses_image_px[rows] * dataset.factor_mm_per_px[rows][:, None, None]
    return None


def _shared_joints(dataset: PoseDataset) -> tuple[list[int], list[int]]:
    """Positions of the joints that both keypoints and poses have."""
    names = dataset.skeleton.joint_names
    pairs = [
        (number, names.index(name))
        for number, name in enumerate(dataset.keypoint_skeleton.joint_names)
        if name in names
    ]
    return [k for k, _ in pairs], [j for _, j in pairs]


def _seen(poses: np.ndarray) -> np.ndarray:
    """Poses with x and y as a camera sees them, if all may be in front of it.

    Of somebody who lies along the depth at the image's edge, the depth would count for more.
    """
    x, y, z = np.moveaxis(poses.astype(np.float64), -1, 0)
    return np.stack([x / z, y / z, z / z.mean()], -1) if poses[..., 2].min() > 100 else poses


def _spread(points: np.ndarray, present: Bool[np.ndarray, "frames k"]) -> Float[np.ndarray, " n"]:
    """How large the person is in each frame with two joints or more: the longer side of the box."""
    some = present.sum(1) > 1
    masked = np.where(present[..., None], points, np.nan)[some]
    if not len(masked):
        return np.zeros(0)
    return (np.nanmax(masked, 1) - np.nanmin(masked, 1)).max(-1)


def _check_pixels(
    points: np.ndarray, present: Bool[np.ndarray, "frames k"], video: Video, where: str
) -> None:
    spread = _spread(points, present)
    if not len(spread) or min(video.width, video.height) < _SMALLEST_IMAGE:
        return
    seen = points[present]
    if np.abs(seen).max() <= _NORMALISED and np.median(spread) > 0:
        raise InputError(
            f"{where} lie between {seen.min():.3g} and {seen.max():.3g} in images of {video.width} "
            f"x {video.height}; expected pixels (0 to 1? multiply x by the width and y by the "
            "height; -1 to 1? undo x / width * 2 - 1)"
        )


def _beyond(points: np.ndarray, present: np.ndarray, width: int, height: int) -> int:
    """How many keypoints lie outside an image of that size."""
    inside = ((points >= -1) & (points <= np.array([width, height]) + 1)).all(-1)
    return int((present & ~inside).sum())


def _centred(
    points: np.ndarray, present: Bool[np.ndarray, "frames k"]
) -> Float[np.ndarray, "n axes"]:
    """Present joints less their mean in each frame, in units of their spread."""
    weights = present[..., None] / np.maximum(present.sum(1), 1)[:, None, None]
    points = np.asarray(points, np.float64)
    points = points - (points * weights).sum(1, keepdims=True)
    scale = np.sqrt((points**2 * weights).sum((1, 2), keepdims=True))
    return (points / np.where(scale > 0, scale, 1))[present]


def _check_axes(
    points: np.ndarray,
    poses: np.ndarray,
    present: Bool[np.ndarray, "frames k"],
    where: str,
    keypoints: str,
) -> bool:
    """Compares the axes of the poses with their own keypoints; True: they are the same.

    A projection keeps x and y apart from the perspective, so the keypoints' x and y go with them
    whatever the camera.
    """
    if present.sum() < _ENOUGH:
        return False
    of_points, of_poses = _centred(points, present), _centred(poses, present)
    squares = np.outer((of_points**2).sum(0), (of_poses**2).sum(0))
    table = of_points.T @ of_poses / np.sqrt(np.where(squares > 0, squares, np.inf))
    for row, axis in ((1, "y"), (0, "x")):
        other = int(np.abs(table[row]).argmax())
        if table[row, row] < _STRAYS and abs(table[row, other]) > _FOLLOWS:
            sign = "-" if table[row, other] < 0 else ""
            found = f"{sign}{'xyz'[other]}"
            remedy = {
                ("y", "-y"): "y points up: negate y, and z if it points to the camera",
                ("y", "-z"): "world axes? turn them into the camera's",
                ("y", "z"): "world axes? turn them into the camera's",
                ("x", "-x"): "x points left, or left and right joints are exchanged",
            }.get((axis, found), "axes are exchanged")
            raise InputError(
                f"{where}: {keypoints} have the poses' {found} as their {axis} (correlation "
                f"{abs(table[row, other]):.2f}); expected camera axes, x right, y down, z away "
                f"({remedy})"
            )
    return bool(table[0, 0] > _FOLLOWS and table[1, 1] > _FOLLOWS)


def _check_projection(
    points: np.ndarray, image: np.ndarray, present: Bool[np.ndarray, "frames k"], where: str
) -> None:
    """Compares keypoints of the right shape with the label, which is in the same pixels."""
    of_points, of_label = _spread(points, present), _spread(image, present)
    good = (of_points > 0) & (of_label > 0)
    if not good.any():
        return
    scale = float(np.median(of_points[good] / of_label[good]))
    away = np.where(present, np.linalg.norm(points - image, axis=-1), np.nan)
    away = np.nanmedian(away) / np.median(of_label[good])
    if not 0.6 < scale < 1.67:
        raise InputError(
            f"{where} are {scale:.2g} times as large as the poses' projection; expected pixels of "
            "the image that the poses' label or intrinsics_px are of (another resolution?)"
        )
    if away > 1:
        raise InputError(
            f"{where} lie {away:.1f} times a person's size away from the poses' projection; "
            "expected pixels from the upper left corner, and the principal point of that image"
        )
    if not 0.8 < scale < 1.25 or away > 0.3:
        _LOG.warning("%s are %.2f times as large as the poses' projection and %.2f of a person's "
                     "size away from it", where, scale, away)  # fmt: skip


def _remarks(
    dataset: PoseDataset, found: int, outside: int, exchanged: int, corner: int, keypoints: str
) -> Iterator[str]:
    """What is strange, but may be."""
    if not found:
        yield f"no confidence is above 0: all {keypoints} count as missing"
        return
    if corner:
        yield (f"{100 * corner / found:.2g} % of {keypoints} lie at (0, 0) and count as found; "
               "where that means missing, give NaN or confidence 0")  # fmt: skip
    share = f"{100 * outside / found:.0f} % of {keypoints} lie outside their images"
    first = dataset.videos[0]
    if outside > 0.05 * found and exchanged < outside / 4:
        yield (f"{share} of {first.width} x {first.height}, nearly none outside {first.height} x "
               f"{first.width}: are width and height exchanged?")  # fmt: skip
    elif outside > found / 2:
        yield f"{share}; expected pixels from the upper left corner, y down"
    heads = [n for n, name in enumerate(dataset.keypoint_skeleton.joint_names)
             if name in ("head", "head_top", "nose", "neck")]  # fmt: skip
    feet = [n for n, name in enumerate(dataset.keypoint_skeleton.joint_names) if "ankle" in name]
    if heads and feet:
        rows = np.concatenate([_sample(video) for video in dataset.videos[:100]])
        points, present = dataset.keypoints_px[rows], dataset.confidence[rows] > 0
        whole = present[:, heads].all(1) & present[:, feet].all(1)
        y = points[whole, :, 1].astype(np.float64)
        below = y[:, heads].mean(1) - y[:, feet].mean(1)
        if len(below) and np.median(below) > 0.5 * np.median(np.ptp(y, axis=1)):
            yield f"heads are below feet in {keypoints}; expected y to run down"
    sizes = {max(video.width, video.height) for video in dataset.videos}
    if min(sizes) > 400 and 0 <= dataset.keypoints_px.min() and dataset.keypoints_px.max() <= 100:
        yield f"all {keypoints} lie between 0 and 100; expected pixels (per cent of the image?)"
    for video in dataset.videos:
        if not 1 <= video.frame_rate <= 1000:
            yield f"frame_rate is {video.frame_rate:g}; expected frames per second"
            break
