"""How much each joint counts in the weighted losses: MixSTE's (CVPR 2022) weights.

The paper names four groups: torso 1, head 1.5, middle limbs 2.5, terminal limbs 4.
The released code's vectors do not follow them, and these are the code's: on Human3.6M the hips
have 1, knees and ankles 2.5, shoulders and the top of the head 1.5, elbows and wrists 4.  Its
vector for HumanEva is that of Human3.6M with two numbers left out, in an order that is not
HumanEva's: the left elbow has 2.5 and the left wrist 1, for instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, HUMANEVA_15, MPI_INF_3DHP_17, Skeleton

_BY_JOINT = dict(
    zip(
        HUMAN36M_17.joint_names,
        (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
        strict=True,
    )
)

# MPI-INF-3DHP is not in the release: each joint has the weight of its like in Human3.6M.  Its
# head centre and neck lie where Human3.6M has `neck` and `thorax`, its head top where it has
# `head`.
_LIKE_IN_HUMAN36M = {"head_top": "head", "head": "neck", "neck": "thorax"}

JOINT_WEIGHTS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        HUMAN36M_17.name: tuple(_BY_JOINT.values()),
        HUMANEVA_15.name: (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
        MPI_INF_3DHP_17.name: tuple(
            _BY_JOINT[_LIKE_IN_HUMAN36M.get(joint, joint)] for joint in MPI_INF_3DHP_17.joint_names
        ),
    }
)
"""Name of the skeleton -> weight of every joint, in its order."""


def joint_weights(skeleton: Skeleton) -> Float[np.ndarray, " joints"]:
    """Weights of the skeleton's joints for `weighted_mpjpe` and `temporal_consistency`.

    Raises:
        InputError: no weights are known for it.
    """
    if skeleton.name not in JOINT_WEIGHTS:
        raise InputError(
            f"no joint weights for skeleton {skeleton.name}; known: {', '.join(JOINT_WEIGHTS)}"
        )
    return np.array(JOINT_WEIGHTS[skeleton.name], np.float32)
