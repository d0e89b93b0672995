"""RePOSE's Table 5 of several lifters, for docs/results.md, from what its study writes for each:

python docs/draw_finetuning.py RePOSE=runs/finetuning_repose/scores.json ...

Prints the paper's layout, MPJPE / PA-MPJPE in mm, and draws the changes of MPJPE.
"""

import json
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from jrepose.drawing import SERIES, STYLE, load_matplotlib, new_figure, save_figure

FILE = pathlib.Path(__file__).parent / "pictures" / "finetuning_networks.png"
ROWS = ("w/o", "w/S", "w/T", "w/ST", "w/ST_margin")


def main(arguments: Sequence[str]) -> None:
    studies = {}
    for argument in arguments:
        name, _, path = argument.partition("=")
        studies[name] = json.loads(pathlib.Path(path).read_text())
    print(f"| | order w/o [%] | {' | '.join(ROWS)} |\n" + "|---" * (len(ROWS) + 2) + "|")
    for name, found in studies.items():
        order = np.mean([run["spatial_order"] for run in found["w/o"]])
        cells = [_cell(found.get(row, ())) for row in ROWS]
        print(f"| {name} | {order:.1f} | {' | '.join(cells)} |")
    with load_matplotlib().rc_context({**STYLE, "savefig.dpi": 110}):
        figure = new_figure(9.0, 3.4)
        axes = figure.subplots()
        for number, (row, colour) in enumerate(zip(ROWS[1:], SERIES, strict=False)):
            for place, found in enumerate(studies.values()):
                without = np.mean([run["mpjpe"] for run in found["w/o"]])
                changes = [run["mpjpe"] - without for run in found.get(row, ())]
                axes.plot(
                    [place + (number - 1.5) / 6] * len(changes), changes, "o", color=colour,
                    alpha=0.7, label=row.replace("_", ", ") if place == 0 else None,
                )  # fmt: skip
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(range(len(studies)), studies)
        axes.set_ylabel("change of MPJPE [mm]")
        figure.legend(loc="outside upper center", ncols=len(ROWS), fontsize=8)
        save_figure(figure, FILE)


def _cell(runs: Sequence[dict[str, float]]) -> str:
    if not runs:
        return "–"
    mpjpe = np.array([run["mpjpe"] for run in runs])
    spread = f" ± {mpjpe.std(ddof=1):.1f}" if len(runs) > 1 else ""
    return f"{mpjpe.mean():.1f}{spread} / {np.mean([run['pa_mpjpe'] for run in runs]):.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
