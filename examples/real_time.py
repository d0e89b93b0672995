"""3D poses while the camera runs: a loop over a detector's frames, with a bounded delay.

python examples/real_time.py [FRAMES]

Here the frames come from a simulated detection; a real loop yields what its detector found in the
newest image, and None where it found nobody.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
from simulated_detection import FPS, SIZE, detect

from jrepose import Lifter


def camera(frames: int) -> Iterator[np.ndarray]:
    """BODY_25 keypoints and confidence of each frame, [25, 3]."""
    yield from detect()[:frames]


def main(frames: int = 90) -> None:
    lifter = Lifter.from_pretrained("small")
    poses = lifter.stream(
        camera(frames), size=(SIZE, SIZE), fps=FPS, layout="body_25", delay=6, smooth=True
    )
    seconds, last = [], time.perf_counter()
    for number, pose in enumerate(poses):
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
        if number % 30 == 0:
            wrist = pose[lifter.skeleton.index("right_wrist")]
            print(f"frame {number}: right wrist at {np.round(wrist, 2)} m")
    print(f"median of {len(seconds)} poses: {1000 * np.median(seconds):.1f} ms")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
