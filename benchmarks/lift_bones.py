"""What it brings a lifted pose that a body's bones keep their length, on subjects it has not seen.

    python benchmarks/lift_bones.py --data FOLDER --split validation test --weights small

Whole videos as `jrepose.Lifter` lifts them, of the subjects, cameras and detector of
`configs/lift_small.py`; FOLDER as there.  PA-MPJPE in mm of all joints, and of the twelve of arms
and legs, mean over frames: bones as the network has them, as they are likely
(`bones.with_likely_bones`, what the lifter does) and of one length (its option `constant_bones`).
Then what `bones.py` takes for the spread of a bone: root mean squares, mm, of the network's errors
across the line of sight (each axis) and along it, and of the lengths that are taken for true.
"""

from __future__ import annotations

import argparse
from unittest import mock

import numpy as np
from lift_trial import LIMBS

from jrepose import metrics
from jrepose.config import load_config
from jrepose.data.dataset import PoseDataset
from jrepose.data.sources import load_splits
from jrepose.motion import lifter as lifting
from jrepose.motion.bones import (
    bone_lengths,
    bone_vectors,
    length_votes,
    likely_lengths,
    with_constant_bones,
)
from jrepose.motion.lifter import Lifter

SHORTEST = 20  # frames of a video


def lifted(lifter: Lifter, dataset: PoseDataset) -> list[np.ndarray]:
    """Poses of each video in camera axes, mm."""
    poses = []
    for video in videos_of(dataset):
        frames = slice(video.start, video.stop)
        motion = lifter(
            dataset.keypoints_px[frames], dataset.confidence[frames],
            size=(video.width, video.height), fps=video.frame_rate,
            layout=dataset.keypoint_skeleton, pitch_deg=0,
        )  # fmt: skip
        x, y, z = np.moveaxis(motion.poses_m.astype(np.float64), -1, 0) * 1000
        poses.append(np.stack([x, -z, y], axis=-1))
    return poses


def videos_of(dataset: PoseDataset) -> list:
    """Those that are long enough."""
    return [video for video in dataset.videos if video.stop - video.start >= SHORTEST]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", default="small")
    parser.add_argument("--split", nargs="+", default=["validation"])
    parser.add_argument("--cameras", type=int, default=2)
    arguments = parser.parse_args()
    config = load_config("lift_small")
    config.data.path, config.data.rig.cameras = arguments.data, arguments.cameras
    config.data.copies = 1
    lifter = Lifter.from_pretrained(arguments.weights)
    for split in arguments.split:
        dataset = load_splits(config.data, [split])[split]
        likely = lifted(lifter, dataset)
        with mock.patch.object(lifting, "with_likely_bones", lambda poses, *_, **__: poses):
            network = lifted(lifter, dataset)

        def constant(videos, skeleton=dataset.skeleton):
            return [with_constant_bones(poses, skeleton) for poses in videos]

        rows = {
            "as the network has them": network,
            "of one length": constant(network),
            "likely": likely,
            "likely, then of one length": constant(likely),
        }
        print(f"{split:<28}{'PA-MPJPE':>12}{'of 12 joints':>14}{'frames':>10}")
        spans = [slice(video.start, video.stop) for video in videos_of(dataset)]
        valid = np.concatenate([dataset.valid[span] for span in spans])
        truth = np.concatenate([dataset.poses_camera_mm[span] for span in spans])[valid]
        truth = truth.astype(np.float64)
        limbs = [dataset.skeleton.index(name) for name in LIMBS]
        for name, poses in rows.items():
            poses = np.concatenate(poses)[valid]
            both = (metrics.pa_mpjpe(poses[:, of], truth[:, of]) for of in (slice(None), limbs))
            print(f"{name:<28}" + "{:12.2f}{:14.2f}".format(*both) + f"{len(poses):10d}")
        print_spread(network, dataset, spans)


def print_spread(network: list[np.ndarray], dataset: PoseDataset, spans: list[slice]) -> None:
    """Errors of bones, each video's made as large as the truth."""
    children = [child for _, child in dataset.skeleton.limbs]
    root = dataset.skeleton.root
    across, along, lengths = [], [], []
    for poses, span in zip(network, spans, strict=True):
        valid = dataset.valid[span]
        if not valid.any():
            continue
        truth = dataset.poses_camera_mm[span][valid].astype(np.float64)
        true, found = (
            bone_vectors(p, dataset.skeleton)[:, children] for p in (truth, poses[valid])
        )
        size = np.linalg.norm(true, axis=-1).sum() / np.linalg.norm(found, axis=-1).sum()
        sight = truth[:, None, root]
        sight = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
        error = size * found - true
        deep = (error * sight).sum(-1)
        along.append(deep**2)
        across.append(((error**2).sum(-1) - deep**2) / 2)
        seen_from = dataset.poses_camera_mm[span, root]
        taken = likely_lengths(
            length_votes(
                poses * size, dataset.skeleton, seen_from, dataset.confidence[span].mean(1)
            )
        )
        lengths.append((taken - bone_lengths(truth, dataset.skeleton))[children] ** 2)
    side, depth, length = (np.sqrt(np.concatenate(p).mean()) for p in (across, along, lengths))
    print(
        f"bones off by {side:.1f} across, {depth:.1f} along the line of sight, lengths {length:.1f}"
    )


if __name__ == "__main__":
    main()
