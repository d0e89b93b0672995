"""From config to experiment."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jrepose.errors import InputError
from jrepose.losses.objective import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import batch_objective, create_model


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_objective_of_a_batch_is_the_mean_of_its_parts(reduction):
    config = tiny.config(objective__ranking_reduction=reduction)
    random = np.random.default_rng(0)
    batch = [jnp.asarray(random.normal(size=(8, 8, 17, 3)), jnp.float32) for _ in range(3)]
    given = config.objective.weights.to_dict()
    weights = {name: weight for name, weight in given.items() if weight is not None}
    whole, _ = create_objective(weights, HUMAN36M_17, ranking_reduction=reduction)({}, *batch)
    objective = batch_objective(config, HUMAN36M_17)
    parts = [objective({}, *(part[k : k + 2] for part in batch))[0] for k in range(0, 8, 2)]
    np.testing.assert_allclose(np.mean(parts), whole, rtol=1e-5)
    if reduction == "sum":
        assert whole > 1e4


def test_model_computes_in_the_configured_precision():
    assert create_model(tiny.config()).dtype == np.dtype("float32")
    assert create_model(tiny.config(precision="bfloat16")).dtype == np.dtype("bfloat16")
    with pytest.raises(InputError, match="config.precision is 'float16'"):
        create_model(tiny.config(precision="float16"))


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="'max'; expected mean or sum"):
        batch_objective(tiny.config(objective__ranking_reduction="max"), HUMAN36M_17)
    config = tiny.config()
    config.model.name = "nobody"
    with pytest.raises(InputError, match="unknown model 'nobody'"):
        create_model(config)
