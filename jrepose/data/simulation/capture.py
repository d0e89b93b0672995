"""Films recordings with virtual cameras and a simulated detector: motion in, dataset out."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from jrepose.camera import Camera
from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.labels import check_depth_reference, image_labels
from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.detector import DetectorConfig, detect
from jrepose.data.simulation.layouts import through_layout
from jrepose.data.simulation.occlusion import self_occlusion
from jrepose.data.simulation.rig import RigConfig, place_cameras
from jrepose.errors import InputError
from jrepose.workers import process_pool

Filmed = list[tuple[Camera, dict[str, np.ndarray]]]
"""What each camera saw of a recording: a dataset's arrays."""


def capture(
    recordings: Iterable[Recording],
    *,
    rig: RigConfig | Mapping[str, Any] | None = None,
    detector: DetectorConfig | Mapping[str, Any] | None = None,
    depth_reference: str = "frame_root",
    seed: int = 0,
    processes: int = 1,
) -> PoseDataset:
    """The dataset that cameras around each recording would have given.

    Every recording becomes one video per camera, named `"<recording>/<camera>"`.  All
    randomness is a pure function of (seed, recording name, camera name): adding, removing
    or reordering recordings changes no other video.

    Args:
        recordings: motions in the world; one skeleton, names unique.
        rig: cameras; a `RigConfig`, a mapping of its fields, or None for its defaults.
        detector: the 2D detector; likewise a `DetectorConfig`.
        depth_reference: origin of the labels' depth, see `jrepose.data.labels.image_labels`.
        seed: of everything random.
        processes: that film at the same time, beside this one if there are several
            (`jrepose.workers.process_pool`); the dataset is the same.

    Raises:
        InputError: nothing to capture, names repeat, skeletons differ, positions that are
            not finite, an unknown or impossible setting, or a process that has died.
    """
    rig = _settings(RigConfig, rig)
    detector = _settings(DetectorConfig, detector)
    check_depth_reference(depth_reference)
    recordings = list(recordings)
    _check(recordings)

    columns: dict[str, list[np.ndarray]] = {}
    videos: list[Video] = []
    start = 0
    film = functools.partial(
        _film_recording, rig=rig, detector=detector, depth_reference=depth_reference, seed=seed
    )
    for recording, filmed in zip(recordings, _each(film, recordings, processes), strict=True):
        for camera, arrays in filmed:
            for name, array in arrays.items():
                columns.setdefault(name, []).append(array)
            videos.append(
                Video(
                    name=f"{recording.name}/{camera.name}",
                    subject=recording.subject,
                    action=recording.action,
                    camera=camera.name,
                    width=camera.width,
                    height=camera.height,
                    frame_rate=recording.frame_rate,
                    start=start,
                    stop=start + recording.frames,
                    intrinsics=tuple(camera.intrinsics_screen.tolist()),
                )
            )
            start += recording.frames
    return PoseDataset(
        **{name: np.concatenate(arrays) for name, arrays in columns.items()},
        videos=tuple(videos),
        skeleton=recordings[0].skeleton,
    )


def _each(
    film: functools.partial[Filmed], recordings: list[Recording], processes: int
) -> Iterator[Filmed]:
    processes = min(processes, len(recordings))
    if processes <= 1:
        yield from map(film, recordings)
        return
    pool = process_pool(processes)
    try:
        # Few at once: who interrupts waits for those that have begun.
        yield from pool.map(film, recordings, chunksize=2)
    except BrokenProcessPool as error:
        raise InputError(
            f"capture: one of {processes} processes has died, perhaps for want of memory; fewer "
            "take less"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _film_recording(
    recording: Recording,
    *,
    rig: RigConfig,
    detector: DetectorConfig,
    depth_reference: str,
    seed: int,
) -> Filmed:
    return [
        (camera, _film(recording, camera, detector, depth_reference, seed))
        for camera in place_cameras(recording, rig, seed)
    ]


def _film(
    recording: Recording,
    camera: Camera,
    detector: DetectorConfig,
    depth_reference: str,
    seed: int,
) -> dict[str, np.ndarray]:
    """A dataset's arrays for one recording and one camera."""
    skeleton = recording.skeleton
    poses = camera.from_world(np.asarray(recording.positions_mm, np.float64))
    labels, factor = image_labels(
        poses, camera, root=skeleton.root, depth_reference=depth_reference
    )
    projections = camera.project(poses)
    occlusion = self_occlusion(poses, skeleton, radius_scale=detector.radius_scale)
    size = (camera.width, camera.height)
    detections = detect(
        projections,
        1 / factor,
        occlusion,
        image_size=size,
        frame_rate=recording.frame_rate,
        config=detector,
        skeleton=skeleton,
        seed=seed,
        names=(recording.name, camera.name),
    )
    if detector.layouts:
        names = (recording.name, camera.name)
        detections = through_layout(detections, detector, seed=seed, names=names)
    inside = ((projections >= 0) & (projections <= np.array(size) - 1)).all(-1)
    return {
        "keypoints_px": detections.keypoints_px,
        "confidence": detections.confidence,
        "poses_camera_mm": poses.astype(np.float32),
        "poses_image_px": labels,
        "factor_mm_per_px": factor,
        "visible": inside & ~occlusion.hidden,
        "valid": np.asarray(recording.valid, bool),
    }


def _settings(kind: type, value: Any) -> Any:
    """Settings from an instance, a mapping of fields, or None for the defaults."""
    if isinstance(value, kind):
        return value
    return kind.from_mapping(value or {})


def _check(recordings: list[Recording]) -> None:
    if not recordings:
        raise InputError("capture: no recordings")
    seen = set()
    for recording in recordings:
        if recording.name in seen:
            raise InputError(f"capture: two recordings are called {recording.name!r}")
        seen.add(recording.name)
        if recording.skeleton.name != recordings[0].skeleton.name:
            raise InputError(
                f"capture: recording {recording.name} has skeleton {recording.skeleton.name}, "
                f"the first one {recordings[0].skeleton.name}"
            )
        if recording.frames == 0:
            raise InputError(f"capture: recording {recording.name} has no frames")
        if not np.isfinite(recording.positions_mm).all():
            raise InputError(f"capture: recording {recording.name} has positions not finite")
