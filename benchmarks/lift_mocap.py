"""What the weights that ship make of people they have not seen, beside what anyone can compute.

    python benchmarks/lift_mocap.py --data FOLDER --weights small

The test subjects of `configs/lift_small.py`, filmed and detected as there; FOLDER as there.  Errors
in mm, of all joints relative to the root: MPJPE, PA-MPJPE, MPJVE (per frame of 1/20 s), and MPJPE
of joints that the body or the image's border hides or not, mean over actions.  Flat depth is the
keypoints themselves in the root's plane; the mean pose is the test's own, in camera axes.
"""

from __future__ import annotations

import argparse

import numpy as np

from jrepose.config import load_config
from jrepose.data.columns import columns_of
from jrepose.data.sources import load_splits
from jrepose.data.windows import clips_for_evaluation
from jrepose.evaluation.predict import predict_clips
from jrepose.evaluation.protocol import counted_entries
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.motion.pretrained import load_pretrained

SCORES = ("mpjpe", "pa_mpjpe", "mpjve", "mpjpe_visible", "mpjpe_occluded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", default="small")
    parser.add_argument("--config", default="lift_small")
    parser.add_argument("--cameras", type=int, default=4)
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    config.data.path, config.data.rig.cameras = arguments.data, arguments.cameras
    dataset = load_splits(config.data, ["test"])["test"]
    windows = clips_for_evaluation(dataset, config.clip)
    pretrained = load_pretrained(arguments.weights)
    predicted = predict_clips(
        pretrained.task, pretrained.variables, columns_of(dataset, pretrained.task.inputs),
        windows.inputs,
        targets=windows.targets.shape[1], batch_size=32, flip=True,
    )  # fmt: skip
    flat = dataset.model_inputs()
    flat[..., 2] = 0
    poses = dataset.model_targets()
    poses = poses - poses[:, dataset.skeleton.root, None]
    mean = np.broadcast_to(poses[dataset.valid].mean(0), poses.shape)
    results = {
        name: evaluate_predictions(
            dataset, values, windows.targets, counted_entries(windows, "once"),
            clip_frames=config.clip.frames,
        )
        for name, values in (
            ("flat depth", flat[windows.targets]), ("mean pose", mean[windows.targets]),
            (arguments.weights, predicted),
        )
    }  # fmt: skip
    print(f"{'':<28}" + "".join(f"{name:>15}" for name in SCORES) + f"{'frames':>10}")
    for name, result in results.items():
        print(f"{name:<28}" + "".join(f"{result.scores[key]:15.1f}" for key in SCORES))
    for action, scores in results[arguments.weights].per_action.items():
        row = "".join(f"{scores[key]:15.1f}" for key in SCORES)
        print(f"  {action:<26}{row}{scores['frames']:10d}")
    print("flat depth by action: " + ", ".join(
        f"{action} {scores['mpjpe']:.0f}"
        for action, scores in results["flat depth"].per_action.items()
    ))  # fmt: skip


if __name__ == "__main__":
    main()
