import dataclasses
import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from jrepose.data import cache
from jrepose.data.dataset import PoseDataset, Video
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, MPII_16


def make_dataset(seed=0, **changes):
    random = np.random.default_rng(seed)
    fields = {
        "keypoints_px": random.uniform(0, 1000, (6, 17, 2)).astype(np.float32),
        "confidence": np.ones((6, 17), np.float32),
        "visible": np.ones((6, 17), bool),
        "valid": np.arange(6) != 2,
        "videos": (
            Video("a", "S1", "Walking", "c0", 1000, 1002, 50.0, 0, 4, (2.0, 2.5, *[0.1] * 7)),
            Video("b", "S1", "Posing", "c1", 1000, 1000, 50.0, 4, 6),
        ),
        "skeleton": HUMAN36M_17,
        "poses_camera_mm": random.normal(size=(6, 17, 3)).astype(np.float32),
        "target_space": "camera_m",
    }
    return PoseDataset(**(fields | changes))


class Counting:
    """A reader that knows how often it was called."""

    def __init__(self, **datasets):
        self.datasets, self.calls = datasets, 0

    def __call__(self):
        self.calls += 1
        return dict(self.datasets)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.npz"
    path.write_bytes(b"content")
    return path


def test_second_time_comes_from_the_cache(tmp_path, source):
    read = Counting(train=make_dataset(1), test=make_dataset(2, activity=np.zeros(6, np.int8)))
    for _ in range(3):
        found = cache.cached([source], {}, read, tmp_path / "cache")
        assert found.keys() == {"train", "test"}
        for name, dataset in found.items():
            expected = read.datasets[name]
            assert dataset.fingerprint() == expected.fingerprint()
            assert dataset.videos == expected.videos
            assert dataset.skeleton is dataset.keypoint_skeleton is HUMAN36M_17
            assert dataset.arrays().keys() == expected.arrays().keys()
            assert isinstance(dataset.keypoints_px, np.memmap)
            assert not dataset.keypoints_px.flags.writeable
    assert read.calls == 1


def test_a_layout_of_the_file_survives(tmp_path, source):
    mixed = dataclasses.replace(MPII_16, right=MPII_16.right[::-1])
    keypoints = np.zeros((6, 16, 2), np.float32)
    read = Counting(
        all=make_dataset(
            keypoints_px=keypoints, confidence=keypoints[..., 0], keypoint_skeleton=mixed
        )
    )
    for _ in range(2):
        restored = cache.cached([source], {}, read, tmp_path / "c")["all"].keypoint_skeleton
        assert restored.name == "mpii_16" and restored.right == mixed.right
        assert restored.groups == mixed.groups


def test_other_content_names_options_and_code_are_read_anew(tmp_path, source, monkeypatch):
    read, folder = Counting(all=make_dataset()), tmp_path / "cache"
    cache.cached([source], {"label": "a"}, read, folder)
    cache.cached([source], {"label": "b"}, read, folder)
    assert read.calls == 2
    source.write_bytes(b"Content")
    cache.cached([source], {"label": "a"}, read, folder)
    assert read.calls == 3
    moved = tmp_path / "other" / "source.npz"
    moved.parent.mkdir()
    moved.write_bytes(b"Content")
    cache.cached([moved], {"label": "a"}, read, folder)
    assert read.calls == 4
    entries = len(list(folder.iterdir()))
    monkeypatch.setattr(cache, "_code_key", lambda: "later")
    cache.cached([moved], {"label": "a"}, read, folder)
    assert read.calls == 5
    assert len(list(folder.iterdir())) == entries == 4, "an outdated entry is replaced"


def test_damaged_entries_are_read_anew(tmp_path, source):
    read, folder = Counting(all=make_dataset()), tmp_path / "cache"
    cache.cached([source], {}, read, folder)
    (entry,) = folder.iterdir()
    array = next(entry.glob("*.keypoints_px.npy"))
    array.write_bytes(array.read_bytes()[:-8])
    assert (
        cache.cached([source], {}, read, folder)["all"].fingerprint()
        == make_dataset().fingerprint()
    )
    (entry / "content.json").write_text(json.dumps({"code": cache._code_key()}))
    cache.cached([source], {}, read, folder)
    assert read.calls == 3
    cache.cached([source], {}, read, folder)
    assert read.calls == 3


