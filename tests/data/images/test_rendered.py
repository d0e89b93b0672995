"""Rendered recordings as a source: splits, joints on the people, batches of (seed, step)."""

import dataclasses

import numpy as np
import pytest
from training import tiny

from jrepose import parallel
from jrepose.config import check_config
from jrepose.data.batches import ClipOrder, StreamedBatches
from jrepose.data.columns import columns_of
from jrepose.data.images.rendered import _seen_by
from jrepose.data.mocap.recording import Recording
from jrepose.data.sources import load_splits
from jrepose.data.windows import clips_for_training
from jrepose.errors import InputError


def config(**changes):
    out = tiny.config(clip__frames=3, clip__stride=3)
    out.data.update(source="rendered", seconds=0.4, frame_rate=10.0)
    out.data.split.update(train=("a",), validation=("b",), test=("c",))
    out.data.scene.update(clutter_share=0.5, clutter_seconds=0.2)
    out.data.images.update(size=48, workers=1)
    out.data.rig.update(width=200, height=200, focal_px=229.0)
    out.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    check_config(out)
    return out


@pytest.fixture(scope="module")
def splits():
    return load_splits(config().data, ("train", "validation"))


def test_splits_are_of_subjects(splits):
    subjects = {split: {s.subject for s in data.sequences} for split, data in splits.items()}
    assert subjects == {"train": {"a"}, "validation": {"b"}}
    data = splits["train"]
    assert data.images.shape == (data.frames, 4, 48, 48, 3)
    assert data.joints_seen.mean() > 0.7 and data.views_seen.all() and data.occluded.any()
    half = load_splits(config(data__subset=0.5).data, ("train",))["train"]
    assert half.frames == data.frames // 2
    assert half.fingerprint() != data.fingerprint()


def test_joints_lie_on_the_person(splits):
    """What is at a joint that is seen differs from the picture without the person."""
    data = splits["train"]
    crops, moment = data.images, 5
    scene = crops.scenes[1]
    start = int(crops.starts[1])
    nobody = scene.person._replace(
        **{name: getattr(scene.person, name)[:, :0] for name in ("start", "end", "front")}
        | {name: getattr(scene.person, name)[:0] for name in ("radius", "colours", "stripes")}
    )
    empty = dataclasses.replace(scene, person=nobody)
    without = dataclasses.replace(crops, scenes=(crops.scenes[0], empty, *crops.scenes[2:]))
    moments = np.array([start, start + moment % 4])
    differs = (crops[moments].astype(int) != without[moments]).any(-1)
    for made, one in zip(crops[moments], moments.tolist(), strict=True):
        to_image = data.crops[one, 2]
        picture = scene.picture(crops.cameras[1][2], one - start, 2, to_image, (48, 48))
        np.testing.assert_array_equal(made[2], picture)
    x, y = np.rint(data.joints_px[moments]).astype(int).transpose(3, 0, 1, 2)
    entries, views, joints = np.nonzero(data.joints_seen[moments])
    on_person = differs[entries, views, y[entries, views, joints], x[entries, views, joints]]
    assert len(on_person) > 80 and on_person.mean() > 0.97
    assert 0.04 < differs.mean() < 0.5  # the crop is around the person


def test_joints_outside_of_the_image_are_not_seen(splits):
    """By a lens of eight times the focal length."""
    data = splits["train"]
    first, camera = data.sequences[0], data.images.cameras[0][0]
    poses = camera.to_world(data.poses_camera_mm[: first.stop, 0])
    recording = Recording("x", "a", "walk", 10.0, poses, np.ones(len(poses), bool))
    near = dataclasses.replace(camera, focal_px=tuple(8 * f for f in camera.focal_px))
    found = _seen_by(recording, data.images.scenes[0], near, 0, 1.25, 48)
    places = near.project(near.from_world(poses), distortion=False)
    inside = ((places >= 0) & (places <= 199)).all(-1)
    assert 0.1 < inside.mean() < 0.9
    assert not found["joints_seen"][~inside].any() and found["joints_seen"].any()


def test_batches_are_a_function_of_seed_and_step(splits):
    data, settings = splits["train"], config()
    columns = columns_of(data, ("images", "joints_px", "joints_seen", "views_seen"))
    windows = clips_for_training(data, settings.clip)
    order = ClipOrder(len(windows.inputs), 2, seed=3, flip=True)
    devices = parallel.select_devices(1)
    one, resumed = (StreamedBatches(columns, windows, order, devices) for _ in range(2))
    try:
        first = [one.selection(step)["columns"] for step in range(3)]
        last = resumed.selection(2)["columns"]
    finally:
        one.close()
        resumed.close()
    for name, column in columns.items():
        np.testing.assert_array_equal(np.asarray(first[2][name]), np.asarray(last[name]))
        expected = column.values[windows.inputs[order.indices(2)]]
        np.testing.assert_array_equal(np.asarray(last[name]).reshape(expected.shape), expected)
    assert np.asarray(last["images"]).dtype == np.uint8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data__scaling": "person"}, "config.data.scaling is 'person', and images have none"),
        ({"data__keypoints": "ground_truth"}, "config.data.keypoints is 'ground_truth'"),
        ({"data__rig__radial": (0.1, 0.0, 0.0)}, "lenses without distortion"),
    ],
)
def test_what_images_do_not_have_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        load_splits(config(**change).data, ("train",))


def test_scenes_out_of_range_are_refused():
    with pytest.raises(InputError, match="data.scene.clutter_share"):
        config(data__scene__clutter_share=1.5)
