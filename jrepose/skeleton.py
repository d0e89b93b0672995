"""Joint orders: names, parents, left/right pairs and named groups of joints.

Every other module takes joint indices from a `Skeleton`; none writes them down again.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Int

from jrepose.errors import InputError


@dataclass(frozen=True)
class Skeleton:
    """A joint order and what is known about it.

    Args:
        name: identifier used in configs and checkpoints.
        joint_names: one name per joint; the position is the joint index.
        parents: index of each joint's parent, -1 for the root.
        left, right: indices of the left and right joints; `left[k]` mirrors `right[k]`.
        groups: named sets of joints, such as `"torso"` or `"left_arm"`.
        limb_angles: pairs of limb indices (positions in `limbs`) whose enclosed angle the
            anatomical losses compare.

    Raises:
        InputError: the fields contradict each other.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    limb_angles: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        joints = len(self.joint_names)
        if len(set(self.joint_names)) != joints:
            raise InputError(f"skeleton {self.name}: joint names repeat")
        if len(self.parents) != joints:
            raise InputError(
                f"skeleton {self.name}: {len(self.parents)} parents for {joints} joints"
            )
        if self.parents.count(-1) != 1:
            raise InputError(f"skeleton {self.name}: exactly one joint has parent -1")
        if min(self.parents) < -1:
            raise InputError(f"skeleton {self.name}: a parent is {min(self.parents)}")
        for joint in range(joints):
            ancestor, steps = joint, 0
            while ancestor >= 0:
                if ancestor >= joints or steps > joints:
                    raise InputError(f"skeleton {self.name}: joint {joint} has no way to the root")
                ancestor, steps = self.parents[ancestor], steps + 1
        sides = self.left + self.right
        if len(self.left) != len(self.right) or len(set(sides)) != len(sides):
            raise InputError(f"skeleton {self.name}: left and right joints do not pair up")
        if not all(0 <= joint < joints for joint in sides):
            raise InputError(f"skeleton {self.name}: left and right name unknown joints")
        for group, members in self.groups.items():
            if not all(0 <= joint < joints for joint in members):
                raise InputError(f"skeleton {self.name}: group {group} names unknown joints")
        object.__setattr__(self, "groups", MappingProxyType(dict(self.groups)))

    def __hash__(self):
        return hash((self.name, self.joint_names, self.parents))

    def __reduce__(self):
        # A mapping proxy cannot be pickled; worker processes get the skeleton by value.
        return (
            Skeleton,
            (
                self.name,
                self.joint_names,
                self.parents,
                self.left,
                self.right,
                dict(self.groups),
                self.limb_angles,
            ),
        )

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    @property
    def root(self) -> int:
        """Index of the joint without a parent."""
        return self.parents.index(-1)

    @functools.cached_property
    def limbs(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) for every joint with a parent, in the order of the child."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    @functools.cached_property
    def flip_permutation(self) -> Int[np.ndarray, " joints"]:
        """`pose[..., flip_permutation, :]` swaps left and right joints."""
        order = np.arange(self.num_joints)
        order[list(self.left)] = self.right
        order[list(self.right)] = self.left
        order.setflags(write=False)
        return order

    def index(self, joint_name: str) -> int:
        """Index of a joint.

        Raises:
            InputError: no such joint.
        """
        try:
            return self.joint_names.index(joint_name)
        except ValueError:
            raise InputError(
                f"skeleton {self.name} has no joint {joint_name!r}; it has "
                + ", ".join(self.joint_names)
            ) from None

    def group(self, group_name: str) -> tuple[int, ...]:
        """Joint indices of a named group.

        Raises:
            InputError: no such group.
        """
        try:
            return self.groups[group_name]
        except KeyError:
            raise InputError(
                f"skeleton {self.name} has no group {group_name!r}; it has "
                + ", ".join(self.groups)
            ) from None


def parents_first(skeleton: Skeleton) -> list[int]:
    """All joints, each after its parent, a whole limb before the next one."""
    order, waiting = [], [skeleton.root]
    while waiting:
        joint = waiting.pop()
        order.append(joint)
        waiting += [child for parent, child in reversed(skeleton.limbs) if parent == joint]
    return order


