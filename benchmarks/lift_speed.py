"""Lifting on this machine: frames a second of a whole file, milliseconds a frame of a stream.

    python benchmarks/lift_speed.py --weights small
    python benchmarks/lift_speed.py --model motionbert_lite --frames 486 \
        --torch-root CHECKOUT_OF_MOTIONBERT --torch-class lib.model.DSTformer:DSTformer

The keypoints of a made-up person, COCO's, 30 Hz.  "Whole" is `Lifter.__call__`: conversion, the
network with flip averaging over clips that overlap by half and are blended, gravity, floor, path.
"Stream" is `Lifter.stream`, the median frame.  Compilation is not counted.

With --torch-root a network of published size and random weights is run, and beside it the official
module with the same weights as MotionBERT's `infer_wild.py` runs it: clips of `--clip` frames side
by side, one at a time, flip averaging, no gradients, nothing but the network.  "The network alone"
is ours on the same clips.
"""

from __future__ import annotations

import argparse
import statistics
import time

import contest
import jax
import numpy as np

from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.layouts import in_layout
from jrepose.data.simulation.procedural import generate_motion
from jrepose.motion.lifter import Lifter
from jrepose.motion.pretrained import Pretrained
from jrepose.skeleton import COCO_17, HUMAN36M_17

SIZE, FPS = (1000, 1000), 30.0
_STREAM_S = 10.0  # seconds that are timed


def main() -> None:
    arguments = contest.parse_arguments(__doc__, _flags)
    motion = generate_motion(["zoe"], arguments.frames / FPS, FPS, actions=["walking"])
    seen = capture(motion, rig={"cameras": 1})
    points, certain = in_layout(seen.keypoints_px, seen.confidence, COCO_17)
    lifter, variables = _lifter(arguments)
    name = arguments.weights or arguments.model
    options = {"size": SIZE, "fps": FPS, "layout": COCO_17}

    def whole():
        return lifter(points, certain, **options)

    def stream() -> list[float]:
        times, frames = [], zip(points, certain, strict=True)
        poses = lifter.stream(frames, **options)
        while sum(times) < _STREAM_S:
            started = time.perf_counter()
            if next(poses, None) is None:
                break
            times.append(time.perf_counter() - started)
        return times[1:]  # the first one waits for the delay

    whole()
    taken = [contest.seconds(whole) for _ in range(arguments.rounds)]
    frames = len(points)
    print(
        f"{name}, {frames} frames, jax {jax.__version__} on {jax.devices()[0].device_kind}: "
        f"whole {frames / statistics.median(taken):.1f} frames/s"
    )
    times = 1e3 * np.array(stream() and stream())  # compiled, then timed
    print(f"  stream {np.median(times):.1f} ms a frame, 95 of 100 within "
          f"{np.percentile(times, 95):.1f} ms")  # fmt: skip
    if arguments.weights:
        return
    count = frames // arguments.clip
    clips = np.zeros((count, arguments.clip, 17, 3), np.float32)
    task = lifter.pretrained.task
    program = jax.jit(lambda v, x: task.predict(v, {"keypoints": x}, None, flip=True))

    def network():
        for clip in clips:
            jax.block_until_ready(program(variables, clip[None]))

    theirs = contest.official(_official_clips, arguments, variables, clips)
    if theirs is None:
        return
    for run in (network, theirs):
        run()
    times = [[contest.seconds(run) for run in (whole, network, theirs)]
             for _ in range(arguments.rounds)]  # fmt: skip
    own, alone, other = (
        done / statistics.median(column)
        for done, column in zip(
            (frames, clips.size / 51, clips.size / 51), zip(*times, strict=True), strict=True
        )
    )
    print(f"  the network alone {alone:.1f}, official {other:.1f} frames/s: {alone / other:.2f}x; "
          f"whole {own:.1f}: {own / other:.2f}x")  # fmt: skip


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", help="of this name, file or run, instead of --model")
    parser.add_argument("--clip", type=int, default=243, help="frames of a clip of --model")
    parser.set_defaults(model="motionbert_lite", frames=972, rounds=3)


def _lifter(arguments):
    if arguments.weights:
        lifter = Lifter.from_pretrained(arguments.weights)
        return lifter, lifter.pretrained.variables
    _, variables = contest.create_model(arguments)
    pretrained = Pretrained(
        {"name": arguments.model, **contest.hyperparameters(arguments)},
        variables,
        HUMAN36M_17,
        HUMAN36M_17,
        "image",
        arguments.clip,
        (FPS,),
    )
    return Lifter(pretrained), variables


def _official_clips(arguments, state, clips):
    import torch

    model = contest.official_model(arguments, state).eval()
    mirrored = torch.tensor(HUMAN36M_17.flip_permutation.copy())
    turned = torch.tensor([-1.0, 1.0, 1.0])

    def run() -> None:
        with torch.no_grad():
            for clip in torch.tensor(clips):
                batch = clip[None]
                other = model((batch * turned)[:, :, mirrored])
                (model(batch) + (other * turned)[:, :, mirrored]) / 2

    return run


if __name__ == "__main__":
    main()
