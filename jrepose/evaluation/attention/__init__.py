"""What a transformer attends to: pictures of its attention weights.

    jrepose attention --checkpoint RUN --clip 3

Any model of `jrepose.models` that is built on `models.layers.Attention` can be looked at.  Two
pictures are written, as in MixSTE's Figure 5: joints by joints (spatial attention) and frames by
frames (temporal attention), averaged over the heads.  Row i says where output i looks; the rows
of the weights themselves sum to 1.

MixSTE's paper takes the temporal map from the last temporal block and normalises to [0, 1]; it
does not state the block of the spatial map, whether a map is the mean over frames (spatial) or
joints (temporal) or that of one, nor how it is normalised.  Here both are of the same layer, the
last or `--layer N`; the mean, or `--frame N` and `--joint NAME`; and scaled so that the smallest
weight is 0 and the largest 1, or `--scale max`, so that 0 remains 0.  A model with several
streams gets one panel for each.

The paper's clip is of S11, SittingDown:

    --config.data.split.test="('S11',)" --config.data.actions="('SittingDown',)" --clip 0
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Float, Float32, PyTree
from ml_collections import ConfigDict

from jrepose.data.dataset import PoseDataset
from jrepose.data.windows import clips_for_evaluation
from jrepose.drawing import STYLE, load_matplotlib, new_figure, save_figure
from jrepose.errors import InputError
from jrepose.models.layers import ATTENTION

SCALES = ("min_max", "max")


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """Attention weights of one block for one clip.

    Args:
        block: the block's name in the model, such as `"blocks_st_4/spatial"`.
        layer: the number in that name, 0 where there is none.
        spatial: whether joints attend to joints; otherwise frames to frames.
        weights: mean over the heads, for every frame (spatial) or joint (temporal); one row where
            whole frames attend to each other.
    """

    block: str
    layer: int
    spatial: bool
    weights: Float32[np.ndarray, "rows queries keys"]


def draw_clip(
    model: nn.Module,
    variables: PyTree,
    dataset: PoseDataset,
    config: ConfigDict,
    folder: str | os.PathLike[str],
    *,
    clip: int = 0,
    layer: int | None = None,
    frame: int | None = None,
    joint: str | None = None,
    scale: str = "min_max",
) -> list[pathlib.Path]:
    """Writes the pictures of one clip.

    Args:
        model, variables: the lifter.
        dataset: where the clip is from.
        config: read are `clip.frames`, `.evaluation_stride`, `.evaluation_windows` and
            `model.name`.
        folder: where to write; created if absent.
        clip: which of the dataset's evaluation windows.
        layer: number of the layer; None takes the last.
        frame: frame of the clip whose spatial map is drawn; None: the mean.
        joint: name of the joint whose temporal map is drawn; None: the mean.
        scale: see `scaled_to_one`.

    Returns:
        The files, `spatial_layer_L_clip_N.png` and `temporal_layer_L_clip_N.png`.

    Raises:
        InputError: no such clip, layer, frame or joint, or as `attention_maps`.
        MissingExtra: Matplotlib is missing.
    """
    load_matplotlib()
    choice, joints = config.clip, dataset.keypoint_skeleton.joint_names
    windows = clips_for_evaluation(dataset, choice).inputs
    for name, value, count in (("clip", clip, len(windows)), ("frame", frame, choice.frames)):
        if value is not None and not 0 <= value < count:
            raise InputError(f"--{name} is {value}, expected 0 to {count - 1}")
    if joint is not None and joint not in joints:
        raise InputError(f"--joint is {joint!r}, the joints are {', '.join(joints)}")

    window = windows[clip]
    maps = choose_layer(attention_maps(model, variables, dataset.model_inputs()[window]), layer)
    if joint is not None and any(not found.spatial and len(found.weights) == 1 for found in maps):
        raise InputError(f"--joint is {joint!r}, and in this model whole frames attend to frames")
    (video,) = (video for video in dataset.videos if video.start <= window[0] < video.stop)
    first, last = (int(index) - video.start for index in (window[0], window[-1]))
    place = f"clip {clip}: {video.name} of {video.subject}, frames {first} to {last}"
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, tokens, row, rows in (
        ("spatial", joints, frame, "mean of all frames" if frame is None else f"frame {frame}"),
        ("temporal", None, None if joint is None else joints.index(joint),
         "mean of all joints" if joint is None else joint.replace("_", " ")),
    ):  # fmt: skip
        if chosen := [found for found in maps if found.spatial == (kind == "spatial")]:
            path = folder / f"{kind}_layer_{chosen[0].layer}_clip_{clip}.png"
            title = f"{config.model.name}, {kind} attention, {rows}\n{place}"
            plot_attention(chosen, tokens, path, row=row, scale=scale, title=title)
            written.append(path)
    return written


def attention_maps(
    model: nn.Module, variables: PyTree, keypoints: Float32[np.ndarray, "frames joints channels"]
) -> list[AttentionMap]:
    """Attention of all blocks of a model for one clip.

    Args:
        model, variables: the lifter.
        keypoints: model inputs of the clip.

    Returns:
        In the order of the layers, blocks of one layer by name.

    Raises:
        InputError: the model has no `models.layers.Attention`, or as many frames as joints,
            so that the one cannot be told from the other.
    """
    frames, joints, _ = keypoints.shape
    if frames == joints:
        raise InputError(
            f"clips of {frames} frames and {joints} joints: spatial and temporal attention "
            "cannot be told apart; choose another config.clip.frames"
        )

    @jax.jit
    def weights(variables, clip):
        _, stored = model.apply(variables, clip, mutable=ATTENTION)
        return jax.tree.map(lambda rows: rows.mean(axis=1), stored.get(ATTENTION, {}))

    found = []
    for path, (rows,) in flatten_dict(jax.device_get(weights(variables, keypoints[None]))).items():
        block = "/".join(path[:-2])  # without the layer and the variable: "attn/weights"
        of_frames_left = len(rows) < frames and rows.shape[1] in (joints, *range(frames))
        if of_frames_left or rows.shape[1] == 2 * joints:
            continue  # coordinates are neither
        number = re.search(r"_(\d+)(?:/|$)", block)
        spatial = rows.shape == (frames, joints, joints)
        if not spatial and rows.shape not in ((joints, frames, frames), (1, frames, frames)):
            raise InputError(
                f"{block} attends over {rows.shape[-1]} tokens, neither the {joints} joints nor "
                f"the {frames} frames"
            )
        found.append(AttentionMap(block, int(number[1]) if number else 0, spatial, rows))
    if not found:
        raise InputError(f"{type(model).__name__} has no attention to look at")
    return sorted(found, key=lambda found: (found.layer, found.block))


def choose_layer(maps: Sequence[AttentionMap], layer: int | None) -> list[AttentionMap]:
    """The maps of one layer.

    Args:
        maps: of the whole model.
        layer: its number; None takes the last.

    Raises:
        InputError: no such layer.
    """
    last = maps[-1].layer
    chosen = [found for found in maps if found.layer == (last if layer is None else layer)]
    if not chosen:
        raise InputError(f"--layer is {layer}, the model's layers are {maps[0].layer} to {last}")
    return chosen


def scaled_to_one(
    weights: Float[np.ndarray, "queries keys"], scale: str = "min_max"
) -> Float[np.ndarray, "queries keys"]:
    """The map scaled to [0, 1].

    Args:
        weights: one map, not negative.
        scale: `"min_max"`: the smallest weight becomes 0 and the largest 1; where all are
            equal, all become 0.  `"max"`: divided by the largest.

    Raises:
        InputError: another scale.
    """
    if scale not in SCALES:
        raise InputError(f"scale is {scale!r}, expected {' or '.join(SCALES)}")
    least = weights.min() if scale == "min_max" else np.float32(0)
    span = weights.max() - least
    return (weights - least) / (span if span else 1)


def plot_attention(
    maps: Sequence[AttentionMap],
    tokens: Sequence[str] | None,
    path: str | os.PathLike[str],
    *,
    row: int | None = None,
    scale: str = "min_max",
    title: str = "",
) -> None:
    """Maps side by side, each scaled by itself.

    Args:
        maps: of one kind.
        tokens: names of the joints; None: the tokens are frames and are numbered.
        path: file to write.
        row: which frame's (spatial) or joint's (temporal) map; None: their mean.
        scale: see `scaled_to_one`.
        title: a line above the panels.

    Raises:
        InputError: an unknown scale.
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = load_matplotlib()
    thing = "frame" if tokens is None else "joint"
    with matplotlib.rc_context(STYLE):
        figure = new_figure(1.4 + 3.4 * len(maps), 4.4 if tokens is None else 5.0, "compressed")
        panels = figure.subplots(1, len(maps), squeeze=False, sharey=True)[0]
        for axes, found in zip(panels, maps, strict=True):
            weights = found.weights.mean(axis=0) if row is None else found.weights[row]
            picture = axes.imshow(
                scaled_to_one(weights, scale), vmin=0, vmax=1, cmap="viridis",
                interpolation="nearest",
            )  # fmt: skip
            axes.spines[:].set_visible(False)
            axes.set_title(found.block, fontsize=8)
            axes.set_xlabel(f"{thing} attended to")
            if tokens is not None:
                names = [name.replace("_", " ") for name in tokens]
                axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
                axes.set_yticks(range(len(names)), names, fontsize=7)
                axes.tick_params(length=0)
        panels[0].set_ylabel(f"output {thing}")
        bar = figure.colorbar(picture, ax=list(panels), shrink=0.75, pad=0.02, ticks=(0, 0.5, 1))
        bar.outline.set_visible(False)
        bar.set_label(
            "attention, smallest 0, largest 1" if scale == "min_max" else "attention, largest 1"
        )
        if title:
            figure.suptitle(title, fontsize=8, color="#606060")
        save_figure(figure, path)
