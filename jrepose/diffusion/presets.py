"""The two systems that go by the name DiffPose, the paper's and the released code's, and D3DP.

J. Gong et al., "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023, with its supplement;
repositories GONGJIA0208/Diffpose and Diffpose_video.  W. Shan et al., "Diffusion-Based 3D Human
Pose Estimation with Multi-Hypothesis Aggregation", ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jrepose.diffusion import ddim, schedules
from jrepose.errors import InputError

CONDITIONS = ("none", "features", "poses")
DEPTHS = ("encoder", "training")
ROOTS = ("keep", "zero", "subtract")

BASELINE = "none"
"""The `prediction` of a network that answers at once, without any diffusion."""


@dataclass(frozen=True)
class Diffusion:
    """How poses become noise, and noise poses.

    Args:
        schedule: a name in `schedules.BETAS`.
        steps: of the diffusion, K.
        beta_start, beta_end: noise that the first and the last step add.
        prediction: what the network answers, see `ddim.sample`; `"none"`: it answers the pose at
            once, given the likeliest of the uncertain ones (the paper's baselines A and B).
        hypotheses: starts of the way back, N, and in training noises for every pose.
        components: of the mixture that noise is drawn from, M; 0: normal noise.
        noise_scale: deviation of normal noise by channel, in the target space's unit; (): 1.
        keypoints_in_state: whether u, v of the keypoints are diffused with x, y, z.
        kernel_scale: where the detections have kernels, the one that is drawn says the deviation of
            u, v in place of `noise_scale`.
        noisy_start: whether the way back begins with noise, or with the context encoder's pose as
            it is.
        condition: what the network is told of the clip besides: `"none"`, the context encoder's
            `"features"`, or its `"poses"` beside the keypoints.
        context_root: the root of the encoder's poses: `"keep"`, `"zero"` (set to 0, the other
            joints as they are) or `"subtract"` (from all joints).
        spacing: of the steps of the way back, see `schedules.visited_steps`.
        sampling_levels: of these first levels of the diffusion.
        sampling_steps: how many.
        eta: noise that the way back draws, see `ddim.coefficients`.
        training_steps: how many of the K steps are drawn for every noise in training; 0: all.
        samples: drawn of an uncertain pose to fit its mixture to.
        fit_tolerance, fit_iterations: when the fit ends, see `mixture.refine`.
        keypoint_deviation: of an uncertain keypoint of confidence 1 and of confidence 0, as a
            share of the person's size in the image (root mean square distance from the middle).
        elongation: by how much the deviation along a keypoint's bone is larger.
        depth: where the uncertainty of z is from: histograms of the `"encoder"`'s errors, around
            its depth, or of the depths of the poses in `"training"`.

    Raises:
        InputError: numbers that cannot be.
    """

    schedule: str
    steps: int
    beta_start: float
    beta_end: float
    prediction: str
    hypotheses: int
    components: int
    noisy_start: bool
    spacing: str
    sampling_levels: int
    sampling_steps: int
    noise_scale: tuple[float, ...] = ()
    keypoints_in_state: bool = False
    kernel_scale: bool = False
    condition: str = "none"
    context_root: str = "keep"
    eta: float = 0.0
    training_steps: int = 1
    samples: int = 1000
    fit_tolerance: float = 1e-3
    fit_iterations: int = 100
    keypoint_deviation: tuple[float, float] = (0.02, 0.5)
    elongation: float = 1.5
    depth: str = "encoder"

    def __post_init__(self):
        for field, least in (
            ("steps", 1), ("hypotheses", 1), ("components", 0), ("training_steps", 0),
            ("samples", 1), ("fit_iterations", 1), ("eta", 0),
        ):  # fmt: skip
            if getattr(self, field) < least:
                raise InputError(
                    f"config.diffusion.{field} is {getattr(self, field)}, expected at least {least}"
                )
        for field, known in (
            ("prediction", (*ddim.PREDICTIONS, BASELINE)), ("condition", CONDITIONS),
            ("depth", DEPTHS), ("context_root", ROOTS),
        ):  # fmt: skip
            if getattr(self, field) not in known:
                raise InputError(
                    f"config.diffusion.{field} is {getattr(self, field)!r}, expected one of "
                    + ", ".join(known)
                )
        if self.components > self.samples:
            raise InputError(
                f"config.diffusion.components is {self.components}, expected at most the "
                f"{self.samples} of config.diffusion.samples"
            )
        if self.training_steps > self.steps:
            raise InputError(
                f"config.diffusion.training_steps is {self.training_steps}, expected at most the "
                f"{self.steps} of config.diffusion.steps"
            )
        if len(self.keypoint_deviation) != 2:
            raise InputError(
                f"config.diffusion.keypoint_deviation is {self.keypoint_deviation}, expected two "
                "numbers"
            )
        if self.noise_scale and len(self.noise_scale) != self.channels:
            raise InputError(
                f"config.diffusion.noise_scale has {len(self.noise_scale)} numbers, expected one "
                f"for each of {self.channels} channels"
            )
        if self.keypoints_in_state and (self.components or self.prediction == BASELINE):
            raise InputError(
                "config.diffusion.keypoints_in_state diffuses keypoints, which have neither a "
                "mixture (components is not 0) nor a baseline (prediction is 'none')"
            )
        self.way_back()  # which refuses the other numbers

    @property
    def channels(self) -> int:
        """Of a joint's state."""
        return 5 if self.keypoints_in_state else 3

    def alpha_bars(self, dtype: type[np.floating] = np.float32) -> Float[np.ndarray, " steps"]:
        """See `schedules`; the released DiffPose has them in float32, D3DP in float64."""
        betas = schedules.betas(self.schedule, self.steps, self.beta_start, self.beta_end)
        return schedules.alpha_bars(betas.astype(dtype))

    def way_back(self, dtype: type[np.floating] = np.float32) -> ddim.Coefficients:
        """For `ddim.sample`, by `alpha_bars` of that precision."""
        visited = schedules.visited_steps(self.spacing, self.sampling_levels, self.sampling_steps)
        return ddim.coefficients(self.alpha_bars(dtype), visited, self.eta)


