"""Imports go only downwards, and the heavy or optional packages stay where they belong."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jrepose"

FLOORS = {
    "errors": 0, "skeleton": 0, "skeleton_conversion": 0, "camera": 0, "host_memory": 0,
    "precision": 0, "files": 0, "progress": 0, "interrupts": 0, "peers": 0, "disk": 0, "frames": 0,
    "workers": 0,
    "metrics": 1, "hypotheses": 1, "keypoint_metrics": 1, "restricted_pickle": 1, "command": 1,
    "config_fields": 1, "drawing": 1,
    "models": 2, "losses": 2, "diffusion": 2, "parallel": 2, "config_files": 2,
    "data": 3, "checkpoints": 3, "config": 3, "tasks": 3,
    "evaluation": 4, "training": 4, "interop": 4, "motion": 4,
    "commands": 5, "cli": 6, "__main__": 7, "__init__": 0,
}  # fmt: skip
SAME_FLOOR = {("training", "evaluation"), ("interop", "training"), ("interop", "evaluation"),
              ("motion", "interop"),
              ("skeleton", "errors"),
              ("skeleton_conversion", "skeleton"), ("hypotheses", "metrics"),
              ("camera", "errors"), ("files", "errors"),
              ("peers", "errors"), ("disk", "errors"), ("config", "data"),
              ("tasks", "data"), ("diffusion", "models")}  # fmt: skip


def imports(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: pathlib.Path) -> str:
    if path.name == "__main__.py":  # starts a command and is imported by nobody
        return "__main__"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


PYTORCH = PACKAGE / "interop" / "gradients" / "pytorch"
FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path):
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "jrepose" or len(parts) < 2 or parts[1] not in FLOORS:
            continue
        there = parts[1]
        allowed = there == here or FLOORS[there] < FLOORS[here] or (here, there) in SAME_FLOOR
        assert allowed, f"{path.name} on floor {FLOORS[here]} imports {name}"


def test_pmap_is_in_one_file():
    users = [path.name for path in FILES if "pmap(" in path.read_text()]
    assert users == ["parallel.py"]


def test_torch_is_imported_in_one_folder():
    users = {path.parent for path in FILES if "torch" in {n.split(".")[0] for n in imports(path)}}
    assert users == {PYTORCH}


def test_no_module_needs_torch_to_import():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if path.name != "__main__.py" and path.parent != PYTORCH
    ]
    code = f"""
import importlib, importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "matplotlib", "tensorboardX"):
            raise ImportError(name + " is absent")
sys.meta_path.insert(0, Absent())
for name in {names!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
