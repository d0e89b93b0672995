"""What an experiment can say, with defaults, and how a config file is read.

A config file is a small program with a `get_config(variant="")` that starts from
`default_config()` and changes what differs.  Every field can be set on the command line,
`--config.training.epochs=5`.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from jrepose import config_files, models, parallel
from jrepose.command import nearest, one_line
from jrepose.config_fields import check_names, check_ranges
from jrepose.data.simulation.detector import DetectorConfig
from jrepose.data.simulation.rig import RigConfig
from jrepose.data.simulation.scene import SceneConfig
from jrepose.data.windows import EVALUATION_KINDS, TRAINING_KINDS
from jrepose.diffusion.presets import PRESETS, Diffusion
from jrepose.errors import InputError, listed
from jrepose.keypoint_metrics import SIGMAS
from jrepose.losses.objective import LOSSES, loss_of
from jrepose.models.attention import CHOICES

_LOG = logging.getLogger(__name__)


AUTO = "auto"
"""Value of `training.accumulate`: what the memory needs."""


class _CountOrAutoParser(flags.ArgumentParser):
    def parse(self, argument: str | int) -> str | int:
        try:
            return AUTO if argument == AUTO else int(argument)
        except ValueError:
            raise ValueError(f"expected a whole number or '{AUTO}'") from None


class _CountOrAutoType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return value == AUTO or (isinstance(value, int) and not isinstance(value, bool))


@config_flags.register_flag_parser(parser=_CountOrAutoParser())
class CountOrAuto(metaclass=_CountOrAutoType):
    """Type of a field that is a whole number or `AUTO`."""


def default_config(benchmark: str | None = None, **data: Any) -> ConfigDict:
    """RePOSE as published, on a virtual capture of motion data or a benchmark.

    Args:
        benchmark, **data: as `source` and the fields of `set_benchmark`.

    Returns:
        A locked `ConfigDict`; the comments below are the documentation of the fields.
    """
    config = ConfigDict()
    config.name = "repose"
    config.task = "lifting"  # what is learned: a name of jrepose.tasks.TASKS
    config.seed = 0  # parameters, order of clips, flips and dropout
    config.precision = "float32"  # of the model's arithmetic: float32 or bfloat16
    # auto: what is fastest on the device; or plain, xla, cudnn, triton: models/attention.py.
    config.attention = "auto"

    config.data = ConfigDict()
    # procedural (embedded), mocap, human36m_sh, human36m, humaneva, mpi_inf_3dhp or custom; of
    # images, rendered (embedded) or images: docs/datasets.md says what each reads.
    config.data.source = "procedural"
    config.data.path = config_dict.placeholder(str)  # file or folder of the source
    config.data.cache = config_dict.placeholder(str)  # folder; None: ~/.cache/jrepose; "": none
    config.data.detections = "gt"  # human36m, humaneva: which 2D file, data_2d_*_DETECTIONS.npz
    config.data.keypoints = "detected"  # or ground_truth: the 2.5D label's x, y as input
    # diffpose: folder with the detector's heatmaps, see data/heatmaps.py; None: there are none.
    config.data.heatmaps = config_dict.placeholder(str)
    config.data.actions = ()  # benchmarks: only actions that begin so; () takes all
    config.data.subset = 1.0  # share of every training video, one run of its frames
    # What the model predicts: image, camera_m, camera_mm or camera_by_width (data/dataset.py);
    # None: the source's own.
    config.data.target_space = config_dict.placeholder(str)
    # Of keypoints and image-space targets: by the screen's width or relative to the person.
    config.data.scaling = "screen"
    config.data.label = "univ_annot3"  # mpi_inf_3dhp: or annot3, the subjects' true size
    config.data.frame_rate = 50.0  # Hz; motion is resampled to it
    config.data.seconds = 20.0  # procedural motion: length of each recording
    config.data.procedural_people = 0  # made-up people who join those that are filmed for training
    # procedural, mocap, training only: how often each recording is performed, by other bodies
    # (standard deviation of proportions) that hold their limbs otherwise (degrees).
    config.data.copies = 1
    config.data.body_spread = 0.0
    config.data.limb_spread_deg = 0.0
    config.data.seed = 0  # cameras, detector noise, procedural motion
    config.data.processes = 1  # procedural, mocap: that film the motion; the data is the same
    # Whose depth a label's z is relative to: this frame's root (LCN's script) or the root in
    # the video's first frame, which keeps the trajectory.
    config.data.depth_reference = "frame_root"
    config.data.resident_bytes = config_dict.placeholder(int)  # None: what the device offers
    config.data.split = ConfigDict()  # by subject, never by clip
    config.data.split.train = ()
    config.data.split.validation = ()
    config.data.split.test = ()
    config.data.split.unlabelled = ()  # semi_supervised: seen in training without their labels
    # Every field of the simulators, documented in their modules.
    config.data.rig = ConfigDict(dataclasses.asdict(RigConfig()))
    config.data.detector = ConfigDict(dataclasses.asdict(DetectorConfig()))
    config.data.scene = ConfigDict(dataclasses.asdict(SceneConfig()))

    config.data.images = ConfigDict()  # rendered, images: docs/images.md
    config.data.images.size = 224  # pixels of a crop's side
    config.data.images.padding = 1.25  # its side in the image over the box's longer one
    config.data.images.cameras = ()  # images: these, in this order; () takes all, by name
    config.data.images.workers = 0  # that make the crops of the coming steps; 0: one for each core
    config.data.images.processes = False  # they are processes; False: threads
    config.data.images.skip_broken = False  # images: leave out what cannot be read, and count it
    config.data.images.max_megapixels = 64.0  # images: larger ones are refused

    config.clip = ConfigDict()
    config.clip.frames = 243  # that the model sees
    config.clip.targets = config_dict.placeholder(int)  # that it predicts, the middle; None: all
    config.clip.every = 1  # a clip holds every k-th frame
    config.clip.causal_shift = 0  # frames by which the model's are moved into the past
    config.clip.stride = 81  # between training windows
    config.clip.evaluation_stride = 243
    # What becomes of tails and short videos, for training and evaluation: data/windows.py.
    config.clip.windows = "cover"
    config.clip.evaluation_windows = "cover"

    config.model = model_config("repose")

    config.objective = ConfigDict()
    config.objective.weights = objective_weights(mpjpe=1, spatial_ranking=20, temporal_ranking=20)
    # Factors of the weights by epoch, ((epoch, factor), ...): straight lines between the points.
    config.objective.schedule = objective_schedule()
    config.objective.ranking_reduction = "mean"  # or sum: Eq. 2-3 as printed
    # By how much depths must differ to be in order, at most by the true difference; 0 as published.
    config.objective.ranking_margin = 0.0
    config.objective.learn_weights = ()  # terms whose weight is learned (homoscedastic)

    # What is done to a model's inputs in training, as MotionBERT's: data/corruption.py.
    config.corruption = ConfigDict()
    config.corruption.projected = False  # the labels' x, y are the input, with full confidence
    # Errors and confidence of a detector: plain, or an NPZ file with its mean, std and weight.
    config.corruption.noise = config_dict.placeholder(str)
    config.corruption.joints = 0.0  # share of the joints that are masked, after the noise
    config.corruption.frames = 0.0  # of the frames

    config.masking = ConfigDict()  # task masked: what of a clip is masked
    config.masking.frames = 0.8  # share of the frames
    config.masking.joints = 2  # of every frame

    # Of the task semi_supervised: tasks/semi_supervised.py.
    config.semi_supervised = ConfigDict()
    config.semi_supervised.warmup_epochs = 1.0  # with labelled clips only
    config.semi_supervised.trajectory = 1.0  # weights; 0 leaves a term out
    config.semi_supervised.back_projection = 1.0
    config.semi_supervised.limb_lengths = 1.0
    config.semi_supervised.distortion = True  # of the lens, in the projection

    config.detection = ConfigDict()  # of the task detection, whose config.model is the detector
    config.detection.visible_only = True  # joints that are not seen do not count in the loss
    # Of AP and AR: how far annotators are apart, by anatomy, or coco: COCO's by number, published.
    config.detection.sigmas = "anatomy"

    # Of the task diffpose, whose config.model is the denoiser: the lifter that it is told of.
    config.context = ConfigDict()
    # A run, a PyTorch file, or a stage before; what is trained on it keeps a copy.
    config.context.path = config_dict.placeholder(str)
    config.context.model = ConfigDict()  # its name and hyperparameters, as config.model
    # How poses become noise and noise poses, every field of diffusion/presets.py.
    config.diffusion = diffusion_config("paper")

    config.training = ConfigDict()
    config.training.epochs = 100
    config.training.max_steps = config_dict.placeholder(int)  # stops earlier than the epochs
    config.training.batch_size = 32
    # adamw, adam or rmsprop, as PyTorch has them, or muon; what belongs to another one is not read.
    config.training.optimizer = ConfigDict()
    config.training.optimizer.name = "adamw"
    config.training.optimizer.amsgrad = False
    config.training.optimizer.beta1 = 0.9
    config.training.optimizer.beta2 = 0.999
    config.training.optimizer.epsilon = 1e-8
    config.training.optimizer.smoothing = 0.99  # rmsprop: PyTorch's alpha
    config.training.optimizer.momentum = 0.0  # rmsprop
    config.training.learning_rate = 5e-4
    config.training.learning_rate_decay = 0.99  # per epoch, or at each milestone
    # epoch_decay, steps or cosine, after a warm-up: training/schedule.py.
    config.training.schedule = ConfigDict()
    config.training.schedule.name = "epoch_decay"
    config.training.schedule.warmup_epochs = 0.0
    config.training.schedule.warmup_start = 0.0  # share of the rate with which they begin
    config.training.schedule.milestones = ()  # steps: epochs
    config.training.schedule.floor = 0.0  # cosine: the last rate
    config.training.weight_decay = 0.01
    # Patterns of variables, regular expressions such as "params/encoder/.*" or "batch_stats/.*":
    config.training.no_decay = ()  # parameters without weight decay
    config.training.freeze = ()  # what is not trained, statistics that keep their values
    config.training.init_only = ()  # what is taken of the weights to begin with; (): all
    # Batch normalisation's momentum, PyTorch's, in the first epoch and towards the last.
    config.training.batch_norm_momentum = config_dict.placeholder(float)
    config.training.batch_norm_momentum_end = config_dict.placeholder(float)
    config.training.flip = True
    config.training.root = "clip_first"  # or frame: labels relative to each frame's root
    config.training.gradient_times_loss = False  # MixSTE's code
    config.training.gradient_clip = config_dict.placeholder(float)  # global norm
    # Micro-batches a step; "auto": the fewest whose step fits into memory.
    config.training.accumulate = config_dict.FieldReference(1, field_type=CountOrAuto)
    config.training.ema_decay = config_dict.placeholder(float)
    config.training.log_every = 20  # steps

    config.checkpoint = ConfigDict()
    config.checkpoint.every_steps = 500
    config.checkpoint.keep = 3  # newest; the best by its validation score is kept besides

    config.evaluation = ConfigDict()
    config.evaluation.batch_size = 32
    config.evaluation.flip = True
    # Frames in several windows: once (the most central), average (of the errors) or slots
    # (every slot of every window counts, repeated frames too).
    config.evaluation.overlap = "once"
    # Score against image or camera poses; None: the space that the model predicts.
    config.evaluation.target = config_dict.placeholder(str)
    # The predicted root: subtract (from all joints), zero (set to 0, then subtract) or keep.
    config.evaluation.root = "subtract"
    config.evaluation.keep_keypoints = False  # predicted x, y become the input's: depth only
    # The mean is over each subject's actions (HumanEva) or, False, over actions of all subjects.
    config.evaluation.by_subject = False
    config.evaluation.exclude = ()  # SUBJECT/ACTION left out of the means, "S3/Walking"
    config.evaluation.every_epochs = 1
    # Score that says which checkpoint is best, "pa_mpjpe" for instance; None: the task's, MPJPE.
    config.evaluation.best_by = config_dict.placeholder(str)

    # Stages that are run in the order of their names, each beginning with the weights of the one
    # before: name -> what differs, a config in part.  `training.init_only` says what it takes.
    config.stages = ConfigDict()

    config.published = config_dict.placeholder(str)  # system whose published row is shown
    if benchmark is not None:
        set_benchmark(config, benchmark, **data)
    return config


_HUMAN36M = (("S1", "S5", "S6", "S7", "S8"), ("S9", "S11"))

_BENCHMARKS: Mapping[str, tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {
        "human36m": ("data/human36m", _HUMAN36M),
        "human36m_sh": ("data/h36m_sh_conf_cam_source_final.pkl", _HUMAN36M),
        "humaneva": (
            "data/humaneva",
            (
                ("Train/S1", "Train/S2", "Train/S3"),
                ("Validate/S1", "Validate/S2", "Validate/S3"),
            ),
        ),
        "mpi_inf_3dhp": (
            "data/mpi_inf_3dhp",
            (
                ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8"),
                ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6"),
            ),
        ),
    }
)
"""Source of data -> where configs expect it, and the subjects of training and of the test."""


def set_benchmark(config: ConfigDict, source: str, **data: Any) -> None:
    """Fills the `data` section with a benchmark, split as the field does.

    Validation is on the test subjects, as in published code, so that published numbers contain the
    choice of the epoch; ours do likewise.

    Args:
        config: changed in place.
        source: human36m, human36m_sh, humaneva or mpi_inf_3dhp.
        **data: further fields of the section.
    """
    path, (train, test) = _BENCHMARKS[source]
    config.data.update(source=source, path=path, **data)
    config.data.split.update(train=train, validation=test, test=test)


def settings_of(config: str, variants: Mapping[str, Any], variant: str) -> Any:
    """What a config's table says of a variant.

    Args:
        config: name of the config.
        variants: name -> settings; the plain config's name is empty.
        variant: chosen on the command line, after a colon.

    Raises:
        InputError: no such variant.
    """
    if variant not in variants:
        raise InputError(
            f"configs/{config}.py has no variant {variant!r}; "
            f"it has {', '.join(filter(None, variants))}"
        )
    return variants[variant]


def model_config(name: str, **changes: Any) -> ConfigDict:
    """The `model` section: a name and every hyperparameter, so that each can be set by a flag.

    The compute dtype is not among them: it is the config's `precision`.

    Args:
        name: a key of `jrepose.models.MODELS`.
        **changes: hyperparameters that differ from the published ones.

    Raises:
        InputError: no such model.
        AttributeError, TypeError: it has no such hyperparameter, or one of another type.
    """
    section = ConfigDict({"name": name})
    for field, value in models.hyperparameters(name).items():
        if field != "dtype":
            section[field] = config_dict.placeholder(float) if value is None else value
    section.lock()
    section.update(changes)
    return section


def diffusion_config(preset: str, **changes: Any) -> ConfigDict:
    """The `diffusion` section: every field of `diffusion.presets.Diffusion`.

    Args:
        preset: a name in `diffusion.presets.PRESETS`.
        **changes: fields that differ from it.

    Raises:
        KeyError: no such preset.
    """
    section = ConfigDict(dataclasses.asdict(PRESETS[preset]))
    section.lock()
    section.update(changes)
    return section


def objective_weights(**weights: float | int) -> ConfigDict:
    """The `objective.weights` section: every loss, so that each can be set by a flag.

    Args:
        **weights: loss names (`jrepose.losses.objective.LOSSES`), or `OUTPUT/LOSS` for a model
            of several outputs, and weights.  A loss of weight 0 is evaluated and reported without
            being trained on; the others, None, are left out.

    Raises:
        KeyError: no such loss.
    """
    section = ConfigDict({name: config_dict.placeholder(float) for name in LOSSES})
    _check_losses(weights)
    section.update({name: float(weight) for name, weight in weights.items()})
    section.lock()
    return section


def objective_schedule(**points: Sequence[tuple[float, float]]) -> ConfigDict:
    """The `objective.schedule` section: every loss, so that each can be set by a flag.

    Args:
        **points: loss names and (epoch, factor) points, see
            `jrepose.losses.objective.piecewise_linear`; the others keep their weight.

    Raises:
        KeyError: no such loss.
    """
    section = ConfigDict({name: () for name in LOSSES})
    _check_losses(points)
    section.update({name: tuple(value) for name, value in points.items()})
    section.lock()
    return section


def _check_losses(names: Iterable[str]) -> None:
    for name in names:
        if loss_of(name) not in LOSSES:
            raise KeyError(f"no loss {name!r}; known: {', '.join(LOSSES)}")


_KINDS = {"diffpose": "DENOISERS", "d3dp": "DENOISERS", "detection": "DETECTORS"}
"""Task -> the registry of `models` that its model is in, where that is not `MODELS`."""

# Their keys belong to the room that reads them, which refuses unknown ones itself.
_OF_OUTPUTS = ("objective.weights.", "objective.schedule.")
_OPEN_SECTIONS = ("model", "context.model", "objective.weights", "objective.schedule", "stages")


def check_config(config: ConfigDict) -> None:
    """Checks that a config has the known fields and no other, and values that can be.

    Raises:
        InputError: naming the first field that is unknown, missing or out of its range.
    """
    _check_fields(config)
    _check_values(config)


def _check_fields(config: ConfigDict) -> None:
    def compare(given: ConfigDict, known: ConfigDict, prefix: str) -> None:
        for key in given:
            if key not in known:
                raise InputError(
                    f"unknown config field config.{prefix}{key}; "
                    f"config.{prefix}* has {', '.join(sorted(known))}"
                )
        for key in known:
            if key not in given:
                raise InputError(f"config field config.{prefix}{key} is missing")
            if isinstance(known[key], ConfigDict) != isinstance(given[key], ConfigDict):
                raise InputError(f"config field config.{prefix}{key} is {given[key]!r}")
            if given[key] is None and known[key] is not None:
                raise InputError(f"config field config.{prefix}{key} is None")
            if given[key] is not None and not isinstance(known[key], ConfigDict):
                _check_type(f"config.{prefix}{key}", given[key], known.get_type(key))
            if isinstance(known[key], ConfigDict) and prefix + key not in _OPEN_SECTIONS:
                compare(given[key], known[key], f"{prefix}{key}.")

    compare(config, default_config(), "")
    if "name" not in config.model:
        raise InputError("config field config.model.name is missing")


_TYPES: Mapping[type, tuple[tuple[type, ...], str]] = MappingProxyType(
    {
        bool: ((bool,), "True or False"),
        int: ((int,), "a whole number"),
        float: ((int, float), "a number"),
        str: ((str,), "a text"),
        tuple: ((tuple, list), "a tuple"),
        CountOrAuto: ((CountOrAuto,), f"a whole number or '{AUTO}'"),
    }
)
"""Type of a field -> those of its values, and what they are called."""


def _check_type(field: str, value: Any, expected: type) -> None:
    types, called = _TYPES[expected]
    # True is a number to Python.
    if not isinstance(value, types) or (isinstance(value, bool) and expected is not bool):
        raise InputError(f"config field {field} is {value!r}, expected {called}")


def _check_values(config: ConfigDict) -> None:
    check_ranges(config)
    check_names(config)
    if config.precision not in ("float32", "bfloat16"):
        raise InputError(
            f"config.precision is {config.precision!r}, expected 'float32' or 'bfloat16'"
        )
    if config.attention not in CHOICES:
        raise InputError(
            f"config.attention is {config.attention!r}, expected one of {', '.join(CHOICES)}"
        )
    if config.attention == "cudnn" and config.precision != "bfloat16":
        raise InputError(
            "config.attention is 'cudnn', which needs config.precision=bfloat16, not "
            f"{config.precision}"
        )
    for field, value, known in (
        ("clip.windows", config.clip.windows, TRAINING_KINDS),
        ("clip.evaluation_windows", config.clip.evaluation_windows, EVALUATION_KINDS),
    ):
        if value not in known:
            raise InputError(f"config.{field} is {value!r}, expected one of {', '.join(known)}")
    for name, points in config.objective.schedule.items():
        if not isinstance(points, tuple):
            raise InputError(
                f"config.objective.schedule.{name} is {points!r}, expected pairs (epoch, factor)"
            )
    training = config.training
    if training.batch_norm_momentum_end is not None and training.batch_norm_momentum is None:
        raise InputError(
            "config.training.batch_norm_momentum_end is set; expected batch_norm_momentum, from "
            "which it goes there, to be set too"
        )
    if training.gradient_times_loss and config.objective.learn_weights:
        raise InputError(
            "config.training.gradient_times_loss needs a loss above 0, and with "
            "objective.learn_weights it falls below: expected one of the two"
        )
    stage_configs(config)
    models.create(**config.model.to_dict())
    axis = config.model.get("batch_norm_axis", "")
    if axis not in ("", parallel.AXIS):
        raise InputError(
            f"config.model.batch_norm_axis is {axis!r}, expected {parallel.AXIS!r}, or '' for none"
        )
    known = getattr(models, _KINDS.get(config.task, "MODELS"))
    wanted = models.kind(next(iter(known)))
    if config.model.name not in known:
        raise InputError(
            f"config.model.name is {config.model.name!r}, {models.kind(config.model.name)}; "
            f"expected {wanted}, one of {', '.join(known)}"
        )
    if "name" in config.context.model:
        models.create(**config.context.model.to_dict())
        if config.context.model.name not in models.MODELS:
            name = config.context.model.name
            raise InputError(
                f"config.context.model.name is {name!r}, {models.kind(name)}; "
                f"expected a lifter, one of {', '.join(models.MODELS)}"
            )
    if config.detection.sigmas not in SIGMAS:
        raise InputError(
            f"config.detection.sigmas is {config.detection.sigmas!r}, expected one of "
            + ", ".join(SIGMAS)
        )
    Diffusion(**config.diffusion.to_dict())
    RigConfig.from_mapping(config.data.rig.to_dict())
    DetectorConfig.from_mapping(config.data.detector.to_dict())
    SceneConfig.from_mapping(config.data.scene.to_dict())


def load_config(spec: str) -> ConfigDict:
    """The config that `--config` names.

    Args:
        spec: name of a config that comes with jrepose, a config file, or a run's `config.json`;
            `NAME:VARIANT` for a variant.

    Raises:
        InputError: no such config, a file that is none, or unknown or missing fields.
    """
    path, variant = config_files.find(spec)
    if path.suffix == ".json":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: {one_line(error)}") from error
        try:
            return from_json(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    config = config_files.run(path, variant)
    _check_fields(config)
    return config


def parse_flags(
    flag_values: flags.FlagValues,
    argv: Sequence[str],
    fallback: Callable[[], ConfigDict] | None = None,
) -> ConfigDict:
    """Parses a command line with `--config` and `--config.FIELD=VALUE`.

    `None` as a value takes out what may be absent: a loss, `training.gradient_clip`.  Of a stage
    every field can be set, `--config.stages.STAGE.FIELD=VALUE`, whether it differs there or not.

    Args:
        flag_values: holds the flags that the command defined itself; filled.
        argv: program name, then the arguments.
        fallback: gives the config where `--config` is not there; None: it must be.

    Returns:
        The config, checked.

    Raises:
        InputError: unknown flag or field, unreadable file, a value of the wrong type or out of
            its range, or `--config` is missing.
    """
    spec, rest = _take_config(argv)
    if spec is None and fallback is None:
        raise InputError("--config FILE is missing: a file, or a name that `jrepose configs` lists")
    config = fallback() if spec is None else load_config(spec)
    rest, of_stages = _take_stage_fields(rest, config.stages)
    rest, removed = _take_removed(rest, config)
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=flag_values, sys_argv=rest)
        left = flag_values(rest)
        config = flag_values["config"].value
        config.update_from_flattened_dict(dict.fromkeys(removed))
    except (flags.Error, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(_flag_complaint(error)) from error
    if len(left) > 1:
        raise InputError(f"unexpected argument {left[1]!r}")
    for name, tokens in of_stages.items():
        _set_in_stage(config, name, [argv[0], *tokens])
    check_config(config)
    return config


def _take_config(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of the last `--config`, and the rest of the command line."""
    spec, rest, given = None, [], iter(argv)
    for token in given:
        name, equals, value = token.partition("=")
        if name not in ("--config", "-config"):
            rest.append(token)
            continue
        spec = value if equals else next(given, "")
        if not spec:
            raise InputError("--config has no value")
    return spec, rest


