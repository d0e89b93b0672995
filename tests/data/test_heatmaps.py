"""Files of heatmaps beside a dataset: read by frame, mirrored, refused."""

import dataclasses

import numpy as np
import pytest
from training import tiny

from jrepose.data.columns import columns_of
from jrepose.data.dataset import concatenate
from jrepose.errors import InputError

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    """Two videos of 4 frames, v0 in the whole image, v1 in boxes."""
    for name in ("v0", "v1"):
        np.save(tmp_path / f"{name}.npy", RNG.uniform(size=(4, 17, 3, 5)).astype(np.float16))
    np.save(tmp_path / "v1.boxes.npy", np.tile([100, 200, 500, 800], (4, 1)))
    return tmp_path


def dataset():
    return tiny.dataset(0, videos=2, frames=4)


def test_read_by_frame(folder):
    data = dataset().with_heatmaps(folder)
    columns = columns_of(data, ("heatmaps", "heatmap_boxes"))
    maps, boxes = columns["heatmaps"], columns["heatmap_boxes"]
    assert maps.values.shape == (8, 17, 3, 5) and maps.zeros(2, 3).shape == (2, 3, 17, 3, 5)
    files = [np.load(folder / f"v{k}.npy").astype(np.float32) for k in range(2)]
    wanted = np.array([[5, 0], [2, 7]])
    expected = np.stack([[files[1][1], files[0][0]], [files[0][2], files[1][3]]])
    np.testing.assert_array_equal(maps.values[wanted], expected)
    # As a model sees the image of 1000 by 1000 pixels.
    np.testing.assert_allclose(boxes.values[[0, 4]], [[-1, -1, 1, 1], [-0.8, -0.6, 0, 0.6]])
    swapped = data.skeleton.flip_permutation
    np.testing.assert_array_equal(maps.mirror(expected), expected[:, :, swapped, :, ::-1])
    np.testing.assert_allclose(boxes.mirror(boxes.values[4]), [0, -0.6, 0.8, 0.6], atol=1e-6)


def test_they_go_with_their_videos(folder):
    data = dataset().with_heatmaps(folder)
    second = data.select([data.videos[1]])
    np.testing.assert_array_equal(second.heatmaps[np.arange(4)], data.heatmaps[np.arange(4, 8)])
    both = concatenate([second, data.select([data.videos[0]])])
    np.testing.assert_array_equal(both.heatmaps[np.array([6])], data.heatmaps[np.array([2])])
    assert data.fingerprint() != dataset().fingerprint()
    with pytest.raises(InputError, match="needed, see config.data.heatmaps"):
        columns_of(dataset(), ("heatmaps",))
    with pytest.raises(InputError, match="heatmaps have 8 frames, keypoints_px has 4"):
        dataclasses.replace(second, heatmaps=data.heatmaps)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v1.npy", np.ones((4, 17, 5, 5), "f4"), "5 rows and 5 columns, those of .* 3 and 5"),
        ("v1.npy", np.ones((3, 17, 3, 5), "f4"), r"\[3, 17, 3, 5\], expected \[4, 17, rows"),
        ("v1.npy", np.ones((4, 16, 3, 5), "f4"), r"expected \[4, 17, rows, columns\]"),
        ("v1.npy", np.ones((4, 17, 3), "f4"), r"expected \[4, 17, rows, columns\]"),
        ("v1.npy", np.array(["x"] * 4), "expected an array of numbers"),
        ("v1.npy", np.array([{}], object), "not an array of numbers"),
        ("v1.npy", None, "no file .*v1.npy"),
        ("v1.npy", b"text", "not an array of numbers"),
        ("v1.boxes.npy", np.ones((4, 2)), r"boxes \[4, 2\], expected \[4, 4\]"),
        ("v1.boxes.npy", np.zeros((4, 4)), "a larger x, y of a last one"),
    ],
)
def test_refusals(folder, name, content, message):
    path = folder / name
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(InputError, match=message) as caught:
        dataset().with_heatmaps(folder)
    assert "\n" not in str(caught.value)


def test_what_is_not_finite_is_named_and_names_are_no_paths(folder):
    broken = np.ones((4, 17, 3, 5), np.float32)
    broken[2, 3] = np.nan
    np.save(folder / "v1.npy", broken)
    data = dataset().with_heatmaps(folder)
    assert np.isfinite(data.heatmaps[np.array([5, 7])]).all()
    with pytest.raises(InputError, match=r"v1.npy: the heatmaps of frame 2 are not finite"):
        data.heatmaps[np.array([0, 6])]
    videos = [dataclasses.replace(video, name=f"../{video.name}") for video in data.videos]
    with pytest.raises(InputError, match="is no name of a file"):
        dataclasses.replace(dataset(), videos=tuple(videos)).with_heatmaps(folder)
