"""DiffPose on Human3.6M: the paper's method, or what its released code runs.

    jrepose train --config diffpose_h36m:frame --workdir runs/diffpose \
        --config.data.path=FOLDER --config.context.path=runs/graformer_h36m
    jrepose evaluate --config diffpose_h36m:frame --checkpoint runs/diffpose \
        --config.data.path=FOLDER

The context encoder, a frozen lifter, is a run (configs/mixste_h36m.py, configs/graformer_h36m.py)
or a PyTorch file; a trained run keeps a copy of it.  The released checkpoints as they are:

    jrepose evaluate --config diffpose_h36m:released_cpn --checkpoint diffpose_uvxyz_cpn.pth \
        --config.data.path=FOLDER --config.context.path=gcn_xyz_cpn.pth

Data: FOLDER holds data_3d_h36m.npz and data_2d_h36m_cpn_ft_h36m_dbb.npz, for ground truth
data_2d_h36m_gt.npz; docs/datasets.md says where they come from and who may use them.

Expected: DiffPose (Gong et al., CVPR 2023), S9 and S11, in mm:

| variant | what | MPJPE | PA-MPJPE |
|---|---|---|---|
| (none) | paper, MixSTE's 243 frames, CPN | 36.9 | 28.7 |
| `gt` | the same, ground-truth 2D | 18.9 | |
| `frame` | paper, GraFormer, single frames, CPN | 49.7 | 39.2 |
| `frame_gt` | the same, ground-truth 2D | 31.6 | |
| `released`, `released_cpn`, `released_gt` | released code, single frames | as `frame` | |
| `released_video` | released code, MixSTE's poses | as (none) | |
| `stand` | normal noise instead of mixtures | 40.1 | 31.1 |
| `gmm_1`, `gmm_9` | mixtures of 1 and 9 components | 38.0, 36.5 | 29.7, 28.5 |
| `baseline_a` | the network alone, once | 44.3 | 33.7 |
| `baseline_b` | five of it, one after another | 41.1 | 32.8 |

These are the paper's numbers; we have not trained on Human3.6M.  Other rows of Table 5 and of
Figure 4 are one field each: `config.context.model` (with `config.diffusion.condition=poses` for a
lifter without features of single joints), `config.diffusion.steps`, `config.diffusion.hypotheses`.

From the paper: K, N, M, schedule, samples, network, Eq. 7 to 9, five DDIM steps, Adam at 1e-4,
x0.9, 4096 poses a step (243 frames x 17 windows here).  Its schedule leaves 94.9 % of a pose's
variance at the last step; `--config.diffusion.schedule=cosine` leaves none.  Not in the paper, so
ours: what uncertain keypoints are without heatmaps, how they come into metres, which layer's
features the network is told and how, one step drawn for each noise instead of all 50 at once, one
noise shared by the steps of a hypothesis, the rate's fall every ten epochs
(docs/architecture.md, jrepose/diffusion/presets.py).

From the released code: five channels (u, v too), noise as the answer, no context but the encoder's
pose as the start, steps and levels, Adam at 1e-3, x0.9 after 60 epochs, 1024 poses, clipping at 1.
The single-frame code trains on ground-truth 2D, also for CPN: train `released`, evaluate with
`released_cpn`.  Its noise of u, v is in files that no script makes, data_2d_h36m_gt_gmm.npz and
data_2d_h36m_cpn_ft_h36m_dbb_gmm.npz: who has them sets `config.data.detections=gt_gmm`.  Each joint
is then at one of its kernels, drawn in training and in evaluation, as wide as the file says;
without them the width is the video code's constant.  It keeps a moving average that it never
reads: `--config.training.ema_decay=0.999` reads one.  It zeroes the encoder's root, and so do we
(`config.diffusion.context_root`).

`small`: a narrow network, tries the data on a CPU and compares with nothing.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, diffusion_config, model_config, settings_of

# Variant -> 2D detections, frames, preset, what differs from it, name of the published row.
VARIANTS = {
    "": ("cpn_ft_h36m_dbb", 243, "paper", {}, "DiffPose"),
    "gt": ("gt", 243, "paper", {}, "DiffPose"),
    "frame": ("cpn_ft_h36m_dbb", 1, "paper", {}, "DiffPose-frame"),
    "frame_gt": ("gt", 1, "paper", {}, "DiffPose-frame"),
    "released": ("gt", 1, "released_gt", {}, "DiffPose-frame"),
    "released_cpn": ("cpn_ft_h36m_dbb", 1, "released", {}, "DiffPose-frame"),
    "released_gt": ("gt", 1, "released_gt", {}, "DiffPose-frame"),
    "released_video": ("cpn_ft_h36m_dbb", 243, "released_video", {}, "DiffPose"),
    "stand": ("cpn_ft_h36m_dbb", 243, "paper", {"components": 0}, None),
    "gmm_1": ("cpn_ft_h36m_dbb", 243, "paper", {"components": 1}, None),
    "gmm_9": ("cpn_ft_h36m_dbb", 243, "paper", {"components": 9}, None),
    "baseline_a": ("cpn_ft_h36m_dbb", 243, "paper", {"prediction": "none"}, None),
    "baseline_b": ("cpn_ft_h36m_dbb", 243, "paper", {"prediction": "none"}, None),
    "small": ("cpn_ft_h36m_dbb", 1, "paper", {"components": 1, "samples": 200}, None),
}


def get_config(variant: str = "") -> ConfigDict:
    detections, frames, preset, changes, published = settings_of("diffpose_h36m", VARIANTS, variant)
    is_paper = preset == "paper"
    config = default_config("human36m", detections=detections, target_space="camera_m")
    config.name = f"diffpose_h36m_{variant}" if variant else "diffpose_h36m"
    config.task = "diffpose"
    config.published = published
    config.clip.frames = frames
    config.clip.stride = frames
    config.clip.evaluation_stride = frames
    config.model = model_config("diffpose" if is_paper else "gcndiff")
    config.diffusion = diffusion_config(preset, **changes)
    if frames > 1:
        config.clip.windows = "replicate"
        config.clip.evaluation_windows = "cover"
        config.context.model = model_config("mixste", num_frame=frames)
    else:
        config.clip.windows = "centred"
        config.clip.evaluation_windows = "centred"
        # DiffPose's checkpoints of GraFormer hold two layers that nothing uses.
        config.context.model = model_config("graformer", step_embedding=not is_paper)
    config.training.optimizer.name = "adam"
    config.training.weight_decay = 0.0
    config.training.schedule.name = "steps"
    config.training.learning_rate_decay = 0.9
    config.training.flip = False
    config.training.root = "frame"  # the targets are root-relative as they are
    if is_paper:
        config.training.epochs = 100
        config.training.batch_size = max(1, 4096 // frames)
        config.training.learning_rate = 1e-4
        config.training.schedule.milestones = tuple(range(10, 100, 10))
    else:
        config.training.epochs = 80
        config.training.batch_size = max(1, 1024 // frames)
        config.training.learning_rate = 1e-3
        config.training.schedule.milestones = (61,)
        config.training.gradient_clip = 1.0
    config.evaluation.batch_size = max(1, 1024 // frames)
    config.evaluation.flip = frames > 1  # of the encoder's poses
    config.evaluation.root = "zero"
    if preset == "released_video":
        config.evaluation.overlap = "slots"
    if variant == "baseline_b":
        config.model.copies = 5
    if variant == "small":
        config.model.update(hid_dim=32, depth=1, num_heads=2)
        config.context.model.update(hid_dim=32, depth=2)
        config.training.batch_size = 64
        config.training.learning_rate = 1e-3
        config.training.epochs = 5
    return config
