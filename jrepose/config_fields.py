"""The main fields of a config in a line each, and the range of every number in it.

`jrepose.config` has the defaults.  Nothing here imports JAX, so that `--help` is quick.
"""

from __future__ import annotations

import fnmatch
import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ml_collections import ConfigDict

from jrepose.errors import InputError

MAIN_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "seed": "Of parameters, order of clips, flips and dropout.",
        "precision": "Of the model's arithmetic: float32 or bfloat16.",
        "attention": "Implementation on NVIDIA GPUs: auto, plain, xla, cudnn or triton.",
        "data.source": "procedural, mocap, human36m_sh, human36m, humaneva, mpi_inf_3dhp, custom; "
        "rendered, images.",
        "data.path": "File or folder of the source.",
        "data.split.train": "Subjects to train on, \"('S1', 'S5')\"; and .validation, .test.",
        "clip.frames": "Frames of a clip.",
        "clip.stride": "Frames between the beginnings of training clips.",
        "model.FIELD": "Hyperparameters, model.depth for instance.",
        "model.remat": "Recompute activations in the backward pass: less memory, more time.",
        "context.path": "Task diffpose: the frozen lifter, a run or a PyTorch file.",
        "objective.weights.LOSS": "Weight of a loss; None takes it out.",
        "training.epochs": "Passes over the training clips.",
        "training.max_steps": "Stop after so many steps.",
        "training.batch_size": "Clips of a step, over all devices together.",
        "training.accumulate": "Parts in which a step's clips are computed; auto: as memory needs.",
        "training.learning_rate": "Of the first epoch.",
        "evaluation.batch_size": "Clips predicted at a time, over all devices together.",
        "evaluation.flip": "Average with the prediction for the mirrored input.",
        "published": "System whose published row is shown beside the scores.",
    }
)
"""Field -> what it is."""


def main_fields(*sections: str) -> dict[str, str]:
    """Those of `MAIN_FIELDS` that begin so, in their order."""
    return {name: text for name, text in MAIN_FIELDS.items() if name.startswith(sections)}


@dataclass(frozen=True)
class Range:
    """Numbers that a field may have.

    Args:
        low, high: the bounds.
        above, below: whether the lower and the upper bound itself is left out.
    """

    low: float | int = -math.inf
    high: float | int = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float | int) -> bool:
        enough = value > self.low if self.above else value >= self.low
        little = value < self.high if self.below else value <= self.high
        # A whole number may be too large to be any other.
        finite = abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
        return finite and enough and little

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'above' if self.above else 'at least'} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'below' if self.below else 'at most'} {self.high:g}")
        return "a finite number" + (" " + " and ".join(parts) if parts else "")


_COUNT = Range(1)
# Beyond these a program is asked for that no machine holds, and the compiler aborts.
_SIZE, _MILLION = Range(0, 1_000_000, above=True), Range(1, 1_000_000)
_NOT_NEGATIVE = Range(0)
_POSITIVE = Range(0, above=True)
_SHARE = Range(0, 1)
_PART = Range(0, 1, below=True)
_ANY = Range()

