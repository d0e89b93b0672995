"""VideoPose3D on Human3.6M.

    jrepose train --config videopose3d_h36m --workdir runs/videopose3d_h36m \
        --config.data.path=FOLDER
    jrepose evaluate --config videopose3d_h36m --checkpoint runs/videopose3d_h36m \
        --config.data.path=FOLDER

The released checkpoints are evaluated as they are, `--checkpoint pretrained_h36m_cpn.bin`.

Data: FOLDER holds data_3d_h36m.npz and data_2d_h36m_cpn_ft_h36m_dbb.npz, for other variants the
file of their detections; docs/datasets.md says where they come from and who may use them.

Expected: VideoPose3D's repository (Pavllo et al., CVPR 2019), S9 and S11, in mm:

| variant | 2D input | frames | MPJPE | PA-MPJPE |
|---|---|---|---|---|
| (none) | CPN in Mask R-CNN boxes | 243 | 46.8 | 36.5 |
| `81`, `27` | CPN in ground-truth boxes | 81, 27 | 47.7, 48.8 | 37.2, 38.0 |
| `detectron` | Mask R-CNN | 243 | 51.6 | 40.3 |
| `gt` | ground truth | 243 | 37.2 | 27.2 |

The released file has one kind of boxes; which of 46.8 and 47.1 it gives is not said.  `causal` sees
only the past and compares with nothing.  We have not trained on Human3.6M.  Checked number by
number against the released code are the network in training and evaluation, its losses and one
step of its training (tests/interop, tests/training).

All that follows is the released code: 1024 channels, dropout 0.25; MPJPE of one frame, the root
included; Adam with AMSGrad at 1e-3, x0.95 an epoch; 80 epochs of batches of 1024 windows, one for
every frame, edge frames repeated; BatchNorm's momentum from 0.1 to 0.001; flip averaging, the
predicted root as it is, mean over the actions.  Evaluation convolves up to 500 frames in one pass.

Ours: the release has every window plain and mirrored in each epoch, here a coin decides for each
window.  One of its epochs is therefore two of ours, and its 80 are 160.  Devices share the batch's
statistics.  The test subjects also choose the epoch to keep, where the release takes the last; to
choose honestly hold out a training subject:

    --config.data.split.train="('S1', 'S5', 'S6', 'S7')" --config.data.split.validation="('S8',)"

`semi`: the documented semi-supervised training on ground truth keypoints, of 27 frames: a tenth of
every video of S1 is labelled, S5 to S8 are seen without labels; 64 clips of each in a batch; 200
epochs (400 of ours) x0.98, the first 5 (10) of them with labelled clips only.  Its documentation
states about 65.2 mm, against 80.7 mm without the unlabelled subjects (--config.task=lifting,
--config.data.split.unlabelled="()").  Here the projection's target is the frame of the pose in the
causal network too, where the release takes the window's centre.

`small`: 27 frames and a narrow network, tries the data on a CPU and compares with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights, settings_of

# Variant -> 2D detections, convolutions of width 3, name of the published row.
VARIANTS = {
    "": ("cpn_ft_h36m_dbb", 5, "VideoPose3D"),
    "81": ("cpn_ft_h36m_dbb", 4, "VideoPose3D-gt-boxes-81"),
    "27": ("cpn_ft_h36m_dbb", 3, "VideoPose3D-gt-boxes-27"),
    "detectron": ("detectron_ft_h36m", 5, "VideoPose3D"),
    "gt": ("gt", 5, "VideoPose3D"),
    "causal": ("cpn_ft_h36m_dbb", 5, None),
    "semi": ("gt", 3, None),
    "small": ("cpn_ft_h36m_dbb", 3, None),
}


def get_config(variant: str = "") -> ConfigDict:
    detections, layers, published = settings_of("videopose3d_h36m", VARIANTS, variant)
    config = default_config("human36m", detections=detections, target_space="camera_m")
    config.name = f"videopose3d_h36m_{variant}" if variant else "videopose3d_h36m"
    config.published = published
    config.clip.frames = 3**layers
    config.clip.targets = 1
    config.clip.stride = 1
    config.clip.windows = "replicate"
    config.clip.evaluation_stride = 500
    config.clip.evaluation_windows = "replicate"
    config.model = model_config(
        "videopose3d", filter_widths=(3,) * layers, batch_norm_axis="devices"
    )
    config.objective.weights = objective_weights(mpjpe=1)
    config.training.epochs = 160
    config.training.batch_size = 1024
    config.training.optimizer.name = "adam"
    config.training.optimizer.amsgrad = True
    config.training.learning_rate = 1e-3
    config.training.learning_rate_decay = 0.95**0.5
    config.training.weight_decay = 0.0
    config.training.batch_norm_momentum = 0.1
    config.training.batch_norm_momentum_end = 0.001
    config.training.root = "frame"  # the targets are root-relative as they are
    config.evaluation.batch_size = 16
    config.evaluation.root = "keep"
    config.evaluation.every_epochs = 2
    if variant == "causal":
        config.model.causal = True
        config.clip.causal_shift = config.clip.frames // 2
    if variant == "semi":
        config.task = "semi_supervised"
        config.data.split.train = ("S1",)
        config.data.split.unlabelled = ("S5", "S6", "S7", "S8")
        config.data.subset = 0.1
        config.semi_supervised.warmup_epochs = 10.0
        config.training.epochs = 400
        config.training.batch_size = 64
        config.training.learning_rate_decay = 0.98**0.5
    if variant == "small":
        config.model.channels = 64
        config.training.epochs = 20
    return config