def _take_stage_fields(
    argv: Sequence[str], stages: ConfigDict
) -> tuple[list[str], dict[str, list[str]]]:
    """The command line without fields of stages, and each stage's as those of a config."""
    rest: list[str] = []
    taken: dict[str, list[str]] = {}
    given = iter(argv)
    for token in given:
        name, equals, value = token.partition("=")
        found = re.fullmatch(r"--?config\.stages\.(.*)", name)
        if not found:
            rest.append(token)
            continue
        stage = next((stage for stage in stages if found[1].startswith(f"{stage}.")), None)
        if stage is None:
            there = f"the stages are {listed(list(stages))}" if stages else "there are no stages"
            raise InputError(f"unknown config field stages.{found[1]}; {there}")
        field = found[1].removeprefix(f"{stage}.")
        value = value if equals else next(given, "")
        taken.setdefault(stage, []).append(f"--config.{field}={value}")
    return rest, taken


def _set_in_stage(config: ConfigDict, name: str, argv: Sequence[str]) -> None:
    try:
        stage = parse_flags(flags.FlagValues(), argv, lambda: _stage_config(config, name))
    except InputError as error:
        raise InputError(f"config.stages.{name}: {error}") from error
    for token in argv[1:]:
        *sections, field = token.removeprefix("--config.").partition("=")[0].split(".")
        value, changes = stage, config.stages[name]
        with changes.unlocked(), changes.ignore_type():
            for section in sections:
                value = value[section]
                if section not in changes:
                    changes[section] = ConfigDict()
                changes = changes[section]
            field = field.partition("[")[0]  # of a tuple all
            changes[field] = value.get(field)


