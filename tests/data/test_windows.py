import numpy as np
import pytest

from jrepose.data.dataset import Video
from jrepose.data.windows import (
    chunked_windows,
    evaluation_windows,
    training_windows,
    unchunked_window,
)
from jrepose.errors import InputError


def videos(*lengths, names=None):
    out, start = [], 0
    for number, length in enumerate(lengths):
        name = names[number] if names else f"v{number}"
        out.append(Video(name, "s", "a", "c", 1000, 1000, 50.0, start, start + length))
        start += length
    return tuple(out)


def test_drop_follows_the_published_count():
    index, _ = training_windows(videos(50, 27), 27, 9, kind="drop")
    np.testing.assert_array_equal(index[:, 0], [0, 9, 18, 50])
    np.testing.assert_array_equal(index[1], np.arange(9, 36))


def test_cover_adds_a_last_window_at_the_end():
    index, _ = training_windows(videos(50), 27, 9, kind="cover")
    np.testing.assert_array_equal(index[:, 0], [0, 9, 18, 23])
    assert index.dtype == np.int32


def test_short_video_repeats_its_last_frame():
    windows = evaluation_windows(videos(5, 3), 5, 5)
    np.testing.assert_array_equal(windows.inputs[1], [5, 6, 7, 7, 7])
    np.testing.assert_array_equal(windows.scored[1], [True, True, True, False, False])
    np.testing.assert_array_equal(windows.distinct, windows.scored)


@pytest.mark.parametrize("lengths", [(10, 33, 27, 1), (81,), (28, 26)])
@pytest.mark.parametrize("stride", [3, 9, 27])
def test_every_frame_is_scored_once(lengths, stride):
    _, index, _, scored = evaluation_windows(videos(*lengths), 27, stride)
    np.testing.assert_array_equal(np.sort(index[scored]), np.arange(sum(lengths)))


def test_scored_entry_is_the_most_central():
    _, index, _, scored = evaluation_windows(videos(36), 27, 9)
    distance = np.abs(np.arange(27) - 13)
    for frame in range(36):
        rows, columns = np.nonzero(index == frame)
        chosen = scored[rows, columns]
        assert chosen.sum() == 1
        assert distance[columns[chosen]][0] == distance[columns].min()


@pytest.mark.parametrize("kind", ["cover", "drop", "resample", "stretch"])
def test_windows_stay_inside_their_video(kind):
    lengths = (30, 40, 8)
    owner = np.repeat(np.arange(3), lengths)
    index, _ = training_windows(videos(*lengths), 16, 5, kind=kind)
    assert (owner[index] == owner[index[:, :1]]).all()


def test_replicated_windows_overhang_both_ends():
    index, _ = training_windows(videos(7, 2), 5, 5, kind="replicate")
    expected = [[0, 0, 1, 2, 3], [4, 5, 6, 6, 6], [7, 7, 8, 8, 8]]
    np.testing.assert_array_equal(index, expected)


def test_trailing_windows_are_the_released_generators():
    # Chunks of 3 from -1 on, the last ends at 1001; its centre is 1001 - 13 - 1.
    index, targets = training_windows(videos(1000), 27, 3, kind="trailing", every=3)
    np.testing.assert_array_equal(targets, index)
    assert len(index) == 334
    np.testing.assert_array_equal(index[-3:, 13], [981, 984, 987])
    np.testing.assert_array_equal(index[-1], np.minimum(np.arange(948, 1027, 3), 999))
    # The first has its centre at -12, and its last frame 39 later.
    np.testing.assert_array_equal(index[0], [0] * 18 + [3, 6, 9, 12, 15, 18, 21, 24, 27])
    # The second video's centres are 0, 3 and 6 in it; no frame is its neighbour's.
    index, _ = training_windows(videos(7, 8), 5, 3, kind="trailing", every=2)
    np.testing.assert_array_equal(
        index[3:], [[7, 7, 7, 9, 11], [7, 8, 10, 12, 14], [9, 11, 13, 14, 14]]
    )


def test_stretched_windows_start_to_the_very_end():
    index, _ = training_windows(videos(7), 4, 3, kind="stretch")
    np.testing.assert_array_equal(index, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 6, 6, 6]])
    np.testing.assert_array_equal(
        training_windows(videos(3), 5, 9, kind="stretch").targets, [[0, 0, 1, 1, 2]]
    )


def test_centred_windows_surround_every_valid_frame():
    valid = np.array([True, False, True, True])
    index, targets, distinct, scored = evaluation_windows(
        videos(3, 1), 3, 9, kind="centred", valid=valid
    )
    np.testing.assert_array_equal(index, [[0, 0, 1], [1, 2, 2], [3, 3, 3]])
    np.testing.assert_array_equal(targets, [[0], [2], [3]])
    assert distinct.all() and scored.all()


def test_targets_are_the_middle_of_the_inputs():
    inputs, targets = training_windows(videos(9), 5, 2, targets=1)
    np.testing.assert_array_equal(targets[:, 0], inputs[:, 2])
    inputs, targets = training_windows(videos(9), 5, 2, "drop", targets=3)
    np.testing.assert_array_equal(targets, inputs[:, 1:4])
    whole = training_windows(videos(9), 5, 2)
    np.testing.assert_array_equal(whole.inputs, whole.targets)


