"""D3DP on MPI-INF-3DHP with annotated 2D keypoints, 243 frames.

    jrepose train --config d3dp_mpi_inf_3dhp --workdir runs/d3dp_3dhp --config.data.path=FOLDER
    jrepose evaluate --config d3dp_mpi_inf_3dhp --checkpoint runs/d3dp_3dhp \
        --config.data.path=FOLDER \
        --config.diffusion.hypotheses=5 --config.diffusion.sampling_steps=5

Data: FOLDER holds the original annotations, or D3DP's files (`data_train_3dhp_ori.npz`,
`data_test_3dhp_ori.npz`); docs/datasets.md says where they come from; it is for research only.

Expected: D3DP (Shan et al., ICCV 2023) as in RePOSE's Table 3: PCK 97.7 %, AUC 77.8 %, MPJPE 30.2
mm, every sequence alike.  We have not trained on MPI-INF-3DHP.

Poses are those of the subjects' true size (`annot3`); valid frames are scored, with the predicted
root at zero.  The recipe is that of configs/d3dp_h36m.py, whose docstring says what of it is the
released code's and what is ours; how long the released model was trained here is not known.
"""

from ml_collections import ConfigDict

from jrepose.config import load_config, set_benchmark


def get_config() -> ConfigDict:
    config = load_config("d3dp_h36m")
    config.name = "d3dp_mpi_inf_3dhp"
    set_benchmark(config, "mpi_inf_3dhp", label="annot3")
    config.evaluation.overlap = "once"
    return config
