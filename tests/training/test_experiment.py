"""From config to experiment."""

import dataclasses
import logging
import re

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jrepose import parallel, tasks
from jrepose.config import model_config, objective_weights
from jrepose.data.windows import clips_for_evaluation, clips_for_training
from jrepose.errors import InputError
from jrepose.losses.objective import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import batch_objective, create_model
from jrepose.training.experiment import create_experiment


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_objective_of_a_batch_is_the_mean_of_its_parts(reduction):
    config = tiny.ranking_config(objective__ranking_reduction=reduction)
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


def test_the_objective_has_the_configured_margin():
    config = tiny.ranking_config(objective__ranking_margin=0.25)
    assert batch_objective(config, HUMAN36M_17).ranking_margin == 0.25


REPROJECTION = {"objective__weights": objective_weights(mpjpe=1, reprojection_2d=1)}


@pytest.mark.parametrize(
    "changes, space, said",
    [
        ({"training__root": "frame", **REPROJECTION}, "image", "no clip.causal_shift; here are"),
        (REPROJECTION, "camera_m", "here are camera_m, clip_first and 0"),
        ({"corruption__projected": True}, "camera_m", "this data has camera_m labels"),
        (
            {"training__freeze": ("objective/.*",), "objective__learn_weights": ("mpjpe",)},
            "image",
            "training.freeze: 'objective/.*' matches no variable",
        ),
        ({"evaluation__root": "zero"}, "image", "evaluation.root is 'zero'"),
        ({"evaluation__exclude": ("s0/walk", "s1/sit")}, "image", "leaves nothing to score"),
        ({"evaluation__target": "image"}, "camera_m", "factor_mm_per_px is needed"),
        ({"evaluation__best_by": "beauty"}, "image", "unknown evaluation.best_by 'beauty'"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_step(changes, space, said):
    splits = {
        name: dataclasses.replace(split, target_space=space)
        for name, split in tiny.splits().items()
    }
    if "evaluation__target" in changes:
        split = dataclasses.replace(splits["validation"], factor_mm_per_px=None)
        splits["validation"] = split
    with pytest.raises(InputError, match=re.escape(said)):
        create_experiment(tiny.config(**changes), splits, parallel.select_devices(1))


def test_a_model_of_fewer_frames_than_are_scored_is_refused_before_the_first_step():
    config = tiny.config()
    config.model = model_config("videopose3d", filter_widths=(3, 1), channels=8)
    with pytest.raises(InputError, match="returned 6 frames for a clip of 8, of which 8"):
        create_experiment(config, tiny.splits(), parallel.select_devices(1))


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


def test_a_model_of_joints_by_name_refuses_others_of_the_same_number():
    for field, other, what in (
        ("skeleton_in", "coco_17", "keypoints"),
        ("skeleton_out", "mpi_inf_3dhp_17", "poses"),
    ):
        config = tiny.config()
        config.model = model_config("rie", **{field: other})
        with pytest.raises(InputError) as caught:
            tasks.create(config, tiny.dataset())
        assert str(caught.value) == (
            f"config.model.{field} is '{other}', and the data's {what} have the joints of "
            "'human36m_17'"
        )


def test_what_becomes_of_videos_shorter_than_a_clip_is_said_once(caplog):
    config = tiny.config(clip__frames=9, clip__stride=1)
    config.clip.update(targets=1, windows="replicate", evaluation_windows="centred")
    dataset = tiny.dataset(videos=3, frames=4)
    with caplog.at_level(logging.INFO, logger="jrepose"):
        for _ in range(2):
            trained = clips_for_training(dataset, config.clip)
            evaluated = clips_for_evaluation(dataset, config.clip)
    said = "3 of 3 videos are shorter than the 9 frames that a clip spans; their edge frames repeat"
    assert [record.message for record in caplog.records] == [said]
    for windows in (trained, evaluated):
        np.testing.assert_array_equal(windows.inputs[0], [0, 0, 0, 0, 0, 1, 2, 3, 3])
        np.testing.assert_array_equal(windows.inputs[7], [4, 4, 5, 6, 7, 7, 7, 7, 7])
        np.testing.assert_array_equal(windows.targets[:, 0], np.arange(12))


def test_frames_that_no_evaluation_clip_holds_are_warned_of(caplog):
    config, dataset = tiny.config(clip__evaluation_stride=17), tiny.dataset()
    with caplog.at_level(logging.WARNING):
        windows = clips_for_evaluation(dataset, config.clip)
    left = dataset.frames - int(windows.scored.sum())
    assert left > 0
    assert f"{left} of {dataset.frames} frames are in no clip" in caplog.text
    caplog.clear()
    config.clip.evaluation_stride = 8
    clips_for_evaluation(dataset, config.clip)
    assert not caplog.text
