"""MotionAGFormer on MPI-INF-3DHP with annotated 2D keypoints, 81 frames.

    jrepose prepare mpi_inf_3dhp --source DOWNLOADED --out data/mpi_inf_3dhp
    jrepose train --config motionagformer_mpi_inf_3dhp --workdir runs/motionagformer_3dhp
    jrepose evaluate --config motionagformer_mpi_inf_3dhp --checkpoint runs/motionagformer_3dhp

Data: docs/datasets.md says where it comes from; it is for research only.  The first command is
optional: `data.path` may also be the folder of the original annotations, or of preprocessed
files that you have (`data_train_3dhp.npz`, `data_test_3dhp.npz`).

Expected: MotionAGFormer (Mehraban et al., WACV 2024), variant `l`, as quoted in RePOSE, Table 3:
PCK 98.2 %, AUC 85.3 %, MPJPE 16.2 mm, the mean over all frames.  We have not trained on
MPI-INF-3DHP.

All that follows is the released code: windows of 81 frames every 9, ends of videos stretched to a
window; root-relative millimetres times 2 / image width, of the rescaled skeleton (`univ_annot3`);
the losses of `motionagformer_h36m.py`; Adam with AMSGrad at 5e-4 without weight decay, x0.99 an
epoch, 90 epochs of batches of 16; each valid frame is tested in the middle of its own window, edge
frames repeated, with flip averaging and the root at zero.

Ours: what is ours in `motionagformer_h36m.py`.
"""

from ml_collections import ConfigDict

from jrepose.config import load_config, set_benchmark, settings_of

# Variant -> that of motionagformer_h36m, whose layers and channels it has; published row.
VARIANTS = {"": ("", None), "l": ("l", "MotionAGFormer"), "small": ("small", None)}


def get_config(variant: str = "") -> ConfigDict:
    sizes, published = settings_of("motionagformer_mpi_inf_3dhp", VARIANTS, variant)
    config = load_config("motionagformer_h36m" + (sizes and f":{sizes}"))
    config.name = "motionagformer_mpi_inf_3dhp" + (variant and f"_{variant}")
    config.published = published
    set_benchmark(config, "mpi_inf_3dhp", label="univ_annot3", target_space="camera_by_width")
    config.clip.frames = 81
    config.clip.stride = 9
    config.clip.evaluation_stride = 81
    config.clip.windows = "stretch"
    config.clip.evaluation_windows = "centred"
    config.model.n_frames = 81
    config.training.epochs = 90
    config.training.optimizer.name = "adam"
    config.training.optimizer.amsgrad = True
    config.training.weight_decay = 0.0
    config.evaluation.overlap = "once"
    return config