def _take_removed(argv: Sequence[str], config: ConfigDict) -> tuple[list[str], list[str]]:
    """The command line without `--config.FIELD=None`, and these fields."""
    rest: list[str] = []
    removed: dict[str, bool] = {}  # whether the last word about the field is None
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        name, equals, value = token.partition("=")
        field = name.lstrip("-").removeprefix("config.")
        if not re.match(r"--?config\.", name) or not _may_be_absent(field, config):
            rest.append(token)
            continue
        separate = not equals and bool(tokens)
        if (tokens[0] if separate else value) == "None":
            removed[field] = True
            tokens = tokens[separate:]
        else:
            removed[field] = False
            rest.append(token)
    return rest, [field for field, last in removed.items() if last]


def _may_be_absent(field: str, config: ConfigDict) -> bool:
    section, _, name = field.rpartition(".")
    if section == "objective.weights":
        return loss_of(name) in LOSSES
    if section == "model":
        return models.hyperparameters(config.model.name).get(name, 0) is None
    known: Any = default_config()
    for part in field.split("."):
        if not isinstance(known, ConfigDict) or part not in known:
            return False
        known = known[part]
    return known is None


def _flag_complaint(error: Exception) -> str:
    message = one_line(error)
    if isinstance(error, AttributeError | KeyError):
        suggestion = re.search(r'Did you mean "(.+)" instead of "(.+)"', message)
        if suggestion:
            return f"unknown config field {suggestion[2]}; did you mean {suggestion[1]}?"
        return "unknown config field " + re.sub(r"[\\'\"]", "", message)
    return message


