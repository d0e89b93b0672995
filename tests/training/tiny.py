"""A training run of seconds: a tiny model on smooth random motion.

As a script, the command line of a run in its own process, to be killed or stopped:

    python tiny.py WORKDIR [--coordinator A --processes N --process I] [--field value ...]
        [--kill_before STEP | --kill_while_saving STEP | --terminate_before STEP]
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from jrepose.command import run
from jrepose.config import default_config, model_config, objective_weights
from jrepose.data.dataset import PoseDataset, Video
from jrepose.skeleton import HUMAN36M_17


def config(**changes) -> ConfigDict:
    """A config; `changes` are fields with dots written as two underscores, and `stages`.

    VideoPose3D that looks at single frames: statistics beside the parameters, and soon compiled.
    """
    out = default_config()
    out.name = "tiny"
    out.clip.update(frames=8, stride=4, evaluation_stride=8)
    out.model = model_config(
        "videopose3d", filter_widths=(1, 1), channels=8, drop_rate=0.0, batch_norm_axis="devices"
    )
    out.objective.weights = objective_weights(mpjpe=1, velocity=0.5)
    return _with(out, changes)


def ranking_config(**changes) -> ConfigDict:
    """The same of RePOSE with its losses."""
    out = config()
    out.model = model_config(
        "repose", dim_feat=8, dim_rep=8, depth=1, num_heads=2, mlp_ratio=2.0, maxlen=8
    )
    out.objective = default_config().objective
    return _with(out, changes)


def _with(out: ConfigDict, changes: dict) -> ConfigDict:
    out.training.update(epochs=3, batch_size=8, learning_rate=3e-3, log_every=4)
    out.checkpoint.update(every_steps=5, keep=2)
    with out.unlocked():
        out.stages = ConfigDict(changes.pop("stages", {}))
        for field, value in changes.items():
            out.update_from_flattened_dict({field.replace("__", "."): value})
    return out


def dataset(seed: int = 0, videos: int = 5, frames: int = 30) -> PoseDataset:
    """Joints that drift smoothly around a common walk."""
    random = np.random.default_rng(seed)
    total = videos * frames

    def smooth(*shape, scale):
        steps = random.normal(size=(total, *shape)) * scale
        return np.cumsum(steps, axis=0)

    rest = random.normal(size=(17, 3)) * 100
    poses = 500 + rest + smooth(1, 3, scale=3) + smooth(17, 3, scale=1)
    poses[..., 2] -= poses[:, :1, 2]
    noise = random.normal(size=(total, 17, 2)) * 3
    return PoseDataset(
        keypoints_px=(poses[..., :2] + noise).astype(np.float32),
        confidence=random.uniform(0.5, 1, size=(total, 17)).astype(np.float32),
        poses_camera_mm=(poses * 4).astype(np.float32),
        poses_image_px=poses.astype(np.float32),
        factor_mm_per_px=np.full(total, 4, np.float32),
        visible=random.uniform(size=(total, 17)) > 0.2,
        valid=np.ones(total, bool),
        videos=tuple(
            Video(
                f"v{k}", f"s{k % 2}", ("walk", "sit")[k % 2], "c", 1000, 1000, 50.0, a, a + frames
            )
            for k, a in enumerate(range(0, total, frames))
        ),
        skeleton=HUMAN36M_17,
    )


def splits() -> dict[str, PoseDataset]:
    return {"train": dataset(0), "validation": dataset(1, videos=2)}


def records(workdir) -> list[dict]:
    """The metric log without what depends on the clock."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    out = [json.loads(line) for line in lines]
    for record in out:
        record.pop("clips_per_s", None)
    return out


def signal_before(step: int, number: signal.Signals) -> None:
    """Sends this process a signal when it asks for the batch of `step` (0-based)."""
    from jrepose.data.batches import ClipOrder

    indices = ClipOrder.indices

    def indices_or_signal(self, asked):
        if asked == step:
            os.kill(os.getpid(), number)
        return indices(self, asked)

    ClipOrder.indices = indices_or_signal


def kill_while_saving(workdir: pathlib.Path, step: int) -> None:
    """Kills this process as soon as the unfinished checkpoint of `step` is on the disk."""
    sys.setswitchinterval(1e-5)

    def watch():
        while True:
            if any((workdir / "checkpoints").glob(f"{step}.orbax-checkpoint-tmp*/*")):
                os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int)
    parser.add_argument("--kill_before", type=int)
    parser.add_argument("--kill_while_saving", type=int)
    parser.add_argument("--terminate_before", type=int)
    arguments, fields = parser.parse_known_args(argv[1:])

    from jrepose import parallel
    from jrepose.training.stages import train_stages

    if arguments.kill_before is not None:
        signal_before(arguments.kill_before, signal.SIGKILL)
    if arguments.terminate_before is not None:
        signal_before(arguments.terminate_before, signal.SIGTERM)
    if arguments.kill_while_saving is not None:
        kill_while_saving(pathlib.Path(arguments.workdir), arguments.kill_while_saving)

    parallel.initialise_distributed(arguments.coordinator, arguments.processes, arguments.process)
    changes = {
        name.removeprefix("--"): json.loads(value)
        for name, value in zip(fields[::2], fields[1::2], strict=True)
    }
    result = train_stages(config(**changes), arguments.workdir, splits())
    print("result", result.step, result.finished, result.interrupted, flush=True)
    return 130 if result.interrupted else 0


if __name__ == "__main__":
    sys.exit(run(main, sys.argv))