HUMAN36M_17 = Skeleton(
    name="human36m_17",
    joint_names=(
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "neck",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
    groups={
        "torso": (0, 1, 4, 7, 8, 11, 14),
        "head": (9, 10),
        "left_leg": (4, 5, 6),
        "right_leg": (1, 2, 3),
        "left_arm": (11, 12, 13),
        "right_arm": (14, 15, 16),
        "middle_limbs": (2, 5, 12, 15),
        "terminal_limbs": (3, 6, 13, 16),
    },
    # The eighteen pairs of the MotionBERT angle losses.
    limb_angles=(
        (0, 3), (0, 6), (3, 6), (0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 10),
        (7, 13), (8, 13), (10, 13), (7, 8), (8, 9), (10, 11), (11, 12), (13, 14), (14, 15),
    ),
)  # fmt: skip
"""Human3.6M's 17 joints in the field's order (the joint called `neck` is also read as `nose`)."""

HUMANEVA_15 = Skeleton(
    name="humaneva_15",
    joint_names=(
        "pelvis", "thorax", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
        "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle", "right_hip",
        "right_knee", "right_ankle", "head",
    ),
    parents=(-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
    left=(2, 3, 4, 8, 9, 10),
    right=(5, 6, 7, 11, 12, 13),
)  # fmt: skip
"""HumanEva-I's 15 joints as VideoPose3D orders them."""

MPI_INF_3DHP_17 = Skeleton(
    name="mpi_inf_3dhp_17",
    joint_names=(
        "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
        "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip",
        "left_knee", "left_ankle", "pelvis", "spine", "head",
    ),
    parents=(1, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1),
    left=(5, 6, 7, 11, 12, 13),
    right=(2, 3, 4, 8, 9, 10),
    groups={
        "head": (0,),
        "neck": (1,),
        "shoulders": (2, 5),
        "elbows": (3, 6),
        "wrists": (4, 7),
        "hips": (8, 11),
        "knees": (9, 12),
        "ankles": (10, 13),
        # PCK and AUC count these; pelvis, spine and head centre are left out.
        "scored_14": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13),
    },
)  # fmt: skip
"""The 17 "relevant" joints of MPI-INF-3DHP, in the order of its test set."""

COCO_17 = Skeleton(
    name="coco_17",
    joint_names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
        "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    parents=(-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    left=(1, 3, 5, 7, 9, 11, 13, 15),
    right=(2, 4, 6, 8, 10, 12, 14, 16),
)  # fmt: skip
"""COCO's keypoints, a layout of 2D detectors; the limbs are for drawing."""

MPII_16 = Skeleton(
    name="mpii_16",
    joint_names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis",
        "thorax", "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder",
        "left_shoulder", "left_elbow", "left_wrist",
    ),
    parents=(1, 2, 6, 6, 3, 4, -1, 6, 7, 8, 11, 12, 7, 7, 13, 14),
    left=(3, 4, 5, 13, 14, 15),
    right=(2, 1, 0, 12, 11, 10),
)  # fmt: skip
"""MPII's keypoints, a layout of 2D detectors (stacked hourglass)."""

_COCO = COCO_17.joint_names

COCO_18 = Skeleton(
    name="coco_18",
    joint_names=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
        "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip",
        "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
    ),
    parents=(1, -1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
    left=(5, 6, 7, 11, 12, 13, 15, 17),
    right=(2, 3, 4, 8, 9, 10, 14, 16),
)  # fmt: skip
"""OpenPose's COCO model; the neck is between the shoulders."""

BODY_25 = Skeleton(
    name="body_25",
    joint_names=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
        "left_elbow", "left_wrist", "pelvis", "right_hip", "right_knee", "right_ankle",
        "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
        "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe",
        "right_heel",
    ),
    parents=(1, 8, 1, 2, 3, 1, 5, 6, -1, 8, 9, 10, 8, 12, 13, 0, 0, 15, 16, 14, 14, 14, 11, 11, 11),
    left=(5, 6, 7, 12, 13, 14, 16, 18, 19, 20, 21),
    right=(2, 3, 4, 9, 10, 11, 15, 17, 22, 23, 24),
)  # fmt: skip
"""OpenPose's BODY_25; the neck is between the shoulders, the pelvis between the hips."""

BODY_25B = Skeleton(
    name="body_25b",
    joint_names=(
        *_COCO, "upper_neck", "head_top", "left_big_toe", "left_small_toe", "left_heel",
        "right_big_toe", "right_small_toe", "right_heel",
    ),
    parents=(
        17, 0, 0, 1, 2, 17, 17, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14, -1, 17, 15, 15, 15, 16, 16, 16
    ),
    left=(*COCO_17.left, 19, 20, 21),
    right=(*COCO_17.right, 22, 23, 24),
)  # fmt: skip
"""OpenPose's experimental BODY_25B."""

HALPE_26 = Skeleton(
    name="halpe_26",
    joint_names=(
        *_COCO, "head_top", "neck", "pelvis", "left_big_toe", "right_big_toe", "left_small_toe",
        "right_small_toe", "left_heel", "right_heel",
    ),
    parents=(
        18, 0, 0, 1, 2, 18, 18, 5, 6, 7, 8, 19, 19, 11, 12, 13, 14, 0, 19, -1, 15, 16, 15, 16, 15,
        16,
    ),
    left=(*COCO_17.left, 20, 22, 24),
    right=(*COCO_17.right, 21, 23, 25),
)  # fmt: skip
"""Halpe's body and feet (AlphaPose, RTMPose)."""

BLAZEPOSE_33 = Skeleton(
    name="blazepose_33",
    joint_names=(
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
        "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
        "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip",
        "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
        "right_heel", "left_foot_index", "right_foot_index",
    ),
    parents=(
        -1, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16, 11, 12, 23,
        24, 25, 26, 27, 28, 27, 28,
    ),
    left=(1, 2, 3, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31),
    right=(4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32),
)  # fmt: skip
"""MediaPipe's pose landmarks."""

SKELETONS: Mapping[str, Skeleton] = MappingProxyType(
    {
        s.name: s
        for s in (
            HUMAN36M_17, HUMANEVA_15, MPI_INF_3DHP_17, COCO_17, COCO_18, MPII_16, BODY_25,
            BODY_25B, HALPE_26, BLAZEPOSE_33,
        )
    }
)  # fmt: skip
