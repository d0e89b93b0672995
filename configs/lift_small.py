"""The weights that come with jrepose: a small RePOSE on motion capture.

    jrepose train --config lift_small --workdir runs/lift_small --config.data.path=FOLDER
    jrepose evaluate --config lift_small --checkpoint runs/lift_small --config.data.path=FOLDER

For a GPU: forty performances of each clip take 6.3 GiB of its memory, and are filmed in about a
minute by `--config.data.processes=15`, in about six by one process.  `lift_small.py:cpu` is a
quarter as costly and has eight of them, about an hour for one core.

Data: FOLDER holds clips of the CMU Graphics Lab Motion Capture Database (docs/mocap.md), the
subjects below; made-up people join them.  Each clip is performed forty times, by other bodies that
hold their limbs otherwise, filmed by random cameras, and detected by a simulated detector of
COCO's, OpenPose's, Halpe's, MPII's or Human3.6M's joints, whose keypoints come to the network as
`jrepose.Lifter` would bring them.

Keypoints and 2.5D targets are relative to the person (`data.scaling`), so that the network need
not learn where in the picture somebody is, nor how large.  jrepose/weights/README.md holds the
results, docs/motion.md what becomes of a pose after the network.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, objective_weights
from jrepose.errors import InputError

VARIANTS = ("cpu",)


def get_config(variant: str = "") -> ConfigDict:
    config = default_config()
    config.name = "lift_small"
    config.data.source = "mocap"
    config.data.path = "data/mocap"
    config.data.frame_rate = 20.0
    config.data.procedural_people = 4
    config.data.copies = 40
    config.data.body_spread = 0.06
    config.data.limb_spread_deg = 15.0
    config.data.scaling = "person"
    config.data.split.train = (
        "01", "03", "05", "06", "08", "09", "10", "11", "12", "14", "16", "26", "27", "29", "32",
        "37", "46", "49", "88", "90", "127", "131",
    )  # fmt: skip
    config.data.split.validation = ("07", "91")
    config.data.split.test = ("02", "13", "35", "135")
    config.data.rig.kind = "random"
    config.data.rig.cameras = 4
    config.data.rig.focal_range_px = (700.0, 2000.0)
    config.data.rig.distance_range_mm = (2000.0, 7000.0)
    config.data.rig.height_range_mm = (300.0, 3500.0)
    config.data.rig.roll_deg = 8.0
    config.data.rig.in_view = 0.97
    detector = config.data.detector
    detector.layouts = "coco_17 coco_17 body_25 halpe_26 body_25b blazepose_33 mpii_16 human36m_17"
    detector.offset_mm = 30.0
    detector.face_missing_share = 0.5
    detector.confidence_exponents = (0.4, 2.0)
    detector.no_confidence_share = 0.15
    detector.missing_share = 0.01
    detector.occluded_missing_share = 0.15
    detector.swap_share = 0.005
    config.clip.frames = 27  # 1.35 seconds
    config.clip.stride = 20
    config.clip.evaluation_stride = 27
    config.model.update(dim_feat=128, dim_rep=128, depth=3, num_heads=4, mlp_ratio=2, maxlen=27)
    config.objective.weights = objective_weights(mpjpe=1, velocity=1)
    config.training.epochs = 2
    config.training.batch_size = 64
    config.training.optimizer.name = "muon"
    config.training.learning_rate = 2e-3
    config.training.schedule.name = "cosine"
    config.training.schedule.warmup_epochs = 0.02
    config.training.weight_decay = 0.0
    config.training.log_every = 50
    config.evaluation.every_epochs = 1
    if variant == "cpu":
        config.name = "lift_small_cpu"
        config.data.copies = 8
        config.model.update(dim_feat=64, dim_rep=64, depth=2)
        config.training.epochs = 1
        config.training.batch_size = 8
        config.training.learning_rate = 1.5e-3
    elif variant:
        raise InputError(f"configs/lift_small.py has no variant {variant!r}; it has cpu")
    return config
