"""RePOSE's Table 5 at a small size: what do ranking losses add to lifters that are trained?

    jrepose train --config finetuning_small:mixste --workdir runs/mixste --config.data.path=FOLDER
    python benchmarks/ablation.py finetuning --config finetuning_small:mixste --init runs/mixste \
        --config.data.path=FOLDER --config.clip.stride=216 --config.training.epochs=1 \
        --config.training.learning_rate=2e-4 --output runs/finetuning_mixste

A stride of 216 frames makes some 300 steps; 22 of pstmo_s, 11 of videopose3d and 5 of graformer do
the same.  Of pstmo_s and motionbert the weights to begin with are those of `RUN/stage2`.

Data: FOLDER holds clips of the CMU Graphics Lab Motion Capture Database, the subjects of
configs/lift_small.py, each performed once, filmed by random cameras and seen by a simulated
detector.  docs/results.md says what came out.

Without a variant it is RePOSE; variants are mixste, stcformer, pstmo_s, motionbert, and the paper's
future work, graformer (a graph) and videopose3d (convolutions); 32 channels or what comes close.
The networks that look at x, y alone as published (MixSTE, GraFormer, VideoPose3D) are given the
confidence too; STCFormer and P-STMO have no room for it.  MotionBERT and P-STMO are pre-trained
first, as in their papers, in a stage of their own.  P-STMO, GraFormer and VideoPose3D answer for
one frame of a clip, which has no order in time: they have the spatial loss only.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights, settings_of

# Variant -> model, hyperparameters, frames, labels a clip (None: all), batch.
VARIANTS = {
    "": (
        "repose", {"dim_feat": 32, "dim_rep": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2,
                   "maxlen": 27},
        27, None, 8,
    ),
    "motionbert": (
        "motionbert_lite", {"dim_feat": 32, "dim_rep": 64, "depth": 2, "num_heads": 4,
                            "mlp_ratio": 4, "maxlen": 27},
        27, None, 8,
    ),
    "mixste": (
        "mixste", {"num_frame": 27, "in_chans": 3, "embed_dim_ratio": 32, "depth": 4,
                   "num_heads": 4},
        27, None, 8,
    ),
    "stcformer": (
        "stcformer", {"frames": 27, "d_hid": 32, "depth": 2, "num_heads": 4}, 27, None, 8,
    ),
    "pstmo_s": (
        "pstmo_s", {"frames": 27, "stride_num": (3, 3, 3), "channel": 64, "depth": 2,
                    "num_heads": 4},
        27, None, 32,
    ),
    "graformer": (
        "graformer", {"in_chans": 3, "hid_dim": 48, "depth": 2, "num_heads": 4}, 1, 1, 128,
    ),
    "videopose3d": (
        "videopose3d", {"in_features": 3, "filter_widths": (3, 3, 3), "channels": 128}, 27, 1, 64,
    ),
}  # fmt: skip


def get_config(variant: str = "") -> ConfigDict:
    model, sizes, frames, targets, batch = settings_of("finetuning_small", VARIANTS, variant)
    config = default_config()
    config.name = f"finetuning_small_{variant}" if variant else "finetuning_small"
    config.data.source = "mocap"
    config.data.path = "data/mocap"
    config.data.frame_rate = 20.0
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
    config.data.rig.in_view = 0.97
    config.clip.frames = frames
    config.clip.targets = targets
    config.clip.stride = 54
    config.clip.evaluation_stride = 27
    if batch > 8:
        # One pose a clip: the more clips.
        config.clip.stride = 512 // batch
        config.clip.windows = "centred"
        config.clip.evaluation_windows = "centred"
    config.model = model_config(model, **sizes)
    config.objective.weights = objective_weights(mpjpe=1)
    config.training.epochs = 4
    config.training.batch_size = batch
    config.training.optimizer.name = "adam"
    config.training.learning_rate = 2e-3
    config.training.schedule.name = "cosine"
    config.training.schedule.warmup_epochs = 0.1
    config.training.weight_decay = 0.0
    config.training.log_every = 50
    config.evaluation.every_epochs = 2
    if variant == "motionbert":
        pretraining = {
            "corruption": {"projected": True, "noise": "plain", "joints": 0.05, "frames": 0.1},
            "training": {"epochs": 2},
        }
        config.stages = ConfigDict({"stage1": pretraining, "stage2": {}})
    if variant == "pstmo_s":
        config.objective.weights = objective_weights(**{"mpjpe": 1, "sequence/mpjpe": 1})
        encoder = ("(params|batch_stats)/(encoder|Transformer)/.*",)
        config.stages = ConfigDict(
            {
                "stage1": {"task": "masked", "training": {"epochs": 2}},
                "stage2": {"training": {"init_only": encoder}},
            }
        )
    return config
