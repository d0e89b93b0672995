"""Images and videos by how their folder is laid out."""

from __future__ import annotations

import os
import pathlib

from jrepose.data.images.coco import read_coco
from jrepose.data.images.dataset import ImageDataset
from jrepose.data.images.footage import FILE, ImageSettings, assemble
from jrepose.data.images.human36m import is_human36m, read_footage
from jrepose.errors import InputError


def read_images(path: str | os.PathLike[str], settings: ImageSettings) -> ImageDataset:
    """The image dataset of a file or folder; its images stay on the disk.

    Args:
        path: COCO-style JSON, or a folder with `annotations.json` (`images.coco`); or a folder of
            Human3.6M's videos (`images.human36m`).
        settings: of the crops.

    Raises:
        InputError: neither, or naming the file and the entry that cannot be used.
        MissingExtra: Pillow or PyAV is missing.
    """
    path = pathlib.Path(path)
    if path.is_dir() and (path / FILE).exists():
        path = path / FILE
    if path.is_file():
        return assemble(path.parent, read_coco(path), settings, path)
    if is_human36m(path):
        return assemble(path, read_footage(path), settings, path)
    raise InputError(
        f"{path}: expected {FILE} in it, or Human3.6M's data_3d_h36m.npz and S1/Videos"
    )