def test_every_third_frame():
    inputs, targets = training_windows(videos(12, 3), 4, 2, every=3)
    expected = [[0, 3, 6, 9], [2, 5, 8, 11], [12, 14, 14, 14]]
    np.testing.assert_array_equal(inputs, expected)
    np.testing.assert_array_equal(targets, expected)
    windows = evaluation_windows(videos(5), 3, 9, "centred", every=2)
    np.testing.assert_array_equal(
        windows.inputs, [[0, 0, 2], [0, 1, 3], [0, 2, 4], [1, 3, 4], [2, 4, 4]]
    )
    np.testing.assert_array_equal(windows.targets[:, 0], np.arange(5))


def test_centred_windows_to_train_on():
    inputs, targets = training_windows(videos(3, 2), 3, 2, "centred", targets=1)
    np.testing.assert_array_equal(inputs, [[0, 0, 1], [1, 2, 2], [3, 3, 4]])
    np.testing.assert_array_equal(targets, [[0], [2], [3]])
    inputs, targets = training_windows(videos(6), 3, 3, "centred", targets=1, causal_shift=1)
    np.testing.assert_array_equal(inputs, [[0, 0, 0], [1, 2, 3]])
    np.testing.assert_array_equal(targets, [[0], [3]])


def test_trailing_windows_end_with_their_chunk():
    # Chunks of 3 frames overhang 7 frames by one on either side: they end at 1, 4 and 7.
    inputs, targets = training_windows(videos(7), 3, 3, "trailing")
    np.testing.assert_array_equal(inputs, [[0, 0, 1], [2, 3, 4], [5, 6, 6]])
    np.testing.assert_array_equal(targets, inputs)
    # With skipped frames the centre stays where it was.
    inputs, _ = training_windows(videos(7), 3, 3, "trailing", every=2)
    np.testing.assert_array_equal(inputs, [[0, 0, 2], [1, 3, 5], [4, 6, 6]])


def test_chunks_with_context_cover_every_frame_once():
    windows = evaluation_windows(videos(7, 2), 5, 3, "replicate", targets=1)
    # Inputs have the context of the training windows, two frames on either side.
    np.testing.assert_array_equal(windows.inputs[0], [0, 0, 0, 0, 1, 2, 3])
    np.testing.assert_array_equal(windows.targets, [[0, 0, 1], [2, 3, 4], [5, 6, 6], [7, 8, 8]])
    np.testing.assert_array_equal(np.sort(windows.targets[windows.scored]), np.arange(9))
    np.testing.assert_array_equal(np.sort(windows.targets[windows.distinct]), np.arange(9))
    trained = training_windows(videos(7), 5, 1, "replicate", targets=1)
    np.testing.assert_array_equal(trained.targets[:, 0], np.arange(7))
    np.testing.assert_array_equal(trained.inputs[0], [0, 0, 0, 1, 2])


def test_resampled_short_videos_keep_order_and_the_last_is_dropped():
    index, _ = training_windows(videos(20, 5, 9), 10, 10, kind="resample")
    assert len(index) == 3
    np.testing.assert_array_equal(index[:2].ravel(), np.arange(20))
    assert (np.diff(index[2]) >= 0).all() and 20 <= index[2].min() <= index[2].max() <= 24
    distinct = evaluation_windows(videos(5, 9), 10, 10, kind="resample").distinct[0]
    first = training_windows(videos(5, 9), 10, 10, kind="resample").inputs[0]
    np.testing.assert_array_equal(
        np.flatnonzero(distinct), [np.flatnonzero(first == f)[-1] for f in np.unique(first)]
    )
    again, _ = training_windows(videos(5, 20, 5, 20, names="abac"), 10, 10, kind="resample")
    assert len(again) == 5, "a short run under a name that was seen is left out"


def test_unchunked_window_is_the_padded_video():
    video = videos(3, 4)[1]
    np.testing.assert_array_equal(unchunked_window(video, 2), [3, 3, 3, 4, 5, 6, 6, 6])
    np.testing.assert_array_equal(unchunked_window(video, 2, 2), [3, 3, 3, 3, 3, 4, 5, 6])


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="at least 1"):
        training_windows(videos(5), 0, 1)
    with pytest.raises(InputError, match="cover, drop"):
        training_windows(videos(5), 3, 1, kind="pad")
    with pytest.raises(InputError, match="odd number"):
        evaluation_windows(videos(5), 4, 1, kind="centred")
    with pytest.raises(InputError, match="clip.stride is 3; 'replicate' windows need 5"):
        training_windows(videos(5), 5, 3, kind="replicate")
    with pytest.raises(InputError, match="clip.targets is 2; expected 1 to 5"):
        training_windows(videos(5), 5, 3, targets=2)
    with pytest.raises(InputError, match="'cover' would leave the first and last frames out"):
        evaluation_windows(videos(5), 5, 3, targets=1)
    with pytest.raises(InputError, match="clip.every is 2; 'replicate' windows take neighbouring"):
        training_windows(videos(5), 5, 5, "replicate", every=2)
    with pytest.raises(InputError, match="clip.causal_shift is 1; 'cover' windows cannot be moved"):
        training_windows(videos(5), 5, 5, causal_shift=1)
    with pytest.raises(InputError, match="padding of -1"):
        chunked_windows(videos(5), 3, pad=-1)
