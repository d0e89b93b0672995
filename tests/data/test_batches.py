"""Batches: order, flips, and the same bits from the resident and the streamed path."""

import collections

import jax.numpy as jnp
import numpy as np
import pytest

from jrepose import parallel
from jrepose.data.batches import (
    ClipOrder,
    ResidentBatches,
    StreamedBatches,
    create_batches,
)
from jrepose.data.columns import Column, columns_of
from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.flip import flip_poses
from jrepose.data.windows import Windows, training_windows
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, MPII_16


def make_columns(inputs, targets):
    """Detections in another layout, one joint fewer than the poses."""
    return {
        "keypoints": Column(inputs, "inputs", lambda v: flip_poses(v, MPII_16)),
        "poses": Column(targets, "targets", lambda v: flip_poses(v, HUMAN36M_17)),
    }


def make_dataset(lengths=(13, 9, 21), seed=0) -> PoseDataset:
    frames, joints = sum(lengths), 17
    random = np.random.default_rng(seed)
    ends = np.cumsum(lengths)
    videos = tuple(
        Video(f"v{k}", "s", "walk", "c", 1000, 1000, 50.0, int(end - length), int(end))
        for k, (length, end) in enumerate(zip(lengths, ends, strict=True))
    )

    def normal(*shape):
        return random.normal(size=shape).astype(np.float32)

    return PoseDataset(
        keypoints_px=500 + 100 * normal(frames, joints, 2),
        confidence=random.uniform(size=(frames, joints)).astype(np.float32),
        poses_camera_mm=normal(frames, joints, 3),
        poses_image_px=500 + 100 * normal(frames, joints, 3),
        factor_mm_per_px=np.full(frames, 4, np.float32),
        visible=np.ones((frames, joints), bool),
        valid=np.ones(frames, bool),
        videos=videos,
        skeleton=HUMAN36M_17,
    )


@pytest.mark.parametrize("clips, batch", [(10, 4), (7, 7), (3, 8), (5, 1)])
def test_every_clip_once_per_epoch(clips, batch):
    order = ClipOrder(clips, batch, seed=3, flip=True)
    steps = 3 * clips  # whole epochs: 3 * clips * batch positions
    stream = np.concatenate([order.indices(step) for step in range(steps)])
    epochs = stream.reshape(-1, clips)
    for epoch in epochs:
        assert sorted(epoch) == list(range(clips))
    if clips > 3:
        assert len({tuple(epoch) for epoch in epochs}) > 1
    assert [order.epoch(step) for step in range(steps)] == [
        step * batch // clips for step in range(steps)
    ]
    seen = collections.Counter()
    for step in range(order.steps(2)):
        seen.update(order.indices(step).tolist())
    assert min(seen.values()) >= 2
    seen.subtract(order.indices(order.steps(2) - 1).tolist())
    assert min(seen.values()) < 2


def test_pure_in_seed_and_step():
    order = ClipOrder(50, 8, seed=1, flip=True)
    forwards = [(order.indices(s).tolist(), order.flips(s).tolist()) for s in range(20)]
    again = ClipOrder(50, 8, seed=1, flip=True)
    backwards = [(again.indices(s).tolist(), again.flips(s).tolist()) for s in range(19, -1, -1)]
    assert forwards == backwards[::-1]
    other = ClipOrder(50, 8, seed=2, flip=True)
    assert other.indices(0).tolist() != order.indices(0).tolist()
    flips = np.concatenate([order.flips(step) for step in range(2000)])
    assert abs(flips.mean() - 0.5) < 0.02
    assert not ClipOrder(50, 8, seed=1, flip=False).flips(0).any()
    of_other_data = ClipOrder(50, 8, seed=1, flip=True, source=1)
    assert of_other_data.indices(0).tolist() != order.indices(0).tolist()
    assert [of_other_data.flips(s).tolist() for s in range(9)] != [f for _, f in forwards[:9]]


def test_order_is_frozen_for_ever():
    # Raw generator bits do not change between NumPy versions; neither may this order.
    order = ClipOrder(10, 10, seed=0, flip=True)
    assert order.indices(0).tolist() == GOLDEN_ORDER
    assert order.flips(0).astype(int).tolist() == GOLDEN_FLIPS


GOLDEN_ORDER = [0, 8, 9, 3, 7, 5, 1, 2, 6, 4]
GOLDEN_FLIPS = [1, 1, 0, 0, 0, 1, 1, 0, 0, 0]


def test_flip_is_an_involution_and_matches_by_hand():
    poses = np.random.default_rng(0).normal(size=(2, 3, 17, 3)).astype(np.float32)
    flipped = np.asarray(flip_poses(jnp.asarray(poses), HUMAN36M_17))
    right_wrist, left_wrist = HUMAN36M_17.index("right_wrist"), HUMAN36M_17.index("left_wrist")
    np.testing.assert_array_equal(
        flipped[:, :, right_wrist], poses[:, :, left_wrist] * np.float32([-1, 1, 1])
    )
    np.testing.assert_array_equal(flip_poses(jnp.asarray(flipped), HUMAN36M_17), poses)


def expected_batch(columns, windows, order, step):
    """The batch by plain NumPy."""
    batch = {}
    for name, column in columns.items():
        skeleton = {"keypoints": MPII_16, "poses": HUMAN36M_17}.get(name)
        clips = column.values[getattr(windows, column.window)[order.indices(step)]].copy()
        for k, flip in enumerate(order.flips(step)):
            if flip and skeleton:
                clips[k] = clips[k][:, skeleton.flip_permutation]
                clips[k][..., 0] *= -1
        batch[name] = clips
    return batch


