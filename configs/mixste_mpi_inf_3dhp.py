"""MixSTE on MPI-INF-3DHP with annotated 2D keypoints, 27 frames or one.

    jrepose prepare mpi_inf_3dhp --source DOWNLOADED --out data/mpi_inf_3dhp
    jrepose train --config mixste_mpi_inf_3dhp --workdir runs/mixste_3dhp
    jrepose evaluate --config mixste_mpi_inf_3dhp --checkpoint runs/mixste_3dhp

Data: docs/datasets.md says where it comes from; it is for research only.  The first command is
optional: `data.path` may also be the folder of the original annotations, or of preprocessed
files that you have (`data_train_3dhp.npz`, `data_test_3dhp.npz`).

Expected: MixSTE (Zhang et al., CVPR 2022):

| variant | frames | PCK [%] | AUC [%] | MPJPE [mm] |
|---|---|---|---|---|
| (none) | 27 | 94.4 | 66.5 | 54.9 |
| `1` | 1 | 94.2 | 63.8 | 57.9 |

These are the paper's numbers; we have not trained on MPI-INF-3DHP.

Not released is anything for this dataset.  We take the recipe of configs/mixste_h36m.py, whose
docstring says what of it is the paper's, the code's and ours: root-relative poses in metres,
windows end to end, batches of 1024 frames.  Not known are the annotation scored (`univ_annot3` of
one body size here, `annot3` of true size: `--config.data.label=annot3`), how six sequences
become one number (the evaluation prints all the ways there are), and the joints' weights in the
loss: here each has that of its like in Human3.6M.  Each valid frame is scored once, with the
predicted root at zero as in the field's code for this dataset.  A clip of one frame has no
velocity: only the weighted MPJPE is left of the objective.  The epoch to keep is chosen on the
test set, as in MixSTE's code for Human3.6M.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights, settings_of

# Variant -> frames.
VARIANTS = {"": 27, "1": 1}


def get_config(variant: str = "") -> ConfigDict:
    frames = settings_of("mixste_mpi_inf_3dhp", VARIANTS, variant)
    config = default_config("mpi_inf_3dhp", label="univ_annot3", target_space="camera_m")
    config.name = f"mixste_mpi_inf_3dhp_{frames}"
    config.published = f"MixSTE-{frames}"
    config.clip.frames = frames
    config.clip.stride = frames
    config.clip.evaluation_stride = frames
    config.clip.windows = "replicate"
    config.clip.evaluation_windows = "cover"
    config.model = model_config("mixste", num_frame=frames)
    config.objective.weights = objective_weights(
        weighted_mpjpe=1, temporal_consistency=0.5, velocity=2
    )
    config.training.epochs = 240
    config.training.batch_size = 1024 // frames
    config.training.learning_rate = 4e-5
    config.training.learning_rate_decay = 0.99**0.5
    config.training.weight_decay = 0.1
    config.training.root = "frame"  # the targets are root-relative as they are
    config.training.gradient_times_loss = True
    config.evaluation.overlap = "once"
    config.evaluation.root = "zero"
    config.evaluation.every_epochs = 2
    return config