_PAPER = {"schedule": "linear", "steps": 50, "beta_start": 1e-4, "beta_end": 2e-3,
          "prediction": "previous", "hypotheses": 5, "components": 5, "noisy_start": True,
          "spacing": "trailing", "sampling_levels": 50, "sampling_steps": 5,
          "condition": "features"}  # fmt: skip

_RELEASED = {"schedule": "linear", "steps": 51, "beta_start": 1e-4, "beta_end": 1e-3,
             "prediction": "noise", "hypotheses": 1, "components": 0, "noisy_start": False,
             "spacing": "uniform", "keypoints_in_state": True}  # fmt: skip

_VIDEO_SCALE = (0.5, 0.5, 1.0, 1.0, 1.0)

PRESETS: Mapping[str, Diffusion] = MappingProxyType(
    {
        "paper": Diffusion(**_PAPER),
        "released": Diffusion(
            **_RELEASED, sampling_levels=24, sampling_steps=2, context_root="zero",
            noise_scale=_VIDEO_SCALE, kernel_scale=True,
        ),
        "released_gt": Diffusion(
            **_RELEASED, sampling_levels=12, sampling_steps=2, context_root="zero",
            noise_scale=_VIDEO_SCALE, kernel_scale=True,
        ),
        "released_video": Diffusion(
            **_RELEASED, sampling_levels=6, sampling_steps=1, noise_scale=_VIDEO_SCALE
        ),
        "d3dp": Diffusion(
            schedule="cosine", steps=1000, beta_start=0.0, beta_end=0.0, prediction="clean",
            hypotheses=5, components=0, noisy_start=True, spacing="truncated",
            sampling_levels=1000, sampling_steps=5, eta=1.0,
        ),
    }
)  # fmt: skip
"""Name -> settings.  "released" is the frame-based code on detected keypoints, "released_gt" on
ground truth, "released_video" the video-based code; "d3dp" is D3DP, with as many hypotheses and
steps as its released command has.  After DiffPose's 50 steps 94.9 % of a pose's variance is left,
where the paper says that nearly none is; with `schedule="cosine"` none is.  DiffPose's
frame-based code has the scale of the noise of u, v from its file of detections, whose kernels are
read (`config.data.detections="gt_gmm"`); with other detections it is the video-based code's."""
