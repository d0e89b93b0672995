"""Weights with all that is needed to use them: a run's, a PyTorch file's, an archive of ours.

An archive is one NPZ: the variables by their paths (`params/head/kernel`, float16 or float32), and
under `description` the fields of `Pretrained` as JSON.  Weights that ship with jrepose are such
archives in `jrepose/weights/`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax.errors import FlaxError
from flax.traverse_util import flatten_dict

from jrepose import checkpoints, interop, models
from jrepose.data.dataset import TARGET_SPACES
from jrepose.errors import InputError
from jrepose.files import atomic_path
from jrepose.interop.archives import FOLDER, find_archive, read_archive
from jrepose.interop.weights import check_finite, variables_of
from jrepose.skeleton import HUMAN36M_17, SKELETONS, Skeleton
from jrepose.tasks.lifting import Lifting

SCALINGS = ("screen", "box", "person")

_ARRAYS = ("params", "batch_stats")
# What a description that cannot be runs into.
_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)
_MOST_FRAMES = 100_000
_SLOWEST, _FASTEST = 0.01, 10_000.0  # Hz


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A lifting network and what it was trained for.

    Args:
        model: name in `jrepose.models` and hyperparameters that differ from the published ones.
        variables: what `model.apply` takes.
        skeleton: joints of the poses.
        keypoint_skeleton: joints of the keypoints.
        target_space: what the poses are, see `jrepose.data.dataset.PoseDataset`.
        frames: of a clip.
        frame_rates: of the videos that it was trained on, Hz; rates between the least and the
            largest are taken as they are.
        scaling: of x and y.  `"screen"`: the picture's width becomes [-1, 1], y by the same scale.
            `"box"`: the longer side of the box around all keypoints of the video does (MotionBERT).
            `"person"`: relative to the person (`jrepose.data.scaling.person_scale`).
        causal_shift: frames by which a clip's inputs are earlier than those around its output.
        origin: where it is from.
        notes: what it does not say itself and is assumed, a sentence each.

    Raises:
        InputError: an unknown target space or scaling, or a value that cannot be.
    """

    model: Mapping[str, Any]
    variables: Mapping[str, Any]
    skeleton: Skeleton
    keypoint_skeleton: Skeleton
    target_space: str
    frames: int
    frame_rates: tuple[float, ...]
    scaling: str = "screen"
    causal_shift: int = 0
    origin: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.target_space not in TARGET_SPACES:
            raise InputError(f"{self.origin}: target_space is {self.target_space!r}; expected one "
                             f"of {', '.join(TARGET_SPACES)}")  # fmt: skip
        if self.scaling not in SCALINGS:
            raise InputError(
                f"{self.origin}: scaling is {self.scaling!r}; expected one of {', '.join(SCALINGS)}"
            )
        if not (type(self.frames) is int and 0 < self.frames <= _MOST_FRAMES):
            raise InputError(f"{self.origin}: clips of {self.frames} frames")
        rates = self.frame_rates
        if not rates or not all(_SLOWEST <= rate <= _FASTEST for rate in rates):
            raise InputError(f"{self.origin}: frame_rates are {rates}; expected numbers from "
                             f"{_SLOWEST:g} to {_FASTEST:g}")  # fmt: skip
        if not (type(self.causal_shift) is int and 0 <= self.causal_shift < self.frames):
            raise InputError(
                f"{self.origin}: causal_shift is {self.causal_shift!r}; expected a number of "
                f"frames, from 0 to {self.frames - 1}"
            )

    @functools.cached_property
    def task(self) -> Lifting:
        """The network as a task, whose `predict` averages with the mirrored prediction if asked."""
        return Lifting(models.create(**self.model), self.skeleton, self.keypoint_skeleton)

    def frames_out(self, frames: int) -> int:
        """Poses that the network makes of a clip of so many frames.

        Raises:
            InputError: it takes no such clip, or its poses are not of the skeleton's joints.
        """
        clip = jax.ShapeDtypeStruct((1, frames, self.keypoint_skeleton.num_joints, 3), np.float32)
        try:
            _, frames_out, joints, _ = jax.eval_shape(
                lambda *operands: self.task.predict(*operands, None, flip=False),
                dict(self.variables),
                {"keypoints": clip},
            ).shape
        except (InputError, TypeError, ValueError, FlaxError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{self.origin}: a network that takes no clips of {frames} frames of "
                f"{self.keypoint_skeleton.num_joints} joints: {reason}"
            ) from None
        if joints != self.skeleton.num_joints:
            raise InputError(
                f"{self.origin}: a network of {joints} joints, described as one of the "
                f"{self.skeleton.num_joints} of {self.skeleton.name}"
            )
        return frames_out

    def save(self, path: str | os.PathLike[str], *, half: bool = True) -> None:
        """Writes an archive.

        Args:
            path: `.npz`.
            half: parameters in float16, half the size; what depends on it is below the noise of
                any detector.

        Raises:
            InputError: it cannot be written.
        """
        of_file = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("variables", "skeleton", "keypoint_skeleton", "origin", "notes")
        }
        of_file |= {"skeleton": _plain(self.skeleton)}
        of_file |= {"keypoint_skeleton": _plain(self.keypoint_skeleton)}
        arrays = {
            "/".join(key): np.asarray(value, np.float16 if half and key[0] == "params" else None)
            for key, value in flatten_dict(dict(self.variables)).items()
            if key[0] in _ARRAYS
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, description=np.array(json.dumps(of_file)), **arrays)


