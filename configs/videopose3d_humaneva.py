"""VideoPose3D on HumanEva-I: one model for Walking, Jog and Box.

    jrepose train --config videopose3d_humaneva --workdir runs/videopose3d_humaneva \
        --config.data.path=FOLDER
    jrepose evaluate --config videopose3d_humaneva --checkpoint runs/videopose3d_humaneva \
        --config.data.path=FOLDER

The released checkpoint is evaluated as it is, `--checkpoint pretrained_humaneva15_detectron.bin`.

Data: FOLDER holds data_3d_humaneva15.npz and data_2d_humaneva15_detectron_pt_coco.npz;
docs/datasets.md says where they come from and who may use them.

Expected: VideoPose3D's repository (Pavllo et al., CVPR 2019), Mask R-CNN, 27 frames: 33.0 mm MPJPE
over the three actions.  We have not trained on HumanEva.

All that follows is the released code's documented command: COCO's 17 keypoints in, 15 joints out,
27 frames; batches of 128 windows, one for every frame, edge frames repeated; 1000 epochs, x0.996 an
epoch; errors by subject.  The rest is as in configs/videopose3d_h36m.py, also what is ours of it:
a coin mirrors a window, so that 1000 epochs are 2000 here.  Evaluation convolves up to 100 frames
in one pass.  The test part also chooses the epoch to keep, as there is no third part.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights


def get_config() -> ConfigDict:
    config = default_config(
        "humaneva",
        detections="detectron_pt_coco",
        target_space="camera_m",
        actions=("Walking", "Jog", "Box"),
    )
    config.name = "videopose3d_humaneva"
    config.published = "VideoPose3D"
    config.clip.frames = 27
    config.clip.targets = 1
    config.clip.stride = 1
    config.clip.windows = "replicate"
    config.clip.evaluation_stride = 100
    config.clip.evaluation_windows = "replicate"
    config.model = model_config(
        "videopose3d", num_joints_out=15, filter_widths=(3, 3, 3), batch_norm_axis="devices"
    )
    config.objective.weights = objective_weights(mpjpe=1)
    config.training.epochs = 2000
    config.training.batch_size = 128
    config.training.optimizer.name = "adam"
    config.training.optimizer.amsgrad = True
    config.training.learning_rate = 1e-3
    config.training.learning_rate_decay = 0.996**0.5
    config.training.weight_decay = 0.0
    config.training.batch_norm_momentum = 0.1
    config.training.batch_norm_momentum_end = 0.001
    config.training.root = "frame"  # the targets are root-relative as they are
    config.evaluation.batch_size = 64
    config.evaluation.root = "keep"
    config.evaluation.by_subject = True
    config.evaluation.every_epochs = 20
    return config
