"""RePOSE on Human3.6M in VideoPose3D's files, by default with CPN detections.

    jrepose train --config repose_h36m_cpn --workdir runs/repose_h36m_cpn \
        --config.data.path=FOLDER
    jrepose evaluate --config repose_h36m_cpn --checkpoint runs/repose_h36m_cpn \
        --config.data.path=FOLDER

Data: FOLDER holds data_3d_h36m.npz and data_2d_h36m_cpn_ft_h36m_dbb.npz, for the variant `gt`
data_2d_h36m_gt.npz; docs/datasets.md says where they come from and who may use them.  Other
files of 17 keypoints are used by --config.data.detections=NAME.

Expected: reproduces no published row, and we have not trained it.  RePOSE (ECCV 2024) reports on
other detections and in image space: configs/repose_h36m.py.  This is its network and objective
(Eq. 4) in the setting that most lifters of the last years report in, MixSTE among them: CPN
keypoints, root-relative poses in camera space in metres.  Depth differences in metres are about
twice those in RePOSE's normalised image space, so the same weights of the ranking losses weigh
more.

Protocol: trains on S1, S5, S6, S7, S8, tests on S9 and S11.  As those lifters do, the epoch to
keep is chosen on the test subjects; to choose it honestly hold out a training subject:

    --config.data.split.train="('S1', 'S5', 'S6', 'S7')" --config.data.split.validation="('S8',)"

Variants: `gt`, ground-truth keypoints; `small`, 27 frames and a narrow network, which tries the
data on a CPU and compares with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config
from jrepose.errors import InputError

VARIANTS = ("gt", "small")


def get_config(variant: str = "") -> ConfigDict:
    config = default_config("human36m", detections="cpn_ft_h36m_dbb")
    config.name = f"repose_h36m_cpn_{variant}" if variant else "repose_h36m_cpn"
    config.training.root = "frame"  # the targets are root-relative as they are
    config.evaluation.root = "zero"
    if variant == "gt":
        config.name = "repose_h36m_videopose3d_gt"
        config.data.detections = "gt"
    elif variant == "small":
        config.clip.frames = 27
        config.clip.stride = 9
        config.clip.evaluation_stride = 27
        config.model.update(dim_feat=32, dim_rep=64, depth=2, num_heads=2, mlp_ratio=2, maxlen=27)
    elif variant:
        raise InputError(
            f"configs/repose_h36m_cpn.py has no variant {variant!r}; it has gt and small"
        )
    return config
