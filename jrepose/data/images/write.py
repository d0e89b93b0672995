"""A rendered dataset as images or videos with COCO-style JSON, read again by `images.coco`."""

from __future__ import annotations

import fractions
import json
import pathlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jrepose.data.images.dataset import ImageDataset, ImageSequence
from jrepose.data.images.decode import pillow, pyav
from jrepose.data.images.footage import FILE
from jrepose.data.images.rendered import RenderedCrops
from jrepose.disk import cannot_write, sole_writer
from jrepose.errors import InputError
from jrepose.files import atomic_path
from jrepose.progress import Progress

FORMATS = ("png", "jpg", "mp4")

_BEGUN = "render.json"  # what an unfinished folder is of
_QUALITY = 92  # of a JPEG
_WHOLE = np.eye(2, 3)


class _Task(NamedTuple):
    """Images to write: one, or all of a video."""

    dataset: ImageDataset
    sequence: int
    view: int
    moments: range
    file: str
    every: int


def write_rendered(
    splits: Mapping[str, ImageDataset],
    folder: pathlib.Path,
    *,
    kind: str = "png",
    every: int = 1,
    workers: int = 1,
    shown: bool = True,
) -> tuple[int, int]:
    """Writes whole images, then the JSON.

    Every file appears whole or not at all, those that are there are kept: the same call goes on
    where another one was stopped.  Without `annotations.json` it is not finished.

    Args:
        splits: rendered datasets; subjects tell them apart later.
        folder: made if it is absent.
        kind: one of `FORMATS`.
        every: write each k-th moment.
        workers: threads that render.
        shown: show how far it is.

    Returns:
        Files written now, and files that there were.

    Raises:
        InputError: the folder holds other images or is in use, a name that is no file's, or the
            disk refuses.
        MissingExtra: Pillow or PyAV is missing.
    """
    (pyav if kind == "mp4" else pillow)("writing videos" if kind == "mp4" else "writing images")
    for dataset in splits.values():
        if not isinstance(dataset.images, RenderedCrops):
            raise InputError("only rendered data is written as images; expected no data.subset")
    tasks = list(_tasks(splits, kind, every))
    with sole_writer(folder):
        _begin(folder, splits, kind, every)
        missing = [task for task in tasks if not (folder / task.file).exists()]
        done = len(tasks) - len(missing)
        pool = ThreadPoolExecutor(workers)
        try:
            with Progress(len(tasks), "file", "render", done=done, shown=shown) as progress:
                results = pool.map(lambda task: _write(folder, task, kind), missing)
                for number, _ in enumerate(results, start=1):
                    progress.to(done + number)
        finally:  # an interruption ends with the files that are being written
            pool.shutdown(cancel_futures=True)
        with atomic_path(folder / FILE) as temporary:
            temporary.write_text(json.dumps(_annotations(tasks)), encoding="utf-8")
        (folder / _BEGUN).unlink()
    return len(missing), done


def _begin(folder: pathlib.Path, splits: Mapping[str, ImageDataset], kind: str, every: int) -> None:
    """Notes what is written here, or checks that it is the same.

    Raises:
        InputError: a finished folder, or one of other images.
    """
    note = {name: data.fingerprint() for name, data in splits.items()}
    note |= {"format": kind, "every": every}
    if (folder / FILE).exists():
        raise InputError(f"{folder} is finished, it has {FILE}; take another folder")
    path = folder / _BEGUN
    if path.exists():
        if path.read_text(encoding="utf-8") != json.dumps(note):
            raise InputError(f"{folder} holds a part of other images; take another folder")
        return
    if strangers := [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]:
        raise InputError(f"{folder} is not empty ({strangers[0]}); take another folder")
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(note), encoding="utf-8")


def _tasks(splits: Mapping[str, ImageDataset], kind: str, every: int) -> Iterator[_Task]:
    for dataset in splits.values():
        for number, sequence in enumerate(dataset.sequences):
            place = f"{sequence.subject}/{sequence.name}"
            parts = pathlib.PurePosixPath(place).parts
            if ".." in parts or place.startswith("/") or "\\" in place:
                raise InputError(f"recording {place!r}: no name of a folder")
            moments = range(sequence.start, sequence.stop, every)
            for view, camera in enumerate(sequence.views):
                stem = f"{place}/{camera.name}"
                if kind == "mp4":
                    yield _Task(dataset, number, view, moments, f"{stem}.mp4", every)
                    continue
                for moment in moments:
                    name = f"{stem}/{moment - sequence.start:06d}.{kind}"
                    yield _Task(dataset, number, view, range(moment, moment + 1), name, every)


