"""A detector's file in, 3D motion out, with other weights if wanted.

python examples/lift_a_file.py KEYPOINTS WIDTHxHEIGHT FPS OUT.bvh [WEIGHTS]

WEIGHTS is a run, an archive, or a public PyTorch file: MotionBERT's
FT_MB_lite_MB_ft_h36m_global_lite.bin for instance, which has the best accuracy.
"""

import sys

from jrepose import Lifter
from jrepose.motion.keypoints import read_keypoints


def main(path: str, size: str, fps: str, out: str, weights: str = "small") -> None:
    width, height = map(int, size.split("x"))
    people = read_keypoints(path, size=(width, height), person="largest")
    lifter = Lifter.from_pretrained(weights)
    (motion,) = lifter.lift_people(
        people, size=(width, height), fps=float(fps), smooth="one_euro", constant_bones=True
    )
    for note in motion.notes:
        print(note)
    print(f"poses {motion.poses_m.shape}, joints {', '.join(motion.skeleton.joint_names)}")
    motion.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
