"""The commands as a user types them."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import compilation
import jax
import numpy as np
import pytest
from interop.torch_writer import Tensor, zip_file
from lifters import draw_variables

from jrepose import checkpoints, cli, interop, models
from jrepose.commands import COMMANDS, command
from jrepose.config import (
    load_config,
    model_config,
    objective_weights,
    stage_configs,
    to_json,
)
from jrepose.evaluation import robustness
from jrepose.host_memory import return_freed_memory, reuse_freed_memory
from jrepose.training import stages

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEMO = f"--config={ROOT / 'configs/demo.py'}"
SHORT = (
    "--config.data.seconds=4.0",
    "--config.data.rig.cameras=2",
    "--config.data.split.train=('ada',)",
    "--config.training.batch_size=4",
    "--config.training.max_steps=2",
    "--config.training.log_every=1",
)
TINY = (
    *SHORT,
    "--config.model.dim_feat=8",
    "--config.model.dim_rep=8",
    "--config.model.depth=1",
    "--config.model.num_heads=2",
)


def run(script, *arguments):
    environment = {**os.environ, "XLA_FLAGS": compilation.FLAGS}
    return subprocess.run(
        [sys.executable, script if script == "-m" else str(ROOT / script), *arguments],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train.py", [DEMO], "--workdir DIR is missing"),
        ("train.py", [DEMO, "--config.training.epoch=1"], "unknown config field epoch"),
        (
            "train.py",
            [f"--config={ROOT / 'configs/repose_mocap.py'}", "--config.data.path=/nowhere",
             "--workdir=/tmp/unused"],
            "/nowhere",
        ),
        ("evaluate.py", [DEMO], "--checkpoint DIR is missing"),
        ("evaluate.py", [DEMO, "--checkpoint=/nowhere"], "no checkpoint in /nowhere"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_status_2(script, arguments, message, capsys):
    # The scripts themselves, in processes of their own: below.
    typed = [str(ROOT / script), *arguments]
    assert cli.run(command(script.removesuffix(".py")), typed) == 2
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line]
    assert lines[-1].startswith(str(ROOT / script) + ": error:") and message in lines[-1]
    assert "Traceback" not in said


def test_bad_input_to_a_script():
    done = run("evaluate.py", DEMO)
    assert done.returncode == 2
    said = f"{ROOT / 'evaluate.py'}: error: --checkpoint DIR is missing"
    assert done.stderr.splitlines()[-1].startswith(said) and "Traceback" not in done.stderr


def test_train_then_evaluate(tmp_path, capsys, monkeypatch):
    done = run("train.py", DEMO, f"--workdir={tmp_path}", *TINY)
    assert done.returncode == 0, done.stderr
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert max(entry["step"] for entry in logged) == 2
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    assert "2 steps of 4 clips" in done.stderr and "\r" not in done.stderr
    assert "demo: 2 of 2 steps" in done.stderr

    # The run says itself what it is.
    evaluate = ["evaluate", f"--checkpoint={tmp_path}"]
    assert cli.run(command("evaluate"), evaluate) == 0
    assert "MPJPE" in capsys.readouterr().out
    results = tmp_path / "evaluation" / "test"
    written = json.loads((results / "scores.json").read_text())
    assert 0 < written["scores"]["pa_mpjpe"] <= written["scores"]["mpjpe"]
    settings = written["settings"]
    assert settings["step"] == 2 and settings["checkpoint"] == str(tmp_path / "checkpoints" / "2")
    assert len(settings["config"]) == len(settings["data"]) == 64
    stored = checkpoints.load(tmp_path)
    assert stored.description["target_space"] == "image" and stored.description["model"] == "repose"
    assert cli.run(command("evaluate"), [*evaluate, "--config.data.target_space=camera_m"]) == 2
    error = capsys.readouterr().err
    assert "trained to predict image" in error and error.count("evaluate: error:") == 1
    cudnn = ("--config.precision=bfloat16", "--config.attention=cudnn")
    assert cli.run(command("evaluate"), [*evaluate, *cudnn]) == 2
    assert "'cudnn', which needs an NVIDIA GPU" in capsys.readouterr().err
    with np.load(results / "predictions.npz", allow_pickle=False) as archive:
        assert archive["poses_mm"].shape[1:] == (17, 3)

    attention = ("attention", f"--checkpoint={tmp_path}")
    assert cli.run(command("attention"), [*attention, "--clip=1", "--layer=0"]) == 0
    pictures = sorted((tmp_path / "attention").iterdir())
    assert [path.name.split("_")[0] for path in pictures] == ["spatial", "temporal"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    for choice in ("--clip=9999", "--layer=first", "--layer=1", "--joint=tail"):
        assert cli.run(command("attention"), [*attention, choice]) == 2
        assert choice[2:].split("=")[1] in capsys.readouterr().err

    studied = []
    monkeypatch.setattr(
        robustness, "measure_robustness", lambda *_, **chosen: studied.append(chosen)
    )
    monkeypatch.setattr(robustness, "summary", lambda _: "")
    monkeypatch.setattr(robustness, "write", lambda *_: [])
    study = ["robustness.py", *evaluate[1:]]
    assert cli.run(command("robustness"), [*study, "--limit=0.9"]) == 0
    assert studied[0]["limit"] == 0.9
    assert cli.run(command("robustness"), [*study, "--limit=nan"]) == 2
    assert "--limit is 'nan'" in capsys.readouterr().err

    assert cli.run(command("evaluate"), [*evaluate, DEMO, "--config.model.depth=3"]) == 2
    assert "config.model." in capsys.readouterr().err


def test_a_pytorch_file(tmp_path, capsys):
    sizes = {"num_frame": 27, "embed_dim_ratio": 8, "depth": 1, "num_heads": 1, "mlp_ratio": 1.0,
             "drop_path_rate": 0.0}  # fmt: skip
    small = load_config("demo")  # with a network that is sooner compiled
    small.model = model_config("mixste", **sizes)
    small.objective.weights = objective_weights(mpjpe=1)
    (tmp_path / "config.json").write_text(to_json(small))
    config = f"--config={tmp_path / 'config.json'}"
    model = models.create("mixste", **sizes)
    variables = draw_variables(model, np.zeros((1, 27, 17, 3), np.float32))
    weights = interop.to_torch("mixste", variables)
    file = tmp_path / "best_epoch.bin"
    tensors = {"module." + name: Tensor(array) for name, array in weights.items()}
    file.write_bytes(zip_file({"epoch": 1, "model_pos": tensors}))

    evaluate = ["evaluate.py", config, f"--checkpoint={file}", *SHORT]
    assert cli.run(command("evaluate"), evaluate) == 0
    assert (tmp_path / "best_epoch" / "evaluation" / "test" / "scores.json").is_file()

    # Training begins with it: a first step at rate 0 leaves the weights as they are.
    still = ("--config.training.learning_rate=0.0", "--config.training.max_steps=1")
    workdir = tmp_path / "run"
    train = ["train.py", config, f"--workdir={workdir}", f"--init={file}", *SHORT, *still]
    assert cli.run(command("train"), [*train, "--devices=1"]) == 0
    trained = checkpoints.load(workdir, "latest").variables
    jax.tree.map(np.testing.assert_array_equal, trained, variables)

    # Of another file it takes what fits, if asked to.
    other = tmp_path / "other.bin"
    held = {name: tensor for name, tensor in tensors.items() if ".TTEblocks." not in name}
    other.write_bytes(zip_file({"epoch": 1, "model_pos": held}))
    again = ["train", config, f"--workdir={tmp_path / 'b'}", *SHORT, *still, "--devices=1"]
    assert cli.run(command("train"), [*again, f"--init={other}"]) == 2
    assert "missing TTEblocks.0." in capsys.readouterr().err
    partially = [*again, f"--init={other}", "--init_partial"]
    assert cli.run(command("train"), partially) == 0
    said = capsys.readouterr()
    assert "missing there (TTEblocks_0/" in said.out and "holds a run" not in said.err
    assert cli.run(command("train"), partially) == 0
    assert f"{tmp_path / 'b'} holds a run" in capsys.readouterr().err
    trained = checkpoints.load(tmp_path / "b", "latest").variables["params"]
    params = variables["params"]
    jax.tree.map(np.testing.assert_array_equal, trained["STEblocks_0"], params["STEblocks_0"])
    drawn, given = (tree["TTEblocks_0"]["attn"]["qkv"]["kernel"] for tree in (trained, params))
    assert np.ptp(drawn) > 0 and np.all(drawn != given)
    assert cli.run(command("train"), [*again, "--init_partial"]) == 2
    assert "--init_partial needs --init" in capsys.readouterr().err

    capsys.readouterr()
    assert cli.run(command("evaluate"), [*evaluate, "--config.model.depth=2"]) == 2
    assert "missing STEblocks.1.attn.proj.bias" in capsys.readouterr().err


def test_a_run_stopped_before_its_first_record_says_130(tmp_path, monkeypatch):
    def stopped(config, workdir, splits, **options):
        (workdir / "metrics.jsonl").touch()
        return stages.TrainingResult(
            step=1, finished=False, interrupted=signal.SIGTERM, variables={}, validation=None,
            best=None,
        )  # fmt: skip

    monkeypatch.setattr(stages, "train", stopped)
    arguments = ["train.py", DEMO, f"--workdir={tmp_path}", *TINY]
    assert cli.run(command("train"), arguments) == 130


def test_unknown_subcommand_is_one_line(capsys):
    for typed, said in (("dance", "the commands are lift, train"), ("trian", "mean train?")):
        assert cli.main(["jrepose", typed]) == 2
        error = capsys.readouterr().err
        assert error.startswith("jrepose: error: ") and error.count("\n") == 1 and said in error


def test_help_is_quick_and_complete():
    """No JAX for the help of any command, and every flag in it."""
    code = """