@pytest.mark.parametrize("kind", [ResidentBatches, StreamedBatches])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_both_paths_give_the_expected_bits(kind, count):
    dataset = make_dataset()
    inputs, targets = dataset.model_inputs()[:, :16].copy(), dataset.model_targets()
    inputs[0, 0, 0], targets[1, 1, 1] = -0.0, np.nan  # even these keep their bits
    columns = make_columns(inputs, targets)
    columns["activity"] = Column(np.arange(dataset.frames, dtype=np.int32), "targets")
    # Three frames in the middle are predicted, one in every other one.
    windows = training_windows(dataset.videos, 9, 3, targets=3)
    order = ClipOrder(len(windows.inputs), 4, seed=5, flip=True)
    devices = parallel.select_devices(count)
    batches = kind(columns, windows, order, devices)
    assemble = parallel.data_parallel(batches.assemble, devices=devices)
    for step in (0, 1, 2, 7, 3):
        got = parallel.unshard(assemble(batches.arrays, batches.selection(step)))
        expected = expected_batch(columns, windows, order, step)
        assert got.keys() == expected.keys()
        for name, values in expected.items():
            assert got[name].dtype == values.dtype and got[name].shape == values.shape
            np.testing.assert_array_equal(got[name].view(np.int32), values.view(np.int32))
    batches.close()


class Rendered:
    """Frames that are made when they are asked for, as images are read from a disk."""

    shape, dtype = (43, 2, 2), np.dtype(np.uint8)

    def __getitem__(self, frames):
        assert frames.ndim == 3, "[devices, clips, frames]"
        return np.broadcast_to(frames[..., None, None], (*frames.shape, 2, 2)).astype(np.uint8)


def test_a_column_can_be_anything_that_has_frames():
    windows = Windows(*training_windows(make_dataset().videos, 4, 4))
    order = ClipOrder(len(windows.inputs), 4, seed=0, flip=True)
    devices = parallel.select_devices(2)
    columns = {"images": Column(Rendered(), "inputs", lambda images: images[..., ::-1])}
    batches = create_batches(columns, windows, order, devices)
    assert isinstance(batches, StreamedBatches)
    assemble = parallel.data_parallel(batches.assemble, devices=devices)
    got = parallel.unshard(assemble(batches.arrays, batches.selection(0)))["images"]
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[..., 0, 0], windows.inputs[order.indices(0)])
    batches.close()
    small = {"flags": Column(np.zeros(43, bool))}
    batches = create_batches(small, windows, order, devices)
    assert isinstance(batches, StreamedBatches), "a byte cannot be sent as a word"
    batches.close()


def test_resident_frames_are_shared_out():
    dataset = make_dataset()
    windows = training_windows(dataset.videos, 8, 3)
    order = ClipOrder(len(windows.inputs), 4, seed=5, flip=True)
    columns = columns_of(dataset, ("keypoints", "poses"))
    batches = create_batches(columns, windows, order, parallel.select_devices(4))
    assert isinstance(batches, ResidentBatches)
    for array in batches.arrays.values():
        shares = [shard.data.shape for shard in array.addressable_shards]
        assert shares == [(1, -(-dataset.frames // 4), 17 * 3)] * 4


def test_choice_of_path_and_messages():
    dataset = make_dataset()
    windows = training_windows(dataset.videos, 8, 3)
    order = ClipOrder(len(windows.inputs), 4, seed=5, flip=True)
    columns = columns_of(dataset, ("keypoints", "poses"))
    one = parallel.select_devices(1)
    batches = create_batches(columns, windows, order, one, resident_bytes=0)
    assert isinstance(batches, StreamedBatches)
    batches.close()
    needed = dataset.frames * 17 * 6 * 4
    resident = create_batches(columns, windows, order, one, resident_bytes=needed)
    assert isinstance(resident, ResidentBatches)
    for offered, beside in ((needed - 1, ()), (2 * needed - 1, (resident,))):
        batches = create_batches(
            columns, windows, order, one, resident_bytes=offered, beside=beside
        )
        assert isinstance(batches, StreamedBatches)
        batches.close()
    assert isinstance(
        create_batches(
            columns, windows, order, one, resident_bytes=2 * needed, beside=(resident, batches)
        ),
        ResidentBatches,
    )
    with pytest.raises(InputError, match="batch_size 4 does not divide over 3 devices"):
        create_batches(columns, windows, order, parallel.select_devices(3))
    with pytest.raises(InputError, match="no column 'depth' in pose datasets; known: keypoints"):
        columns_of(dataset, ("depth",))
    with pytest.raises(InputError, match="no training clip"):
        ClipOrder(0, 4, seed=0, flip=False)
    with pytest.raises(InputError, match="batch_size is 0"):
        ClipOrder(4, 0, seed=0, flip=False)
    with pytest.raises(InputError, match="seed is -1"):
        ClipOrder(4, 4, seed=-1, flip=False)


def test_streaming_runs_ahead_and_reports_errors():
    dataset = make_dataset()
    windows = training_windows(dataset.videos, 8, 3)
    order = ClipOrder(len(windows.inputs), 2, seed=5, flip=False)
    devices = parallel.select_devices(1)
    inputs, targets = dataset.model_inputs(), dataset.model_targets()
    batches = StreamedBatches(make_columns(inputs, targets), windows, order, devices)
    batches.selection(0)
    assert sorted(batches._pending) == [1, 2]
    batches.selection(9)
    assert sorted(batches._pending) == [10, 11]
    batches.close()
    broken = StreamedBatches(make_columns(inputs[:1], targets[:1]), windows, order, devices)
    with pytest.raises(IndexError):
        broken.selection(0)
    broken.close()
