"""TRC, C3D, CSV and JSON, read by others than those who wrote them."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from people import person

from jrepose.errors import InputError, MissingExtra
from jrepose.motion.motion import save_motions
from jrepose.skeleton import COCO_17, HUMAN36M_17

NAMES = HUMAN36M_17.joint_names


def test_trc(tmp_path):
    trc = pytest.importorskip("trc")
    motion = person("reaching", first_frame=12)
    data = trc.TRCData()
    data.load(str(motion.save(tmp_path / "a b.trc")))
    assert (data["FileName"], data["Units"]) == ("a b.trc", "m")
    assert (data["DataRate"], data["NumFrames"], data["NumMarkers"]) == (30, 60, 17)
    assert data["OrigDataStartFrame"] == data["Frame#"][0] == 13
    assert data["Markers"] == list(NAMES)
    assert data["Time"] == pytest.approx((12 + np.arange(60)) / 30, abs=1e-6)
    forward, up, right = np.moveaxis(np.stack([data[name] for name in NAMES], 1), -1, 0)
    assert np.stack([right, forward, up], -1) == pytest.approx(motion.poses_m, abs=1e-6)


def test_c3d(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    motion = person("reaching", first_frame=12)
    path = motion.save(tmp_path / "a.c3d")
    data = ezc3d.c3d(str(path))
    point = data["parameters"]["POINT"]
    assert point["LABELS"]["value"] == list(NAMES)
    assert point["UNITS"]["value"] == ["mm"] and point["RATE"]["value"] == [30]
    assert data["header"]["points"]["first_frame"] == 12
    found = data["data"]["points"][:3].transpose(2, 1, 0) / 1000
    assert found == pytest.approx(motion.poses_m, abs=1e-6)
    # And by a reader that shares nothing with the one who wrote.
    c3d = pytest.importorskip("c3d")
    with open(path, "rb") as file:
        frames = list(c3d.Reader(file).read_frames())
    assert np.stack([points[:, :3] for _, points, _ in frames]) / 1000 == pytest.approx(
        motion.poses_m, abs=1e-6
    )
    assert all((points[:, 3] >= 0).all() for _, points, _ in frames)


def test_c3d_has_no_number_for_later_frames(tmp_path):
    pytest.importorskip("ezc3d")
    motion = dataclasses.replace(person(), first_frame=70_000)
    with pytest.raises(InputError, match="from number 70000 on, and C3D numbers them up to 65535"):
        motion.save(tmp_path / "a.c3d")
    assert not list(tmp_path.iterdir())


def test_c3d_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ezc3d", None)
    with pytest.raises(MissingExtra, match=r"writing C3D needs ezc3d: pip install '\.\[c3d\]'"):
        person().save(tmp_path / "a.c3d")
    assert not list(tmp_path.iterdir())


def test_csv(tmp_path):
    motion = person(first_frame=3)
    with open(motion.save(tmp_path / "a.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(3, 63))
    assert float(rows[-1]["time"]) == pytest.approx(62 / 30, abs=1e-6)
    found = [[[float(row[f"{name}_{axis}"]) for axis in "xyz"] for name in NAMES] for row in rows]
    assert np.array(found) == pytest.approx(motion.poses_m, abs=1e-6)


def test_json_has_all_people(tmp_path):
    # More than a block of frames.
    long = person("sitting", seconds=10, person="left")
    bare = dataclasses.replace(person(), keypoints=None, keypoint_skeleton=None, size=None)
    data = json.loads(save_motions(tmp_path / "a.json", [long, bare])[0].read_text())
    assert data["units"] == "m" and data["axes"] == {"x": "right", "y": "forward", "z": "up"}
    first, second = data["people"]
    assert first["person"] == "left" and first["notes"] == ["height 1.7 m"]
    assert first["fps"] == 30 and first["size"] == [800, 600]
    assert first["joint_names"] == list(NAMES)
    assert first["parents"] == list(HUMAN36M_17.parents)
    assert first["keypoint_names"] == list(COCO_17.joint_names)
    assert np.array(first["poses_m"]) == pytest.approx(long.poses_m, abs=1e-6)
    assert np.array(first["keypoints"]) == pytest.approx(long.keypoints, abs=1e-6)
    assert np.array(second["poses_m"]) == pytest.approx(bare.poses_m, abs=1e-6)
    assert "keypoints" not in second and "size" not in second
