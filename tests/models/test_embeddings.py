"""Embeddings of joints and frames under reduced precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrepose import models

SMALL = {"depth": 1, "num_heads": 2, "mlp_ratio": 2, "num_joints": 5}
CASES = {
    "repose": ({"dim_feat": 8, "dim_rep": 8, "maxlen": 32}, ("pos_embed", "temp_embed")),
    "mixste": (
        {"embed_dim_ratio": 8, "num_frame": 32, "drop_path_rate": 0.0},
        ("Spatial_pos_embed", "Temporal_pos_embed"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_their_gradients_are_summed_in_float32(name):
    # 2048 poses: summed in bfloat16, half of the joints' gradient is lost.
    changes, embeddings = CASES[name]
    random = np.random.default_rng(0)
    keypoints = random.normal(1, 0.3, size=(64, 32, 5, 3)).astype(np.float32)
    model, rounded = (
        models.create(name, **SMALL, **changes, dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    variables = jax.jit(model.init)(jax.random.key(0), keypoints)

    def gradient(model):
        loss = jax.jit(jax.grad(lambda v: jnp.mean(model.apply(v, keypoints) ** 2)))
        return loss(variables)["params"]

    exact, found = gradient(model), gradient(rounded)
    for embedding in embeddings:
        difference = np.linalg.norm(found[embedding] - exact[embedding])
        assert difference < 1e-2 * np.linalg.norm(exact[embedding])
