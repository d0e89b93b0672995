"""Weights as trainers wrap them, and what they keep beside them."""

import argparse
import collections
import datetime
import logging
import pathlib
import re
import sys
import types

import numpy as np
import pytest
from interop.torch_writer import Tensor, zip_file
from models import mixste_oracle

from jrepose import interop
from jrepose.errors import InputError
from jrepose.interop.wrappers import network_in, unwrapped

SIZES = {"num_frame": 4, "num_joints": 5, "in_chans": 2, "embed_dim_ratio": 8, "depth": 1,
         "mlp_ratio": 2.0, "qkv_bias": True}  # fmt: skip
WEIGHTS = mixste_oracle.random_state_dict(np.random.default_rng(0), **SIZES)
AVERAGE = {key: value + 1 for key, value in WEIGHTS.items()}


def under(prefix, weights=WEIGHTS):
    return {prefix + key: value for key, value in weights.items()}


def inside(part, name):
    return {key.replace(f"{part}.", f"{part}.{name}.", 1): v for key, v in WEIGHTS.items()}


def score(part):
    found = len(WEIGHTS.keys() & part.keys())
    return found if 2 * found >= len(WEIGHTS) else 0


ONE = np.ones(1)
COUNTED = {**WEIGHTS, "total_ops": ONE, "STEblocks.0.attn.total_params": ONE}
LOSS = {"loss.log_vars": np.ones(3)}
WRAPPED = {
    "as it is": (WEIGHTS, ""),
    "compiled": (under("_orig_mod."), ""),
    "parallel and compiled": (under("module._orig_mod."), ""),
    "compiled and parallel": (under("_orig_mod.module."), ""),
    "sharded": (under("_fsdp_wrapped_module."), ""),
    "compiled in part": (inside("STEblocks.0", "_orig_mod"), ""),
    "parallel in part": (inside("STEblocks.0", "module"), ""),
    "AveragedModel": ({"n_averaged": np.array(5), **under("module.")}, ""),
    "Lightning": (under("model.net."), ""),
    "any name": (under("foo.3."), ""),
    "counted by thop": (COUNTED, ""),
    "a loss with weights": ({**WEIGHTS, **LOSS}, "left out, .*: loss.log_vars"),
    "a loss in Lightning": ({**under("model."), **LOSS}, "left out, .*: loss.log_vars"),
    "an average beside": ({**WEIGHTS, **under("ema.", AVERAGE)},
                          "taken those without prefix, not the moving average under ema. "),
    "ema_pytorch": ({**under("ema_model.", AVERAGE), **under("online_model."), "step": ONE},
                    "taken those under online_model., not the moving average under ema_model. "),
    "all of it": ({**under("ema_model.module.", AVERAGE), **under("model._orig_mod."), **LOSS,
                   "ema_model.n_averaged": np.array(3)}, "more than once.*left out, .*log_vars"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_the_network_is_found(name):
    state_dict, note = WRAPPED[name]
    choice = network_in(state_dict, score)
    assert choice.weights.keys() == WEIGHTS.keys()
    assert all(choice.weights[key] is value for key, value in WEIGHTS.items())
    assert bool(choice.note) == bool(note) and "\n" not in choice.note
    assert re.search(note, choice.note)


def test_nothing_is_lost_without_need():
    strange = {"a.module.x": 1, "a.x": 2}
    assert network_in(strange, lambda part: len(strange.keys() & part.keys())).weights == strange
    both = {"_orig_mod.x": 1, "x": 2}
    assert unwrapped(both) == both
    assert unwrapped({"model.weight": 1, "model.total_ops": 2}) == {"weight": 1}
    assert unwrapped({"step.weight": np.ones(1), "decay": np.ones(2)}).keys() == {
        "step.weight", "decay",
    }  # fmt: skip
    assert network_in({"model.x": 1, "head.y": 2}, score).weights == {"model.x": 1, "head.y": 2}


FILES = {
    "raw and average": ({"model": WEIGHTS, "model_ema": AVERAGE}, "model", "model_ema"),
    "library": ({"net": WEIGHTS, "ema": {"shadow": AVERAGE, "decay": 0.9}}, "net", "ema.shadow"),
    "Lightning": ({"state_dict": {**under("model."), **under("ema.", AVERAGE)}}, "state_dict.model",
                  "state_dict.ema"),
    "other names": ({"first": WEIGHTS, "swa_average": AVERAGE}, "first", "swa_average"),
}  # fmt: skip


def written(path, content):
    def walk(item):
        if isinstance(item, dict):
            return {key: walk(value) for key, value in item.items()}
        return Tensor(item) if isinstance(item, np.ndarray) else item

    path.write_bytes(zip_file(walk(content)))
    return path


@pytest.mark.parametrize("name", FILES)
def test_an_average_is_said_and_can_be_chosen(name, tmp_path, caplog):
    content, trained, average = FILES[name]
    path = written(tmp_path / "w.pth", content)
    model = {"name": "mixste", "num_heads": 2, **SIZES}
    first = lambda v: v["params"]["head_1"]["bias"]  # noqa: E731
    with caplog.at_level(logging.INFO, "jrepose"):
        found, _ = interop.load_run_or_file(path, model)
    np.testing.assert_array_equal(first(found), WEIGHTS["head.1.bias"])
    assert len(caplog.messages) == 1 and average.split(".")[-1] in caplog.messages[0]
    caplog.clear()
    for entry, weights in ((trained, WEIGHTS), (average, AVERAGE)):
        chosen, described = interop.load_run_or_file(f"{path}::{entry}", model)
        np.testing.assert_array_equal(first(chosen), weights["head.1.bias"])
        assert described.endswith(f"{path}::{entry}")
    assert not caplog.messages


def test_what_training_keeps_beside_weights(tmp_path, monkeypatch):
    module = types.ModuleType("easydict")
    module.EasyDict = type("EasyDict", (dict,), {"__module__": "easydict"})
    monkeypatch.setitem(sys.modules, "easydict", module)
    easy = module.EasyDict(lr=1.0)
    easy.lr = 1.0  # pickled as an object, its items and its attributes
    content = {
        "epoch": np.int64(3),
        "args": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("a")),
        "config": easy,
        "scheduler": {"milestones": collections.Counter([1, 2]), "last": np.float32(1)},
        "history": {"loss": np.ones(3)},
        "loss_weights": {"w": np.ones(2)},
        "recent": collections.deque([1, 2], 3),
        "when": datetime.datetime(2020, 1, 1),
        "dtype": np.dtype("float32"),
        "optimizer": {"state": {0: {"exp_avg": np.ones(3)}}},
    }
    for state in ({"model_pos": WEIGHTS, **content}, {**WEIGHTS, **content}):
        found = interop.read_state_dict(written(tmp_path / "w.pth", state))
        assert found.keys() - {"epoch"} == WEIGHTS.keys()
    assert interop.read_torch_file(tmp_path / "w.pth")["args"] is None


def test_an_object_of_another_class_is_refused(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(zip_file({}, data=b"\x80\x02ccollections\nOrderedDict\n)\x81."))
    with pytest.raises(InputError, match="uses the operation NEWOBJ"):
        interop.read_torch_file(path)


def test_another_network_is_named():
    with pytest.raises(InputError, match="does not fit repose: it is a mixste's"):
        interop.infer_hyperparameters("repose", under("module."))
    with pytest.raises(InputError, match="does not fit repose: it is a mixste's"):
        interop.from_torch("repose", WEIGHTS)
    with pytest.raises(InputError, match="no 'joints_embed.weight'; it has conv.weight"):
        interop.infer_hyperparameters("repose", {"conv.weight": np.ones((3, 3))})
