"""The paper's Table 4 on real motion capture: no ranking loss, spatial, temporal, both.

    python benchmarks/ranking_ablation.py --config configs/repose_mocap.py:small \
        --config.data.path=PATH_TO_CMU_MOCAP --output runs/ablation --seeds 0,1,2

trains every objective with every seed, evaluates the best checkpoint of each on the test
subjects, adds a baseline without any depth, and writes `table.md`, `scores.json` and
`ablation.png`.  What is finished is not run again, so the command can be stopped and repeated,
and `--objectives` lets several processes share the work.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from absl import flags

from jrepose import checkpoints, tasks
from jrepose.command import run
from jrepose.config import parse_flags
from jrepose.data.sources import load_splits
from jrepose.data.windows import clips_for_evaluation
from jrepose.errors import InputError
from jrepose.evaluation.evaluate import evaluate_dataset
from jrepose.evaluation.report import write_report
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.evaluation.tables import SCORE_LABELS
from jrepose.training.loop import train

# Weights of (spatial_ranking, temporal_ranking): the paper's rows in its order, then both with
# smaller weights than its 20.
OBJECTIVES = {
    "none": (0.0, 0.0),
    "S": (20.0, 0.0),
    "T": (0.0, 20.0),
    "S+T": (20.0, 20.0),
    "S+T_w1": (1.0, 1.0),
    "S+T_w0.2": (0.2, 0.2),
}

FLAT = "flat"  # the row of the baseline that every joint is at depth 0

COLUMNS = (
    "mpjpe", "pa_mpjpe", "mpjve", "mpjpe_visible", "mpjpe_occluded",
    "spatial_order", "spatial_order_occluded", "temporal_order", "temporal_order_occluded",
)  # fmt: skip


def main(argv: Sequence[str]) -> int:
    flag_values = flags.FlagValues()
    flags.DEFINE_string("output", None, "Folder of all runs.", flag_values=flag_values)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.", flag_values=flag_values)
    flags.DEFINE_list("objectives", list(OBJECTIVES), "Rows to run.", flag_values=flag_values)
    base = parse_flags(flag_values, argv)
    if flag_values["output"].value is None:
        raise InputError("--output DIR is missing")
    output = pathlib.Path(flag_values["output"].value)
    splits = load_splits(base.data)
    for seed in map(int, flag_values["seeds"].value):
        for objective in flag_values["objectives"].value:
            if objective not in OBJECTIVES:
                raise InputError(f"unknown objective {objective!r}; known: {', '.join(OBJECTIVES)}")
            workdir = output / f"{objective}_seed{seed}"
            if not (workdir / "test" / "scores.json").exists():
                _run(base.copy_and_resolve_references(), objective, seed, workdir, splits)
    _score_flat(base, splits["test"], output / FLAT / "test")
    _summarise(output)
    return 0


def _run(config, objective: str, seed: int, workdir: pathlib.Path, splits) -> None:
    spatial, temporal = OBJECTIVES[objective]
    config.seed = seed
    config.objective.weights.spatial_ranking = spatial
    config.objective.weights.temporal_ranking = temporal
    print(f"{objective}, seed {seed}", flush=True)
    training = {name: splits[name] for name in ("train", "validation")}
    if not train(config, workdir, training).finished:
        raise InputError("stopped; run the same command to continue")
    best = checkpoints.load(workdir, "best")
    result = evaluate_dataset(
        tasks.create(config, splits["test"]), jax.device_put(best.variables), splits["test"], config
    )
    write_report(result, splits["test"], workdir / "test")


def _score_flat(config, dataset, output: pathlib.Path) -> None:
    """What a model scores that passes the keypoints through and puts every joint at depth 0."""
    windows = clips_for_evaluation(dataset, config.clip)
    flat = dataset.model_inputs()
    flat[..., 2] = 0.0
    index = windows.targets
    result = evaluate_predictions(dataset, flat[index], index, windows.scored)
    write_report(result, dataset, output, pictures=False)


def _summarise(output: pathlib.Path) -> None:
    found: dict[str, list[Mapping[str, float]]] = {}
    for objective in (FLAT, *OBJECTIVES):
        pattern = objective if objective == FLAT else f"{objective}_seed*"
        paths = sorted(output.glob(f"{pattern}/test/scores.json"))
        if paths:
            found[objective] = [json.loads(path.read_text())["scores"] for path in paths]
    lines = [
        "| ranking losses | seeds | " + " | ".join(SCORE_LABELS[c].strip() for c in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for objective, scores in found.items():
        cells = []
        for column in COLUMNS:
            values = np.array([run[column] for run in scores])
            spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.2f}{spread}")
        lines.append(f"| {objective} | {len(scores)} | " + " | ".join(cells) + " |")
    (output / "table.md").write_text("\n".join(lines) + "\n")
    (output / "scores.json").write_text(json.dumps(found, indent=2) + "\n")
    print("\n".join(lines))
    _draw(found, output / "ablation.png")


def _draw(found: Mapping[str, list[Mapping[str, float]]], path: pathlib.Path) -> None:
    import matplotlib.pyplot as plt

    shown = ("mpjpe", "mpjpe_occluded", "spatial_order", "temporal_order")
    figure, panels = plt.subplots(1, len(shown), figsize=(11, 3.4), layout="constrained")
    for axes, column in zip(panels, shown, strict=True):
        for position, scores in enumerate(found.values()):
            values = [run[column] for run in scores]
            axes.plot([position] * len(values), values, "o", color="tab:blue", alpha=0.6)
            axes.hlines(np.mean(values), position - 0.3, position + 0.3, color="black")
        axes.set_xticks(range(len(found)), found, rotation=45, ha="right")
        axes.set_title(SCORE_LABELS[column].strip(), fontsize=10)
        axes.margins(x=0.15)
    figure.supxlabel("ranking losses (one dot per seed, line: mean)", fontsize=10)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(run(main, sys.argv))
