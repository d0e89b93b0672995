"""A small DiffPose in two stages, context encoder and diffusion, on data that needs no benchmark.

    jrepose train --config diffpose_small --workdir runs/diffpose
    jrepose evaluate --checkpoint runs/diffpose/1_encoder
    jrepose evaluate --checkpoint runs/diffpose/2_diffusion

trains on embedded procedural motion; `diffpose_small:mocap` on motion capture
(`--config.data.path=PATH_TO_CMU_MOCAP`, docs/mocap.md).  The same command goes on in whatever stage
it was stopped.  The numbers compare with nothing published; docs/results.md has ours.

| stage | task | learns |
|---|---|---|
| `1_encoder` | `lifting`: GraFormer, every frame by itself, or MixSTE | the context encoder |
| `2_diffusion` | `diffpose` | the denoiser, told the frozen encoder's features |

The network answers the clean pose and the mixture has one component: a step of five with EM takes
a CPU ten times as long, and the paper's answer, the pose of one step before, multiplies the
network's error by the number of steps that the sampler leaves out (docs/architecture.md).  For
comparison: `paper`, the paper's answer; `stand`, normal noise; `baseline_a`, no diffusion;
`mocap_mixste`, MixSTE over 9 frames as the context encoder.
"""

from ml_collections import ConfigDict

from jrepose.config import (
    default_config,
    diffusion_config,
    model_config,
    objective_weights,
    settings_of,
)

# Variant -> what differs in the diffusion.
VARIANTS = {
    "": {},
    "mocap": {},
    "mocap_mixste": {},
    "paper": {"prediction": "previous"},
    "stand": {"components": 0},
    "baseline_a": {"prediction": "none"},
}


def get_config(variant: str = "") -> ConfigDict:
    config = default_config()
    config.name = f"diffpose_small_{variant}" if variant else "diffpose_small"
    config.task = "diffpose"
    config.data.target_space = "camera_m"
    config.data.frame_rate = 10.0
    if variant.startswith("mocap"):
        config.data.source = "mocap"
        config.data.path = "data/mocap"
        config.data.split.train = ("01", "03", "07", "09", "11", "12", "14", "35", "131")
        config.data.split.validation = ("49", "135")
        config.data.split.test = ("02", "13")
    else:
        config.data.split.train = ("ada", "ben", "cleo", "dan", "eve", "finn")
        config.data.split.validation = ("gus",)
        config.data.split.test = ("hana",)
    config.clip.frames = 1
    config.clip.stride = 1
    config.clip.evaluation_stride = 1
    config.clip.windows = "centred"
    config.clip.evaluation_windows = "centred"
    sizes = {"hid_dim": 48, "depth": 2, "num_heads": 2, "drop_rate": 0.1}
    config.model = model_config("diffpose", **sizes)
    config.context.model = model_config("graformer", in_chans=3, **sizes)
    config.diffusion = diffusion_config("paper")
    config.diffusion.update(prediction="clean", components=1, samples=200)
    config.diffusion.update(settings_of("diffpose_small", VARIANTS, variant))
    config.objective.weights = objective_weights(mean_squared=1)
    config.training.epochs = 8
    config.training.batch_size = 128
    config.training.optimizer.name = "adam"
    config.training.weight_decay = 0.0
    config.training.learning_rate = 2e-3
    config.training.schedule.name = "cosine"
    config.training.gradient_clip = 1.0
    config.training.flip = False
    config.training.root = "frame"
    config.training.log_every = 50
    config.evaluation.batch_size = 256
    config.evaluation.flip = False
    config.evaluation.root = "zero"
    config.evaluation.every_epochs = 4
    if variant == "mocap_mixste":
        config.clip.frames = config.clip.stride = config.clip.evaluation_stride = 9
        config.clip.windows = "replicate"
        config.clip.evaluation_windows = "cover"
        config.context.model = model_config(
            "mixste", num_frame=9, in_chans=3, embed_dim_ratio=32, depth=4, num_heads=4
        )
        config.training.batch_size = 16
    config.stages = ConfigDict(
        {
            "1_encoder": {"task": "lifting", "model": config.context.model.to_dict()},
            "2_diffusion": {"context": {"path": "1_encoder"}},
        }
    )
    return config
