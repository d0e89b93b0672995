"""Recordings in rendered rooms as an image dataset; its crops are rendered when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jrepose.camera import Camera, transformed
from jrepose.data.images.crops import Crops, Workers, clean_boxes, place_crops
from jrepose.data.images.dataset import ImageDataset, ImageSequence, View
from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.rig import RigConfig, place_cameras
from jrepose.data.simulation.scene import (
    Scene,
    SceneConfig,
    furnish,
    seen_joints,
    silhouette_bounds,
)
from jrepose.errors import InputError

# Goes up when the same scene is drawn otherwise: checkpoints know by it that it is other data.
_LOOKS = 1


@dataclass(frozen=True, eq=False)
class RenderedCrops(Crops):
    """Crops that are rendered as such, without the image around them.

    Args:
        scenes: of every sequence.
        cameras: of every sequence.
    """

    scenes: tuple[Scene, ...]
    cameras: tuple[tuple[Camera, ...], ...]

    def make(self, sequence: int, view: int, moments: Sequence[int]) -> list[np.ndarray]:
        camera, size = self.cameras[sequence][view], (self.size, self.size)
        return [
            self.scenes[sequence].picture(
                camera, moment - int(self.starts[sequence]), view, self.to_image[moment, view], size
            )
            for moment in moments
        ]

    def fingerprint(self) -> bytes:
        scenes = [(scene.name, scene.seed, scene.noise) for scene in self.scenes]
        return hashlib.sha256(repr((_LOOKS, self.size, scenes)).encode()).digest()


def render_dataset(
    recordings: Iterable[Recording],
    *,
    rig: RigConfig | None = None,
    scene: SceneConfig | None = None,
    seed: int = 0,
    size: int = 224,
    padding: float = 1.25,
    workers: Workers | None = None,
) -> ImageDataset:
    """The image dataset that cameras around each recording would have given.

    Every recording becomes a sequence, a pure function of (seed, its name, its subject).  Boxes are
    those of the person's outline; a joint is seen if it is inside the image and no other part of
    the body, no furniture and no clutter hides it.

    Args:
        recordings: motions in the world, of Human3.6M's joints.
        rig: cameras, whose lenses must not be distorted.
        scene: how it looks.
        seed: of everything random.
        size: pixels of a crop's side.
        padding: side of the crop over the box's longer one.
        workers: who renders; None: a thread for each core.

    Raises:
        InputError: nothing to render, or a distorted lens.
    """
    rig, scene = rig or RigConfig(), scene or SceneConfig()
    if any(rig.radial) or any(rig.tangential):
        raise InputError("rig: rendered images are of lenses without distortion, expected zeros")
    parts: dict[str, list[np.ndarray]] = {}
    sequences, scenes, cameras_of = [], [], []
    start = 0
    for recording in recordings:
        cameras = place_cameras(recording, rig, seed)
        furnished = furnish(recording, cameras, scene, seed)
        views = [
            _seen_by(recording, furnished, camera, view, padding, size)
            for view, camera in enumerate(cameras)
        ]
        for name in views[0]:
            parts.setdefault(name, []).append(np.stack([view[name] for view in views], 1))
        parts.setdefault("occluded", []).append(furnished.occluded)
        sequences.append(
            ImageSequence(
                name=recording.name,
                subject=recording.subject,
                action=recording.action,
                frame_rate=recording.frame_rate,
                start=start,
                stop=start + recording.frames,
                views=tuple(View(c.name, c.width, c.height, c) for c in cameras),
            )
        )
        scenes.append(furnished)
        cameras_of.append(cameras)
        start += recording.frames
    if not sequences:
        raise InputError("nothing to render: no recordings")
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    return ImageDataset(
        images=RenderedCrops(
            starts=np.array([sequence.start for sequence in sequences]),
            to_image=arrays["crops"],
            views_seen=arrays["views_seen"],
            size=size,
            workers=workers or Workers(),
            scenes=tuple(scenes),
            cameras=tuple(cameras_of),
        ),
        sequences=tuple(sequences),
        **arrays,
    )


def _seen_by(
    recording: Recording, scene: Scene, camera: Camera, view: int, padding: float, size: int
) -> dict[str, np.ndarray]:
    """An image dataset's arrays of one recording and one camera."""
    poses = camera.from_world(np.asarray(recording.positions_mm, np.float64))
    pixels = camera.project(poses, distortion=False)
    bounds = silhouette_bounds(scene, camera)
    whole = np.concatenate([bounds[:, :2], bounds[:, 2:] - bounds[:, :2]], -1)
    boxes = clean_boxes(whole, np.array([[camera.width, camera.height]]))
    placed = place_crops(boxes, padding, size)
    joints = transformed(placed.to_crop, pixels)
    inside = ((pixels >= 0) & (pixels <= np.array([camera.width, camera.height]) - 1)).all(-1)
    seen = inside & seen_joints(scene, poses, camera, view, recording.skeleton)
    return {
        "joints_px": joints.astype(np.float32),
        "joints_seen": seen & placed.present[:, None],
        "views_seen": placed.present,
        "crops": placed.to_image,
        "boxes": boxes.astype(np.float32),
        "poses_camera_mm": poses.astype(np.float32),
    }
