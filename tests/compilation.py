"""Tests compile much and compute little: flags with which XLA is soonest done."""

from importlib.metadata import version

# Programs this small are not worth dividing among threads: each part costs a compiler of its own.
FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
# The newer generator of CPU code takes three times as long; from 0.11.1 on there is no other.
if tuple(map(int, version("jaxlib").split(".")[:3])) < (0, 11, 1):
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
