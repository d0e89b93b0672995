"""Draws several models' robustness, for docs/results.md, from what `jrepose robustness` writes:

python docs/draw_robustness.py RIE=runs/rie/robustness/test/robustness.json ...
"""

import json
import pathlib
import sys
from collections.abc import Sequence

from jrepose.drawing import SERIES, STYLE, load_matplotlib, new_figure, save_figure

FILE = pathlib.Path(__file__).parent / "pictures" / "robustness.png"


def main(arguments: Sequence[str]) -> None:
    with load_matplotlib().rc_context({**STYLE, "savefig.dpi": 110}):
        figure = new_figure(10.0, 3.2)
        shifted, apart, moved = figure.subplots(1, 3)
        for argument, colour in zip(arguments, SERIES, strict=False):
            name, _, path = argument.partition("=")
            found = json.loads(pathlib.Path(path).read_text())
            shifts, look = found["shifts"], {"color": colour, "marker": ".", "linewidth": 1.2}
            magnitudes = [0.0, *(shift["magnitude"] for shift in shifts)]
            errors = [found["mpjpe"], *(shift["mpjpe"] for shift in shifts)]
            shifted.plot(magnitudes, errors, label=name, **look)
            apart.plot(magnitudes, [0.0, *(shift["drift"] for shift in shifts)], **look)
            subsets = [subset["mpjpe"] for subset in found["subsets"]]
            moved.plot(range(1, len(subsets) + 1), subsets, **look)
        for axes in (shifted, apart):
            axes.set_xlabel("global shift, image width = 2")
        moved.set_xlabel("subset by movement range, least first")
        for axes, label in ((shifted, "MPJPE"), (apart, "from the unshifted"), (moved, "MPJPE")):
            axes.set_ylabel(f"{label} [mm]")
        figure.legend(loc="outside upper center", ncols=len(arguments), fontsize=8)
        save_figure(figure, FILE)


if __name__ == "__main__":
    main(sys.argv[1:])
