"""RIE against an independent NumPy version, its encodings, and its own promises."""

import functools

import jax
import numpy as np
import pytest
from models import temporal_oracle

from jrepose import models
from jrepose.errors import InputError
from jrepose.interop import from_torch, infer_hyperparameters, to_torch
from jrepose.models.rie import BODY_PARTS, positional_encoding, temporal_encoding

WIDTHS = (3, 3)
SMALL = {
    "filter_widths": WIDTHS,
    "channels": 6,
    "latent_features": 4,
    "fc_width": 7,
    "drop_rate": 0.0,
    "fc_drop_rate": 0.0,
}
SIZES = {name: SMALL[name] for name in ("filter_widths", "channels", "latent_features", "fc_width")}
CLIPS = np.random.default_rng(0).normal(size=(6, 9, 17, 3)).astype(np.float32)
XY = CLIPS[..., :2].astype(np.float64)
CENTRE = XY[:, 4:5]
POSITIONAL = XY - XY[:, :, :1]
TEMPORAL = {
    "sub": XY - CENTRE,
    "sub_sub_s": np.concatenate([XY - CENTRE, (XY - CENTRE) ** 2], -1),
    "ip": (XY * CENTRE).sum(-1, keepdims=True),
    "cp": XY[..., :1] * CENTRE[..., 1:] - XY[..., 1:] * CENTRE[..., :1],
}


def create(**changes):
    return models.create("rie", **{**SMALL, **changes})


@pytest.mark.parametrize(
    "changes, encoded, train",
    [
        ({}, [XY, POSITIONAL, TEMPORAL["sub"]], False),
        ({}, [XY, POSITIONAL, TEMPORAL["sub"]], True),
        ({"fusion": False, "positional": False, "temporal": "ip"}, [XY, TEMPORAL["ip"]], False),
    ],
)
def test_independent_numpy_version(changes, encoded, train):
    per_joint = sum(part.shape[-1] for part in encoded)
    fusion = changes.get("fusion", True)
    weights = temporal_oracle.random_rie(
        np.random.default_rng(1), **SIZES, per_joint=per_joint, fusion=fusion
    )
    expected, batch = temporal_oracle.rie(weights, XY, encoded, WIDTHS, fusion=fusion, train=train)
    model = create(**changes)
    variables = from_torch("rie", weights, **{**SMALL, **changes})
    poses, state = jax.jit(
        lambda clips, momentum: model.apply(
            variables, clips, train, batch_norm_momentum=momentum, mutable="batch_stats"
        )
    )(CLIPS, 0.25)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    after = to_torch("rie", state)
    for key, statistic in batch.items():
        # The schedule of the momentum is of the temporal convolutions.
        momentum = 0.25 if key.startswith("LocalLayer_") else 0.1
        moved = (1 - momentum) * weights[key] + momentum * statistic
        np.testing.assert_allclose(after[key], moved, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("operator", TEMPORAL)
def test_temporal_operators(operator):

    @jax.jit
    def both(keypoints):
        whole = temporal_encoding(keypoints, operator)
        return whole, temporal_encoding(keypoints, operator, frames=5)

    encoded, near = map(np.asarray, both(CLIPS[..., :2]))
    np.testing.assert_allclose(encoded, TEMPORAL[operator], atol=1e-5)
    np.testing.assert_array_equal(near[:, 2:7], encoded[:, 2:7])
    assert not near[:, :2].any() and not near[:, 7:].any()


def test_cosine_similarity_of_no_direction():
    """A keypoint at the origin has none: no NaN, neither in the value nor in the gradient."""
    keypoints = CLIPS[..., :2].copy()
    keypoints[0, :, 0], keypoints[0, 1, 0] = 0, 1

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def compute(keypoints):
        encoded = temporal_encoding(keypoints, "cs")
        return encoded.sum(), encoded

    (value, encoded), gradient = jax.device_get(compute(keypoints))
    np.testing.assert_allclose(encoded[:, 4, 1:], 1.0, rtol=1e-5)
    assert not encoded[0, :, 0].any() and np.abs(encoded).max() < 1 + 1e-5
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_the_encodings_do_not_see_where_the_person_is():

    @jax.jit
    def encode(keypoints):
        blind = positional_encoding(keypoints), temporal_encoding(keypoints)
        return blind, temporal_encoding(keypoints, "ip")

    blind, seen = encode(CLIPS[..., :2])
    others, moved = encode(CLIPS[..., :2] + np.float32([0.3, -0.2]))
    for found, other in zip(blind, others, strict=True):
        np.testing.assert_allclose(other, found, atol=1e-6)
    assert np.abs(np.asarray(moved) - np.asarray(seen)).max() > 0.1


def test_channels_of_a_part():
    """Absolute, positional, temporal; each joint by joint, x before y."""

    def encode(**changes):
        return jax.device_get(jax.jit(create(**changes).encode)(keypoints))

    keypoints = CLIPS[..., :2]
    pose, parts = encode(temporal="sub_sub_s")
    np.testing.assert_array_equal(pose, keypoints[:, 4].reshape(6, -1))
    encodings = (XY, POSITIONAL, TEMPORAL["sub_sub_s"])
    expected = [encoding[:, :, 14:17].reshape(6, 9, -1) for encoding in encodings]
    np.testing.assert_allclose(parts["LArm"], np.concatenate(expected, axis=-1), atol=1e-5)

    _, parts = encode(absolute=False, positional=False)
    arm = parts["LArm"].reshape(6, 9, 3, 2)
    np.testing.assert_allclose(arm[:, 4], CENTRE[:, 0, 14:17], atol=1e-6)
    np.testing.assert_allclose(arm[:, 5], TEMPORAL["sub"][:, 5, 14:17], atol=1e-6)
    _, parts = encode(absolute=False, temporal="")
    np.testing.assert_allclose(
        parts["Torso"].reshape(6, 9, 5, 2), POSITIONAL[:, :, [0, 7, 8, 9, 10]], atol=1e-6
    )


def test_another_skeleton_in_and_out():
    """Each part's decoder makes that part's joints."""
    model = create(skeleton_in="coco_17", skeleton_out="humaneva_15")
    rng = np.random.default_rng(2)
    clips = rng.normal(size=(2, *model.input_shape)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), clips)
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, np.float32), dict(shapes))
    apply = jax.jit(model.apply)
    poses = apply(variables, clips)
    assert poses.shape == (2, 1, 15, 3)
    # A new array: the old one may still be read.
    last = variables["params"]["Integration_LArm"]["fc_2"]
    last["bias"] = last["bias"] + 1
    moved = np.asarray(apply(variables, clips) - poses)[:, 0]
    arm = list(BODY_PARTS["humaneva_15"].parts["LArm"])
    np.testing.assert_allclose(moved[:, arm], 1, atol=1e-5)
    assert not np.delete(moved, arm, axis=1).any()


