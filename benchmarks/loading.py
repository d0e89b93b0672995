"""Full-size benchmarks: time and memory to load them, to cut windows and to score predictions.

    python benchmarks/loading.py [--folder FOLDER] [--sets human36m_sh human36m mpi_inf_3dhp]

Writes the archives of `fake_archives.py` (some GB, some minutes) unless they are there.  Every step
runs in a process of its own, so its peak memory is its own.  The baseline is how the official
loaders begin: unpickling everything freely, and nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import fake_archives
import numpy as np
from flax import linen as nn

from jrepose.data.sources import load_splits
from jrepose.data.windows import clips_for_evaluation, clips_for_training
from jrepose.evaluation.evaluate import evaluate_dataset
from jrepose.evaluation.protocol import counted_entries
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.tasks.lifting import Lifting

CONFIGS = {
    "human36m_sh": "repose_h36m.py",
    "human36m": "repose_h36m_cpn.py",
    "mpi_inf_3dhp": "repose_mpi_inf_3dhp.py",
}
ROOT = pathlib.Path(__file__).resolve().parent.parent


def _config(name: str, path: str, cache: str):
    spec = importlib.util.spec_from_file_location("config", ROOT / "configs" / CONFIGS[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.data.path, config.data.cache = path, cache
    return config


def _unpickle(config) -> Callable:
    def step():
        contents = []
        for path in sorted(pathlib.Path(config.data.path).iterdir()):
            if path.suffix == ".pkl":
                with path.open("rb") as file:
                    contents.append(pickle.load(file))
            else:
                with np.load(path, allow_pickle=True) as archive:
                    contents.append({name: archive[name] for name in archive.files})
        return f"{len(contents)} files"

    return step


def _load(config) -> Callable:
    def step():
        splits = load_splits(config.data, ("train", "test"))
        return ", ".join(f"{name} {dataset.frames} frames" for name, dataset in splits.items())

    return step


def _inputs(config) -> Callable:
    train = load_splits(config.data, ("train",))["train"]
    return lambda: f"{len(train.model_inputs())} and {len(train.model_targets())} frames"


def _windows(config) -> Callable:
    splits, clip = load_splits(config.data, ("train", "test")), config.clip
    train, test = splits["train"], splits["test"]

    def step():
        trained = len(clips_for_training(train, clip).inputs)
        scored = len(clips_for_evaluation(test, clip).inputs)
        return f"{trained} training and {scored} test clips of {clip.frames}"

    return step


def _score(config) -> Callable:
    test, clip = load_splits(config.data, ("test",))["test"], config.clip
    windows = clips_for_evaluation(test, clip)
    predictions = test.model_targets()[windows.targets]
    noise = np.random.default_rng(0).standard_normal(predictions.shape, np.float32)
    predictions += 0.02 * noise
    counted = counted_entries(windows, config.evaluation.overlap)

    def step():
        result = evaluate_predictions(test, predictions, windows.targets, counted)
        return f"{result.settings['scored_frames']} frames, MPJPE {result.scores['mpjpe']:.1f} mm"

    return step


class _Centre(nn.Module):
    """The middle frame as it is: a seq2frame network that costs nothing."""

    def __call__(self, keypoints, train):
        return keypoints[:, keypoints.shape[1] // 2, None]


def _seq2frame(config) -> Callable:
    """Every test frame in the middle of its own window, predicted in batches and scored."""
    test = load_splits(config.data, ("test",))["test"]
    config.clip.update(frames=243, targets=1, evaluation_windows="centred")
    config.evaluation.update(batch_size=1024, overlap="once")
    task = Lifting(_Centre(), test.skeleton, test.keypoint_skeleton)

    def step():
        result = evaluate_dataset(task, {}, test, config)
        return f"{result.settings['scored_frames']} windows of {config.clip.frames} frames"

    return step


STEPS = {
    "unpickle freely (baseline)": _unpickle,
    "first start": _load,
    "second start": _load,
    "inputs and targets": _inputs,
    "windows": _windows,
    "score": _score,
    "a window for every frame": _seq2frame,
}


def _measure(step: str, name: str, path: str, cache: str) -> None:
    """Runs one step; prepared first, where it needs data, then timed."""
    run = STEPS[step](_config(name, path, cache))
    start = time.perf_counter()
    what = run()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak_gib": peak, "what": what}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/fake_archives"))
    parser.add_argument("--sets", nargs="+", default=list(CONFIGS), choices=list(CONFIGS))
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(*arguments.measure)
        return
    for name in arguments.sets:
        # In a process of its own: a child's peak memory begins with its parent's.
        script = pathlib.Path(fake_archives.__file__)
        subprocess.run([sys.executable, script, arguments.folder, name], check=True, cwd=ROOT)
        path = arguments.folder / name
        size = sum(file.stat().st_size for file in path.iterdir()) / 2**30
        print(f"\n{name}: {size:.2f} GiB of files")
        cache, baseline = tempfile.mkdtemp(dir=arguments.folder), None
        try:
            for step in STEPS:
                command = [sys.executable, __file__, "--measure", step, name, str(path), cache]
                done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
                if done.returncode:
                    sys.exit(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                baseline = baseline or found["seconds"]
                print(
                    f"  {step:<28}{found['seconds']:8.2f} s {found['seconds'] / baseline:7.2f}x "
                    f"{found['peak_gib']:6.2f} GiB   {found['what']}",
                    flush=True,
                )
        finally:
            shutil.rmtree(cache)


if __name__ == "__main__":
    main()
