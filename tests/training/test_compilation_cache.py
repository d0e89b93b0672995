"""Where compiled programs are kept."""

import pathlib

import jax
import pytest

from jrepose.training.compilation_cache import enable_compilation_cache


@pytest.fixture
def unset():
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_default_follows_xdg(unset, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert enable_compilation_cache() == tmp_path / "jrepose" / "xla"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "jrepose" / "xla")


def test_home_without_xdg(unset, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert enable_compilation_cache() == pathlib.Path.home() / ".cache" / "jrepose" / "xla"


def test_what_is_configured_stays(unset, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    assert enable_compilation_cache() == tmp_path
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)
