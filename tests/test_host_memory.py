"""Memory that a process may still take, as /proc and control groups tell it."""

import pathlib

import pytest

from jrepose import host_memory


def write(folder: pathlib.Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def group(folder: pathlib.Path, most: object, used: int, cached: int = 0) -> None:
    """A group of the second version."""
    write(folder, memory__max=f"{most}\n", memory__current=f"{used}\n",
          memory__stat=f"anon 1\ninactive_file {cached}\n")  # fmt: skip


def test_a_group_and_those_it_is_in(tmp_path):
    write(tmp_path / "proc/self", cgroup="1:name=systemd:/\n0::/slurm/job_7/step_0\n")
    top = tmp_path / "sys/fs/cgroup"
    write(top)  # the topmost has no limits
    group(top / "slurm", "max", 70)
    group(top / "slurm/job_7", 100, 60, cached=25)
    group(top / "slurm/job_7/step_0", 90, 60)
    group(top / "other", 10, 9)
    assert sorted(host_memory._left_by_groups(tmp_path)) == [30, 65]


def test_a_container_whose_group_is_the_topmost(tmp_path):
    write(tmp_path / "proc/self", cgroup="0::/docker/0123\n")
    group(tmp_path / "sys/fs/cgroup", 50, 60)
    assert host_memory._left_by_groups(tmp_path) == [0]


def test_groups_of_the_first_version(tmp_path):
    write(tmp_path / "proc/self", cgroup="4:cpu,memory:/a\n3:cpuset:/a\n0::/\n")
    files = {
        "memory__limit_in_bytes": "100", "memory__usage_in_bytes": "60",
        "memory__stat": "cache 9\ninactive_file 1\ntotal_inactive_file 5\n",
    }  # fmt: skip
    write(tmp_path / "sys/fs/cgroup/memory/a", **files)
    write(tmp_path / "sys/fs/cgroup/cpuset/a", **{**files, "memory__limit_in_bytes": "1"})
    assert host_memory._left_by_groups(tmp_path) == [45]


def test_without_groups(tmp_path):
    assert host_memory._left_by_groups(tmp_path) == []


def test_what_is_available_is_the_least(monkeypatch):
    free = host_memory.available_bytes()
    if free is None:
        pytest.skip("this system does not say")
    assert 2**20 < free < 2**50
    monkeypatch.setattr(host_memory, "_left_by_groups", lambda: [12, 2**60])
    assert host_memory.available_bytes() == 12


@pytest.mark.parametrize(
    "platforms, plugin, cards, theirs",
    [
        ("", True, ["nvidia0"], True),
        ("cuda,cpu", True, ["nvidia0"], True),
        ("cpu", True, ["nvidia0"], False),
        ("", False, ["nvidia0"], False),
        ("", True, ["nvidiactl"], False),
    ],
)
def test_the_c_library_is_left_alone_where_a_gpu_computes(
    platforms, plugin, cards, theirs, tmp_path, monkeypatch
):
    for name in cards:
        (tmp_path / name).touch()
    monkeypatch.setattr(host_memory, "_DEVICES", tmp_path)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(host_memory.importlib.util, "find_spec", lambda name: plugin or None)
    assert host_memory._gpu_computes() == theirs
    if theirs:
        assert not host_memory.reuse_freed_memory()


def test_garbage_is_collected_less_often_but_no_more_often_than_before(monkeypatch):
    asked = []
    monkeypatch.setattr(host_memory.gc, "set_threshold", lambda *given: asked.append(given))
    for before in ((700, 10, 5), (50_000, 20, 100)):
        monkeypatch.setattr(host_memory.gc, "get_threshold", lambda before=before: before)
        host_memory.collect_garbage_less_often()
    assert asked == [(10_000, 10, 5), (50_000, 20, 100)]
