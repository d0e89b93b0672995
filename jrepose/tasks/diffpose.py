"""DiffPose: lifting as the way back from an uncertain pose, told what a frozen lifter sees.

J. Gong et al., "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023.  Paper and released
code are two systems; `diffusion/presets.py` has the settings of both, and this task does what the
settings say.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from jrepose import models
from jrepose.data.columns import Batch
from jrepose.data.dataset import PoseDataset
from jrepose.data.flip import flip_poses
from jrepose.diffusion import ddim, forward, mixture, uncertain
from jrepose.diffusion.presets import BASELINE, Diffusion
from jrepose.errors import InputError
from jrepose.frames import middle
from jrepose.models.features import poses_and_features
from jrepose.models.functional import in_rank_of
from jrepose.skeleton import Skeleton
from jrepose.tasks.lifting import Lifting, create_network, relative_labels
from jrepose.tasks.task import CONTEXT, Clock, Outcome, Variables

DEPTHS = "depths"
"""Collection of the histograms that uncertain depths are drawn from."""

_BINS = 256
_LIMIT_M = 1.0  # of the histograms
_AT_ONCE = 16  # poses whose mixtures are fitted side by side
_HEATMAPS = ("heatmaps", "heatmap_boxes")
_SCALE = "kernel_scale"  # of the kernels that were drawn, beside the columns
_KERNEL_STREAM = 2**31  # beside the numbers of frames, which a clip's key is folded with

# Metres, or what comes closest, in the unit of a target space.
_UNITS = {"camera_mm": 1000.0, "camera_by_width": 2.0}


class Seen(NamedTuple):
    """What is known of the frames that are denoised.

    Attributes:
        keypoints: x, y, confidence.
        poses: the context encoder's.
        condition: what the denoiser is told of every joint; None: nothing.
        planes: where the detector says that the joints may be; None where nobody asks.
        scale: of the noise of u, v, by the kernels that were drawn; None: the settings'.
    """

    keypoints: Float[Array, "clips frames joints 3"]
    poses: Float[Array, "clips frames joints 3"]
    condition: Float[Array, "clips frames joints features"] | None
    planes: uncertain.Planes | uncertain.Heatmaps | None
    scale: Float[Array, "clips frames joints 2"] | None = None


class Noise(NamedTuple):
    """Several noises for every pose.

    Attributes:
        mean: what a pose contracts to under each; 0 where it is normal noise.
        values: of every hypothesis, and of every further draw for it.
    """

    mean: Float[Array, "hypotheses clips frames joints channels"] | float
    values: Float[Array, "draws hypotheses clips frames joints channels"]


@dataclass(frozen=True, eq=False)
class DiffPose:
    """A denoiser, and the frozen lifter that it is told of: its context encoder.

    Every frame is a pose of its own; what the encoder makes of the frames around it is all that the
    denoiser knows of them.

    Args:
        model: answers noisy poses, see `models.DENOISERS`.
        encoder: a lifter, whose variables are the collection `"context"` and stand still.
        diffusion: the settings.
        skeleton: joints of poses and keypoints.
        targets: frames of a clip that are denoised, in its middle.
        unit: of the target space, in metres or what comes closest.
        in_image: whether x, y of poses are those of keypoints.  If not, keypoints are scaled and
            shifted to where they are likest the encoder's pose (ours: the paper does not say how
            it compares them).
        root: what labels are relative to, see `lifting.relative_labels`.
        heatmaps: whether batches have a detector's heatmaps.
        kernels: whether they have a detector's kernels, of which one is drawn for every joint.
    """

    model: nn.Module
    encoder: nn.Module
    diffusion: Diffusion
    skeleton: Skeleton
    targets: int
    unit: float = 1.0
    in_image: bool = False
    root: str = "frame"
    heatmaps: bool = False
    kernels: bool = False

    score = "mpjpe"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("keypoints", *_HEATMAPS * self.heatmaps, *("kernels",) * self.kernels)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.inputs, "poses")

    @property
    def _is_uncertain(self) -> bool:
        """Whether poses are drawn from where the joints may be."""
        settings = self.diffusion
        return not settings.keypoints_in_state and bool(
            settings.noisy_start or settings.components or settings.prediction == BASELINE
        )

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        """Variables; those of the encoder are zeros, in whose place the trained ones come."""
        encoder = self._shapes_of_encoder(batch)
        seen = jax.eval_shape(
            lambda variables: self._see({CONTEXT: variables}, batch, flip=False), encoder
        )
        joints = self.skeleton.num_joints
        noisy = jnp.zeros((*seen.poses.shape[:2], joints, self.diffusion.channels))
        condition = None if seen.condition is None else jnp.zeros(seen.condition.shape)
        variables = self.model.init(key, noisy, jnp.zeros(noisy.shape[:2]), **_told(condition))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), encoder)
        variables = {**variables, CONTEXT: zeros, "objective": {}}
        if self._is_uncertain:
            middle_bin = jnp.zeros((joints, _BINS)).at[:, _BINS // 2].set(1.0)
            variables[DEPTHS] = {"shares": middle_bin, "steps": jnp.zeros(())}
        return variables

    def _shapes_of_encoder(self, batch: Batch) -> dict[str, Any]:
        keypoints = jnp.asarray(batch["keypoints"])
        return jax.eval_shape(lambda: self.encoder.init(jax.random.key(0), keypoints, train=False))

    def loss(
        self, variables: Variables, batch: Batch, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outcome]:
        """The squared distance to what the network should answer, summed over a pose.

        It is a mean over the poses, the noises of each and the steps that were drawn, where the
        paper's Eq. 9 is a sum over noises and steps.
        """
        del step
        settings = self.diffusion
        if self.kernels:
            of_kernels, key = jax.random.split(key)
            clips = len(batch["keypoints"])
            batch = self._at_kernels(batch, jax.random.split(of_kernels, clips))
        seen = self._see(variables, batch, flip=False)
        labels = relative_labels(jnp.asarray(batch["poses"]), self.root, self.skeleton.root)
        of_noise, of_steps, of_dropout = jax.random.split(key, 3)
        renewed = {}
        if self._is_uncertain:
            renewed = {DEPTHS: self._renewed(variables[DEPTHS], seen, labels)}
        if settings.prediction == BASELINE:
            start = self._likeliest(seen)[None, None]
            numbers = jnp.zeros(start.shape[:-2], jnp.int32)
            total = self.denoising_loss(
                variables, labels, start, 0.0, numbers, seen.condition, of_dropout
            )
            return total, Outcome({"denoising": total}, renewed)
        poses = labels.shape[:2]
        keys = jax.random.split(of_noise, poses)
        noise = self._noise({**variables, **renewed}, seen, keys)
        if settings.training_steps:
            shape = (settings.training_steps, settings.hypotheses, *poses)
            numbers = _drawn_steps(of_steps, shape, settings.steps)
        else:
            numbers = jnp.arange(settings.steps).reshape(-1, 1, 1, 1)
            numbers = jnp.broadcast_to(numbers, (settings.steps, settings.hypotheses, *poses))
        clean = self._state(seen, labels)
        total = self.denoising_loss(
            variables, clean, noise.values[0], noise.mean, numbers, seen.condition, of_dropout
        )
        return total, Outcome({"denoising": total}, renewed)

    def denoising_loss(
        self,
        variables: Variables,
        clean: Float[Array, "clips frames joints channels"],
        noise: Float[Array, "*noises clips frames joints channels"],
        mean: Float[Array, "hypotheses clips frames joints channels"] | float,
        steps: Int[Array, "*batch clips frames"],
        condition: Float[Array, "clips frames joints features"] | None,
        key: Key[Array, ""] | None,
    ) -> Float[Array, ""]:
        """Of given noise at given steps.

        Args:
            variables: the network's.
            clean: states without noise.
            noise: of every pose; of a baseline the poses that it is given.
            mean: that poses contract to.
            steps: of the diffusion, from 0.
            condition: what the network is told.
            key: of dropout; None: without.
        """
        settings = self.diffusion
        shape = (*steps.shape, *clean.shape[-2:])
        clean, noise = jnp.broadcast_to(clean, shape), jnp.broadcast_to(noise, shape)
        levels = jnp.concatenate([jnp.ones(1), jnp.asarray(settings.alpha_bars())])

        def at(numbers):
            return forward.noised(clean, noise, levels[numbers][..., None, None], mean)

        is_baseline = settings.prediction == BASELINE
        noisy = noise if is_baseline else at(steps + 1)
        answer = self.model.apply(
            {"params": variables["params"]},
            noisy,
            steps.astype(jnp.float32),
            train=key is not None,
            rngs=None if key is None else {"dropout": key},
            **_told(condition),
        )
        if settings.prediction == "noise":
            wanted = noise
        elif settings.prediction == "previous":
            wanted = at(steps)
        else:
            wanted = clean
        return jnp.square(wanted - answer).sum(axis=(-2, -1)).mean()

    def predict(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"] | None, *, flip: bool
    ) -> Float[Array, "*hypotheses clips frames joints 3"]:
        """Poses of every clip; one hypothesis has no axis of its own.

        Flipping averages the encoder's poses, as in the released code for videos; the denoiser and
        what else it is told see the clip as it is.
        """
        settings = self.diffusion
        if self.kernels:
            of_kernels = jax.vmap(jax.random.fold_in, (0, None))(keys, _KERNEL_STREAM)
            batch = self._at_kernels(batch, of_kernels)
        seen = self._see(variables, batch, flip=flip)
        parameters, told = {"params": variables["params"]}, _told(seen.condition)

        def denoiser(noisy, steps):
            return self.model.apply(parameters, noisy, steps, train=False, **told)

        if settings.prediction == BASELINE:
            start = self._likeliest(seen)
            return denoiser(start, jnp.zeros(start.shape[:-2]))
        way = settings.way_back()
        frames = jnp.arange(seen.poses.shape[1])
        of_poses = jax.vmap(
            lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, frames)
        )(keys)  # fmt: skip
        draws = len(way.step) if way.fresh.any() else 0
        noise = self._noise(variables, seen, of_poses, 1 + draws)
        starts = self._starts(variables, seen, noise, way, of_poses)
        poses = ddim.sample_hypotheses(
            denoiser,
            starts,
            way,
            prediction=settings.prediction,
            mean=noise.mean if settings.components else None,
            fresh_noise=noise.values[1:] if draws else None,
        )[..., -3:]
        return poses if settings.hypotheses > 1 else poses[0]

    def _starts(
        self,
        variables: Variables,
        seen: Seen,
        noise: Noise,
        way: ddim.Coefficients,
        keys: Key[Array, "clips frames"],
    ) -> Float[Array, "hypotheses clips frames joints channels"]:
        """Where the way back begins."""
        settings = self.diffusion
        if settings.noisy_start and settings.components:
            return noise.mean + noise.values[0]
        if settings.noisy_start and not settings.keypoints_in_state:
            return self._drawn(variables, seen, keys, settings.hypotheses)
        state = self._state(seen, seen.poses)
        state = jnp.broadcast_to(state, noise.values.shape[1:])
        if not settings.noisy_start:
            return state
        return forward.noised(state, noise.values[0], float(way.left[0] ** 2))

    def _at_kernels(self, batch: Batch, keys: Key[Array, " clips"]) -> Batch:
        """Every keypoint at one of its kernels, as likely as its weight."""
        kernels = jnp.asarray(batch["kernels"])
        logits = jnp.log(kernels[..., 0])
        chosen = jax.vmap(jax.random.categorical)(keys, logits)[..., None, None]
        drawn = jnp.take_along_axis(kernels, chosen, axis=-2)[..., 0, :]
        keypoints = jnp.asarray(batch["keypoints"]).at[..., :2].set(drawn[..., 1:3])
        return {**batch, "keypoints": keypoints, _SCALE: drawn[..., 3:]}

    def _see(self, variables: Variables, batch: Batch, *, flip: bool) -> Seen:
        """What the detector and the encoder say of the frames that are denoised."""
        settings, context = self.diffusion, variables[CONTEXT]
        keypoints = jnp.asarray(batch["keypoints"])
        features = None
        if settings.condition == "features":
            poses, features = poses_and_features(self.encoder, context, keypoints)
            if flip:
                mirrored = flip_poses(keypoints, self.skeleton)
                others = models.main_output(self.encoder.apply(context, mirrored, train=False))
                poses = 0.5 * (poses + flip_poses(others, self.skeleton))
        else:
            encoder = Lifting(self.encoder, self.skeleton, self.skeleton, root=self.root)
            poses = encoder.predict(context, {"keypoints": keypoints}, None, flip=flip)
        poses, keypoints = middle(poses, self.targets), middle(keypoints, self.targets)
        root = self.skeleton.root
        if settings.context_root == "zero":
            poses = poses.at[..., root, :].set(0.0)
        elif settings.context_root == "subtract":
            poses = poses - poses[..., root : root + 1, :]
        if settings.condition == "poses":
            features = jnp.concatenate([keypoints, poses / self.unit], -1)
        planes = None
        if self._is_uncertain:
            planes = self._planes(batch, keypoints, poses)
        if features is not None:
            features = jax.lax.stop_gradient(middle(features, self.targets))
        scale = middle(batch[_SCALE], self.targets) if _SCALE in batch else None
        return jax.lax.stop_gradient(Seen(keypoints, poses, features, planes, scale))

    def _planes(self, batch, keypoints, poses) -> uncertain.Planes | uncertain.Heatmaps:
        if self.heatmaps:
            values, boxes = (middle(jnp.asarray(batch[name]), self.targets) for name in _HEATMAPS)
            return uncertain.Heatmaps(values.astype(jnp.float32), boxes)
        confidence = keypoints[..., 2]
        scale, shift = self._to_image(keypoints, poses)
        # Of a joint that was not found the detector knows nothing.
        points = jnp.where(
            confidence[..., None] > 0, keypoints[..., :2], scale * poses[..., :2] + shift
        )
        settings = self.diffusion
        return uncertain.around_keypoints(
            points, confidence, self.skeleton.parents, settings.keypoint_deviation,
            settings.elongation,
        )  # fmt: skip

    def _to_image(self, keypoints, poses) -> tuple[Array, Array]:
        """Scale and shift from x, y of poses to those of keypoints."""
        if self.in_image:
            return jnp.ones((*poses.shape[:-2], 1, 1)), jnp.zeros((*poses.shape[:-2], 1, 2))
        return uncertain.likeness(poses, keypoints[..., :2], keypoints[..., 2])

    def _state(self, seen: Seen, poses: Array) -> Float[Array, "clips frames joints channels"]:
        """What is diffused."""
        if not self.diffusion.keypoints_in_state:
            return poses
        return jnp.concatenate([seen.keypoints[..., :2], poses], -1)

    def _likeliest(self, seen: Seen) -> Float[Array, "clips frames joints 3"]:
        """The middle of where the joints may be."""
        scale, shift = self._to_image(seen.keypoints, seen.poses)
        points = (seen.planes.mean - shift) / scale
        return jnp.concatenate([points, seen.poses[..., 2:]], -1)

    def _renewed(self, depths, seen: Seen, labels) -> dict[str, Array]:
        """Histograms of all batches so far, each counting alike."""
        values = labels[..., 2]
        if self.diffusion.depth == "encoder":
            values = values - seen.poses[..., 2]
        shares = uncertain.histogram(values, _BINS, self._limit)
        steps = depths["steps"] + 1
        return {"shares": depths["shares"] + (shares - depths["shares"]) / steps, "steps": steps}

    @property
    def _limit(self) -> float:
        return _LIMIT_M * self.unit

    def _noise(
        self, variables: Variables, seen: Seen, keys: Key[Array, "clips frames"], draws: int = 1
    ) -> Noise:
        """Draws for every pose and hypothesis: of its mixture, or normal."""
        settings, joints = self.diffusion, self.skeleton.num_joints
        shape = (settings.hypotheses, draws)
        if not settings.components:

            def normal(key):
                return jax.random.normal(key, (*shape, joints, settings.channels))

            scale = jnp.array(settings.noise_scale or (1.0,) * settings.channels)
            if seen.scale is not None and settings.kernel_scale:
                scale = jnp.broadcast_to(scale, (*seen.scale.shape[:-1], settings.channels))
                scale = scale.at[..., :2].set(seen.scale)[:, :, None, None]
            values = jax.vmap(jax.vmap(normal))(keys)
            values = values * in_rank_of(scale, values)
            return Noise(0.0, jnp.moveaxis(values, (2, 3), (1, 0)))

        def of_mixture(pose):
            key, *pose = pose
            of_samples, of_fit, of_components, of_noise = jax.random.split(key, 4)
            samples = self._samples(of_samples, *pose, settings.samples)
            fitted = mixture.fit_one(
                of_fit,
                samples.reshape(settings.samples, -1),
                settings.components,
                regulariser=mixture.REGULARISER * self.unit**2,
                tolerance=settings.fit_tolerance,
                max_iterations=settings.fit_iterations,
            ).mixture
            chosen = mixture.component(
                fitted.weights, jax.random.uniform(of_components, (settings.hypotheses,))
            )
            factors = mixture.cholesky(fitted)[chosen]
            noise = jax.random.normal(of_noise, (*shape, 3 * joints))
            noise = jnp.einsum("nij,ndj->ndi", factors, noise)
            return fitted.means[chosen].reshape(-1, joints, 3), noise.reshape(*shape, joints, 3)

        mean, values = self._per_pose(of_mixture, variables, seen, keys)
        return Noise(jnp.moveaxis(mean, 2, 0), jnp.moveaxis(values, (2, 3), (1, 0)))

    def _drawn(
        self, variables: Variables, seen: Seen, keys: Key[Array, "clips frames"], count: int
    ) -> Float[Array, "count clips frames joints 3"]:
        """Poses as they may be."""
        drawn = self._per_pose(
            lambda pose: self._samples(*pose, count), variables, seen, keys
        )  # fmt: skip
        return jnp.moveaxis(drawn, 2, 0)

    def _per_pose(self, function, variables: Variables, seen: Seen, keys):
        """A function of key, planes, pose, scale, shift and histograms, for each pose by itself."""
        shares = variables[DEPTHS]["shares"]
        depth = self.diffusion.depth
        poses = seen.poses if depth == "encoder" else seen.poses.at[..., 2].set(0.0)
        scale, shift = self._to_image(seen.keypoints, seen.poses)
        given = (keys, seen.planes, poses, scale, shift)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), given)
        found = jax.lax.map(
            lambda pose: function((*pose, shares)), flat, batch_size=_AT_ONCE
        )  # fmt: skip
        clips = seen.poses.shape[:2]
        return jax.tree.map(lambda leaf: leaf.reshape(*clips, *leaf.shape[1:]), found)

    def _samples(self, key, planes, pose, scale, shift, shares, count) -> Array:
        samples = uncertain.sample(key, planes, pose[:, 2], shares, self._limit, count)
        points = samples[..., :2]
        points = (points - in_rank_of(shift, points)) / in_rank_of(scale, points)
        return jnp.concatenate([points, samples[..., 2:]], -1)


def _told(condition: Array | None) -> dict[str, Array]:
    """Arguments of a network; one that is told nothing need not have them."""
    return {} if condition is None else {"context": condition}


def _drawn_steps(key: Key[Array, ""], shape: tuple[int, ...], steps: int) -> Int[Array, "*shape"]:
    """Numbers of steps, the second half mirror images of the first, as in the released code."""
    count = 1
    for extent in shape:
        count *= extent
    first = jax.random.randint(key, (count // 2 + 1,), 0, steps)
    return jnp.concatenate([first, steps - 1 - first])[:count].reshape(shape)


def from_config(config: ConfigDict, dataset: PoseDataset, clock: Clock | None) -> DiffPose:
    """The DiffPose of a config, whose `model` is the denoiser.

    Raises:
        InputError: a denoiser or a context encoder that does not fit the data, the clips or the
            diffusion.
    """
    del clock
    diffusion = Diffusion(**config.diffusion.to_dict())
    if "name" not in config.context.model:
        raise InputError(
            "config.context.model.name is missing: the lifter that config.task 'diffpose' builds on"
        )
    in_image = dataset.target_space == "image"
    if diffusion.keypoints_in_state and in_image:
        raise InputError(
            "config.diffusion.keypoints_in_state needs root-relative poses; "
            "config.data.target_space is 'image', expected 'camera_m'"
        )
    if not in_image and config.training.root != "frame":
        raise InputError(
            f"config.training.root is {config.training.root!r}, expected 'frame' where poses are "
            "root-relative"
        )
    if in_image and config.training.root == "frame":
        raise InputError(
            "config.training.root is 'frame', expected 'clip_first' where x, y of the poses are "
            "those of the keypoints"
        )
    task = DiffPose(
        model=create_network(config.model, config.precision),
        encoder=create_network(config.context.model, config.precision),
        diffusion=diffusion,
        skeleton=dataset.skeleton,
        targets=config.clip.targets or config.clip.frames,
        unit=_UNITS.get(dataset.target_space, 1.0),
        in_image=in_image,
        root=config.training.root,
        heatmaps=dataset.heatmaps is not None,
        kernels=dataset.kernels is not None,
    )
    _check_networks(task, config.clip.frames, dataset)
    return task


def _check_networks(task: DiffPose, frames: int, dataset: PoseDataset) -> None:
    """Refuses networks that cannot be called as the task calls them."""
    joints = dataset.skeleton.num_joints
    batch = {"keypoints": jnp.zeros((1, frames, joints, 3))}
    try:
        variables = task._shapes_of_encoder(batch)
        poses = jax.eval_shape(
            lambda given: models.main_output(
                task.encoder.apply(given, batch["keypoints"], train=False)
            ),
            variables,
        )
        if task.diffusion.condition == "features":
            jax.eval_shape(
                lambda given: poses_and_features(task.encoder, given, batch["keypoints"]), variables
            )
    except InputError as error:
        raise InputError(f"config.context.model: {error}") from None
    found, wanted = poses.shape[1:3], (task.targets, joints)
    if found[0] < wanted[0] or found[1] != wanted[1]:
        raise InputError(
            f"config.context.model gives {found[0]} frames of {found[1]} joints for a clip of "
            f"{frames}, of which {wanted[0]} frames of {wanted[1]} joints are to be denoised; see "
            "config.clip.targets"
        )
    takes_context = "context" in inspect.signature(type(task.model).__call__).parameters
    if task.diffusion.condition != "none" and not takes_context:
        raise InputError(
            f"config.diffusion.condition is {task.diffusion.condition!r}, and this config.model is "
            "told nothing of the clip; expected 'none'"
        )
    channels = task.diffusion.channels
    if task.model.input_shape != (joints, channels):
        raise InputError(
            f"config.model takes poses of {task.model.input_shape[0]} joints and "
            f"{task.model.input_shape[1]} channels; the data has {joints} joints, the diffusion "
            f"{channels} channels"
        )
