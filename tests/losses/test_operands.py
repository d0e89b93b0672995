"""Operands of the losses."""

import jax.numpy as jnp
import numpy as np
import pytest

from jrepose.errors import InputError
from jrepose.losses.operands import matched_float32


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(InputError, match=r"\(2, 5, 17, 3\) but target \(2, 1, 17, 3\)"):
        matched_float32(np.zeros((2, 5, 17, 3)), np.zeros((2, 1, 17, 3)))


def test_any_float_becomes_float32():
    predicted, target = matched_float32(jnp.zeros(3, jnp.bfloat16), np.zeros(3, np.float64))
    assert predicted.dtype == target.dtype == jnp.float32