# The first pattern that fits counts.  Bounds that depend on other fields are checked by the
# rooms that read them.
RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "seed": Range(0, 2**31 - 1),
        "data.seed": Range(0, 2**31 - 1),
        "data.frame_rate": Range(0, 1000, above=True),
        "data.seconds": Range(0, 100_000, above=True),
        "data.procedural_people": Range(0, 100_000),
        "data.copies": Range(1, 100_000),
        "data.body_spread": Range(0, 0.3),
        "data.limb_spread_deg": Range(0, 60),
        "data.subset": Range(0, 1, above=True),
        "data.processes": Range(1, 1024),
        "data.resident_bytes": _NOT_NEGATIVE,
        "data.rig.in_view": Range(0, 1, above=True),
        "data.rig.margin_px": _NOT_NEGATIVE,
        "data.rig.radial": _ANY,
        "data.rig.tangential": _ANY,
        "data.rig.cameras": _COUNT,
        "data.rig.width": Range(1, 100_000),
        "data.rig.height": Range(1, 100_000),
        "data.rig.roll_deg": Range(0, 90),
        "data.rig.*": _POSITIVE,
        "data.images.size": Range(16, 1024),
        "data.images.padding": Range(0.1, 10),
        "data.images.workers": Range(0, 1024),
        "data.images.max_megapixels": _POSITIVE,
        "data.scene.clutter_share": _SHARE,
        "data.scene.clutter_seconds": _POSITIVE,
        "data.scene.*": Range(0, 100),
        "data.detector.*missing_share": _PART,
        "data.detector.swap_share": _PART,
        "data.detector.*_share": _SHARE,
        "data.detector.occluded_confidence": _SHARE,
        "data.detector.*": _NOT_NEGATIVE,
        "clip.causal_shift": Range(0, 1_000_000),
        "clip.*": _MILLION,
        "model.*_rate": _PART,
        "model.time_depth": Range(0, 1000),
        "model.view_depth": Range(0, 1000),
        "model.*depth*": Range(1, 1000),
        "model.copies": Range(1, 1000),
        "model.temporal_frames": _NOT_NEGATIVE,
        "model.start_px": _NOT_NEGATIVE,
        "model.parents": Range(-1, 1000),
        "model.*": _SIZE,
        "objective.ranking_margin": _NOT_NEGATIVE,
        "objective.weights.*": _NOT_NEGATIVE,
        "corruption.*": _PART,
        "diffusion.noise_scale": _NOT_NEGATIVE,
        "diffusion.keypoint_deviation": _NOT_NEGATIVE,
        "diffusion.elongation": _POSITIVE,
        "diffusion.eta": _SHARE,
        "diffusion.beta_*": _SHARE,
        "diffusion.components": _NOT_NEGATIVE,
        "diffusion.training_steps": _NOT_NEGATIVE,
        "diffusion.fit_tolerance": _POSITIVE,
        "diffusion.*": _MILLION,
        "masking.frames": _PART,
        "masking.joints": _NOT_NEGATIVE,
        "semi_supervised.*": _NOT_NEGATIVE,
        "training.epochs": _COUNT,
        "training.max_steps": _COUNT,
        "training.batch_size": _COUNT,
        "training.learning_rate": _NOT_NEGATIVE,
        "training.learning_rate_decay": Range(0, 1, above=True),
        "training.weight_decay": _NOT_NEGATIVE,
        "training.optimizer.epsilon": _POSITIVE,
        "training.optimizer.*": _PART,
        "training.schedule.warmup_start": _SHARE,
        "training.schedule.*": _NOT_NEGATIVE,
        "training.batch_norm_momentum*": Range(0, 1, above=True),
        "training.gradient_clip": _POSITIVE,
        "training.accumulate": _COUNT,
        "training.ema_decay": _PART,
        "training.log_every": _COUNT,
        "checkpoint.every_steps": _COUNT,
        "checkpoint.keep": _COUNT,
        "evaluation.batch_size": _COUNT,
        "evaluation.every_epochs": _COUNT,
    }
)
"""Field, `*` for any -> its range; of tuples, the range of every element."""


NAMES = (
    "data.actions", "data.images.cameras", "data.split.*", "evaluation.exclude",
    "objective.learn_weights", "training.freeze", "training.init_only", "training.no_decay",
)  # fmt: skip
"""Fields, `*` for any, that are names or patterns of names."""


def numbers_in(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every number of a config, and all that is in tuples, with the field that it is in."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from numbers_in(value, f"{prefix}{name}.")
        elif isinstance(value, (tuple, list)):
            yield from ((prefix + name, part) for part in value)
        elif is_number(value):
            yield prefix + name, value


def is_number(value: Any) -> bool:
    """Whether it is a real number, which True and False are to Python, too."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def range_of(field: str) -> Range | None:
    """The range of a field; None if it has none."""
    field = field.removeprefix("context.")  # whose model is one as any
    return next((RANGES[p] for p in RANGES if fnmatch.fnmatchcase(field, p)), None)


def check_ranges(config: ConfigDict) -> None:
    """Checks every number of a config.

    Raises:
        InputError: naming the first field that is out of its range.
    """
    for field, value in numbers_in(config):
        expected = range_of(field)
        if expected is not None and not (is_number(value) and value in expected):
            raise InputError(f"config.{field} is {value!r}, expected {expected}")


def check_names(config: ConfigDict, prefix: str = "") -> None:
    """Checks that every field of `NAMES` is a list of names, which a text is not.

    Args:
        config: a whole config, or its part that begins with the prefix.
        prefix: `"data."`, for instance.

    Raises:
        InputError: one is something else.
    """
    for name, value in config.items():
        field = prefix + name
        if isinstance(value, ConfigDict):
            check_names(value, f"{field}.")
        elif any(fnmatch.fnmatchcase(field, pattern) for pattern in NAMES) and not (
            isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
        ):
            raise InputError(f"config.{field} is {value!r}; expected names, such as \"('a', 'b')\"")
