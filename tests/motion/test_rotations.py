import itertools

import numpy as np
import pytest
from people import person
from scipy.spatial.transform import Rotation

from jrepose.motion.rotations import euler_angles, fit_rotations
from jrepose.skeleton import HUMAN36M_17


def y_up(poses):
    return np.stack([poses[..., 0], poses[..., 2], -poses[..., 1]], axis=-1)


def positions(parts, root):
    """Where the parts are: forward kinematics."""
    placed, turned = np.empty((len(root), len(parts), 3)), []
    for number, part in enumerate(parts):
        if part.parent < 0:
            placed[:, number] = root
            turned.append(part.rotation)
        else:
            placed[:, number] = placed[:, part.parent] + turned[part.parent] @ part.offset
            turned.append(turned[part.parent] @ part.rotation)
    return placed


@pytest.fixture(scope="module")
def walking():
    poses = y_up(person(seconds=4).poses_m)
    return poses, fit_rotations(poses, HUMAN36M_17, 30.0)


def test_parts_are_rotations_and_give_the_positions(walking):
    poses, parts = walking
    for part in parts:
        assert part.rotation @ np.swapaxes(part.rotation, 1, 2) == pytest.approx(
            np.broadcast_to(np.eye(3), part.rotation.shape), abs=1e-9
        )
        assert np.linalg.det(part.rotation) == pytest.approx(1)
    placed = positions(parts, poses[:, 0])
    for number, part in enumerate(parts):
        joint = part.joint
        if joint is None:
            assert np.array_equal(placed[:, number], placed[:, part.parent])
        else:
            assert placed[:, number] == pytest.approx(poses[:, joint], abs=1e-6)


def test_hinges_turn_about_one_axis(walking):
    _, parts = walking
    by_name = {part.name: part for part in parts}
    for name, axis in {"left_knee": 0, "right_knee": 0, "left_elbow": 1, "right_elbow": 1}.items():
        turned = Rotation.from_matrix(by_name[name].rotation).as_rotvec(degrees=True)
        others = np.delete(turned, axis, axis=1)
        assert np.abs(turned[:, axis]).max() > 15, name
        assert np.abs(others).max() < 5, name


def test_a_t_pose_is_at_rest():
    """Nothing is turned where the pose is the rest pose."""
    parts = fit_rotations(y_up(person().poses_m), HUMAN36M_17, 30.0)
    at_rest = [np.zeros((1, 3))]
    for part in parts[1:]:
        at_rest.append(at_rest[part.parent] + part.offset)
    pose = np.zeros((1, 17, 3))
    for part, place in zip(parts, at_rest, strict=True):
        if part.joint is not None:
            pose[:, part.joint] = place
    for part in fit_rotations(pose, HUMAN36M_17, 30.0):
        assert part.rotation[0] == pytest.approx(np.eye(3), abs=1e-6), part.name


def test_one_who_turns_round_turns_at_the_root_only():
    """Body proportions and all other rotations do not depend on where someone looks."""
    poses = y_up(person().poses_m)[:1]
    angle = np.linspace(0, 2 * np.pi, 40)
    turns = Rotation.from_euler("Y", angle[:, None]).as_matrix()
    parts = fit_rotations(poses @ np.swapaxes(turns, 1, 2), HUMAN36M_17, 30.0)
    yaw = euler_angles(parts[0].rotation, "YXZ")[:, 0]
    assert np.diff(yaw) == pytest.approx(np.full(39, np.rad2deg(angle[1])), abs=1e-6)
    for part in parts[1:]:
        assert part.rotation == pytest.approx(
            np.broadcast_to(part.rotation[0], part.rotation.shape), abs=1e-6
        )


def test_a_straight_arm_keeps_its_plane():
    """Bend, stretch for half a second, bend: the upper arm does not roll between."""
    pose = y_up(person().poses_m)[0].astype(np.float64)
    shoulder, elbow, wrist = 11, 12, 13
    bend = np.concatenate([np.full(20, 1.2), np.linspace(1.2, 0, 10), np.zeros(15),
                           np.linspace(0, 1.2, 10), np.full(20, 1.2)])  # fmt: skip
    poses = np.repeat(pose[None], len(bend), axis=0)
    poses[:, elbow] = poses[:, shoulder] + [0.25, 0, 0]
    # Bends downwards, 90 degrees away from the plane of the rest pose.
    poses[:, wrist] = poses[:, elbow] + 0.25 * np.stack(
        [np.cos(bend), -np.sin(bend), np.zeros_like(bend)], axis=-1
    )
    parts = {part.name: part for part in fit_rotations(poses, HUMAN36M_17, 30.0)}
    upper = parts["left_shoulder"].rotation
    step = np.swapaxes(upper[:-1], 1, 2) @ upper[1:]
    turned = np.degrees(np.arccos(np.clip((np.trace(step, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert turned.max() < 5


@pytest.mark.parametrize("order", list(map("".join, itertools.permutations("XYZ"))))
def test_angles_are_those_of_the_order_and_do_not_jump(order):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(scale=0.05, size=(400, 3)), axis=0)
    rotation = Rotation.from_rotvec(4 * smooth).as_matrix()
    angles = euler_angles(rotation, order)
    again = Rotation.from_euler(order, angles, degrees=True).as_matrix()
    assert again == pytest.approx(rotation, abs=1e-9)
    # A turn of several times 360 degrees about each axis, past 90 degrees of the middle one.
    turns = np.linspace(0, 1000, 200)[:, None] * np.eye(3)[:, None]
    for axis in range(3):
        given = turns[axis]
        rotation = Rotation.from_euler(order, given, degrees=True).as_matrix()
        assert euler_angles(rotation, order) == pytest.approx(given, abs=1e-6)
