"""Lifting a real detection with a measured truth: OpenPose's balancing trial of Pose2Sim.

    python benchmarks/lift_trial.py --data FOLDER --weights FILE ...

The folder, `../shared/data/keypoints/openpose_body25b` for instance, has `cam03_json/` (BODY_25B,
1088x1920, 60 Hz, seen from behind) and `triangulated.trc`, the same frames as markers from four
cameras.  Errors in mm over twelve joints of arms and legs, and over fifteen with pelvis, thorax and
nose: after a similarity alignment of each frame (PA-MPJPE), and after one of the whole clip, poses
relative to the pelvis; as a file, and as a stream, 13 frames late.  Beside them what anyone can
compute: flat depth (the keypoints themselves) and the truth's own mean pose.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from jrepose import metrics
from jrepose.motion.keypoints import read_keypoints
from jrepose.motion.lifter import Lifter
from jrepose.skeleton import HUMAN36M_17, Skeleton
from jrepose.skeleton_conversion import convert, filled

SIZE, FPS = (1088, 1920), 60
FOCAL = 1681.6  # of the calibration
LIMBS = tuple(f"{side}_{part}" for side in ("right", "left")
              for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"))  # fmt: skip


def read_truth(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Joint -> [frames, 3] in mm, of a TRC file in metres."""
    lines = path.read_text().splitlines()
    names = [name for name in lines[3].split("\t")[2:] if name.strip()]
    rows = [list(map(float, line.split("\t")[2:])) for line in lines[5:] if line.strip()]
    values = np.array([row[: 3 * len(names)] for row in rows]).reshape(len(rows), -1, 3) * 1000
    markers = {name: values[:, k] for k, name in enumerate(names)}
    sides = {"R": "right", "L": "left"}
    parts = {"Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Shoulder": "shoulder",
             "Elbow": "elbow", "Wrist": "wrist"}  # fmt: skip
    joints = {f"{sides[s]}_{parts[p]}": markers[s + p] for s in sides for p in parts}
    joints["pelvis"] = (joints["left_hip"] + joints["right_hip"]) / 2
    joints["thorax"] = (joints["left_shoulder"] + joints["right_shoulder"]) / 2
    joints["neck"] = markers["Nose"]  # Human3.6M's neck is at the nose
    return joints


def errors(poses: np.ndarray, skeleton: Skeleton, truth: dict[str, np.ndarray]) -> list[float]:
    """PA-MPJPE and clip-aligned MPJPE of twelve and of fifteen joints, mm."""
    found = []
    for names in (LIMBS, (*LIMBS, "pelvis", "thorax", "neck")):
        p = poses[:, [skeleton.index(name) for name in names]].astype(np.float64)
        t = np.stack([truth[name] for name in names], axis=1)
        found.append(float(metrics.pa_mpjpe(p, t)))
        p = p - poses[:, skeleton.index("pelvis"), None]
        t = t - truth["pelvis"][:, None]
        # All frames' joints as one pose: one rotation and scale for the clip.
        found.append(float(metrics.pa_mpjpe(p.reshape(-1, 3), t.reshape(-1, 3))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--weights", nargs="*", default=["small"])
    parser.add_argument("--focal", type=float, default=FOCAL)
    arguments = parser.parse_args()
    truth = read_truth(arguments.data / "triangulated.trc")
    (person,) = read_keypoints(arguments.data / "cam03_json", size=SIZE)
    points, certain = convert(person.keypoints_px, person.confidence, person.skeleton, HUMAN36M_17)
    points = filled(points, certain, HUMAN36M_17)
    flat = np.concatenate([points, np.zeros_like(points[..., :1])], axis=-1)
    mean = np.stack([(truth[name] - truth["pelvis"]).mean(0) if name in truth else np.zeros(3)
                     for name in HUMAN36M_17.joint_names])  # fmt: skip
    rows = {
        "flat depth": errors(flat, HUMAN36M_17, truth),
        "the truth's mean pose": errors(np.broadcast_to(mean, flat.shape), HUMAN36M_17, truth),
    }
    for weights in arguments.weights:
        lifter = Lifter.from_pretrained(weights)
        options = {"size": SIZE, "fps": FPS, "layout": person.skeleton, "focal_px": arguments.focal}
        motion = lifter(person.keypoints_px, person.confidence, **options)
        rows[weights] = errors(motion.poses_m * 1000, motion.skeleton, truth)
        frames = zip(person.keypoints_px, person.confidence, strict=True)
        stream = np.stack(list(lifter.stream(frames, **options)))
        rows[f"{weights}, a stream"] = errors(stream * 1000, motion.skeleton, truth)
    print("mm; 12 joints: PA-MPJPE, clip; 15 joints: PA-MPJPE, clip")
    for name, values in rows.items():
        print(f"{name:<40}" + "".join(f"{value:9.1f}" for value in values))


if __name__ == "__main__":
    main()
