"""RePOSE at its published size on procedural motion, to compare JAX and PyTorch with.

    jrepose compare-gradients

takes this config where no other is named: 243 frames, batches of 2, so that two CPU cores and
12 GiB of memory are enough.  Nothing is downloaded.  The variant `small` takes seconds:

    jrepose compare-gradients --config compare_gradients:small
"""

from ml_collections import ConfigDict

from jrepose.config import default_config
from jrepose.errors import InputError

VARIANTS = ("small",)


def get_config(variant: str = "") -> ConfigDict:
    config = default_config()
    config.name = "compare_gradients"
    config.data.split.train = ("ada",)
    config.data.split.validation = ("gus",)
    config.data.split.test = ("hana",)
    config.training.batch_size = 2
    if variant == "small":
        config.data.frame_rate = 10.0
        config.clip.update(frames=27, stride=9, evaluation_stride=27)
        config.model.update(dim_feat=32, dim_rep=64, depth=2, num_heads=2, mlp_ratio=2, maxlen=27)
    elif variant:
        raise InputError(f"configs/compare_gradients.py has no variant {variant!r}; it has small")
    return config
