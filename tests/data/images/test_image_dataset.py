"""Moments seen by several views: columns, windows, mirrors, parts, what does not fit."""

import dataclasses

import jax.numpy as jnp
import moments
import numpy as np
import pytest
from training import tiny

from jrepose import tasks
from jrepose.data.columns import columns_of
from jrepose.data.dataset import Dataset
from jrepose.data.description import check_fits, describe
from jrepose.data.windows import clips_for_evaluation, clips_for_training
from jrepose.errors import InputError

NAMES = ("images", "joints_px", "joints_seen", "views_seen")


def test_goes_through_windows_and_columns():
    data, config = moments.dataset(), tiny.config(clip__frames=4, clip__stride=2)
    assert isinstance(data, Dataset) and isinstance(tiny.dataset(0), Dataset)
    windows = clips_for_training(data, config.clip)
    assert windows.inputs.tolist() == [[k, k + 1, k + 2, k + 3] for k in (0, 2, 6, 8)]
    assert clips_for_evaluation(data, config.clip).scored.sum() == 12
    columns = columns_of(data, NAMES)
    shapes = {name: column.values[windows.inputs].shape for name, column in columns.items()}
    assert shapes == {
        "images": (4, 4, 2, 32, 32, 3),
        "joints_px": (4, 4, 2, 17, 2),
        "joints_seen": (4, 4, 2, 17),
        "views_seen": (4, 4, 2),
    }
    assert columns["images"].zeros(1, 2).dtype == np.uint8


def test_mirrored_joints_lie_on_the_mirrored_pixels():
    data = moments.dataset()
    images, joints, seen, views = (columns_of(data, NAMES)[name] for name in NAMES)
    for joint in range(17):  # each joint where a pixel of its own colour is
        x, y = 3 + joint, 30 - joint
        data.images[0, 0, y, x] = joint
        data.joints_px[0, 0, joint] = x, y
    flipped, places, visible = (
        np.asarray(column.mirror(jnp.asarray(column.values))) for column in (images, joints, seen)
    )
    for joint, other in enumerate(data.skeleton.flip_permutation):
        x, y = places[0, 0, joint].astype(int)
        assert flipped[0, 0, y, x].tolist() == [other] * 3
        assert visible[0, 0, joint] == data.joints_seen[0, 0, other]
    assert views.mirror is None


def test_points_of_crops_in_image_pixels():
    data = moments.dataset()
    points = np.zeros((3, 2, 17, 2), np.float32)
    points[..., 1] = 4
    placed = data.to_image_px(points, np.array([0, 5, 7]))
    np.testing.assert_allclose(placed, np.broadcast_to([5.0, 18.0], points.shape))


def test_parts_of_sequences():
    data = moments.dataset()
    last = dataclasses.replace(data.sequences[1], start=8)
    part = data.select([last, data.sequences[0]])
    assert [(s.name, s.start, s.stop) for s in part.sequences] == [("s1", 0, 4), ("s0", 4, 10)]
    wanted = np.array([[0, 9]])
    np.testing.assert_array_equal(part.images[wanted], data.images[[[8, 5]]])
    np.testing.assert_array_equal(part.joints_px[wanted], data.joints_px[[[8, 5]]])
    assert part.images.shape == (10, *data.images.shape[1:])
    assert part.fingerprint() != data.fingerprint() != moments.dataset(seed=1).fingerprint()
    assert part.valid.all() and data.fingerprint() == moments.dataset().fingerprint()
    with pytest.raises(InputError, match="no sequence left"):
        data.select([])


def test_checkpoints_know_the_kind_of_data():
    images, poses = moments.dataset(), tiny.dataset(0)
    check_fits(describe(images, tiny.config()), images, "run")
    with pytest.raises(InputError, match="predict image poses, the data's target space is crop_px"):
        check_fits(describe(poses, tiny.config()), images, "run")
    with pytest.raises(InputError, match="'lifting' learns from poses, and .* has images"):
        tasks.create(tiny.config(data__source="rendered"), images)
    with pytest.raises(InputError, match="no column 'images' in pose datasets"):
        columns_of(poses, NAMES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequences": ()}, "end at moment 0 of 12"),
        (
            {"images": np.zeros((11, 2, 4, 4, 3), np.uint8)},
            "images of 11 moments and 2 views, views_seen has 12 and 2",
        ),
        ({"sequences": "later"}, "spans 1..6, expected to start at 0"),
        ({"sequences": "name"}, r"'s\\x1b' is not printable"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    data = moments.dataset()
    first = data.sequences[0]
    if change.get("sequences") == "later":
        change = {"sequences": (dataclasses.replace(first, start=1), data.sequences[1])}
    if change.get("sequences") == "name":
        change = {"sequences": (dataclasses.replace(first, name="s\x1b"), data.sequences[1])}
    with pytest.raises(InputError, match=message):
        dataclasses.replace(data, **change)