def test_no_flipped_bit_is_loaded(tmp_path, source, caplog):
    read, folder = Counting(all=make_dataset()), tmp_path / "cache"
    cache.cached([source], {}, read, folder)
    (entry,) = folder.iterdir()
    random, calls = np.random.default_rng(0), 1
    for path in sorted(entry.iterdir()):
        original = path.read_bytes()
        for position in random.integers(len(original), size=4) if original else ():
            status = path.stat()
            content = bytearray(original)
            content[position] ^= 1 << int(random.integers(8))
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            caplog.clear()
            found = cache.cached([source], {}, read, folder)["all"]
            assert found.fingerprint() == make_dataset().fingerprint()
            calls += 1
            assert read.calls == calls
            # A flipped bit in the key of the code is an entry of another version.
            assert "damaged cache" in caplog.text or path.name == "content.json"
    cache.cached([source], {}, read, folder)
    assert read.calls == calls


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': (" + b"(" * 90),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
    ],
)
@pytest.mark.parametrize("name", ["content.json", "all.valid.npy"])
def test_every_damage_is_one_line(tmp_path, source, damage, name, caplog):
    read, folder = Counting(all=make_dataset()), tmp_path / "cache"
    cache.cached([source], {}, read, folder)
    (entry,) = folder.iterdir()
    damage(entry / name)
    for _ in range(2):
        cache.cached([source], {}, read, folder)
    assert read.calls == 2
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().startswith(f"damaged cache {entry} (")
    assert record.getMessage().endswith("; the files are read anew")


def test_blocks_may_not_be_exchanged(tmp_path):
    blocks = [bytes([k]) * 2**20 for k in range(3)]
    (tmp_path / "a").write_bytes(b"".join(blocks))
    (tmp_path / "b").write_bytes(b"".join(blocks[::-1]))
    (tmp_path / "c").write_bytes(b"".join(blocks) + bytes(8))
    assert len({tuple(cache._sum(tmp_path / name)) for name in "abc"}) == 3


def test_what_killed_writers_left_is_removed_and_live_ones_are_not(tmp_path, source, caplog):
    folder = tmp_path / "cache"
    dead, alive, young = (folder / f".{key * 32}.tmp" for key in "dab")
    for path in (dead, alive, young):
        path.mkdir(parents=True)
        (path / "all.valid.npy").write_bytes(b"x" * 100)
    hold = (
        "import sys; from jrepose.disk import sole_writer; held = sole_writer(sys.argv[1]); "
        "held.__enter__(); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, alive],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    ) as writer:
        writer.stdout.readline()
        for path in (dead, alive):
            os.utime(path, (1, 1))
        cache.cached([source], {}, Counting(all=make_dataset()), folder)
        left = {path.name for path in folder.iterdir() if path.name.startswith(".")}
        assert left == {alive.name, young.name}
        writer.kill()


def test_an_unwritable_cache_is_only_a_warning(tmp_path, source, caplog):
    (tmp_path / "file").write_text("not a folder")
    read = Counting(all=make_dataset())
    with caplog.at_level(logging.WARNING):
        found = cache.cached([source], {}, read, tmp_path / "file" / "cache")
    assert found["all"].frames == 6 and "cannot write the cache" in caplog.text


def test_nothing_half_written_stays(tmp_path, source, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "save", fail)
    cache.cached([source], {}, Counting(all=make_dataset()), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_folder_nothing_is_kept(source):
    read = Counting(all=make_dataset())
    cache.cached([source], {}, read, None)
    cache.cached([source], {}, read, None)
    assert read.calls == 2


def test_unreadable_source_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot read .*missing.npz: No such file"):
        cache.cached([tmp_path / "missing.npz"], {}, Counting(), tmp_path)


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / "jrepose"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / ".cache" / "jrepose"
