"""RIE (Pose3D-RIE) on HumanEva-I, Walking and Jog: three stages, one command.

    jrepose train --config rie_humaneva --workdir runs/rie_humaneva \
        --config.data.path=FOLDER
    jrepose evaluate --config rie_humaneva --checkpoint runs/rie_humaneva/stage3 \
        --config.data.path=FOLDER

Data: FOLDER holds data_3d_humaneva15.npz and data_2d_humaneva15_detectron_pt_coco.npz as
VideoPose3D converts them; docs/datasets.md says where the dataset comes from and who may use it.

Expected: Shan et al., ACM MM 2021, Mask R-CNN, 27 frames, PA-MPJPE in mm: Walking of S1, S2, S3
13.5, 9.4, 47.2; Jog 20.3, 12.1, 12.8; mean 13.6 without Walking of S3, whose motion capture is
corrupt.  We have not trained on HumanEva.

The release does not have this dataset.  The paper's are the 2D input, 27 frames and the stages.
Ours: how COCO's keypoints and the 15 joints are grouped, and that the positional encoding's root is
the middle of the hips (jrepose/models/rie.py); 256 channels and 512 latent features, as
released for detections on Human3.6M; and, in every stage, VideoPose3D's recipe for this dataset:
batches of 128, 1000 epochs (2000 of ours, in which a coin mirrors a window), x0.996.  All else as
in configs/rie_h36m.py.  The test part also chooses the epoch to keep, as there is no third part.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights

_ENCODERS = "(LocalLayer_[^/]*|GlobalInfo)/.*"


def get_config() -> ConfigDict:
    config = default_config(
        "humaneva",
        detections="detectron_pt_coco",
        target_space="camera_m",
        actions=("Walking", "Jog"),
    )
    config.name = "rie_humaneva"
    config.published = "Pose3D-RIE"
    config.clip.frames = 27
    config.clip.targets = 1
    config.clip.stride = 1
    config.clip.windows = "replicate"
    config.clip.evaluation_windows = "centred"
    config.model = model_config(
        "rie",
        skeleton_in="coco_17",
        skeleton_out="humaneva_15",
        filter_widths=(3, 3, 3),
        latent_features=512,
        batch_norm_axis="devices",
    )
    config.objective.weights = objective_weights(mpjpe=1)
    config.training.epochs = 2000
    config.training.batch_size = 128
    config.training.optimizer.amsgrad = True
    config.training.learning_rate = 1e-3
    config.training.learning_rate_decay = 0.996**0.5
    config.training.weight_decay = 0.01
    config.training.batch_norm_momentum = 0.1
    config.training.batch_norm_momentum_end = 0.001
    config.training.root = "frame"  # the targets are root-relative as they are
    config.evaluation.batch_size = 256
    config.evaluation.root = "keep"
    config.evaluation.by_subject = True
    config.evaluation.exclude = ("S3/Walking",)
    config.evaluation.every_epochs = 20
    config.evaluation.best_by = "pa_mpjpe"
    config.stages = ConfigDict(
        {
            "stage1": {"model": {"fusion": False}},
            # Only parameters stand still; the statistics move, as in the release.
            "stage2": {
                "training": {
                    "init_only": (f"(params|batch_stats)/{_ENCODERS}",),
                    "freeze": (f"params/{_ENCODERS}",),
                }
            },
            "stage3": {"training": {"learning_rate": 5e-4}},
        }
    )
    return config
