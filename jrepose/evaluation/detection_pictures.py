"""Pictures of what a detector sees: joints on the crops, patches, and how views look at views."""

from __future__ import annotations

import os
import pathlib

import jax
import numpy as np
from jaxtyping import PyTree
from ml_collections import ConfigDict

from jrepose.data.columns import columns_of
from jrepose.data.images.dataset import ImageDataset
from jrepose.data.windows import clips_for_evaluation
from jrepose.drawing import GREY, STYLE, draw_keypoints, load_matplotlib, new_figure, save_figure
from jrepose.models.layers import ATTENTION
from jrepose.models.multiview import normalised
from jrepose.tasks.detection import Detection

_SIDE = 2.1  # inches of a crop
_DARK = 0.25  # brightness of the patches that are left out


def draw_detections(
    task: Detection,
    variables: PyTree,
    dataset: ImageDataset,
    found_px: np.ndarray,
    config: ConfigDict,
    out_dir: str | os.PathLike[str],
) -> list[pathlib.Path]:
    """Writes pictures of one moment, one at which something hides a person if there is any.

    `detections.png`: every view's crop with the joints that were found (grey: the labels), the
    attention that its patches receive in the last block of the backbone, and the patches that are
    kept.  `views.png`: the attention between views at that moment and over its clip, where there
    is a view encoder.

    Args:
        task, variables: what detects.
        dataset: images and labels.
        found_px: keypoints in pixels of the crops, see `detect_dataset`.
        config: read is `clip`.
        out_dir: where to write; created if absent.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    load_matplotlib()
    folder = pathlib.Path(out_dir)
    moment = _moment(dataset, found_px)
    windows = clips_for_evaluation(dataset, config.clip)
    clip = int((windows.scored & (windows.targets == moment)).any(1).argmax())
    window = windows.inputs[clip]
    place = int((window == moment).argmax())
    columns = columns_of(dataset, task.inputs)
    batch = {name: column.values[window[None]] for name, column in columns.items()}

    @jax.jit
    def look(variables, batch):
        _, stored = task.model.apply(
            {"params": variables["params"]}, normalised(batch["images"]), batch["views_seen"],
            mutable=ATTENTION,
        )  # fmt: skip
        return stored[ATTENTION]

    stored = jax.device_get(look(variables, batch))
    crops = batch["images"][0, place]
    frames, views = batch["views_seen"].shape[1:]
    received, kept = (
        stored[name][0].reshape(frames, views, *stored[name][0].shape[1:])[place]
        for name in ("received", "kept")
    )
    sequence = next(s for s in dataset.sequences if s.start <= moment < s.stop)
    present = np.flatnonzero(batch["views_seen"][0, place]).tolist()
    names = [sequence.views[view].name for view in present]
    title = f"{sequence.name} of {sequence.subject}, moment {moment - sequence.start}"
    written = [folder / "detections.png"]
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_SIDE * len(present), 3.3 * _SIDE, "compressed")
        panels = figure.subplots(3, len(present), squeeze=False)
        for column, (view, name) in enumerate(zip(present, names, strict=True)):
            crop = crops[view]
            _draw_joints(panels[0, column], crop, dataset, found_px[moment, view], (moment, view))
            panels[0, column].set_title(name, fontsize=8)
            _draw_patches(panels[1:, column], crop, received[view], kept[view])
        figure.suptitle(title, fontsize=8, color="#606060")
        save_figure(figure, written[0])
        between = stored.get("relations", {}).get("view")
        if between is not None:
            written.append(folder / "views.png")
            last = max(between, key=lambda name: int(name.rpartition("_")[2]))
            weights = between[last]["attn"]["weights"][0].mean(1)
            weights = weights.reshape(frames, views, views)[:, present][:, :, present]
            _draw_views(weights, place, names, title, written[-1])
    return written


def _moment(dataset: ImageDataset, found_px: np.ndarray) -> int:
    """The first with an occluded view that is found in as many views as any; or the first."""
    found = np.isfinite(found_px).all((-1, -2)).sum(1)
    good = found == found.max()
    if dataset.occluded is not None and (good & dataset.occluded.any(1)).any():
        good &= dataset.occluded.any(1)
    choices = np.flatnonzero(good)
    return int(choices[len(choices) // 2])


def _draw_joints(axes, crop, dataset: ImageDataset, found, at: tuple[int, int]) -> None:
    axes.imshow(crop)
    truth, seen = dataset.joints_px[at], dataset.joints_seen[at]
    axes.plot(*truth[seen].T, "o", color=GREY, markersize=4.5, markeredgewidth=0)
    draw_keypoints(axes, found, dataset.skeleton, np.isfinite(found).all(-1), seen)
    height, width = crop.shape[:2]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _draw_patches(panels, crop, received, kept) -> None:
    height, width = crop.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    panels[0].imshow(crop)
    panels[0].imshow(received, extent=extent, alpha=0.55, cmap="viridis", interpolation="nearest")
    grid = np.repeat(np.repeat(kept, height // len(kept), 0), width // kept.shape[1], 1)
    panels[1].imshow((crop * np.where(grid, 1, _DARK)[..., None]).astype(np.uint8))
    for axes, name in zip(panels, ("attention received", "patches kept"), strict=True):
        axes.set_axis_off()
        axes.set_title(name, fontsize=7)


def _draw_views(weights, place: int, names: list[str], title: str, path: pathlib.Path) -> None:
    figure = new_figure(6.6, 3.4, "compressed")
    panels = figure.subplots(1, 2, squeeze=False, sharey=True)[0]
    for axes, found, head in (
        (panels[0], weights[place], "at this moment"),
        (panels[1], weights.mean(0), "mean over the clip"),
    ):
        picture = axes.imshow(found, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        axes.set_title(head, fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_xlabel("view attended to")
        axes.spines[:].set_visible(False)
    panels[0].set_ylabel("output view")
    figure.colorbar(picture, ax=list(panels), shrink=0.75).set_label("attention")
    figure.suptitle(title, fontsize=8, color="#606060")
    save_figure(figure, path)
