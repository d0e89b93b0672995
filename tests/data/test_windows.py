import numpy as np
import pytest

from jrepose.data.dataset import Video
from jrepose.data.windows import covering_windows, training_windows
from jrepose.errors import InputError


def videos(*lengths):
    out, start = [], 0
    for number, length in enumerate(lengths):
        out.append(Video(f"v{number}", "s", "a", "c", 1000, 1000, 50.0, start, start + length))
        start += length
    return tuple(out)


def test_drop_follows_the_published_count():
    index = training_windows(videos(50, 27), 27, 9, tail="drop")
    np.testing.assert_array_equal(index[:, 0], [0, 9, 18, 50])
    np.testing.assert_array_equal(index[1], np.arange(9, 36))


def test_cover_adds_a_last_window_at_the_end():
    index = training_windows(videos(50), 27, 9, tail="cover")
    np.testing.assert_array_equal(index[:, 0], [0, 9, 18, 23])
    assert index.dtype == np.int32


def test_short_video_repeats_its_last_frame():
    index, scored = covering_windows(videos(5, 3), 5, 5)
    np.testing.assert_array_equal(index[1], [5, 6, 7, 7, 7])
    np.testing.assert_array_equal(scored[1], [True, True, True, False, False])


@pytest.mark.parametrize("lengths", [(10, 33, 27, 1), (81,), (28, 26)])
@pytest.mark.parametrize("stride", [3, 9, 27])
def test_every_frame_is_scored_once(lengths, stride):
    index, scored = covering_windows(videos(*lengths), 27, stride)
    np.testing.assert_array_equal(np.sort(index[scored]), np.arange(sum(lengths)))


def test_scored_entry_is_the_most_central():
    index, scored = covering_windows(videos(36), 27, 9)
    distance = np.abs(np.arange(27) - 13)
    for frame in range(36):
        rows, columns = np.nonzero(index == frame)
        chosen = scored[rows, columns]
        assert chosen.sum() == 1
        assert distance[columns[chosen]][0] == distance[columns].min()


def test_windows_stay_inside_their_video():
    lengths = (30, 40, 8)
    owner = np.repeat(np.arange(3), lengths)
    index = training_windows(videos(*lengths), 16, 5)
    assert (owner[index] == owner[index[:, :1]]).all()


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="at least 1"):
        training_windows(videos(5), 0, 1)
    with pytest.raises(InputError, match="cover, drop"):
        training_windows(videos(5), 3, 1, tail="pad")