@pytest.mark.parametrize("skeleton", BODY_PARTS)
def test_every_joint_is_in_one_part(skeleton):
    parts, root = BODY_PARTS[skeleton]
    joints = sorted(joint for members in parts.values() for joint in members)
    assert joints == list(range(len(joints))) and len(parts) == 5 and set(root) < set(joints)


def test_hyperparameters_of_weights():
    sizes = {**SIZES, "skeleton_out": "human36m_17"}
    for fusion in (True, False):
        weights = temporal_oracle.random_rie(
            np.random.default_rng(1), **SIZES, per_joint=6, fusion=fusion
        )
        assert infer_hyperparameters("rie", weights) == {**sizes, "fusion": fusion}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"skeleton_in": "mpii_16"}, "skeleton_in is 'mpii_16'.*human36m_17, humaneva_15"),
        ({"skeleton_out": "coco_17"}, "skeleton_out is 'coco_17'"),
        ({"temporal": "add"}, "temporal is 'add', expected one of sub, sub_sub_s"),
        ({"temporal_frames": 10}, "temporal_frames is 10, expected 0 to 9"),
        ({"absolute": False, "positional": False, "temporal": "ip"}, "without absolute"),
        ({"filter_widths": (2,)}, "RIE: filter_widths"),
        ({"latent_features": 0}, "RIE: latent_features is 0"),
    ],
)
def test_create_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        create(**changes)


def test_clips_that_do_not_fit_are_refused():
    model = create()
    variables = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    with pytest.raises(InputError, match="8 frames.*exactly its receptive field, 9"):
        jax.eval_shape(model.apply, variables, CLIPS[:, 1:])
    with pytest.raises(InputError, match="15 joints.*the 17 joints of human36m_17"):
        jax.eval_shape(model.apply, variables, CLIPS[:, :, 2:])
