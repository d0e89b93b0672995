"""The embedded default: a small RePOSE on procedural motion, nothing to download.

    make demo

trains for a few minutes on two CPU cores, evaluates on an unseen subject and draws pictures
into runs/demo.  The numbers show that the machinery works; they compare with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config


def get_config() -> ConfigDict:
    config = default_config()
    config.name = "demo"
    config.data.source = "procedural"
    # Ten frames a second: 27 frames are 2.7 s of motion.
    config.data.frame_rate = 10.0
    config.data.seconds = 20.0
    config.data.split.train = ("ada", "ben", "cleo", "dan", "eve", "finn")
    config.data.split.validation = ("gus",)
    config.data.split.test = ("hana",)
    config.clip.frames = 27
    config.clip.stride = 9
    config.clip.evaluation_stride = 27
    config.model = model_config(
        "repose", dim_feat=32, dim_rep=64, depth=2, num_heads=2, mlp_ratio=2, maxlen=27
    )
    # Few epochs: many small steps at a larger rate than the published 5e-4, down to nothing.
    config.training.epochs = 3
    config.training.learning_rate = 1.5e-3
    config.training.schedule.name = "cosine"
    config.training.batch_size = 8
    # The published weights of 20 hold so short a training at poses without depth
    # (docs/results.md).
    config.objective.weights.spatial_ranking = 0.2
    config.objective.weights.temporal_ranking = 0.2
    config.checkpoint.every_steps = 500
    return config
