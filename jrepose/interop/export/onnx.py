"""ONNX through `jax2onnx`, which runs wherever onnxruntime does."""

from __future__ import annotations

import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jrepose.errors import MissingExtra
from jrepose.interop.export import Network, freest
from jrepose.models.functional import for_any_platform

INPUT, OUTPUT = "keypoints", "poses"


def check() -> None:
    """Raises MissingExtra where `jax2onnx` or `onnxruntime` is not installed."""
    _load("jax2onnx")
    _load("onnxruntime")


def write(network: Network, path: pathlib.Path) -> None:
    """Writes the network, weights included; what its user must know is in `metadata_props`."""
    to_onnx = _load("jax2onnx").to_onnx
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # a warning for every free size

    def convert(keypoints: jax.ShapeDtypeStruct) -> Any:
        return to_onnx(
            network.predict,
            [keypoints],
            model_name="jrepose",
            input_names=[INPUT],
            output_names=[OUTPUT],
        )

    with for_any_platform():
        model = freest(network, convert)
    _use_products(model.graph)
    for key, value in network.about.items():
        model.metadata_props.add(key=key, value=value if type(value) is str else json.dumps(value))
    path.write_bytes(model.SerializeToString())


def _use_products(graph: Any) -> None:
    """Turns an Einsum that is a product with a matrix into a MatMul.

    onnxruntime prepares the weights of a MatMul once and multiplies by them at twice the speed;
    an Einsum moves its operands about at every call.
    """
    for node in graph.node:
        if node.op_type != "Einsum" or len(node.input) != 2:
            continue
        operands, _, result = node.attribute[0].s.decode().replace(" ", "").partition("->")
        left, _, right = operands.partition(",")
        if len(right) == 2 and left[-1] == right[0] and result == left[:-1] + right[1]:
            node.op_type = "MatMul"
            del node.attribute[:]


def load(path: str | os.PathLike[str]) -> Callable[[np.ndarray], np.ndarray]:
    """The function that a file holds, on the CPU."""
    session = _load("onnxruntime").InferenceSession(
        os.fspath(path), providers=["CPUExecutionProvider"]
    )
    return lambda keypoints: session.run([OUTPUT], {INPUT: keypoints})[0]


def _load(package: str) -> Any:
    try:
        return __import__(package)
    except ImportError:
        raise MissingExtra(package, "exporting to ONNX", "onnx") from None
