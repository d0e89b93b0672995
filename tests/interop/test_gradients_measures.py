"""Measures between two gradients, on gradients made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jrepose.interop.gradients.measures import (
    by_layer,
    compare_parameters,
    cosine,
    layer_of,
    relative_error,
    true_zeros,
)

QKV = "blocks_st.0.attn_s.qkv.bias"


def gradient(seed=0, dtype=np.float32):
    random = np.random.default_rng(seed)
    shapes = {
        "head.weight": (3, 8),
        "head.bias": (3,),
        QKV: (12,),
        "blocks_ts.1.norm1_t.bias": (4,),
    }
    return {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def compare(ours, theirs, *rest, **options):
    errors = compare_parameters(ours, theirs, *rest, **{"tolerance": 1e-4, **options})
    return {error.name: error for error in errors}, [error.name for error in errors]


def test_equal_gradients_agree():
    errors, _ = compare(gradient(), gradient())
    assert set(errors) == {"head.weight", "head.bias", "blocks_ts.1.norm1_t.bias"} | {
        f"{QKV}[{letter}]" for letter in "qkv"
    }
    for error in errors.values():
        assert error.agrees and error.verdict == "agrees"
        assert (error.relative, error.largest) == (0, 0)
        assert error.cosine == pytest.approx(1)


def test_numbers_of_a_known_difference():
    theirs = {"head.weight": np.array([[3.0, 4.0]], np.float32)}
    ours = {"head.weight": np.array([[3.0, 4.5]], np.float32)}
    errors, _ = compare(ours, theirs)
    error = errors["head.weight"]
    assert error.relative == pytest.approx(0.1) and error.largest == pytest.approx(0.5)
    assert (error.norm_torch, error.norm_jax) == pytest.approx((5, np.hypot(3, 4.5)))
    assert error.cosine == pytest.approx((9 + 18) / (5 * np.hypot(3, 4.5)))
    assert not error.agrees and error.verdict == "DIFFERS"


def test_a_flipped_sign_is_the_worst():
    ours = gradient()
    ours["head.bias"] = -ours["head.bias"]
    ours["head.weight"] = ours["head.weight"] * np.float32(1.001)
    errors, order = compare(ours, gradient())
    assert order[:2] == ["head.bias", "head.weight"]
    assert errors["head.bias"].cosine == pytest.approx(-1)
    assert errors["head.bias"].relative == pytest.approx(2)
    assert not errors["head.bias"].agrees and not errors["head.weight"].agrees


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["jax", "torch"])
def test_what_is_not_finite_comes_first_and_is_counted(value, side):
    broken, whole = gradient(), gradient()
    broken["blocks_ts.1.norm1_t.bias"][1:3] = value
    broken_first = (broken, whole) if side == "jax" else (whole, broken)
    errors, order = compare(*broken_first)
    error = errors[order[0]]
    assert error.name == "blocks_ts.1.norm1_t.bias" and error.verdict == "NOT FINITE"
    assert (error.nonfinite_jax, error.nonfinite_torch) == ((2, 0) if side == "jax" else (0, 2))
    assert not error.agrees
    # The others are judged as if nothing were wrong.
    assert all(errors[name].agrees for name in order[1:])


def test_the_same_nan_on_both_sides_is_no_agreement():
    broken = gradient()
    broken["head.bias"][0] = np.nan
    errors, _ = compare(broken, {k: v.copy() for k, v in broken.items()})
    assert not errors["head.bias"].agrees


def test_key_biases_are_noise_and_no_offenders():
    ours, theirs = gradient(0), gradient(0)
    random = np.random.default_rng(3)
    for side in (ours, theirs):
        side[QKV][4:8] = 1e-10 * random.normal(size=4)
    errors, order = compare(ours, theirs)
    error = errors[f"{QKV}[k]"]
    assert error.relative > 0.1 and error.noise and error.agrees and error.verdict == "true zero"
    assert order[-1] == error.name

    # Ours must be as small: a key bias with a gradient would be a mistake.
    ours[QKV][4:8] = 0.1
    errors, order = compare(ours, theirs)
    assert order[0] == error.name and not errors[error.name].agrees


def test_the_reference_tells_noise_in_its_own_precision():
    exact = gradient(dtype=np.float64)
    exact[QKV][4:8] = 1e-18
    exact["head.bias"][:] = 1e-9  # small, but true in float64
    assert true_zeros(exact) == {f"{QKV}[k]"}


def test_zeros():
    ours, theirs = gradient(), gradient()
    ours["head.bias"][:] = theirs["head.bias"][:] = 0
    theirs["blocks_ts.1.norm1_t.bias"][:] = 0
    errors, order = compare(ours, theirs)
    assert errors["head.bias"].agrees and not errors["head.bias"].noise
    assert np.isnan(errors["head.bias"].cosine)
    assert order[0] == "blocks_ts.1.norm1_t.bias" and errors[order[0]].relative == np.inf
    assert not errors[order[0]].agrees


def test_torchs_own_error_widens_what_is_allowed():
    exact = gradient(dtype=np.float64)
    theirs, ours = ({k: v.copy() for k, v in exact.items()} for _ in range(2))
    theirs["head.weight"] *= 1 + 1e-3
    ours["head.weight"] *= 1 - 2e-3
    assert not compare(ours, theirs)[0]["head.weight"].agrees
    error = compare(ours, theirs, exact)[0]["head.weight"]
    assert error.agrees
    assert error.torch_error == pytest.approx(1e-3) and error.jax_error == pytest.approx(2e-3)
    assert error.allowed == pytest.approx(4e-3)


def test_a_bias_is_measured_by_its_weight():
    ours, theirs = gradient(), gradient()
    theirs["head.bias"] = np.array([1e-3, 0, 0], np.float32)
    ours["head.bias"] = np.array([1e-3 + 1e-5, 0, 0], np.float32)
    error = compare(ours, theirs)[0]["head.bias"]
    assert error.relative == pytest.approx(1e-2, rel=1e-3)
    assert error.agrees and error.verdict == "negligible"
    # The same difference beside a weight of small gradients.
    ours["head.weight"], theirs["head.weight"] = (
        np.float32(0.01) * side["head.weight"] for side in (ours, theirs)
    )
    assert not compare(ours, theirs)[0]["head.bias"].agrees
    # A weight is measured by itself.
    ours["head.weight"] = np.float32(1.01) * theirs["head.weight"]
    assert not compare(ours, theirs)[0]["head.weight"].agrees


def test_layers_do_not_depend_on_the_order_of_the_parameters():
    one = gradient()
    other = dict(reversed(one.items()))
    first, second = by_layer(one), by_layer(other)
    assert list(first) == list(second) == ["blocks_st.0", "blocks_ts.1", "head"]
    for layer in first:
        np.testing.assert_array_equal(first[layer], second[layer])


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("blocks_st.3.attn_s.qkv.weight[q]", "blocks_st.3"),
        ("ts_attn.0.bias", "ts_attn.0"),
        ("pos_embed", "embedding"),
        ("joints_embed.weight", "embedding"),
        ("pre_logits.fc.weight", "pre_logits"),
        ("norm.bias", "norm"),
    ],
)
def test_layer_of(name, layer):
    assert layer_of(name) == layer


vectors = hnp.arrays(np.float64, 5, elements=st.floats(-1e3, 1e3, width=32))


@settings(max_examples=50, deadline=None)
@given(vectors, vectors, st.floats(0.1, 10))
def test_measures_do_not_depend_on_the_scale(a, b, scale):
    if np.linalg.norm(b) < 1e-3 or np.linalg.norm(a) < 1e-3:
        return
    assert relative_error(scale * a, scale * b) == pytest.approx(relative_error(a, b), rel=1e-6)
    assert cosine(scale * a, b) == pytest.approx(cosine(a, b), abs=1e-9)
    assert relative_error(a, a) == 0 and abs(cosine(a, b)) <= 1
