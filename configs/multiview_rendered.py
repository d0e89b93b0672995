"""The multi-view relational detector on rendered people, nothing to download.

    jrepose train --config multiview_rendered:small --workdir runs/multiview
    jrepose evaluate --checkpoint runs/multiview

Motion of our own in rendered rooms, four cameras, clutter in front of one of them now and then
(`config.data.scene`): the scores of `occluded` and `clear` images say what other frames and views
are worth there.  It compares with nothing: no paper has these pictures.

The recipe is that of `configs/multiview_h36m.py`, whose variants these are, with COCO's sigmas by
anatomy.  Variants `8` (also none), `32`, `128`: frames of a clip, at ten a second.

`small`: crops of 64 pixels, clips of 4 frames and a narrow network, for a CPU.
"""

from ml_collections import ConfigDict

from jrepose.config import load_config, settings_of

# Variant -> that of multiview_h36m, epochs, seconds of motion.
VARIANTS = {
    "": ("8", 100, 60.0),
    "8": ("8", 100, 60.0),
    "32": ("32", 100, 60.0),
    "128": ("128", 100, 60.0),
    "small": ("small", 20, 4.0),
}


def get_config(variant: str = "") -> ConfigDict:
    recipe, epochs, seconds = settings_of("multiview_rendered", VARIANTS, variant)
    config = load_config(f"multiview_h36m:{recipe}")
    config.name = f"multiview_rendered_{variant}" if variant else "multiview_rendered"
    config.published = None
    config.data.source = "rendered"
    config.data.path = None
    config.data.frame_rate = 10.0
    config.data.seconds = seconds
    config.data.split.train = ("ada", "ben", "cleo", "dan", "eve", "finn")
    config.data.split.validation = ("gus",)
    config.data.split.test = ("hana",)
    config.detection.sigmas = "anatomy"
    config.training.epochs = epochs
    config.checkpoint.every_steps = 500
    return config
