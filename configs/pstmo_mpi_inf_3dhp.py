"""P-STMO-S on MPI-INF-3DHP with annotated 2D keypoints, 81 frames: pre-training, then lifting.

    jrepose prepare mpi_inf_3dhp --source DOWNLOADED --out data/mpi_inf_3dhp
    jrepose train --config pstmo_mpi_inf_3dhp --workdir runs/pstmo_3dhp
    jrepose evaluate --config pstmo_mpi_inf_3dhp --checkpoint runs/pstmo_3dhp/stage2

The stages are those of `pstmo_h36m.py`, where all that holds for both datasets is said.

Data: docs/datasets.md says where it comes from; it is for research only.  The first command is
optional: `data.path` may also be the folder of the original annotations, or of preprocessed
files that you have (`data_train_3dhp.npz`, `data_test_3dhp.npz`).

Expected: P-STMO-S (Shan et al., ECCV 2022), its repository: PCK 97.9 %, AUC 75.8 %, MPJPE 32.2 mm,
the mean weighted by the frame counts of its read-me; the released checkpoint carries 32.03 in its
name.  Neither it nor the data was at hand, and we have not trained.

The released code: windows of 81 neighbouring frames around every frame, edge frames repeated,
mirrored ones too; poses in millimetres against the rescaled skeleton (`univ_annot3`), so that
losses are in millimetres; 0.7 of the frames and 2 keypoints of each masked in stage 1; 7e-4 in
stage 2; evaluation of every valid frame, flip averaging, the predicted root at zero.  How many
epochs it has here is not known; we take the 79 of its code for Human3.6M, 158 of ours.

`small`: 27 frames and a narrow network, to try the data on a CPU; compares with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config, objective_weights, settings_of
from jrepose.models.pstmo import STRIDES

# Variant -> frames.
VARIANTS = {"": 81, "small": 27}


def get_config(variant: str = "") -> ConfigDict:
    frames = settings_of("pstmo_mpi_inf_3dhp", VARIANTS, variant)
    config = default_config("mpi_inf_3dhp", label="univ_annot3", target_space="camera_mm")
    config.name = "pstmo_mpi_inf_3dhp"
    config.clip.frames = frames
    config.clip.stride = 1
    config.clip.evaluation_stride = frames
    config.clip.windows = "centred"
    config.clip.evaluation_windows = "centred"
    config.model = model_config(
        "pstmo_s", frames=frames, stride_num=STRIDES[frames], batch_norm_axis="devices"
    )
    config.masking.frames = 0.7
    config.masking.joints = 2
    config.objective.weights = objective_weights(**{"mpjpe": 1, "sequence/mpjpe": 1})
    config.training.epochs = 158
    config.training.batch_size = 160
    config.training.optimizer.name = "adam"
    config.training.optimizer.amsgrad = True
    config.training.learning_rate = 7e-4
    config.training.learning_rate_decay = 0.97**0.5
    config.training.weight_decay = 0.0
    config.training.root = "frame"  # the targets are root-relative as they are
    config.evaluation.batch_size = 160
    config.evaluation.root = "zero"
    config.evaluation.every_epochs = 2
    encoder = ("(params|batch_stats)/(encoder|Transformer)/.*",)
    config.stages = ConfigDict(
        {
            "stage1": {"task": "masked", "training": {"learning_rate": 1e-4}},
            "stage2": {"training": {"init_only": encoder}},
        }
    )
    if variant == "small":
        config.name = "pstmo_mpi_inf_3dhp_small"
        config.model.update(channel=32, depth=2)
        config.training.epochs = 20
    else:
        config.published = "P-STMO"
    return config
