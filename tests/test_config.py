import json
import pathlib

import jax
import pytest
from absl import flags
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from jrepose import config_files, models
from jrepose.config import (
    check_config,
    default_config,
    from_json,
    model_config,
    objective_weights,
    parse_flags,
    stage_configs,
    to_json,
)
from jrepose.config_fields import numbers_in, range_of
from jrepose.errors import InputError
from jrepose.evaluation.detections import PUBLISHED
from jrepose.evaluation.published import benchmark_of, published_row
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import batch_objective
from jrepose.training.optimizer import matching_paths

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))


def parse(*arguments):
    return parse_flags(flags.FlagValues(), ["train.py", *arguments])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_file_is_complete_and_documented(path):
    config = parse(f"--config={path}")
    assert config.name.startswith(path.stem.split("_")[0])
    assert '"""' in path.read_text()[:5], "the docstring gives the command and the expectation"


VARIED = [path for path in CONFIGS if config_files.variants(path)]


@pytest.mark.parametrize("path", VARIED, ids=lambda path: path.stem)
def test_every_variant_fits_together(path):
    variants = ["", *config_files.variants(path)]
    names = set()
    for variant in variants:
        config = parse(f"--config={path}" + (variant and f":{variant}"))
        names.add(config.name)
        models.create(**config.model.to_dict())
        if config.model.name in models.DETECTORS:
            assert config.clip.frames <= config.model.frames
        else:
            # Of a denoiser of single poses the lifter that it is told of sees the clip.
            lifter = config.context.model if config.task == "diffpose" else config.model
            assert models.create(**lifter.to_dict()).input_shape[0] == config.clip.frames
        # Clips of which all frames are scored lie end to end.
        assert config.clip.targets or config.clip.evaluation_stride == config.clip.frames
        if config.published and config.model.name in models.DETECTORS:
            assert config.published in PUBLISHED
        elif config.published:
            published_row(benchmark_of(config.data), config.published)
    assert len(names) == len(variants) or path.stem == "compare_gradients"
    with pytest.raises(InputError, match="no variant 'huge'"):
        parse(f"--config={path}:huge")


@pytest.mark.parametrize("spec", ["rie_h36m:small", "rie_humaneva"])
def test_rie_in_its_three_stages(spec):
    """What each builds, takes from the one before and freezes, by the shapes of its variables."""
    stages = list(stage_configs(parse(f"--config={spec}")).values())
    assert stages[1].model == stages[2].model
    built = []
    for stage in stages[:2]:
        model = models.create(**stage.model.to_dict())
        shapes = jax.eval_shape(model.init, jax.random.key(0), *models.example_inputs(model))
        built.append({path: leaf.shape for path, leaf in flatten_dict(dict(shapes)).items()})
    parts, whole = built
    encoders = {path for path in parts if path[1].startswith(("LocalLayer_", "GlobalInfo"))}
    assert {path[1] for path in whole.keys() - parts.keys()} == {
        f"FuseBlocks_{k}" for k in range(5)
    }
    first, second, third = (stage.training for stage in stages)
    assert not first.freeze and not third.freeze and not first.init_only and not third.init_only
    taken = matching_paths(unflatten_dict(whole), second.init_only, "")
    assert taken == encoders and all(whole[path] == parts[path] for path in taken)
    # No gradient, but the statistics move.
    frozen = matching_paths(unflatten_dict(whole), second.freeze, "")
    assert frozen == {path for path in encoders if path[0] == "params"}
    assert third.learning_rate < second.learning_rate == first.learning_rate


def test_configs_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse("--config", "repose_mocap:small").name == "repose_mocap_small"
    assert parse("--config=demo.py").name == "demo"
    assert set(config_files.names()) == {path.stem for path in CONFIGS}
    assert config_files.variants(config_files.find("repose_mocap")[0])[0] == "small"
    for spec, hint in (("repose_mocp", "did you mean repose_mocap"), ("xyz", "jrepose has"),
                       ("configs/demo.py", "did you mean --config demo,")):  # fmt: skip
        with pytest.raises(InputError, match=f"no config file '{spec}'.*{hint}"):
            parse(f"--config={spec}")
    # A file of the user's goes first, also one with a colon in its name.
    mine = "from jrepose.config import default_config as get_config\n"
    for name in ("demo", "a:b.py"):
        (tmp_path / name).write_text(mine)
        assert parse(f"--config={name}").name == "repose"


