"""Images per second of one core: rendered, and read from a disk.

    python benchmarks/images.py [--seconds 5]

Crops of 224 pixels, as the multi-view detector takes them, of four cameras of 1000 by 1000 pixels.
CPU time of one thread counts, so that what else runs does not.  A file's crop is decoded from the
page cache.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

# One core: libraries that are told so only before they are loaded.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np

from jrepose.data.images.crops import Workers
from jrepose.data.images.footage import ImageSettings
from jrepose.data.images.read import read_images
from jrepose.data.images.rendered import render_dataset
from jrepose.data.images.write import FORMATS, write_rendered
from jrepose.data.simulation.procedural import generate_motion

CLIP = 8  # neighbouring moments that are asked for together, of four views


def _rate(step: Callable[[int], int], seconds: float) -> float:
    """Images per second of CPU time; the first call is not counted."""
    step(0)
    images, number, begun = 0, 1, time.process_time()
    while time.process_time() - begun < seconds:
        images += step(number)
        number += 1
    return images / (time.process_time() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of CPU time for each row")
    seconds = parser.parse_args().seconds
    recordings = generate_motion(["S1"], seconds=0.4, frame_rate=50.0, seed=0)[:1]

    def row(name: str, step: Callable[[int], int]) -> None:
        print(f"{name:<34}{_rate(step, seconds):8.0f} images/s", flush=True)

    for size in (224, 112):
        dataset = render_dataset(recordings, size=size, workers=Workers(1))

        def clip(number: int, dataset=dataset) -> int:
            first = number * CLIP % (dataset.frames - CLIP)
            return 4 * len(dataset.images[np.arange(first, first + CLIP)])

        row(f"rendered, crops of {size}", clip)
    dataset = render_dataset(recordings, workers=Workers(1))

    def whole(number: int) -> int:
        scene, camera = dataset.images.scenes[0], dataset.images.cameras[0][0]
        scene.picture(
            camera, number % dataset.frames, 0, np.eye(2, 3), (camera.height, camera.width)
        )
        return 1

    row("rendered, whole images of 1000", whole)
    with tempfile.TemporaryDirectory() as folder:
        for kind in FORMATS:
            place = pathlib.Path(folder) / kind
            write_rendered({"train": dataset}, place, kind=kind, shown=False)
            files = read_images(place, ImageSettings(workers=Workers(1)))

            def read(number: int, files=files) -> int:
                first = number * CLIP % (files.frames - CLIP)
                return 4 * len(files.images[np.arange(first, first + CLIP)])

            row(f"{kind}, crops of images of 1000", read)


if __name__ == "__main__":
    main()
