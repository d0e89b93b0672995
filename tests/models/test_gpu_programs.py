"""What a GPU gets, read in the program that is lowered for one: no card is needed."""

import collections
import re

import jax
import jax.export
import jax.numpy as jnp
import pytest

from jrepose import models

_PRODUCT = re.compile(r"stablehlo\.dot_general.*\(tensor<(?:\d+x)*(\w+)>, tensor<(?:\d+x)*(\w+)>\)")


@pytest.fixture(scope="module")
def program():
    """Platform -> RePOSE's gradient in bfloat16, as text."""
    model = models.create(
        "repose", dim_feat=8, dim_rep=8, depth=1, num_heads=2, mlp_ratio=2.0, maxlen=9,
        dtype="bfloat16",
    )  # fmt: skip
    clips = jax.ShapeDtypeStruct((2, 9, 17, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)

    def loss(variables, clips):
        return jnp.sum(jnp.square(model.apply(variables, clips, train=True)))

    gradient = jax.jit(jax.grad(loss))
    return {
        platform: jax.export.export(gradient, platforms=[platform])(variables, clips).mlir_module()
        for platform in ("cuda", "cpu")
    }


def barriers(text):
    return text.count("stablehlo.optimization_barrier")


def products(text):
    """Number of matrix products by the types of their operands."""
    return collections.Counter(_PRODUCT.findall(text))


def test_a_gpu_gets_plain_products(program):
    # One in each of the four attentions' backward passes; on CPUs also around operands that are
    # written down transposed.
    assert barriers(program["cuda"]) == 4 < barriers(program["cpu"])
    assert "custom_call" not in program["cuda"]


def test_all_products_but_the_heads_are_of_bfloat16(program):
    found = products(program["cuda"])
    assert found.keys() == {("bf16", "bf16"), ("f32", "f32")}
    # The head computes in float32: itself, and the gradients of its input and its kernel.
    assert found["f32", "f32"] == 3 and found["bf16", "bf16"] > 80
    # On CPUs the sums of a LayerNorm are products.
    assert products(program["cpu"])["f32", "f32"] > 3
