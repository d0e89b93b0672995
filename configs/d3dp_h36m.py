"""D3DP on Human3.6M with CPN detections, 243 frames.

    jrepose train --config d3dp_h36m --workdir runs/d3dp_h36m --config.data.path=FOLDER
    jrepose evaluate --config d3dp_h36m --checkpoint runs/d3dp_h36m --config.data.path=FOLDER \
        --config.diffusion.hypotheses=5 --config.diffusion.sampling_steps=5

The second command is that of the released code, and takes its h36m_best_epoch.bin as it is; 5
hypotheses in 5 steps cost fifty passes of the network a clip.  Training chooses the epoch to keep
with one hypothesis in one step, as the released code does.

Data: FOLDER holds data_3d_h36m.npz and data_2d_h36m_cpn_ft_h36m_dbb.npz, for the variant `gt`
data_2d_h36m_gt.npz; docs/datasets.md says where they come from and who may use them.

Expected: D3DP (Shan et al., ICCV 2023), S9 and S11: MPJPE 40.0 mm, PA-MPJPE 31.7 mm, as RePOSE's
Table 1 has them.  We have not trained on Human3.6M.  Network, noise, loss, sampler and the
aggregation of hypotheses (J-Best, P-Agg, J-Agg) agree with the released code on fabricated data
(tests/).  P-Best is of each pose here, in the released code of each batch.

From the released code: AdamW with weight decay 0.1, a rate of 6e-5, x0.993 an epoch, stochastic
depth up to 0.1, gradients times the loss, windows end to end with repeated edges, 4 a batch;
evaluation counts every slot of every window, sets predicted roots to zero, averages with the
mirrored clip in every step, and takes the mean over the actions.

Ours: the release has every window plain and mirrored in each epoch, here a coin decides for each
window.  One of its 400 epochs is two of ours.

`small`: 27 frames and a narrow network, tries the data on a CPU and compares with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import (
    default_config,
    diffusion_config,
    model_config,
    objective_weights,
    settings_of,
)

# Variant -> 2D detections, frames, name of the published row.
VARIANTS = {
    "": ("cpn_ft_h36m_dbb", 243, "D3DP"),
    "gt": ("gt", 243, None),
    "small": ("cpn_ft_h36m_dbb", 27, None),
}


def get_config(variant: str = "") -> ConfigDict:
    detections, frames, published = settings_of("d3dp_h36m", VARIANTS, variant)
    config = default_config("human36m", detections=detections, target_space="camera_m")
    config.name = f"d3dp_h36m_{variant}" if variant else "d3dp_h36m"
    config.task = "d3dp"
    config.published = published
    config.clip.frames = frames
    config.clip.stride = frames
    config.clip.evaluation_stride = frames
    config.clip.windows = "replicate"
    config.clip.evaluation_windows = "cover"
    config.model = model_config("d3dp", num_frame=frames)
    config.diffusion = diffusion_config("d3dp", hypotheses=1, sampling_steps=1)
    config.objective.weights = objective_weights(mpjpe=1)
    config.training.epochs = 800
    config.training.batch_size = 1024 // frames
    config.training.learning_rate = 6e-5
    config.training.learning_rate_decay = 0.993**0.5
    config.training.weight_decay = 0.1
    config.training.root = "frame"  # the targets are root-relative as they are
    config.training.gradient_times_loss = True
    config.evaluation.batch_size = 4
    config.evaluation.overlap = "slots"
    config.evaluation.root = "zero"
    config.evaluation.every_epochs = 2
    if variant == "small":
        config.model.update(embed_dim_ratio=32, depth=2, num_heads=2)
        config.training.learning_rate = 1e-3
        config.training.epochs = 20
    return config