def stage_configs(config: ConfigDict) -> dict[str, ConfigDict]:
    """The configs of a config's stages, in the order of their names; without stages none.

    Raises:
        InputError: a name that is no folder's, or a value that cannot be.
    """
    found = {}
    for name in config.stages:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise InputError(f"config.stages has {name!r}; expected the name of a folder")
        stage = _stage_config(config, name)
        try:
            check_config(stage)
        except InputError as error:
            raise InputError(f"config.stages.{name}: {error}") from error
        if stage.data != config.data:
            raise InputError(
                f"config.stages.{name} changes data, which all stages share; expected no field of "
                "data in it"
            )
        found[name] = stage
    return found


def _stage_config(config: ConfigDict, name: str) -> ConfigDict:
    """A stage's config, whose values are not yet checked."""
    changes = config.stages[name]
    if not isinstance(changes, ConfigDict) or "stages" in changes:
        expected = "expected a config in part, without stages of its own"
        raise InputError(f"config.stages.{name} is {changes!r:.60}; {expected}")
    stage = copy.deepcopy(config)  # with the types of the fields
    stage.stages = ConfigDict()
    stage.name = f"{config.name}/{name}"
    model = changes.get("model")
    changed = model.get("name") if isinstance(model, ConfigDict) else None
    if changed not in (None, stage.model.name):  # other hyperparameters belong to it
        stage.model = model_config(str(changed))
    _check_sections(changes, stage, f"config.stages.{name}")
    try:
        stage.update(changes)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"config.stages.{name}: {_flag_complaint(error)}") from error
    return stage


