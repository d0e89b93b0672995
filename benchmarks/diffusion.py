"""DiffPose: mixtures against scikit-learn, the whole evaluation loop against the released code.

    python benchmarks/diffusion.py mixtures
    python benchmarks/diffusion.py evaluation --torch-root CHECKOUT_OF_DIFFPOSE

`mixtures` fits one mixture per pose, all poses in one program, and as many as `--theirs` of them
with scikit-learn's `GaussianMixture` in a loop, in float32 from the same beginnings until the same
change of the likelihood; the time of the others is extrapolated.

`evaluation` is the frame-based release's loop from keypoints in memory to the mean errors: context
encoder, `--hypotheses` states per frame, `--steps` of the denoiser on each (DDIM) and then all of
them (without DDIM), mean, MPJPE and P-MPJPE, in batches of `--batch` frames.  Both sides have the
same weights, drawn at random; theirs draws batches with its own loader.  A figure counts frames,
each answered once.  The published 671 frames/s (RTX 3090) does not say what it counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import importlib.metadata
import pathlib
import statistics
import sys
import types
from collections.abc import Callable

import contest
import jax
import jax.numpy as jnp
import numpy as np

from jrepose import metrics, models
from jrepose.data.columns import Column
from jrepose.diffusion import mixture
from jrepose.diffusion.presets import PRESETS
from jrepose.evaluation.predict import predict_clips
from jrepose.host_memory import reuse_freed_memory
from jrepose.interop import to_torch
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.diffpose import DiffPose

NETWORKS = {"gcndiff": {}, "graformer": {"step_embedding": True}}
LEVELS = 50  # of the 51, so that 5 steps divide them
ACTION = "Walking"  # one of those that the released code knows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("mixtures", "evaluation"))
    parser.add_argument("--poses", type=int, default=1000, help="of which mixtures are fitted")
    parser.add_argument("--samples", type=int, default=1000, help="of each pose")
    parser.add_argument("--components", type=int, default=5)
    parser.add_argument("--theirs", type=int, default=20, help="poses that scikit-learn fits")
    parser.add_argument("--frames", type=int, default=320, help="with DDIM; fewer without")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--hypotheses", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--torch-root", type=pathlib.Path, help="checkout of the released code")
    parser.add_argument("--keep-malloc", action="store_true")
    arguments = parser.parse_args(argv)
    if not arguments.keep_malloc:
        reuse_freed_memory()
    packages = {name: _version(name) for name in ("jax", "torch", "scikit-learn")}
    said = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    device = jax.devices()[0].device_kind
    print(f"{datetime.date.today()}, {said}, {jax.device_count()} x {device}")
    compare = _mixtures if arguments.what == "mixtures" else _evaluation
    compare(arguments, packages)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _mixtures(arguments: argparse.Namespace, packages: dict[str, str | None]) -> None:
    poses, count = arguments.poses, arguments.samples
    dim = 3 * HUMAN36M_17.num_joints
    rng = np.random.default_rng(0)
    # Joints of different certainty, in metres; the root never varies.
    samples = rng.normal(size=(poses, count, dim)).astype(np.float32)
    samples *= rng.uniform(0.01, 0.2, size=(poses, 1, dim)).astype(np.float32)
    samples[..., :3] = 0.0
    key, given = jax.random.key(0), jax.device_put(samples)
    program, compile_seconds = contest.compiled(
        lambda key, samples: mixture.fit(key, samples, arguments.components), key, given
    )
    found: list = []

    def ours():
        found[:] = [jax.block_until_ready(program(key, given))]

    own = min(contest.seconds(ours) for _ in range(arguments.rounds))
    fitted = jax.device_get(found[0])
    print(
        f"{poses} mixtures of {arguments.components} components in {dim} dimensions, full "
        f"covariance, {count} samples each, float32"
    )
    print(
        f"  jrepose       {own:8.1f} s, {poses / own:.1f} poses/s, "
        f"{fitted.iterations.mean():.1f} steps each (best of {arguments.rounds}; compile "
        f"{compile_seconds:.1f} s)"
    )
    if packages["scikit-learn"] is None:
        print("scikit-learn is not installed: no comparison")
        return
    chosen = min(arguments.theirs, poses)
    fit = _scikit_learn(arguments, key)
    fit(samples[0], 0)
    started = [contest.seconds(lambda k=k: fit(samples[k], k)) for k in range(chosen)]
    others = [fit(samples[k], k) for k in range(min(3, chosen))]
    theirs = sum(started) * poses / chosen
    likelihoods = np.array([other.lower_bound_ for other in others])
    difference = np.abs(likelihoods - fitted.log_likelihood[: len(others)]).max()
    print(
        f"  scikit-learn  {theirs:8.1f} s, {poses / theirs:.1f} poses/s, "
        f"{np.mean([other.n_iter_ for other in others]):.1f} steps each "
        f"({chosen} poses measured, extrapolated to {poses})"
    )
    print(f"  speed-up      {theirs / own:8.2f}x; mean log-likelihoods differ by {difference:.1e}")


def _scikit_learn(arguments: argparse.Namespace, key) -> Callable:
    """Fits one pose from where `mixture.fit` begins."""
    from sklearn.mixture import GaussianMixture

    def fit(samples, number):
        of_pose = jax.random.fold_in(key, number)
        chosen = jax.random.choice(
            of_pose, len(samples), (arguments.components,), replace=False
        )  # fmt: skip
        begin = mixture.initial(jnp.asarray(samples), chosen)
        covariance = np.asarray(begin.covariances[0]) + mixture.REGULARISER * np.eye(
            samples.shape[1], dtype=np.float32
        )
        model = GaussianMixture(
            arguments.components,
            tol=1e-3,
            reg_covar=mixture.REGULARISER,
            max_iter=100,
            weights_init=np.asarray(begin.weights),
            means_init=np.asarray(begin.means),
            precisions_init=np.stack([np.linalg.inv(covariance)] * arguments.components),
        )
        return model.fit(samples)

    return fit


def _evaluation(arguments: argparse.Namespace, packages: dict[str, str | None]) -> None:
    frames, hypotheses = arguments.frames, arguments.hypotheses
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(-0.5, 0.5, size=(frames, 17, 3)).astype(np.float32)
    targets = rng.normal(size=(frames, 17, 3), scale=0.3).astype(np.float32)
    targets -= targets[:, :1]
    networks = {name: models.create(name, **given) for name, given in NETWORKS.items()}
    denoiser, encoder = networks.values()
    noisy = jnp.zeros((1, *denoiser.input_shape))
    variables = {
        **jax.jit(denoiser.init)(jax.random.key(0), noisy, jnp.zeros(1)),
        "context": jax.jit(encoder.init)(jax.random.key(1), jnp.zeros((1, *encoder.input_shape))),
    }
    of_network = {"gcndiff": {"params": variables["params"]}, "graformer": variables["context"]}
    states = {name: to_torch(name, jax.device_get(tree)) for name, tree in of_network.items()}
    columns = {"keypoints": Column(keypoints)}
    compare = arguments.torch_root is not None and packages["torch"] is not None
    if not compare:
        print("no --torch-root, or no PyTorch (pip install '.[compare]'): no comparison")
    for steps in (arguments.steps, LEVELS):
        # As many passes of the denoiser.
        count = max(1, frames * arguments.steps // steps)
        windows, batch = np.arange(count)[:, None], min(arguments.batch, count)
        settings = dataclasses.replace(
            PRESETS["released"], hypotheses=hypotheses, sampling_levels=LEVELS, sampling_steps=steps
        )
        task = DiffPose(denoiser, encoder, settings, HUMAN36M_17, targets=1, root="frame")

        def ours(task=task, windows=windows, batch=batch) -> tuple[float, float]:
            poses = predict_clips(
                task, variables, columns, windows, targets=1, batch_size=batch, flip=False
            )
            poses = poses.reshape(-1, len(windows), 17, 3).mean(axis=0)
            poses[:, 0] = 0.0
            wanted = targets[: len(windows)]
            return 1e3 * metrics.mpjpe(poses, wanted), 1e3 * metrics.pa_mpjpe(poses, wanted)

        theirs = None
        if compare:
            theirs = contest.Opponent(
                _released_loop, arguments, states, keypoints[:count, :, :2], targets[:count], steps
            )
        _report(arguments, ours, theirs, count, steps)


def _report(arguments, ours, theirs, frames: int, steps: int) -> None:
    found = [run() for run in filter(None, (ours, theirs))]
    pairs = [
        [contest.seconds(run) for run in filter(None, (ours, theirs))]
        for _ in range(arguments.rounds)
    ]
    kind, hypotheses = "DDIM" if steps < LEVELS else "without DDIM", arguments.hypotheses
    print(
        f"{kind}: {frames} frames, each from {hypotheses} hypotheses of {steps} steps "
        f"({hypotheses * steps} passes of the denoiser per frame)"
    )
    names = ("jrepose", "released code, torch eager")[: len(found)]
    for name, times in zip(names, zip(*pairs, strict=True), strict=True):
        middle = statistics.median(times)
        print(f"  {name:27s}{1e3 * middle:9.0f} ms, {frames / middle:8.1f} frames/s")
    if theirs:
        ratios = sorted(their / our for our, their in pairs)
        print(
            f"  speed-up  {statistics.median(ratios):.2f}x (paired, {ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}); MPJPE {found[0][0]:.3f} and {found[1][0]:.3f} mm, P-MPJPE "
            f"{found[0][1]:.3f} and {found[1][1]:.3f} mm"
        )


def _released_loop(arguments, states, keypoints, targets, steps: int):
    """The released `test_hyber` with the data in memory, on the CPU where there is no GPU."""
    import torch

    sys.path.insert(0, str(arguments.torch_root))
    if not torch.cuda.is_available():  # the code asks for it wherever it runs
        torch.Tensor.cuda = lambda tensor, *_, **__: tensor
        torch.nn.Module.cuda = lambda module, *_, **__: module
    frame = importlib.import_module("runners.diffpose_frame")
    count = len(keypoints)
    # Weight, mean and scale of every joint's only component.
    components = np.concatenate(
        [np.ones((count, 17, 1, 1)), keypoints[:, :, None], np.ones((count, 17, 1, 2))], -1
    )
    given = ([targets], [components], [[ACTION] * count], [np.zeros((count, 4))])
    frame.fetch_me = lambda *_: given
    space = types.SimpleNamespace
    model = space(hid_dim=96, emd_dim=96, coords_dim=[5, 5], num_layer=5, n_head=4, dropout=0.25,
                  n_pts=17, var_type="fixedsmall")  # fmt: skip
    config = space(
        model=model,
        data=space(dataset="human36m"),
        diffusion=space(beta_schedule="linear", beta_start=1e-4, beta_end=1e-3,
                        num_diffusion_timesteps=51),
        training=space(batch_size=arguments.batch, num_workers=0),
        testing=space(test_times=arguments.hypotheses, test_timesteps=steps,
                      test_num_diffusion_timesteps=LEVELS),
    )  # fmt: skip
    runner = frame.Diffpose(space(downsample=1, skip_type="uniform", eta=0.0), config)
    runner.subjects_test = runner.dataset = runner.keypoints_test = runner.action_filter = None
    runner.create_diffusion_model()
    runner.create_pose_model()
    for network, name in ((runner.model_diff, "gcndiff"), (runner.model_pose, "graformer")):
        state = {f"module.{key}": torch.tensor(value) for key, value in states[name].items()}
        network.load_state_dict(state)

    def run() -> tuple[float, float]:
        # The mean over all the actions that it knows, of which one has frames.
        means = runner.test_hyber(is_train=True)
        return tuple(mean * len(runner.test_action_list) for mean in means)

    return run


if __name__ == "__main__":
    main()
