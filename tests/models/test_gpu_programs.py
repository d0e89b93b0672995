"""What a GPU gets, read in the program that is lowered for one: no card is needed."""

import collections
import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo as cudnn

from jrepose import models
from jrepose.errors import InputError
from jrepose.models import attention, functional, layers, stcformer

_FUSED = re.compile(r"custom_call @(__cudnn\$\w+|__gpu\$xla\.gpu\.triton)\(")
_PRODUCT = re.compile(r"stablehlo\.dot_general.*\(tensor<(?:\d+x)*(\w+)>, tensor<(?:\d+x)*(\w+)>\)")


def lowered(function, platform, *arguments):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


@pytest.fixture
def card(monkeypatch):
    """Makes what is traced believe in an NVIDIA GPU with cuDNN."""
    monkeypatch.setattr(attention, "cuda_device", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91000)


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

    return {
        platform: lowered(jax.grad(loss), platform, variables, clips)
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


def qkv(tokens, dtype, rows=4):
    return (jax.ShapeDtypeStruct((rows, 8, tokens, 32), dtype),) * 3


def attention_gradient(function):
    def loss(q, k, v):
        return jnp.sum(function(q, k, v, 0.2).astype(jnp.float32))

    return jax.grad(loss, argnums=(0, 1, 2))


@pytest.mark.parametrize("tokens", [200, 243])
def test_cudnn_attends_in_bfloat16(tokens, card):
    function = attention_gradient(attention.multi_head_attention)
    text = lowered(function, "cuda", *qkv(tokens, jnp.bfloat16))
    assert _FUSED.findall(text) == ["__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"]
    assert not products(text)
    # Without a gradient no token is added.
    text = lowered(lambda *qkv: attention.multi_head_attention(*qkv, 0.2), "cuda",
                   *qkv(tokens, jnp.bfloat16))  # fmt: skip
    assert _FUSED.findall(text) == ["__cudnn$fmhaSoftmax"] and "stablehlo.pad" not in text


def test_products_attend_in_float32(card):
    function = attention_gradient(attention.multi_head_attention)
    text = lowered(function, "cuda", *qkv(243, jnp.float32))
    assert not _FUSED.findall(text) and products(text) == {("f32", "f32"): 7}


class Layers(nn.Module):
    """What attends, once each: all other layers are made of these."""

    @nn.compact
    def __call__(self, x):
        x = layers.MultiHeadedAttention(2, dtype=jnp.bfloat16)(
            layers.Attention(2, dtype=jnp.bfloat16)(x)
        )
        of_halves = stcformer.AttentionAlongAxis("joints", 1.0, 1, 2, 0.0, jnp.bfloat16)
        return of_halves(x, x, x, jnp.zeros((17, 8)))


def test_the_layers_attend_so(card):
    x = jax.ShapeDtypeStruct((1, 3, 17, 16), jnp.bfloat16)
    variables = jax.eval_shape(Layers().init, jax.random.key(0), x)
    with attention.only("cudnn"):
        text = lowered(Layers().apply, "cuda", variables, x)
    assert _FUSED.findall(text) == ["__cudnn$fmhaSoftmax"] * 3


def test_a_cpu_beside_a_card_attends_plainly(card):
    function = attention_gradient(attention.multi_head_attention)
    text = lowered(function, "cpu", *qkv(17, jnp.bfloat16))
    assert not _FUSED.findall(text) and products(text)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_without_a_card_nothing_is_another_program(dtype):
    ours, plain = (
        lowered(attention_gradient(function), "cpu", *qkv(17, dtype))
        for function in (attention.multi_head_attention, functional.attention)
    )
    assert ours == plain


def test_the_added_token_changes_nothing():
    @jax.jit
    def with_gradient(*qkv):
        def loss(function, *qkv):
            return jnp.sum(jnp.sin(function(*qkv, 0.3)))

        return [
            jax.value_and_grad(functools.partial(loss, function), argnums=(0, 1, 2))(*qkv)
            for function in (functional.attention, lambda *a: attention.fused(*a, "xla"))
        ]

    expected, found = with_gradient(*np.random.default_rng(0).normal(size=(3, 2, 2, 5, 8)))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), expected, found
    )


def test_what_is_chosen(card, tmp_path, monkeypatch):
    half, card_kind = jnp.bfloat16, attention.cuda_device()

    def chosen(rows=4, tokens=243, head_dim=32, dtype=half, device=card_kind):
        return attention.chosen(device, jax.ShapeDtypeStruct((rows, 8, tokens, head_dim), dtype))

    assert chosen() == chosen(head_dim=64) == "cudnn" and chosen(tokens=17) == "xla"
    assert chosen(device=None) == chosen(dtype=jnp.float32) == "plain"
    # More than cuDNN takes.
    assert chosen(head_dim=12) == chosen(head_dim=136) == chosen(rows=65536) == "xla"
    # A device's own rows come before those of all, the nearest size among them.
    table = tmp_path / "attention.json"
    table.write_text(attention.TABLE.read_text())
    monkeypatch.setattr(attention, "TABLE", table)
    sizes = {"dtype": "bfloat16", "head_dim": 32}
    attention.write_rows(
        card_kind,
        [
            {**sizes, "tokens": 17, "ms": {"plain": 2.0, "xla": 1.0, "cudnn": 3.0}},
            {**sizes, "tokens": 243, "ms": {"plain": 2.0, "cudnn": 1.0}},
            # A twentieth faster, for memory.
            {**sizes, "tokens": 729, "ms": {"plain": 1.05, "xla": 1.0}},
        ],
    )
    try:
        assert (chosen(tokens=27), chosen(tokens=81)) == ("xla", "cudnn")
        assert chosen(tokens=729) == "plain"
        assert chosen(tokens=243, device="another") == "cudnn"
        before = table.read_text()
        attention.write_rows(card_kind, [{**sizes, "tokens": 17, "ms": {"plain": 2.0}}])
        assert chosen() == "plain" and len(table.read_text()) < len(before)
    finally:
        attention._rows.cache_clear()


def test_an_override(card, monkeypatch):
    q = jax.ShapeDtypeStruct((4, 8, 17, 32), jnp.bfloat16)
    with attention.only("xla"):
        assert attention.chosen(None, q) == "xla"
        with attention.only("cudnn"):
            assert attention.chosen("card", q) == "cudnn"
            assert attention.chosen("card", q.update(dtype=jnp.float32)) == "plain"
    assert attention.chosen(None, q) == "plain"

    def no_cudnn():
        raise RuntimeError("cuDNN is not detected.")

    monkeypatch.setattr(cudnn, "check_cudnn_version", no_cudnn)
    monkeypatch.setattr(attention, "cuda_device", lambda: "card without cuDNN")
    q = jax.ShapeDtypeStruct((4, 8, 243, 32), jnp.bfloat16)
    assert attention.chosen(attention.cuda_device(), q) == "xla"
    with pytest.raises(InputError, match="JAX refuses on this card without cuDNN"):
        attention.override("cudnn")
    monkeypatch.setattr(attention, "cuda_device", lambda: None)
    for name, said in (("cudnn", "needs an NVIDIA GPU"), ("flash", "expected one of auto")):
        with pytest.raises(InputError, match=said):
            attention.override(name)