def _check_sections(changes: ConfigDict, known: ConfigDict, field: str) -> None:
    for name, value in changes.items():
        if isinstance(section := known.get(name), ConfigDict):
            if not isinstance(value, ConfigDict):
                raise InputError(f"{field}.{name} is {value!r:.60}, expected a section")
            _check_sections(value, section, f"{field}.{name}")


def to_json(config: ConfigDict) -> str:
    """The resolved config as JSON, fields in their order."""
    return json.dumps(config.to_dict(), indent=2)


def from_json(text: str) -> ConfigDict:
    """A config from what `to_json` wrote.

    Raises:
        InputError: not such a text.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"not a config in JSON: {one_line(error)}") from error
    return from_plain(values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _section(values: Any, field: str) -> ConfigDict:
    if not isinstance(values, Mapping):
        raise InputError(f"{field} is {values!r}, expected a section")
    content = {
        name: _section(value, f"{field}.{name}") if isinstance(value, Mapping) else _tuples(value)
        for name, value in values.items()
    }
    try:
        return ConfigDict(content)
    except ValueError as error:  # a name with a dot
        raise InputError(f"{field}: {one_line(error)}") from error


def from_plain(values: Any) -> ConfigDict:
    """A config from plain values, as a checkpoint holds them.

    Fields that are not there, for an older version wrote them, get their defaults, and a line
    says so.

    Raises:
        InputError: not a config, an unknown field, or a value that cannot be.
    """
    config, absent = default_config(), []
    if not isinstance(values, Mapping) or not isinstance(values.get("model"), Mapping):
        raise InputError("not a config: it has no model")
    if "name" not in values["model"]:
        raise InputError("config field config.model.name is missing")
    config.model = model_config(str(values["model"]["name"]))
    of_context = values.get("context")
    of_context = of_context.get("model") if isinstance(of_context, Mapping) else None
    if isinstance(of_context, Mapping) and "name" in of_context:
        config.context.model = model_config(str(of_context["name"]))
    stages = _section(values.get("stages", {}), "config.stages")

    def fill(section: ConfigDict, given: Mapping[str, Any], prefix: str) -> None:
        for name, value in given.items():
            field = f"config.{prefix}{name}"
            if name not in section and prefix in _OF_OUTPUTS and loss_of(name) in section:
                with section.unlocked():  # OUTPUT/LOSS
                    section[name] = section[loss_of(name)]
            if name not in section:
                raise InputError(f"unknown config field {field}{nearest(name, list(section))}")
            if isinstance(section[name], ConfigDict):
                if not isinstance(value, Mapping):
                    raise InputError(f"config field {field} is {value!r}, expected a section")
                fill(section[name], value, f"{prefix}{name}.")
                continue
            if value is not None:
                _check_type(field, value, section.get_type(name))
            try:
                section[name] = _tuples(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise InputError(f"config field {field}: {one_line(error)}") from error
        absent.extend(prefix + name for name in section if name not in given)

    fill(config, {**values, "stages": {}}, "")
    config.stages = stages
    if absent:
        _LOG.info("the config lacks %s, which have their defaults", listed(absent))
    check_config(config)
    return config
