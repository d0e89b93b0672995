"""What an evaluation of a detector shows and leaves on disk."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from jrepose.data.images.dataset import ImageDataset
from jrepose.evaluation.detections import DetectionResult
from jrepose.evaluation.tables import format_columns, without_nan, write_csv
from jrepose.files import atomic_path

_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "ap": "AP",
        "ar": "AR",
        "pck_box": "PCK box",
        "pck_image": "PCK crop",
        "mse": "MSE px²",
        "error_px": "error px",
        "hidden_px": "hidden px",
    }
)
_OF_JOINTS = ("pck_box", "mse", "error_px", "hidden_px")


def summary(result: DetectionResult, width: int = 100) -> str:
    """The scores of all images, of every camera and action, of stretches and of joints.

    Args:
        result: what was found.
        width: most characters in a line of the tables.
    """
    rows = {"all images": result.scores}
    if result.published is not None:
        rows["published"] = result.published
    rows |= {f"camera {name}": scores for name, scores in result.per_view.items()}
    rows |= {f"action {name}": scores for name, scores in result.per_action.items()}
    rows |= result.per_stretch
    settings = result.settings
    return "\n\n".join(
        [
            _table(rows, tuple(_COLUMNS), width),
            _table(result.per_joint, _OF_JOINTS, width),
            f"AP, AR, PCK in percent, PCK at {settings['pck_threshold']} of the longer side of the "
            f"box and of the crop; occluded: {settings['occluded_means']}; hidden: of joints that "
            f"are not seen; clips of {settings['clip_frames']} frames, OKS by the sigmas "
            f"{settings['sigmas']}",
        ]
    )


def _table(rows: Mapping[str, Mapping[str, float]], names: tuple[str, ...], width: int) -> str:
    def cell(scores: Mapping[str, float], name: str) -> str:
        value = scores.get(name, np.nan)
        return "-" if np.isnan(value) else f"{value:.1f}"

    shown = [name for name in names if any(name in scores for scores in rows.values())]
    columns = [(_COLUMNS[name], [cell(scores, name) for scores in rows.values()]) for name in shown]
    return format_columns(list(rows), columns, width)


def write_detections(
    result: DetectionResult, dataset: ImageDataset, out_dir: str | os.PathLike[str]
) -> list[pathlib.Path]:
    """Writes `scores.json`, `per_view.csv`, `per_action.csv`, `per_stretch.csv`, `per_joint.csv`,
    and what `write_keypoints` writes.

    Args:
        result: what was found.
        dataset: what it was found in.
        out_dir: folder, made if missing; files of an earlier report are replaced.

    Returns:
        The files.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = pathlib.Path(out_dir)
    parts = {
        "view": result.per_view, "action": result.per_action, "stretch": result.per_stretch,
        "joint": result.per_joint,
    }  # fmt: skip
    content = {
        "scores": without_nan(result.scores),
        **{
            f"per_{name}": {row: without_nan(scores) for row, scores in part.items()}
            for name, part in parts.items()
        },
        "settings": dict(result.settings),
        "published": None if result.published is None else dict(result.published),
    }
    paths = [folder / "scores.json"]
    with atomic_path(paths[0]) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    for name, part in parts.items():
        paths.append(folder / f"per_{name}.csv")
        names = list(next(iter(part.values())))
        write_csv(paths[-1], name, names, part)
    return paths + write_keypoints(result.found_px, result.image_px, dataset, folder)


def write_keypoints(
    found_px: np.ndarray, image_px: np.ndarray, dataset: ImageDataset, folder: pathlib.Path
) -> list[pathlib.Path]:
    """Writes `predictions.npz`, and `keypoints/SEQUENCE_CAMERA.json` for every video.

    The NPZ has `keypoints_px` `[moments, views, joints, 2]` in pixels of the images, `crop_px`, NaN
    where a view is absent, `sequence`, `subject` and `action` of every moment, `cameras`
    `[moments, views]` and `joints`.  The JSON files are COCO's results, `image_id` the moment in
    its sequence, and are what `jrepose lift --layout human36m_17` reads.

    Args:
        found_px, image_px: keypoints in pixels of the crops and of the images.
        dataset: what they were found in.
        folder: made if missing.
    """
    sequences = dataset.sequences
    counts = [sequence.frames for sequence in sequences]
    views = found_px.shape[1]
    cameras = [
        [view.name for view in sequence.views] + [""] * (views - len(sequence.views))
        for sequence in sequences
    ]
    paths = [folder / "predictions.npz"]
    with atomic_path(paths[0]) as temporary:
        np.savez_compressed(
            temporary,
            keypoints_px=image_px,
            crop_px=found_px,
            joints=np.array(dataset.skeleton.joint_names),
            cameras=np.repeat(np.array(cameras), counts, axis=0),
            **{
                name: np.repeat([getattr(sequence, name) for sequence in sequences], counts)
                for name in ("subject", "action")
            },
            sequence=np.repeat([sequence.name for sequence in sequences], counts),
        )
    names = _file_names(dataset)
    for (number, view), name in names.items():
        sequence = sequences[number]
        points = image_px[sequence.start : sequence.stop, view]
        entries = list(_coco_results(points))
        if entries:
            paths.append(folder / "keypoints" / name)
            with atomic_path(paths[-1]) as temporary:
                temporary.write_text(json.dumps(entries) + "\n")
    return paths


def _file_names(dataset: ImageDataset) -> dict[tuple[int, int], str]:
    """Number of the sequence and of the view -> a name for its file."""
    found: dict[tuple[int, int], str] = {}
    for number, sequence in enumerate(dataset.sequences):
        for view, camera in enumerate(sequence.views):
            name = re.sub(r"[^\w.-]+", "_", f"{sequence.name}_{camera.name}")
            taken = f"{name}.json" in found.values()
            found[number, view] = f"{name}_{number}_{view}.json" if taken else f"{name}.json"
    return found


def _coco_results(points: np.ndarray) -> Iterator[dict]:
    for moment in np.flatnonzero(np.isfinite(points).all((-1, -2))).tolist():
        here = np.concatenate([points[moment], np.ones((len(points[moment]), 1))], -1)
        yield {
            "image_id": moment,
            "category_id": 1,
            "keypoints": np.round(here.astype(float), 3).ravel().tolist(),
            "score": 1.0,
        }