def test_a_runs_config_is_a_config(tmp_path):
    config = parse("--config=demo", "--config.training.max_steps=7")
    (tmp_path / "config.json").write_text(to_json(config))
    flag = f"--config={tmp_path / 'config.json'}"
    assert parse(flag).to_dict() == config.to_dict()
    changed = parse(flag, "--config.data.path=here", "--config.training.max_steps=None")
    assert changed.data.path == "here" and changed.training.max_steps is None
    for text, said in (("{", "not a config in JSON"), ("[]", "it has no model"),
                       ('{"model": {"name": "repose"}, "traning": {}}', "did you mean training"),
                       ('{"model": {"name": "repose"}, "seed": "x"}', "config.seed")):  # fmt: skip
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InputError, match=said) as caught:
            parse(flag)
        assert "config.json" in str(caught.value) and "\n" not in str(caught.value)


def test_every_number_has_a_range():
    fields = {field for field, _ in numbers_in(default_config())}
    for name in models.networks():
        fields |= {field for field, _ in numbers_in(ConfigDict({"model": model_config(name)}))}
    assert not [field for field in fields if range_of(field) is None]


@pytest.mark.parametrize(
    "flag",
    [
        "training.learning_rate=-1",
        "training.learning_rate=nan",
        "training.learning_rate=inf",
        "training.epochs=-1",
        "training.max_steps=0",
        "training.batch_size=0",
        "training.accumulate=0",
        "training.weight_decay=-0.1",
        "training.gradient_clip=0",
        "training.ema_decay=1",
        "evaluation.batch_size=0",
        "clip.stride=0",
        "clip.frames=-27",
        "seed=-1",
        "data.frame_rate=0",
        "data.seconds=-1",
        "data.rig.width=0",
        "data.rig.focal_px=nan",
        "data.rig.distance_range_mm=(0.0, 5000.0)",
        "data.detector.jitter_mm=-1",
        "objective.weights.mpjpe=-1",
        "model.mlp_ratio=0",
        "model.depth=0",
        "model.drop_rate=1",
        "model.qk_scale=-1",
        "checkpoint.keep=0",
        "clip.every=100000000000",
        "data.seconds=1e30",
        "data.detector.no_confidence_share=2",
        "model.maxlen=100000000000",
        "data.images.cameras=(1,)",
        "evaluation.exclude=(1,)",
        "training.freeze=((1,2),)",
        "training.batch_norm_momentum_end=0.001",
        "training.epochs=1" + 400 * "0",
        "training.schedule.milestones=('a',)",
        "training.schedule.milestones=(True,)",
        "clip.windows=some",
        "clip.evaluation_windows=some",
    ],
)
def test_a_value_that_cannot_be_is_one_line(flag):
    field, value = flag.split("=")
    with pytest.raises(InputError, match=field.replace(".", r"\.")) as caught:
        parse("--config=demo", f"--config.{field}={value}")
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)


def test_a_learned_weight_and_a_gradient_that_follows_the_loss_do_not_go_together():
    with pytest.raises(InputError, match="gradient_times_loss needs a loss above 0"):
        parse(
            "--config=demo",
            "--config.training.gradient_times_loss=True",
            "--config.objective.learn_weights=('mpjpe',)",
        )


def test_what_may_be_absent_is_taken_out_by_none():
    config = parse(
        "--config=demo",
        "--config.objective.weights.temporal_ranking=None",
        "--config.objective.weights.spatial_ranking", "None",
        "--config.objective.weights.velocity=None", "--config.objective.weights.velocity=2",
        "--config.data.path=None",
    )  # fmt: skip
    assert set(batch_objective(config, HUMAN36M_17).weights) == {"mpjpe", "velocity"}
    assert config.data.path is None
    for field in ("training.epochs", "clip.frames"):
        with pytest.raises(InputError, match=field):
            parse("--config=demo", f"--config.{field}=None")


def test_statistics_are_those_of_all_devices_or_of_one():
    with pytest.raises(InputError, match="batch_norm_axis is 'joints', expected 'devices', or ''"):
        parse("--config=videopose3d_h36m", "--config.model.batch_norm_axis=joints")


def test_micro_batches_are_a_number_or_auto(tmp_path):
    flag = "--config.training.accumulate"
    assert parse("--config=demo", f"{flag}=4").training.accumulate == 4
    config = parse("--config=demo", flag, "auto")
    assert config.training.accumulate == "auto"
    assert from_json(to_json(config)).training.accumulate == "auto"
    with config.unlocked():
        config.stages = ConfigDict({"a": {"training": {"accumulate": 2}}, "b": {}})
    assert [stage.training.accumulate for stage in stage_configs(config).values()] == [2, "auto"]
    (tmp_path / "config.json").write_text(to_json(config))
    again = parse(f"--config={tmp_path}/config.json", "--config.stages.a.training.accumulate=auto")
    assert stage_configs(again)["a"].training.accumulate == "auto"
    for given in ("1.5", "none", "0"):
        with pytest.raises(InputError, match="accumulate"):
            parse("--config=demo", f"{flag}={given}")
    for given in ("1.5", '"2"', "true"):
        with pytest.raises(InputError, match="config.training.accumulate"):
            from_json(to_json(config).replace('"accumulate": "auto"', f'"accumulate": {given}'))


