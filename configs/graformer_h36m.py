"""GraFormer on Human3.6M, every frame by itself; the context encoder of DiffPose.

    jrepose train --config graformer_h36m --workdir runs/graformer_h36m \
        --config.data.path=FOLDER
    jrepose evaluate --config graformer_h36m --checkpoint runs/graformer_h36m \
        --config.data.path=FOLDER

Data: FOLDER holds data_3d_h36m.npz and data_2d_h36m_cpn_ft_h36m_dbb.npz, for the variant `gt`
data_2d_h36m_gt.npz; docs/datasets.md says where they come from and who may use them.

Expected: GraFormer (Zhao et al., CVPR 2022) as DiffPose's paper (CVPR 2023) has it, S9 and S11:

| variant | 2D input | MPJPE, mm |
|---|---|---|
| (none) | CPN | 51.8 |
| `gt` | ground truth | 35.2 |

We have not trained on Human3.6M.  Network, loss and gradients agree with the released code
(tests/interop).  DiffPose's checkpoints of this network are read with

    --config.model.step_embedding=True

From GraFormer's released code: mean squared error in metres of all joints, the root included; Adam,
rate 1e-3, batches of 64 poses, gradients clipped at norm 1, which it intends and does not do as
released; dropout 0.25; no flips; mean over the actions.  Its rate falls by 0.9 every 50,000 steps,
here at the end of the epochs that have about so many, every second one.  Its evaluation, and
DiffPose's, means to subtract the predicted root, but sets it to 0 and leaves the other joints where
they are; so do we, and `--config.evaluation.root=subtract` is what was meant.

Ours: 17 joints as DiffPose, where GraFormer's own data have 16.

`small`: a narrow network, tries the data on a CPU and compares with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights, settings_of

# Variant -> 2D detections, name of the published row.
VARIANTS = {
    "": ("cpn_ft_h36m_dbb", "GraFormer"),
    "gt": ("gt", "GraFormer"),
    "small": ("cpn_ft_h36m_dbb", None),
}


def get_config(variant: str = "") -> ConfigDict:
    detections, published = settings_of("graformer_h36m", VARIANTS, variant)
    config = default_config("human36m", detections=detections, target_space="camera_m")
    config.name = f"graformer_h36m_{variant}" if variant else "graformer_h36m"
    config.published = published
    config.clip.frames = 1
    config.clip.stride = 1
    config.clip.evaluation_stride = 1
    config.clip.windows = "centred"
    config.clip.evaluation_windows = "centred"
    config.model = model_config("graformer")
    config.objective.weights = objective_weights(mean_squared=1)
    config.training.epochs = 100
    config.training.batch_size = 64
    config.training.optimizer.name = "adam"
    config.training.weight_decay = 0.0
    config.training.learning_rate = 1e-3
    config.training.learning_rate_decay = 0.9
    config.training.schedule.name = "steps"
    config.training.schedule.milestones = tuple(range(2, 100, 2))
    config.training.gradient_clip = 1.0
    config.training.flip = False
    config.training.root = "frame"  # the targets are root-relative as they are
    config.evaluation.batch_size = 4096
    config.evaluation.flip = False
    config.evaluation.root = "zero"
    if variant == "small":
        config.model.update(hid_dim=32, depth=2)
        config.training.epochs = 5
    return config
