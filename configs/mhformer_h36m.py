"""MHFormer on Human3.6M.

    jrepose train --config mhformer_h36m --workdir runs/mhformer_h36m \
        --config.data.path=FOLDER
    jrepose evaluate --config mhformer_h36m --checkpoint runs/mhformer_h36m \
        --config.data.path=FOLDER

The released checkpoints are evaluated as they are, `--checkpoint FILE.pth` with the variant of
their frames.

Data: FOLDER holds data_3d_h36m.npz and data_2d_h36m_cpn_ft_h36m_dbb.npz, for the variant `gt`
data_2d_h36m_gt.npz; docs/datasets.md says where they come from and who may use them.

Expected: MHFormer (Li et al., CVPR 2022), S9 and S11, 351 frames, in mm: CPN 43.0 MPJPE, 34.4
PA-MPJPE; `gt`, ground truth, 30.5 MPJPE.  We have not trained on Human3.6M.  Checked number by
number against the released code is the network, for long clips and short ones (tests/interop).

All that follows is the released code: 512 channels, dropout 0.1, stochastic depth up to 0.2; MPJPE
of all frames in metres, the root included; Adam with AMSGrad at 1e-3; windows around every frame,
edge frames repeated; batches of 128 (its command for 351 frames; 256 otherwise); flip averaging,
the pose in the middle, its root at zero, mean over the actions.

Ours: the release has every window plain and mirrored in each epoch, here a coin decides for each
window.  One of its epochs is therefore two of ours, and its 19 are 38.  Its rate falls by x0.95 an
epoch and by x0.5 every fifth; here by the same in five epochs, evenly.  Devices share the batch's
statistics.  Both choose the epoch on the test subjects; to choose honestly hold out a training
subject:

    --config.data.split.train="('S1', 'S5', 'S6', 'S7')" --config.data.split.validation="('S8',)"

`small`: 27 frames and a narrow network, tries the data on a CPU and compares with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights, settings_of

# Variant -> 2D detections, frames, name of the published row.
VARIANTS = {
    "": ("cpn_ft_h36m_dbb", 351, "MHFormer"),
    "243": ("cpn_ft_h36m_dbb", 243, None),
    "81": ("cpn_ft_h36m_dbb", 81, None),
    "27": ("cpn_ft_h36m_dbb", 27, None),
    "gt": ("gt", 351, "MHFormer"),
    "small": ("cpn_ft_h36m_dbb", 27, None),
}


def get_config(variant: str = "") -> ConfigDict:
    detections, frames, published = settings_of("mhformer_h36m", VARIANTS, variant)
    config = default_config("human36m", detections=detections, target_space="camera_m")
    config.name = f"mhformer_h36m_{variant}" if variant else "mhformer_h36m"
    config.published = published
    config.clip.frames = frames
    config.clip.stride = 1
    config.clip.evaluation_stride = frames
    config.clip.windows = "centred"
    config.clip.evaluation_windows = "centred"
    config.model = model_config("mhformer", frames=frames, batch_norm_axis="devices")
    config.objective.weights = objective_weights(mpjpe=1)
    config.training.epochs = 38
    config.training.batch_size = 128 if frames == 351 else 256
    config.training.optimizer.name = "adam"
    config.training.optimizer.amsgrad = True
    config.training.learning_rate = 1e-3
    config.training.learning_rate_decay = (0.95**4 * 0.5) ** 0.1
    config.training.weight_decay = 0.0
    config.training.root = "frame"  # the targets are root-relative as they are
    config.evaluation.batch_size = 128
    config.evaluation.root = "zero"
    config.evaluation.every_epochs = 2
    if variant == "small":
        config.model.update(channel=32, mhg_depth=2)
        config.training.epochs = 20
    return config