@pytest.mark.parametrize(
    "given, said", [("flash", "expected one of auto, plain"), ("cudnn", "precision=bfloat16")]
)
def test_attention_is_one_that_there_is(given, said):
    assert parse("--config=demo", "--config.attention=xla").attention == "xla"
    with pytest.raises(InputError, match=said):
        parse("--config=demo", f"--config.attention={given}")


@pytest.mark.parametrize("name, kind", [("gcndiff", "a denoiser"), ("swin", "an image encoder")])
def test_other_networks_are_no_lifters(tmp_path, name, kind):
    config = default_config()
    config.model = model_config(name)
    path = tmp_path / "config.json"
    path.write_text(config.to_json_best_effort())
    with pytest.raises(InputError, match=f"{name!r}, {kind}; expected a lifter, one of repose"):
        parse(f"--config={path}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "no function get_config"),
        ("def get_config():\n    return {}\n", "returned a dict, expected an ml_collections"),
        ("def get_config():\n    return\n", "returned a NoneType"),
        ("def get_config(:\n", "SyntaxError"),
        ("import nowhere_at_all\n", "line 1: ModuleNotFoundError"),
        ("def get_config():\n    1 / 0\n", "line 2: ZeroDivisionError"),
        ("def get_config(a, b):\n    pass\n", "TypeError"),
        (
            "from ml_collections import ConfigDict as get_config\n",
            "config field .* is missing",
        ),
    ],
)
def test_a_file_that_is_no_config_says_why(tmp_path, text, said):
    path = tmp_path / "odd.py"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        parse(f"--config={path}")
    assert "\n" not in str(caught.value)


def test_overrides_reach_nested_fields():
    config = parse(
        f"--config={ROOT / 'configs/repose_mocap.py'}:small",
        "--config.training.epochs=3",
        "--config.objective.weights.spatial_ranking=0.5",
        "--config.training.max_steps=7",
        "--config.data.split.test=('a', 'b')",
    )
    assert config.training.epochs == 3 and config.training.max_steps == 7
    assert config.objective.weights.spatial_ranking == 0.5
    assert config.data.split.test == ("a", "b")


