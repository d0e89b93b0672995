"""The multi-view relational detector on rendered people, nothing to download.

    jrepose train --config multiview_rendered:small --workdir runs/multiview
    jrepose evaluate --checkpoint runs/multiview

Motion of our own in rendered rooms, four cameras, clutter in front of one of them now and then
(`config.data.scene`): the scores of `occluded` and `clear` images say what other frames and views
are worth there.  It compares with nothing: no paper has these pictures.

The recipe is that of `configs/multiview_h36m.py`, whose variants these are, with COCO's sigmas by
anatomy.  Variants `8` (also none), `32`, `128`: frames of a clip, at ten a second.

`small`: for a CPU.  Crops of 48 pixels, clips of 4 frames at 5 a second, a narrow network; many
people for a short time each, as variety is what it learns from.  In every clip something stands in
front of one camera for two frames, and hidden joints count: docs/results.md tells what comes out.
`small_images`: the same without the transformers over frames and views, one moment at a time, to
train the backbone that `small` begins with (`--init`).
"""

from ml_collections import ConfigDict

from jrepose.config import load_config, settings_of

# Variant -> that of multiview_h36m.
VARIANTS = {
    "": "8",
    "8": "8",
    "32": "32",
    "128": "128",
    "small": "small",
    "small_images": "small",
}


def get_config(variant: str = "") -> ConfigDict:
    recipe = settings_of("multiview_rendered", VARIANTS, variant)
    config = load_config(f"multiview_h36m:{recipe}")
    config.name = f"multiview_rendered_{variant}" if variant else "multiview_rendered"
    config.published = None
    config.data.source = "rendered"
    config.data.path = None
    config.data.frame_rate = 10.0
    config.data.seconds = 60.0
    config.data.split.train = ("ada", "ben", "cleo", "dan", "eve", "finn")
    config.data.split.validation = ("gus",)
    config.data.split.test = ("hana",)
    config.detection.sigmas = "anatomy"
    config.checkpoint.every_steps = 500
    if recipe == "small":
        config.data.frame_rate = 5.0
        config.data.seconds = 1.6
        config.data.procedural_people = 26
        config.data.split.test = ("hana", "ian", "jo", "kim")
        config.data.images.padding = 1.1
        config.data.scene.update(clutter_share=0.5, clutter_seconds=0.4, clutter_solids=8)
        config.detection.visible_only = False
        config.training.init_only = ("params/backbone/.*", "params/relations/head/.*")
    if variant == "small_images":  # mirrored too: a mirrored rig would be another one
        config.clip.update(frames=1, stride=1, evaluation_stride=1)
        config.model.update(time_depth=0, view_depth=0, keep=1.0)
        config.training.update(flip=True, batch_size=8, learning_rate=4e-3, init_only=())
        config.training.schedule.warmup_epochs = 0.5
        config.evaluation.batch_size = 32
    return config
