import dataclasses

import numpy as np
import pytest
from people import person, scattered

from jrepose.data.mocap.bvh import joint_positions, read_bvh
from jrepose.errors import InputError
from jrepose.motion.bones import with_constant_bones
from jrepose.motion.motion import Motion
from jrepose.skeleton import HUMAN36M_17, SKELETONS, Skeleton

MM = 1e-3


def metres(centimetres):
    """World axes of the positions in a file."""
    return np.stack([centimetres[..., 0], -centimetres[..., 2], centimetres[..., 1]], axis=-1) / 100


def read_again(path, skeleton):
    """Positions by our own reader, which is tested on real files."""
    motion = read_bvh(path)
    wanted = [motion.index["_".join(name.split())] for name in skeleton.joint_names]
    return metres(joint_positions(motion, wanted)), motion


@pytest.mark.parametrize("order", ["ZXY", "XYZ"])
def test_an_independent_reader_finds_the_positions(tmp_path, order):
    pybvh = pytest.importorskip("pybvh")
    motion = person("reaching")
    found = pybvh.read_bvh_file(motion.save(tmp_path / "a.bvh", rotation_order=order))
    wanted = [found.joint_names.index(name) for name in HUMAN36M_17.joint_names]
    assert metres(found.joint_positions()[:, wanted]) == pytest.approx(motion.poses_m, abs=MM)
    assert set(found.euler_orders) == {order}
    assert found.fps == pytest.approx(30, abs=1e-3)
    assert found.rest_up == "+y" and found.world_up_inferred == "+y"
    assert found.rest_forward == "+z"


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_any_skeleton(tmp_path, skeleton):
    motion = scattered(skeleton)
    found, file = read_again(motion.save(tmp_path / "a.bvh"), skeleton)
    assert found == pytest.approx(motion.poses_m, abs=MM)
    assert 1 / file.frame_time == pytest.approx(29.97)


def test_joints_that_no_body_has(tmp_path):
    names = ("tail root", "tail_root_base", "tip 1", "tip 2", "left_knee", "pelvis", "spine")
    skeleton = Skeleton("tail", names, (-1, 0, 0, 0, 1, 4, 4), (), ())
    motion = scattered(skeleton)
    found, _ = read_again(motion.save(tmp_path / "a.bvh"), skeleton)
    assert found == pytest.approx(motion.poses_m, abs=MM)


def test_bones_that_vary_are_made_constant(tmp_path):
    motion = person("sitting")
    noisy = motion.poses_m + np.random.default_rng(0).normal(scale=0.02, size=motion.poses_m.shape)
    motion = dataclasses.replace(motion, poses_m=noisy)
    found, _ = read_again(motion.save(tmp_path / "a.bvh"), HUMAN36M_17)
    assert found == pytest.approx(with_constant_bones(noisy, HUMAN36M_17), abs=MM)


def test_hierarchy(tmp_path):
    path = person().save(tmp_path / "a.bvh")
    text = path.read_text()
    _, file = read_again(path, HUMAN36M_17)
    assert not file.joints[0].offset.any()
    assert [joint.channels for joint in file.joints if joint.channels][:2] == [
        ("xposition", "yposition", "zposition", "zrotation", "xrotation", "yrotation"),
        ("zrotation", "xrotation", "yrotation"),
    ]
    ends = {joint.name for joint in file.joints if joint.name.endswith("/end")}
    assert ends == {
        f"{name}/end" for name in ("head", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
    }
    assert "-0.0000" not in text


@pytest.mark.parametrize("poses", [np.zeros((2, 17, 3)), np.ones((1, 17, 3))])
def test_poses_without_extent(tmp_path, poses):
    found, _ = read_again(Motion(poses, HUMAN36M_17, 30.0).save(tmp_path / "a.bvh"), HUMAN36M_17)
    assert found == pytest.approx(poses, abs=MM)


def test_an_unknown_order_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match="rotation_order is 'ZXZ', expected one of XYZ"):
        person().save(tmp_path / "a.bvh", rotation_order="ZXZ")
    assert not list(tmp_path.iterdir())