def test_every_field_of_a_stage_can_be_set_by_a_flag():
    """Whether it differs there or not; names may begin with a digit, which absl cannot parse."""
    config = parse(
        "--config=diffpose_small",
        "--config.stages.1_encoder.training.batch_size=3",
        "--config.stages.1_encoder.training.accumulate",
        "auto",
        "--config.stages.1_encoder.training.gradient_clip=None",
        "--config.stages.2_diffusion.training.max_steps=7",
        "--config.stages.2_diffusion.model.depth=1",
        "--config.training.max_steps=9",
    )
    first, second = stage_configs(from_json(to_json(config))).values()
    assert (first.training.batch_size, first.training.accumulate) == (3, "auto")
    assert first.training.gradient_clip is None and second.training.gradient_clip == 1.0
    assert (first.training.max_steps, second.training.max_steps) == (9, 7)
    assert second.model.depth == 1 and second.training.accumulate == 1
    for field, said in (
        ("1_encoder.training.batch_sise=3", "1_encoder: unknown config field batch_sise; did you"),
        ("1_encoder.training.batch_size=0", "1_encoder: config.training.batch_size is 0"),
        ("encoder.training.epochs=3", "stages.encoder.training.epochs; the stages are 1_encoder"),
    ):
        with pytest.raises(InputError, match=said):
            parse("--config=diffpose_small", f"--config.stages.{field}")
    with pytest.raises(InputError, match="unknown config field stages.a.seed; there are no stages"):
        parse("--config=demo", "--config.stages.a.seed=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.training.epoch=5"], "unknown config field epoch; did you mean epochs"),
        (["--config.nonsense=5"], "unknown config field nonsense"),
        (["--config.training.epochs=five"], "config.training.epochs=five"),
        (["--bogus=1"], "bogus"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_bad_flags_are_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(f"--config={ROOT / 'configs/demo.py'}", *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config=configs/absent.py", "no config file.*absent.py"),
        (f"--config={ROOT / 'configs/repose_mocap.py'}:huge", "no variant 'huge'"),
    ],
)
def test_bad_config_files_are_one_line(flag, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(flag)
    assert "\n" not in str(caught.value)


def test_a_config_that_fails_to_run_says_why(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config():\n    return undefined_name\n")
    with pytest.raises(InputError, match="undefined_name"):
        parse(f"--config={broken}")


def test_missing_config_is_named():
    with pytest.raises(InputError, match="--config FILE is missing"):
        parse()


def test_unknown_and_missing_fields_are_named():
    config = default_config()
    config.training.momentum = 0.9
    with pytest.raises(InputError, match="config.training.momentum"):
        check_config(config)
    config = default_config()
    del config.clip.stride
    with pytest.raises(InputError, match="config.clip.stride is missing"):
        check_config(config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": True}, "config.seed is True, expected a whole number"),
        (
            {"training": {"learning_rate": True}},
            "training.learning_rate is True, expected a number",
        ),
        ({"training": {"learning_rate": 10**400}}, "config.training.learning_rate"),
        ({"training": 5}, "config.training is 5, expected a section"),
        ({"model": {"name": ["repose"]}}, "unknown model .*repose"),
        ({"objective": {"schedule": {"mpjpe": None}}}, "schedule.mpjpe is None, expected pairs"),
        ({"stages": 5}, "config.stages is 5, expected a section"),
        ({"stages": {"a": 5}}, "config.stages.a is 5; expected a config in part"),
        ({"stages": {"a.b": {}}}, "config.stages: .*dot"),
        ({"stages": {"a": {"model": 5}}}, "config.stages.a.model is 5, expected a sec"),
        ({"stages": {"a": {"seed": 10**400}}}, "config.stages.a"),
        ({"stages": {"a": {"training": {"learning_rate": 10**400}}}}, "config.stages.a"),
        ({"stages": {"a": {"model": {"name": {"a": 1}}}}}, "unknown model"),
        ({"stages": {"a": {"stages": {}}}}, "config.stages.a is .*without stages of its own"),
    ],
    ids=str,
)
def test_json_that_cannot_be_is_one_line(change, said):
    config = parse("--config=demo").to_dict()
    for name, value in change.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    with pytest.raises(InputError, match=said):
        stage_configs(from_json(json.dumps(config)))


@pytest.mark.parametrize(
    ("section", "name", "value", "said"),
    [
        ("optimizer", "amsgrad", "no", "optimizer.amsgrad is 'no', expected True or False"),
        ("optimizer", "name", 3, "optimizer.name is 3, expected a text"),
        ("schedule", "milestones", 3, "schedule.milestones is 3, expected a tuple"),
        ("schedule", "floor", "low", "schedule.floor is 'low', expected a number"),
    ],
)
def test_a_section_made_anew_has_the_types_of_the_old_one(section, name, value, said):
    config = parse("--config=demo")
    with config.unlocked(), config.training.ignore_type():
        config.training[section] = ConfigDict({**config.training[section], name: value})
    with pytest.raises(InputError, match=said):
        check_config(config)


def test_no_field_of_a_stage_is_said_to_be_absent(caplog):
    with caplog.at_level("INFO", "jrepose"):
        from_json(to_json(parse("--config=diffpose_small")))
    assert not caplog.records


def test_json_round_trip():
    config = default_config()
    config.data.split.train = ("a", "b")
    assert from_json(to_json(config)).to_dict() == config.to_dict()
    with pytest.raises(InputError, match="not a config in JSON"):
        from_json("{")


def test_every_hyperparameter_of_the_model_is_a_field():
    section = model_config("repose", maxlen=81, mlp_ratio=2)
    assert (section.name, section.maxlen, section.mlp_ratio) == ("repose", 81, 2.0)
    assert {"dtype"} == models.hyperparameters("repose").keys() - section.keys()
    models.create(**section.to_dict())
    section.qk_scale = 0.5
    with pytest.raises(InputError, match="unknown model 'nobody'"):
        model_config("nobody")
    with pytest.raises(KeyError, match="depht"):
        model_config("repose", depht=3)


def test_any_loss_can_be_set_by_a_flag():
    config = parse(
        f"--config={ROOT / 'configs/demo.py'}",
        "--config.objective.weights.velocity=20",
        "--config.objective.weights.angle=0",
    )
    objective = batch_objective(config, HUMAN36M_17)
    assert objective.weights["velocity"] == 20 and objective.weights["angle"] == 0
    assert set(objective.weights) == {
        "mpjpe", "spatial_ranking", "temporal_ranking", "velocity", "angle"
    }  # fmt: skip
    with pytest.raises(KeyError, match="velocty"):
        objective_weights(velocty=1)