def load_pretrained(spec: str | os.PathLike[str]) -> Pretrained:
    """Weights by name, or from a file or folder.

    Args:
        spec: name of weights that come with jrepose; an archive (`.npz`); workdir of a run, one
            checkpoint of it or a converted one; or a PyTorch file, MotionBERT's and RePOSE's
            public ones for instance, `FILE::ENTRY` for a part of it.

    Raises:
        InputError: nothing there, damaged, or no lifting network; in one line.
    """
    path = pathlib.Path(spec)
    if path.is_dir():
        return _of_checkpoint(path)
    archive = find_archive(spec)
    if archive is not None:
        return _of_archive(archive)
    file = pathlib.Path(str(spec).partition("::")[0])
    if not file.exists():
        shipped = sorted(archive.stem for archive in FOLDER.glob("*.npz")) or ["none"]
        raise InputError(f"no weights {str(spec)!r}: neither a file nor a run, and jrepose comes "
                         f"with {', '.join(shipped)}")  # fmt: skip
    return _of_torch(str(spec), file)


def _of_archive(path: pathlib.Path) -> Pretrained:
    fields, variables = read_archive(path)
    check_finite(flatten_dict(variables), path)
    try:
        models.create(**fields["model"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    try:
        for name in ("skeleton", "keypoint_skeleton"):
            fields[name] = _skeleton(fields[name], path)
        if not isinstance(fields["frame_rates"], list):
            raise TypeError("frame_rates are no list")
        fields["frame_rates"] = tuple(map(float, fields["frame_rates"]))
        fields.pop("notes", None)  # what is in the file it says itself
        return Pretrained(variables=variables, origin=str(path), **fields)
    except InputError:
        raise
    except _UNUSABLE as error:
        raise InputError(f"{path}: no archive of weights ({error})") from None


def _of_checkpoint(path: pathlib.Path) -> Pretrained:
    checkpoint = checkpoints.load(path)
    model = checkpoint.model
    if model["name"] not in models.MODELS:
        raise InputError(
            f"{path}: {model['name']}, {models.kind(model['name'])}; expected a lifter, "
            f"one of {', '.join(models.MODELS)}"
        )
    variables = variables_of(checkpoint, model)
    description = checkpoint.description
    if not description:
        assumed = _assumed(model["name"], models.create(**model), "box", str(path))
        return dataclasses.replace(assumed, model=model, variables=_of_network(variables))
    try:
        return _described(description, model, _of_network(variables), checkpoint.path)
    except InputError:
        raise
    except _UNUSABLE as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: its description cannot be ({reason})") from None


def _described(
    description: Mapping[str, Any],
    model: Mapping[str, Any],
    variables: Mapping[str, Any],
    path: pathlib.Path,
) -> Pretrained:
    """The network of a run that says what it was trained on."""
    known = {
        "joints": description["joints"],
        "parents": description.get("joint_parents"),
        "pairs": description.get("joint_pairs"),
    }
    of_keypoints = {
        "joints": description["keypoint_joints"],
        "parents": description.get("keypoint_parents"),
        "pairs": description.get("keypoint_pairs"),
    }
    clip = description["clip"]
    every = clip.get("every", 1)
    return Pretrained(
        model=model,
        variables=variables,
        skeleton=_skeleton({"name": description["skeleton"], **known}, path),
        keypoint_skeleton=_skeleton(
            {"name": description["keypoint_skeleton"], **of_keypoints}, path
        ),
        target_space=description["target_space"],
        # A network that slides is trained on longer clips than it needs.
        frames=min(clip["frames"], models.create(**model).input_shape[0]),
        frame_rates=tuple(rate / every for rate in description["frame_rates"]),
        scaling=description.get("scaling", "screen"),
        causal_shift=clip.get("causal_shift", 0),
        origin=str(path),
    )


def _of_network(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if name in _ARRAYS}


_PUBLIC: Mapping[str, dict[str, Any]] = {
    # Trained at 50 Hz, pre-trained at 30 and less, and used on videos of any rate.
    "DSTformer": {"target_space": "image", "frame_rates": (25.0, 60.0)},
    "STCFormer": {"target_space": "camera_m", "frame_rates": (50 / 3,)},
}
"""What public weights of a network were trained for, where not for Human3.6M at 50 Hz in metres."""


def _of_torch(spec: str, path: pathlib.Path) -> Pretrained:
    file, _, entry = spec.partition("::")
    weights = interop.read_state_dict(file, entry or None)
    noted = interop.read_model(file)
    name = noted["name"] if noted else _network_of(weights, path)
    chosen = interop.infer_hyperparameters(name, weights)
    chosen |= {key: value for key, value in (noted or {}).items() if key != "name"}
    try:
        variables = interop.from_torch(name, weights, **chosen)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    assumed = _assumed(name, models.create(name, **chosen), "box", str(path))
    return dataclasses.replace(assumed, model={"name": name, **chosen}, variables=variables)


def _network_of(weights: Mapping[str, np.ndarray], path: pathlib.Path) -> str:
    """The first model whose network the weights are."""
    seen = set()
    for name, (network, _) in models.MODELS.items():
        if network in seen:
            continue
        seen.add(network)
        try:
            interop.infer_hyperparameters(name, weights)
        except InputError:
            continue
        return name
    raise InputError(f"{path}: weights of no network that jrepose has ({', '.join(models.MODELS)})")


def _assumed(name: str, model: Any, scaling: str, origin: str) -> Pretrained:
    """What weights that do not say it were trained for: Human3.6M, as its network's authors did."""
    network = type(model).__name__
    known = _PUBLIC.get(network, {"target_space": "camera_m", "frame_rates": (50.0,)})
    frames, joints, _ = model.input_shape
    if joints != HUMAN36M_17.num_joints:
        raise InputError(
            f"{origin}: a network for {joints} joints, and the file does not say which"
        )
    scaling = scaling if network == "DSTformer" else "screen"
    return Pretrained(
        model={"name": name},
        variables={},
        skeleton=HUMAN36M_17,
        keypoint_skeleton=HUMAN36M_17,
        frames=frames,
        scaling=scaling,
        origin=origin,
        notes=(
            f"{network} weights that do not say what they were trained for: taken for Human3.6M's "
            f"joints, {known['target_space']} poses, keypoints scaled by the "
            f"{'box around them' if scaling == 'box' else 'picture'}",
        ),
        **known,
    )


def _plain(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "name": skeleton.name,
        "joints": list(skeleton.joint_names),
        "parents": list(skeleton.parents),
        "pairs": [list(pair) for pair in zip(skeleton.left, skeleton.right, strict=True)],
    }


def _skeleton(fields: Mapping[str, Any], where: str | os.PathLike[str]) -> Skeleton:
    """The known skeleton of that name and these joints, or one of the file's own."""
    if not all(isinstance(name, str) for name in (fields["name"], *fields["joints"])):
        raise InputError(f"{where}: the name of a joint or a skeleton is no text")
    known, parents = SKELETONS.get(fields["name"]), fields.get("parents")
    if known is not None and all(
        fields.get(field) in (None, value) for field, value in _plain(known).items()
    ):
        return known
    if parents is None or fields.get("pairs") is None:
        raise InputError(f"{where}: trained on joints of {fields['name']}, and does not say how "
                         "they are connected (a checkpoint of an older version)")  # fmt: skip
    left, right = zip(*fields["pairs"], strict=True) if fields["pairs"] else ((), ())
    for joint in (*parents, *left, *right):
        if type(joint) is not int:
            raise InputError(f"{where}: a joint of skeleton {fields['name']} is number {joint!r}")
    try:
        return Skeleton(fields["name"], tuple(fields["joints"]), tuple(parents), left, right)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
