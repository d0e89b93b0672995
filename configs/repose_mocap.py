"""RePOSE on real motion capture, filmed by virtual cameras.

    jrepose train --config repose_mocap --workdir runs/repose_mocap \
        --config.data.path=PATH_TO_CMU_MOCAP
    jrepose evaluate --config repose_mocap --checkpoint runs/repose_mocap \
        --config.data.path=PATH_TO_CMU_MOCAP

Data: the CMU Graphics Lab Motion Capture Database (docs/mocap.md says where to get it).  The
split below is by subject and fits the 57 clips that docs/mocap.md lists.

Model and recipe: RePOSE (ECCV 2024), section 4: 256/512 channels, depth 5, windows of 243
frames with stride 81, AdamW 5e-4, weight decay 0.01, x0.99 per epoch, 100 epochs, horizontal
flip; objective mpjpe + 20 spatial + 20 temporal (Eq. 4).  The paper's numbers (36.5 mm MPJPE,
30.7 mm PA-MPJPE) are for Human3.6M and do not apply to this data; docs/results.md holds ours.

Variants: `repose_mocap.py:small` is the size of the ablation in docs/results.md, which two
CPU cores train in minutes, with ranking weights of 0.2; `repose_mocap.py:small_mixste` is MixSTE
with as many blocks, with its own objective, on the same clips.  It reads the detector's confidence
too, which the published MixSTE does not: without it no network of this size found any depth
(docs/results.md).  `repose_mocap.py:small_videopose3d` and `repose_mocap.py:small_rie` are small
VideoPose3D and RIE, one pose per clip of 27 frames, root-relative camera poses as in their papers;
RIE in its three stages.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights
from jrepose.errors import InputError

# Variant of one pose per clip -> its model's hyperparameters.
SEQ2FRAME = {
    "small_videopose3d": {"channels": 64},
    "small_rie": {"channels": 32, "latent_features": 32, "fc_width": 64},
}
VARIANTS = ("small", "small_mixste", "small_videopose3d", "small_rie")


def get_config(variant: str = "") -> ConfigDict:
    config = default_config()
    config.name = "repose_mocap"
    config.data.source = "mocap"
    config.data.path = "data/mocap"
    config.data.split.train = ("01", "03", "07", "09", "11", "12", "14", "35", "131")
    config.data.split.validation = ("49", "135")
    config.data.split.test = ("02", "13")
    if variant in VARIANTS:
        config.name = f"repose_mocap_{variant}"
        # Ten frames a second: five times the motion per clip and a fifth of the clips.
        config.data.frame_rate = 10.0
        config.clip.frames = 27
        config.clip.stride = 9
        config.clip.evaluation_stride = 27
        config.model.update(dim_feat=32, dim_rep=64, depth=2, num_heads=2, mlp_ratio=2, maxlen=27)
        config.training.batch_size = 32
        # Few epochs: a larger rate that falls faster than the published 5e-4, x0.99.
        config.training.learning_rate = 2e-3
        config.training.learning_rate_decay = 0.85
        config.training.epochs = 12
        config.evaluation.every_epochs = 4
        # The published weights of 20 hold a network of this size at poses without depth
        # (docs/results.md).
        config.objective.weights.spatial_ranking = 0.2
        config.objective.weights.temporal_ranking = 0.2
        if variant == "small_mixste":
            config.model = model_config(
                "mixste", num_frame=27, in_chans=3, embed_dim_ratio=32, depth=4, num_heads=2
            )
            # Best of a few short runs at 1e-3 to 4e-3, on the validation subjects.
            config.training.learning_rate = 4e-3
            config.objective.weights = objective_weights(
                weighted_mpjpe=1, temporal_consistency=0.5, velocity=2
            )
        if variant in SEQ2FRAME:
            _predict_one_frame(config, variant)
    elif variant:
        raise InputError(
            f"configs/repose_mocap.py has no variant {variant!r}; it has {', '.join(VARIANTS)}"
        )
    return config


def _predict_one_frame(config: ConfigDict, variant: str) -> None:
    config.data.target_space = "camera_m"
    config.clip.targets = 1
    config.clip.stride = 1
    config.clip.windows = "replicate"
    config.clip.evaluation_windows = "centred"
    name = variant.removeprefix("small_")
    config.model = model_config(name, filter_widths=(3, 3, 3), **SEQ2FRAME[variant])
    config.objective.weights = objective_weights(mpjpe=1)
    config.training.batch_size = 256
    config.training.optimizer.amsgrad = True
    config.training.batch_norm_momentum = 0.1
    config.training.batch_norm_momentum_end = 0.01  # few steps: 0.001 would lag behind
    config.training.root = "frame"
    config.evaluation.batch_size = 256
    config.evaluation.root = "keep"
    if variant == "small_rie":
        # What each stage takes and freezes is as in configs/rie_h36m.py.
        encoders = "(LocalLayer_[^/]*|GlobalInfo)/.*"
        taken = {"init_only": (f"(params|batch_stats)/{encoders}",)}
        config.training.epochs = 4
        config.training.learning_rate_decay = 0.6
        config.stages = ConfigDict(
            {
                "stage1": {"model": {"fusion": False}},
                "stage2": {"training": {**taken, "freeze": (f"params/{encoders}",)}},
                "stage3": {"training": {"learning_rate": 1e-3}},
            }
        )
