"""Writes a lifting network as a file that runs without jrepose: StableHLO or ONNX.

Beside it stands FILE.json: joints, scaling and length of the keypoints that it takes, and what
its poses are.  Batch and, where the network allows, the number of frames are free.

examples:
  jrepose export --weights small --format stablehlo
  jrepose export --weights runs/mine --format onnx mine.onnx
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.errors import InputError
from jrepose.files import check_not_input

_FORMATS = ("stablehlo", "onnx")
_AGREES = 1e-4


def export(argv: Sequence[str]) -> int:
    """Writes the file, loads it again and compares."""
    line = CommandLine(
        argv, __doc__, optional={"FILE": "What to write (WEIGHTS.stablehlo or .onnx, here)."}
    )
    line.text(
        "weights", "small", "Name, archive, run or PyTorch file, as of lift.", value="WEIGHTS"
    )
    line.text("format", None, "stablehlo or onnx; FILE's suffix tells it.", value="FORMAT")
    line.switch("flip", False, "Average with the prediction for mirrored keypoints.")
    line.switch("check", True, "Load the file and compare.")
    given = line.parse()
    form = line["format"] or (pathlib.Path(given[0]).suffix[1:].lower() if given else None)
    if form not in _FORMATS:
        raise InputError(f"--format is {form or 'missing'}, expected one of {', '.join(_FORMATS)}")

    from jrepose.interop import export as exporting
    from jrepose.motion.exported import network_of
    from jrepose.motion.pretrained import load_pretrained

    exporting.module(form)  # refuses a missing package before anything is read
    spec = line["weights"]
    path = pathlib.Path(given[0] if given else pathlib.Path(spec).stem + exporting.FORMATS[form])
    check_not_input(path, spec)
    network = network_of(load_pretrained(spec), flip=line["flip"])
    written = exporting.export(network, path, form)
    if line["check"]:
        difference = exporting.largest_difference(network, path, form)
        print(f"loaded again: differs by {difference:.1e} of the poses' spread at most")
        if not difference < _AGREES:
            raise InputError(f"{path}: differs by more than {_AGREES:g}; not to be used")
    print("\n".join(map(str, written)))
    return 0