def _pictures(task: _Task) -> Iterator[np.ndarray]:
    crops = task.dataset.images
    camera = crops.cameras[task.sequence][task.view]
    start = task.dataset.sequences[task.sequence].start
    for moment in task.moments:
        yield crops.scenes[task.sequence].picture(
            camera, moment - start, task.view, _WHOLE, (camera.height, camera.width)
        )


def _write(folder: pathlib.Path, task: _Task, kind: str) -> None:
    try:
        with atomic_path(folder / task.file) as temporary:
            if kind == "mp4":
                _write_video(temporary, task)
            else:
                (picture,) = _pictures(task)
                image = pillow("writing images").fromarray(picture)
                image.save(temporary, **({"quality": _QUALITY} if kind == "jpg" else {}))
    except OSError as error:
        raise InputError(cannot_write(folder / task.file, error)) from error


def _write_video(path: pathlib.Path, task: _Task) -> None:
    av = pyav("writing videos")
    sequence = task.dataset.sequences[task.sequence]
    view = sequence.views[task.view]
    if view.width % 2 or view.height % 2:
        raise InputError(
            f"{view.width} x {view.height} pixels; videos need even numbers, see config.data.rig"
        )
    with av.open(str(path), "w") as container:
        rate = fractions.Fraction(sequence.frame_rate).limit_denominator(1000)
        stream = container.add_stream("libx264", rate / task.every)
        stream.width, stream.height, stream.pix_fmt = view.width, view.height, "yuv420p"
        stream.options = {"crf": "16", "preset": "veryfast"}
        stream.codec_context.thread_count = 1
        for picture in _pictures(task):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _annotations(tasks: list[_Task]) -> dict:
    images, annotations, cameras, seen = [], [], [], set()
    skeleton = tasks[0].dataset.skeleton
    for task in tasks:
        dataset = task.dataset
        sequence = dataset.sequences[task.sequence]
        view = sequence.views[task.view]
        if (sequence.name, view.name) not in seen:
            seen.add((sequence.name, view.name))
            cameras.append(_camera(sequence, task.view))
        for number, moment in enumerate(task.moments):
            identity = len(images)
            images.append(
                {
                    "id": identity,
                    "file_name": task.file,
                    "width": view.width,
                    "height": view.height,
                    "sequence": sequence.name,
                    "subject": sequence.subject,
                    "action": sequence.action,
                    "frame_rate": sequence.frame_rate / task.every,
                    "camera": view.name,
                    "moment": (moment - sequence.start) // task.every,
                    **({"video_frame": number} if task.file.endswith(".mp4") else {}),
                }
            )
            if dataset.views_seen[moment, task.view]:
                annotations.append(_annotation(dataset, moment, task.view, identity))
    category = {
        "id": 1,
        "name": "person",
        "keypoints": list(skeleton.joint_names),
        "skeleton": [[parent + 1, child + 1] for parent, child in skeleton.limbs],
    }
    return {
        "info": {"description": "rendered by jrepose"},
        "images": images,
        "annotations": annotations,
        "categories": [category],
        "cameras": cameras,
    }


def _annotation(dataset: ImageDataset, moment: int, view: int, identity: int) -> dict:
    crop = dataset.crops[moment, view].astype(np.float64)
    places = dataset.joints_px[moment, view] @ crop[:, :2].T + crop[:, 2]
    # The clean-up of boxes takes a pixel of each side away, see `crops.clean_boxes`.
    x, y, width, height = (float(v) for v in dataset.boxes[moment, view] + [0, 0, 1, 1])
    seen = dataset.joints_seen[moment, view]
    keypoints = np.column_stack([places.round(3), np.where(seen, 2, 1)])
    return {
        "id": identity,
        "image_id": identity,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x, y, width, height],
        "area": width * height,
        "keypoints": keypoints.reshape(-1).tolist(),
        "num_keypoints": int(seen.sum()),
        "keypoints_camera_mm": dataset.poses_camera_mm[moment, view].reshape(-1).tolist(),
        "occluded": bool(dataset.occluded[moment, view]),
    }


def _camera(sequence: ImageSequence, view: int) -> dict:
    camera = sequence.views[view].camera
    return {
        "sequence": sequence.name,
        "name": camera.name,
        "width": camera.width,
        "height": camera.height,
        "focal_px": list(camera.focal_px),
        "centre_px": list(camera.centre_px),
        "orientation_wxyz": list(camera.orientation_wxyz),
        "translation_mm": list(camera.translation_mm),
    }
