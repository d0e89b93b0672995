"""The two systems that go by the name DiffPose: the paper's, and the released code's.

J. Gong et al., "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023, with its supplement;
repositories GONGJIA0208/Diffpose and Diffpose_video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from jrepose.diffusion import ddim, schedules
from jrepose.errors import InputError


@dataclass(frozen=True)
class Diffusion:
    """How poses become noise, and noise poses.

    Args:
        schedule: a name in `schedules.BETAS`.
        steps: of the diffusion, K.
        beta_start, beta_end: noise that the first and the last step add.
        prediction: what the network answers, see `ddim.sample`.
        hypotheses: starts of the way back, N; their mean is the answer.
        components: of the mixture that noise is drawn from, M; 0: standard normal noise.
        noisy_start: whether the way back begins with noise, or with the context encoder's pose as
            it is.
        spacing: of the steps of the way back, see `schedules.visited_steps`.
        sampling_levels: of these first levels of the diffusion.
        sampling_steps: how many.
        eta: noise that the way back draws, see `ddim.coefficients`.

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
    eta: float = 0.0

    def __post_init__(self):
        for field, least in (("hypotheses", 1), ("components", 0)):
            if getattr(self, field) < least:
                raise InputError(
                    f"diffusion: {field} is {getattr(self, field)}, expected at least {least}"
                )
        if self.prediction not in ddim.PREDICTIONS:
            known = ", ".join(ddim.PREDICTIONS)
            raise InputError(
                f"diffusion: prediction is {self.prediction!r}, expected one of {known}"
            )
        if self.eta < 0:
            raise InputError(f"diffusion: eta is {self.eta}, expected at least 0")
        self.way_back()  # which refuses the other numbers

    def alpha_bars(self) -> np.ndarray:
        """float32 `[steps]`, see `schedules`."""
        betas = schedules.betas(self.schedule, self.steps, self.beta_start, self.beta_end)
        return schedules.alpha_bars(betas.astype(np.float32))

    def way_back(self) -> ddim.Coefficients:
        """For `ddim.sample`."""
        visited = schedules.visited_steps(self.spacing, self.sampling_levels, self.sampling_steps)
        return ddim.coefficients(self.alpha_bars(), visited, self.eta)


_RELEASED = {"schedule": "linear", "steps": 51, "beta_start": 1e-4, "beta_end": 1e-3,
             "prediction": "noise", "hypotheses": 1, "components": 0, "noisy_start": False,
             "spacing": "uniform"}  # fmt: skip

PRESETS: Mapping[str, Diffusion] = MappingProxyType(
    {
        "paper": Diffusion("linear", 50, 1e-4, 2e-3, "previous", 5, 5, True, "trailing", 50, 5),
        "released": Diffusion(**_RELEASED, sampling_levels=24, sampling_steps=2),
        "released_gt": Diffusion(**_RELEASED, sampling_levels=12, sampling_steps=2),
        "released_video": Diffusion(**_RELEASED, sampling_levels=6, sampling_steps=1),
    }
)
"""Name -> settings.  "released" is the frame-based code on detected keypoints, "released_gt" on
ground truth, "released_video" the video-based code.  After the paper's 50 steps 94.9 % of a pose's
variance is left, where it says that nearly none is; with `schedule="cosine"` none is."""
