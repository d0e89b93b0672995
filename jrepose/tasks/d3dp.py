"""D3DP: lifting as the way back from noise over a whole clip, seen with its keypoints.

W. Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation", ICCV
2023; where the released code differs it is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from jrepose.data.columns import Batch
from jrepose.data.dataset import PoseDataset
from jrepose.data.flip import flip_poses
from jrepose.diffusion import clamped, ddim
from jrepose.diffusion.presets import Diffusion
from jrepose.errors import InputError
from jrepose.models.d3dp import D3DP
from jrepose.tasks.lifting import (
    Lifting,
    batch_objective,
    check_reprojection,
    create_network,
    relative_labels,
)
from jrepose.tasks.task import Clock, Outcome, Variables

_DTYPE = np.float64  # of the alpha bars, as in the released code


@dataclass(frozen=True, eq=False, kw_only=True)
class DiffusedClips(Lifting):
    """A denoiser of clips, trained on the clean poses that it answers from noisy ones.

    Args:
        model: the denoiser; as many of the keypoints' channels are seen as it has room for.
        diffusion: read are the schedule of the noise, `hypotheses`, `spacing`, `sampling_levels`,
            `sampling_steps` and `eta`; the steps are as many as the model's.
        skeleton, keypoint_skeleton, objective, root, clock: as `Lifting`'s.
    """

    model: D3DP
    diffusion: Diffusion

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        keypoints = self._seen(batch)
        noisy = jnp.concatenate([keypoints, jnp.zeros((*keypoints.shape[:-1], 3))], axis=-1)
        variables = self.model.init(key, noisy, jnp.zeros(len(noisy)))
        return {**variables, "objective": self.objective.init()}

    def loss(
        self, variables: Variables, batch: Batch, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outcome]:
        """The objective of the answers to one noise and one step of the diffusion a clip."""
        of_steps, of_noise, of_dropout = jax.random.split(key, 3)
        labels = relative_labels(jnp.asarray(batch["poses"]), self.root, self.skeleton.root)
        numbers = jax.random.randint(of_steps, labels.shape[:1], 0, self.diffusion.steps)
        noise = jax.random.normal(of_noise, labels.shape)
        answers = self.answers(variables, self._seen(batch), labels, noise, numbers, of_dropout)
        total, terms = self.objective(
            variables["objective"],
            answers,
            labels,
            batch["keypoints"],
            None if self.clock is None else self.clock(step),
        )
        return total, Outcome(terms, {})

    def answers(
        self,
        variables: Variables,
        keypoints: Float[Array, "clips frames joints channels"],
        labels: Float[Array, "clips frames joints 3"],
        noise: Float[Array, "clips frames joints 3"],
        numbers: Int[Array, " clips"],
        key: Key[Array, ""] | None,
    ) -> Float[Array, "clips frames joints 3"]:
        """What the network makes of the labels under given noise at given steps.

        Args:
            variables: the network's.
            keypoints: those of their channels that it sees.
            labels: root-relative, metres.
            noise: standard normal.
            numbers: steps of the diffusion, from 0.
            key: of stochastic depth; None: without.
        """
        left = self.diffusion.alpha_bars(_DTYPE)
        shares = (jnp.asarray(np.sqrt(of), jnp.float32)[numbers] for of in (left, 1 - left))
        noisy = clamped.noised(labels, noise, *shares)
        return self.model.apply(
            {"params": variables["params"]},
            jnp.concatenate([keypoints, noisy], axis=-1),
            numbers.astype(jnp.float32),
            train=key is not None,
            rngs=None if key is None else {"dropout": key},
        )

    def predict(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"] | None, *, flip: bool
    ) -> Float[Array, "*hypotheses clips frames_out joints 3"]:
        """Poses of every clip; one hypothesis has no axis of its own.

        Flipping averages at every step, as in the paper.
        """
        settings, keypoints = self.diffusion, self._seen(batch)
        way = settings.way_back(_DTYPE)
        draws = 1 + (len(way.step) if way.fresh.any() else 0)
        shape = (draws, settings.hypotheses, *keypoints.shape[1:-1], 3)
        noise = jax.vmap(lambda key: jax.random.normal(key, shape), out_axes=2)(keys)
        every = jnp.broadcast_to(keypoints, (settings.hypotheses, *keypoints.shape))
        denoiser = clamped.clip_denoiser(
            lambda noisy, steps: self.model.apply({"params": variables["params"]}, noisy, steps),
            every,
            (lambda poses: flip_poses(poses, self.skeleton)) if flip else None,
        )
        poses = ddim.sample(
            denoiser,
            noise[0],
            way,
            prediction="clean",
            fresh_noise=noise[1:] if draws > 1 else None,
        ).final
        return poses if settings.hypotheses > 1 else poses[0]

    def _seen(self, batch: Batch) -> Float[Array, "clips frames joints channels"]:
        return jnp.asarray(batch["keypoints"])[..., : self.model.in_chans - 3]


def from_config(config: ConfigDict, dataset: PoseDataset, clock: Clock | None) -> DiffusedClips:
    """The D3DP of a config, whose `model` is the denoiser.

    Raises:
        InputError: another denoiser, data or a diffusion that it is not made for.
    """
    diffusion = Diffusion(**config.diffusion.to_dict())
    model = create_network(config.model, config.precision)
    if not isinstance(model, D3DP):
        raise InputError(
            f"config.task 'd3dp' trains the model d3dp, and config.model.name is "
            f"{config.model.name!r}"
        )
    if dataset.target_space != "camera_m" or config.training.root != "frame":
        raise InputError(
            "config.task 'd3dp' keeps poses within 1.1 m of their root; expected "
            "config.data.target_space 'camera_m' and config.training.root 'frame', got "
            f"{dataset.target_space!r} and {config.training.root!r}"
        )
    check_reprojection(config, dataset)
    if not 1 <= model.in_chans - 3 <= 3:
        raise InputError(
            f"config.model.in_chans is {model.in_chans}, expected 5, for x, y and the noisy pose, "
            "or 6, with the confidence"
        )
    for field, expected in (
        ("steps", model.timestep), ("prediction", "clean"), ("components", 0),
        ("keypoints_in_state", False), ("condition", "none"), ("noisy_start", True),
    ):  # fmt: skip
        if config.diffusion[field] != expected:
            raise InputError(
                f"config.diffusion.{field} is {config.diffusion[field]!r}, expected {expected!r} "
                "with config.task 'd3dp'"
            )
    return DiffusedClips(
        model=model,
        skeleton=dataset.skeleton,
        keypoint_skeleton=dataset.keypoint_skeleton,
        objective=None if clock is None else batch_objective(config, dataset.skeleton),
        root=config.training.root,
        clock=clock,
        diffusion=diffusion,
    )
