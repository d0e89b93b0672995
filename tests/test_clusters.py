"""The scripts of docs/clusters.md, as far as they can be checked without a cluster."""

import pathlib
import re
import shutil
import subprocess

import pytest

from jrepose.commands import command

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
# What a process of several is told by; jrepose/parallel.py reads them.
VARIABLES = {"JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"}


def help_of_train(capsys) -> str:
    with pytest.raises(SystemExit):
        command("train")(["train", "--help"])
    return capsys.readouterr().out


def test_the_slurm_script(tmp_path, capsys):
    """With a stand-in for what Slurm brings: two tasks, stopped, queued again."""
    if shutil.which("bash") is None:
        pytest.skip("no bash on this system")
    programs = {
        "scontrol": 'if [ "$1" = show ]; then echo node7; echo node8; else echo "again $2"; fi',
        "srun": 'shift; for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done; exit 130',
        "jrepose": 'echo "$JAX_COORDINATOR_ADDRESS $JAX_NUM_PROCESSES $JAX_PROCESS_ID" "$@"',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    arguments = ["--config", "repose_h36m", "--workdir", "/a b"]
    done = subprocess.run(
        ["bash", DOCS / "slurm.sh", *arguments], capture_output=True, text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "SLURM_JOB_ID": "123456",
             "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_NTASKS": "2"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        *(f"node7:23456 2 {k} train --config repose_h36m --workdir /a b" for k in (0, 1)),
        "again 123456",
    ], done.stderr
    assert done.returncode == 130


def test_the_job_set(capsys):
    yaml = pytest.importorskip("yaml")
    manifest = yaml.safe_load((DOCS / "jobset.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = manifest["spec"]["replicatedJobs"]
    indexed = job["template"]["spec"]
    assert indexed["completionMode"] == "Indexed"
    pod = indexed["template"]["spec"]
    (container,) = pod["containers"]
    told = {variable["name"]: variable for variable in container["env"]}
    assert told.keys() >= VARIABLES
    assert (
        int(told["JAX_NUM_PROCESSES"]["value"]) == indexed["completions"] == indexed["parallelism"]
    )
    name = manifest["metadata"]["name"]
    port = container["ports"][0]["containerPort"]
    address = told["JAX_COORDINATOR_ADDRESS"]["value"]
    assert address == f"{name}-{job['name']}-0-0.{name}:{port}"
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    program, subcommand, *flags = container["command"]
    assert (program, subcommand) == ("jrepose", "train")
    said = help_of_train(capsys)
    for flag in flags:
        assert re.match(r"--(config\.\w|\w)", flag) and flag.split("=")[0].split(".")[0] in said