import sys
from jrepose import cli
from jrepose.commands import COMMANDS
assert cli.main(["jrepose"]) == cli.main(["jrepose", "--help"]) == 0
assert cli.main(["jrepose", "--version"]) == 0
assert cli.main(["jrepose", "configs"]) == 0
for name in COMMANDS:
    for typed in ([name, "--help"], [name, "-h"], ["help", name]):
        try:
            cli.main(["jrepose", *typed])
        except SystemExit as stop:
            assert stop.code == 0
        else:
            raise AssertionError(typed)
heavy = {"jax", "flax", "optax", "orbax", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for words in ("usage: jrepose COMMAND", "jrepose 0.", "compare-gradients", "repose_mocap",
                  "variants: :small", "--workdir DIR", "--config.training.batch_size",
                  "--[no]throughput", "--checkpoint PATH", "jrepose train --config repose_mocap",
                  "--set NAME=VALUE", "FIXTURE", "--split train|validation|test  W"):  # fmt: skip
        assert words in done.stdout, words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_unknown_flag_in_one_line(name, capsys):
    needed = {"inspect": ["f"], "lift": ["f"], "parity": ["f"], "prepare": ["human36m"],
              "convert": ["a", "b"],
              "configs": [], "compare-gradients": [], "export": [],
              "evaluate": [DEMO, "--checkpoint=x"], "attention": [DEMO, "--checkpoint=x"],
              "robustness": [DEMO, "--checkpoint=x"]}.get(name, [DEMO])  # fmt: skip
    assert cli.main(["jrepose", name, *needed, "--bogus=1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"jrepose {name}: error: ") and error.count("\n") == 1
    assert "bogus" in error


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["inspect"], "FILE is missing"),
        (["inspect", "a", "b"], "unexpected argument 'b'"),
        (["convert", "a", "--model=repose"], "TARGET is missing"),
        (["convert", "a", "b"], "--model NAME is missing"),
        (["convert", "a", "b", "--model=repose", "--set=depth"], "--set is 'depth'"),
        (["parity", "f", "--tolerance=much"], "tolerance"),
        (["prepare", "human35m"], "did you mean human36m?"),
        (["configs", "demi"], "did you mean demo?"),
        (["train", "--config"], "--config has no value"),
        (["evaluate"], "--checkpoint DIR is missing"),
        (["evaluate", "--checkpoint="], "--checkpoint has no value"),
        (["lift", ""], "KEYPOINTS is empty"),
        (["lift", "f", "--weights="], "flag --weights=: no value"),
        (["train", DEMO, "--workdir="], "flag --workdir=: no value"),
        (["train", DEMO, "--workdir=w", "--init="], "no value"),
        (["render", "--out=w", "--splits="], "flag --splits=[]: no value"),
        (["convert", "--model=repose", __file__, "b", "--which=best"], "--which is for a checkp"),
        *[
            ([*command, "x" * 300], "xxx: File name too long")
            for command in (["inspect"], ["configs"], ["evaluate", "--checkpoint"])
        ],
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_arguments_are_one_line(typed, said, capsys):
    assert cli.main(["jrepose", *typed]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 68719476736 bytes."),
        RuntimeError("INTERNAL: std::bad_alloc"),
        ValueError("while evaluating"),
    ],
    ids=lambda error: str(error)[:10],
)
def test_out_of_memory_is_one_line_with_the_remedy(error, capsys):
    def fails(argv):
        if isinstance(error, ValueError):
            raise error from MemoryError("Unable to allocate 64.0 GiB for an array")
        raise error

    assert cli.run(fails, ["jrepose train"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("jrepose train: error: out of memory") and said.count("\n") == 1
    for remedy in ("training.batch_size", "training.accumulate", "model.remat"):
        assert remedy in said
    if "alloc" in str(error) and "bad" not in str(error) or isinstance(error, ValueError):
        assert "64.0 GiB" in said
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda argv: 1 // 0, ["jrepose train"])


def test_memory_reuse_is_accepted_by_glibc():
    import platform

    assert reuse_freed_memory() == (platform.libc_ver()[0] == "glibc")
    # Whether there is any to return is the C library's business.
    assert return_freed_memory() in (True, False)


def test_init_only_is_of_what_begins_with_init(tmp_path, monkeypatch, capsys):
    """And weights that were trained on keypoints of another scaling are warned of."""
    given = tmp_path / "given"
    train = ["train.py", DEMO, *TINY, "--devices=1"]
    assert cli.run(command("train"), [*train, f"--workdir={given}"]) == 0
    text = f"""
from jrepose.config import load_config

def get_config():
    config = load_config({str(ROOT / "configs/demo.py")!r})
    with config.unlocked():
        config.stages = {{"one": {{}}, "two": {{"training": {{"learning_rate": 1e-4}}}}}}
    return config
"""
    (tmp_path / "staged.py").write_text(text)
    begun = []
    monkeypatch.setattr(stages, "train_stages", lambda config, *_, **options: begun.append(
        ({name: stage.training.init_only for name, stage in stage_configs(config).items()}, options)
    ) or stages.TrainingResult(1, False, None, {}, None, None))  # fmt: skip
    staged = [f"--config={tmp_path / 'staged.py'}", *TINY, f"--workdir={tmp_path / 'w'}"]
    only = "--init_only=params/joints_embed/.*"
    scaled = "--config.data.scaling=person"
    cli.run(command("train"), ["train.py", *staged, f"--init={given}", only])
    assert begun[0][0] == {"one": ("params/joints_embed/.*",), "two": ()}
    assert "--init:" not in capsys.readouterr().err
    cli.run(command("train"), ["train.py", *staged, f"--init={given}", scaled])
    assert "--init: " in (said := capsys.readouterr().err) and "screen" in said
