"""Detection as a task: what counts in the loss, what is kept when, what is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import moments
import numpy as np
import pytest

from jrepose.config import load_config
from jrepose.errors import InputError
from jrepose.models.multiview import normalised
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks import DetectingTask, detection
from jrepose.tasks.detection import Detection


class Brightness(nn.Module):
    """Every joint where the left half of the image is bright."""

    @nn.compact
    def __call__(self, images, views_seen=None, train=False, keep=None):
        scale = self.param("scale", nn.initializers.ones, (17, 2))
        left = images[..., : images.shape[-2] // 2, :].mean((-1, -2, -3))
        return left[..., None, None] * scale[None, None, None] * (1.0 if keep is None else keep)


@pytest.fixture(scope="module")
def batch():
    dataset = moments.dataset(size=8)
    rows = np.arange(8).reshape(2, 4) + 2
    names = ("images", "views_seen", "joints_px", "joints_seen")
    return {name: getattr(dataset, name)[rows] for name in names}


@pytest.fixture(scope="module")
def variables(batch):
    return Detection(Brightness(), HUMAN36M_17).init(jax.random.key(0), batch)


def found_in(batch):
    left = np.asarray(normalised(batch["images"]))[..., :4, :].mean((-1, -2, -3))
    return np.broadcast_to(left[..., None, None], batch["joints_px"].shape)


def loss_of(task, variables, batch, step=0):
    loss = jax.jit(jax.value_and_grad(task.loss, has_aux=True))
    found, gradient = loss(variables, batch, jax.random.key(0), jnp.asarray(step))
    assert np.isfinite(gradient["params"]["scale"]).all()
    return found


@pytest.mark.parametrize("visible_only", [True, False])
def test_what_counts(visible_only, batch, variables):
    task = Detection(Brightness(), HUMAN36M_17, visible_only)
    assert isinstance(task, DetectingTask)
    labels = batch["joints_px"].copy()
    if visible_only:
        labels[~batch["joints_seen"]] = np.nan
    total, outcome = loss_of(task, variables, {**batch, "joints_px": labels})
    counts = np.broadcast_to(batch["views_seen"][..., None], batch["joints_seen"].shape)
    if visible_only:
        counts = counts & batch["joints_seen"]
    assert 0 < counts[1].sum() < counts[0].sum()  # the second clip lacks a view
    squared = (found_in(batch) - batch["joints_px"]) ** 2
    clips = [squared[clip][counts[clip]].mean() for clip in range(2)]
    np.testing.assert_allclose(total, np.mean(clips), rtol=1e-5)
    assert outcome.terms.keys() == {"mse"}
    if visible_only:  # a clip in which nothing is seen counts as one without error
        hidden = batch["joints_seen"] & np.array([False, True])[:, None, None, None]
        total, _ = loss_of(task, variables, {**batch, "joints_seen": hidden})
        np.testing.assert_allclose(total, clips[1] / 2, rtol=1e-5)


def test_a_mirror_is_undone(batch, variables):
    task = Detection(Brightness(), HUMAN36M_17)
    found = task.detect(variables, batch, None, flip=True)
    right = np.asarray(normalised(batch["images"]))[..., 4:, :].mean((-1, -2, -3))
    plain = found_in(batch)[..., 0]
    np.testing.assert_allclose(found[..., 0], (plain + 7 - right[..., None]) / 2, atol=1e-5)
    np.testing.assert_allclose(found[..., 1], (plain + right[..., None]) / 2, atol=1e-5)


def config_of(**model):
    config = load_config("multiview_rendered:small")
    config.data.images.size = config.model.img_size = 32
    config.model.update(window_size=4, views=2, **model)
    config.training.epochs = 20
    config.training.schedule.warmup_epochs = 4.0
    return config


def test_patches_are_left_out_by_and_by(batch):
    config = config_of(keep=0.5)
    clock = lambda step: step  # noqa: E731  (a step is an epoch)
    task = detection.from_config(config, moments.dataset(), clock)
    shares = [float(task.keep(jnp.asarray(float(step)))) for step in (0, 4, 12, 20, 30)]
    np.testing.assert_allclose(shares, [1, 1, 0.75, 0.5, 0.5], atol=1e-6)
    assert detection.from_config(config, moments.dataset(), None).keep is None
    scheduled = Detection(Brightness(), HUMAN36M_17, keep=task.keep)
    variables = scheduled.init(jax.random.key(0), batch)
    _, outcome = loss_of(scheduled, variables, batch, 12)
    np.testing.assert_allclose(outcome.terms["weight/kept_patches"], 0.75)


@pytest.mark.parametrize(
    ("changes", "frames", "views", "message"),
    [
        ({"img_size": 64}, 4, 2, "config.model.img_size is 64, the images' is 32"),
        ({}, 4, 3, "config.model.views is 2, and the images are of 3 cameras"),
        ({}, 17, 2, "config.clip.frames is 17, config.model.frames only 16"),
        ({"num_joints": 16}, 4, 2, "config.model.num_joints is 16, the images' is 17"),
    ],
)
def test_what_does_not_go_together(changes, frames, views, message):
    config = config_of(**changes)
    config.clip.frames = frames
    with pytest.raises(InputError, match=message):
        detection.from_config(config, moments.dataset(views=views), None)


def test_clips_of_a_model_without_places_may_be_longer():
    config = config_of(placed=False)
    config.clip.frames = 17
    assert detection.from_config(config, moments.dataset(), None).model.frames == 16
