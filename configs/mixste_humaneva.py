"""MixSTE on HumanEva-I, Walking and Jog: from scratch, and fine-tuned from Human3.6M.

    jrepose train --config mixste_humaneva --workdir runs/mixste_humaneva \
        --config.data.path=FOLDER
    jrepose evaluate --config mixste_humaneva --checkpoint runs/mixste_humaneva \
        --config.data.path=FOLDER

Fine-tuned from a run of configs/mixste_h36m.py, or from a PyTorch checkpoint of it:

    jrepose train --config mixste_humaneva:finetuned --workdir runs/finetuned \
        --config.data.path=FOLDER --init runs/mixste_h36m --init_partial

`--init_partial` takes what fits by name and shape and prints what does not: the embeddings of 17
joints and 243 frames, which begin anew (at zero) for 15 joints and 43 frames.  Joints of one
index then differ in meaning, but everything taken is shared by all joints.

Data: FOLDER holds data_3d_humaneva15.npz and data_2d_humaneva15_gt.npz as VideoPose3D converts
them; docs/datasets.md says where the dataset comes from and who may use it.

Expected: MixSTE (Zhang et al., CVPR 2022), 43 frames, MPJPE in mm:

| variant | Walking S1, S2, S3 | Jog S1, S2, S3 | mean |
|---|---|---|---|
| (none) | 20.3 22.4 34.8 | 27.3 32.1 34.3 | 28.5 |
| `interval1`: training clips begin at every frame | 16.2 14.2 21.6 | 24.6 23.2 25.8 | 20.9 |
| `finetuned` from Human3.6M | 12.7 10.9 17.6 | 22.6 15.8 17.0 | 16.1 |

These are the paper's numbers; we have not trained on HumanEva.  Its mean includes Walking of S3,
whose motion capture is corrupt; other publications leave it out:
--config.evaluation.exclude="('S3/Walking',)".

The 2D input of these numbers is not established.  We take ground truth: the network gives as many
joints as it gets keypoints, and the published detections have COCO's 17.  Nor is a recipe for
this dataset released (no overlapping clips, no fine-tuning): all variants train by that of
configs/mixste_h36m.py, whose docstring says what of it is the paper's, the code's and ours, with
batches of 1024 frames, that is 23 clips.  The joint weights are the code's for 15 joints.  The test
part also chooses the epoch to keep, as there is no third part.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights
from jrepose.errors import InputError

FRAMES = 43
# Variant -> name of the published row.
VARIANTS = {"": "MixSTE", "interval1": "MixSTE-interval-1", "finetuned": "MixSTE-finetuned"}


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise InputError(
            f"configs/mixste_humaneva.py has no variant {variant!r}; it has interval1 and finetuned"
        )
    config = default_config(
        "humaneva", detections="gt", target_space="camera_m", actions=("Walking", "Jog")
    )
    config.name = f"mixste_humaneva_{variant}" if variant else "mixste_humaneva"
    config.published = VARIANTS[variant]
    config.clip.frames = FRAMES
    config.clip.evaluation_stride = FRAMES
    if variant == "interval1":
        config.clip.stride = 1
        config.clip.windows = "cover"
    else:
        config.clip.stride = FRAMES
        config.clip.windows = "replicate"
    config.clip.evaluation_windows = "cover"
    config.model = model_config("mixste", num_frame=FRAMES, num_joints=15)
    config.objective.weights = objective_weights(
        weighted_mpjpe=1, temporal_consistency=0.5, velocity=2
    )
    config.training.epochs = 240
    config.training.batch_size = 1024 // FRAMES
    config.training.learning_rate = 4e-5
    config.training.learning_rate_decay = 0.99**0.5
    config.training.weight_decay = 0.1
    config.training.root = "frame"  # the targets are root-relative as they are
    config.training.gradient_times_loss = True
    config.evaluation.overlap = "slots"
    config.evaluation.root = "keep"
    config.evaluation.by_subject = True
    config.evaluation.every_epochs = 2
    return config
