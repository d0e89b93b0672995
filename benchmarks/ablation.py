"""Ablations of small models: every row with every seed, one table.

    python benchmarks/ablation.py ranking --config configs/repose_mocap.py:small \
        --config.data.path=PATH_TO_CMU_MOCAP --output runs/ranking
    python benchmarks/ablation.py encodings --config configs/repose_mocap.py:small_rie \
        --config.data.path=PATH_TO_CMU_MOCAP --output runs/encodings
    python benchmarks/ablation.py diffusion --config configs/diffpose_small.py:mocap \
        --config.data.path=PATH_TO_CMU_MOCAP --output runs/diffusion

    python benchmarks/ablation.py finetuning --config CONFIG --init RUN \
        --config.data.path=PATH_TO_CMU_MOCAP --output runs/finetuning
    python benchmarks/ablation.py weights --config configs/repose_mocap.py:small \
        --config.data.path=PATH_TO_CMU_MOCAP --output runs/weights
    python benchmarks/ablation.py views --config multiview_rendered:small --init RUN \
        --output runs/views

`ranking` is RePOSE's Table 4: no ranking loss, spatial, temporal, both, beside a baseline without
any depth.  `encodings` is RIE's Table 1: absolute keypoints, positional and temporal encoding,
both, and both in three stages; what is not in stages trains as long as they do together.
`diffusion` is DiffPose's Tables 4 and 6 and Figure 4: the context encoder alone, the network once
(A) or five times (B), normal noise, mixtures, the paper's answer, K and N.  `finetuning` is
RePOSE's Table 5, for any model with an objective: trained on from one checkpoint (`--init`) without
the ranking losses, with each, and with both; besides, both with a margin and a weight of 1, and
both with learned weights.  `weights` asks when the published weight of 20 does harm: from scratch,
with a gradient where depths tie, ramped in after a half of the epochs, and with a margin; and what
a weight of 1 does, with and without.  `views` is the multi-view detector without its transformers
over frames and over views, without both (the paper's baseline), and with all patches; its images
are rendered once.

Evaluates the best checkpoint of each run on the test subjects and writes `table.md`,
`scores.json` and `ablation.png`.  What is finished is not run again, so the command can be stopped
and repeated, and `--rows` lets several processes share the work.  DiffPose's rows build on the
encoder of the first, if it is trained.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from jrepose import checkpoints, interop, models, tasks
from jrepose.command import run
from jrepose.config import parse_flags, stage_configs
from jrepose.data.dataset import Dataset
from jrepose.data.images.dataset import ImageDataset
from jrepose.data.sources import load_splits
from jrepose.data.windows import clips_for_evaluation
from jrepose.errors import InputError
from jrepose.evaluation.detection_report import write_detections
from jrepose.evaluation.detections import detect_dataset, evaluate_detections
from jrepose.evaluation.evaluate import evaluate_dataset
from jrepose.evaluation.report import write_report
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.evaluation.tables import SCORE_LABELS
from jrepose.tasks.lifting import Lifting
from jrepose.training.stages import train_stages


@dataclass(frozen=True)
class Study:
    """What is compared.

    Args:
        rows: name -> what it changes in the config.
        columns: scores of the table; of a detector's stretches `STRETCH/SCORE`.
        drawn: those of the picture.
        objective: the rows differ in it.
        flat: begin with the row `FLAT`.
        shared: a row and one of its stages, which the rows after it build on instead of training
            it again.
    """

    rows: Mapping[str, Callable[[ConfigDict], None]]
    columns: Sequence[str]
    drawn: Sequence[str]
    objective: bool = False
    flat: bool = False
    difference: bool = False  # a column of the first score's difference to the first row
    shared: tuple[str, str] | None = None


FLAT = "flat"  # the row of the baseline that every joint is at depth 0


def _ranking(spatial: float, temporal: float) -> Callable[[ConfigDict], None]:
    weights = {"spatial_ranking": spatial, "temporal_ranking": temporal}
    return lambda config: config.objective.weights.update(weights)


def _ramped(config: ConfigDict) -> None:
    """Both losses at 20, from nothing in the first half to all in three quarters of the time."""
    _ranking(20.0, 20.0)(config)
    epochs = config.training.epochs
    for name in ("spatial_ranking", "temporal_ranking"):
        config.objective.schedule[name] = ((epochs / 2, 0.0), (0.75 * epochs, 1.0))


def _with_margin(margin: float, weight: float) -> Callable[[ConfigDict], None]:
    def change(config):
        _ranking(weight, weight)(config)
        config.objective.ranking_margin = margin

    return change


def _learned(config: ConfigDict) -> None:
    _ranking(20.0, 20.0)(config)
    config.objective.learn_weights = ("spatial_ranking", "temporal_ranking")


def _tuned(change: Callable[[ConfigDict], None]) -> Callable[[ConfigDict], None]:
    """Without what a config trains before, which the weights to begin with have behind them."""

    def changed(config):
        config.stages = ConfigDict()
        change(config)

    return changed


def _encodings(positional: bool, temporal: bool) -> Callable[[ConfigDict], None]:
    def change(config):
        _in_one_stage(config)
        config.model.update(positional=positional, temporal="sub" if temporal else "")

    return change


def _in_one_stage(config: ConfigDict) -> None:
    stages = len(config.stages)
    config.stages = ConfigDict()
    config.training.epochs *= stages
    config.training.learning_rate_decay **= 1 / stages
    config.evaluation.every_epochs *= stages


def _diffusion(**changes) -> Callable[[ConfigDict], None]:
    return lambda config: config.diffusion.update(changes)


def _encoder_alone(config: ConfigDict) -> None:
    with config.unlocked():
        del config.stages["2_diffusion"]


def _stacked(config: ConfigDict) -> None:
    config.diffusion.prediction = "none"
    config.model.copies = 5


def _detector(**changes) -> Callable[[ConfigDict], None]:
    return lambda config: config.model.update(changes)


STUDIES = {
    # The paper's rows in its order, then both with smaller weights than its 20.
    "ranking": Study(
        {
            "none": _ranking(0.0, 0.0),
            "S": _ranking(20.0, 0.0),
            "T": _ranking(0.0, 20.0),
            "S+T": _ranking(20.0, 20.0),
            "S+T_w1": _ranking(1.0, 1.0),
            "S+T_w0.2": _ranking(0.2, 0.2),
        },
        (
            "mpjpe", "pa_mpjpe", "mpjve", "mpjpe_visible", "mpjpe_occluded", "spatial_order",
            "spatial_order_occluded", "temporal_order", "temporal_order_occluded",
        ),
        ("mpjpe", "mpjpe_occluded", "spatial_order", "temporal_order"),
        objective=True,
        flat=True,
    ),
    "finetuning": Study(
        {
            "w/o": _tuned(_ranking(0.0, 0.0)),
            "w/S": _tuned(_ranking(20.0, 0.0)),
            "w/T": _tuned(_ranking(0.0, 20.0)),
            "w/ST": _tuned(_ranking(20.0, 20.0)),
            "w/ST_margin": _tuned(_with_margin(0.05, 1.0)),
            "w/ST_learned": _tuned(_learned),
        },
        ("mpjpe", "pa_mpjpe", "mpjpe_occluded", "spatial_order", "temporal_order"),
        ("mpjpe", "pa_mpjpe", "spatial_order", "temporal_order"),
        objective=True,
        difference=True,
    ),
    # Margins in the poses' unit, which is about a metre where data.scaling is "person".
    "weights": Study(
        {
            "none": _ranking(0.0, 0.0),
            "20": _ranking(20.0, 20.0),
            "20_ties": _with_margin(1e-6, 20.0),  # the published loss, whose ties have a gradient
            "20_ramped": _ramped,
            "20_margin": _with_margin(0.05, 20.0),
            "1": _ranking(1.0, 1.0),
            "1_margin": _with_margin(0.05, 1.0),
        },
        ("mpjpe", "pa_mpjpe", "mpjpe_occluded", "spatial_order", "temporal_order"),
        ("mpjpe", "spatial_order", "temporal_order"),
        objective=True,
        flat=True,
    ),
    "encodings": Study(
        {
            "baseline": _encodings(False, False),
            "P": _encodings(True, False),
            "T": _encodings(False, True),
            "P+T": _encodings(True, True),
            "P+T_stages": lambda config: None,
        },
        ("mpjpe", "pa_mpjpe", "mpjve", "spatial_order"),
        ("mpjpe", "pa_mpjpe", "mpjve"),
    ),
    "diffusion": Study(
        {
            "encoder": _encoder_alone,
            "A": _diffusion(prediction="none"),
            "B": _stacked,
            "Stand-Diff": _diffusion(components=0),
            "GMM-Diff_1": _diffusion(),
            "GMM-Diff_5": _diffusion(components=5),
            "GMM-Diff_9": _diffusion(components=9),
            "previous": _diffusion(prediction="previous"),
            "cosine": _diffusion(schedule="cosine"),
            "K10": _diffusion(steps=10, sampling_levels=10),
            "N1": _diffusion(hypotheses=1),
            "N10": _diffusion(hypotheses=10),
        },
        ("mpjpe", "pa_mpjpe", "mpjpe_occluded", "spatial_order"),
        ("mpjpe", "pa_mpjpe", "spatial_order"),
        shared=("encoder", "1_encoder"),
    ),
    "views": Study(
        {
            "full": _detector(),
            "no_time": _detector(time_depth=0),
            "no_views": _detector(view_depth=0),
            "neither": _detector(time_depth=0, view_depth=0),
            "all_patches": _detector(keep=1.0),
        },
        (
            "clear/ap", "clear/pck_box", "clear/mse", "clear/hidden_px", "occluded/ap",
            "occluded/pck_box", "occluded/mse", "occluded/hidden_px",
        ),
        ("clear/mse", "occluded/mse", "occluded/hidden_px"),
    ),
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    if len(argv) < 2 or argv[1] not in STUDIES:
        raise InputError(f"expected the study first: {', '.join(STUDIES)}")
    study = STUDIES[argv[1]]
    flag_values = flags.FlagValues()
    flags.DEFINE_string("output", None, "Folder of all runs.", flag_values=flag_values)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.", flag_values=flag_values)
    flags.DEFINE_string(
        "init", None, "Weights that every run begins with.", flag_values=flag_values
    )
    flags.DEFINE_list("rows", list(study.rows), "Rows to run.", flag_values=flag_values)
    base = parse_flags(flag_values, [argv[0], *argv[2:]])
    if flag_values["output"].value is None:
        raise InputError("--output DIR is missing")
    output = pathlib.Path(flag_values["output"].value)
    splits = {name: _held(dataset) for name, dataset in load_splits(base.data).items()}
    if study.objective:
        _check_objective(base, argv[1], splits["train"])
    initial = None
    if flag_values["init"].value is not None:
        load = interop.load_what_fits if base.training.init_only else interop.load_run_or_file
        initial, described = load(flag_values["init"].value, base.model.to_dict())
        print(f"weights to begin with: {described}")
    for seed in map(int, flag_values["seeds"].value):
        for row in flag_values["rows"].value:
            if row not in study.rows:
                raise InputError(f"unknown row {row!r}; known: {', '.join(study.rows)}")
            workdir = output / _folder(row, seed)
            if (workdir / "test" / "scores.json").exists():
                continue
            print(f"{row}, seed {seed}", flush=True)
            config = base.copy_and_resolve_references()
            config.seed = seed
            study.rows[row](config)
            ordering = study.objective and config.objective.weights.temporal_ranking
            if ordering and _answers_for_one_frame(config):
                print("  left out: with one pose per clip frames have no order")
                continue
            if study.shared and row != study.shared[0]:
                shared_row, stage = study.shared
                _build_on(config, stage, output / _folder(shared_row, seed) / stage)
            _run(config, workdir, splits, initial)
    if study.flat:
        _score_flat(base, splits["test"], output / FLAT / "test")
    _summarise(study, output)
    return 0


def _check_objective(config: ConfigDict, study: str, dataset: Dataset) -> None:
    """Refuses what is trained without the losses that a study compares."""
    if not isinstance(tasks.create(config, dataset), Lifting):
        raise InputError(
            f"{study} compares losses of poses, and config.task {config.task!r} does not read "
            "config.objective"
        )


def _answers_for_one_frame(config: ConfigDict) -> bool:
    model = models.create(**config.model.to_dict())
    poses = jax.eval_shape(
        lambda *inputs: models.main_output(model.init_with_output(jax.random.key(0), *inputs)[0]),
        *models.example_inputs(model),
    )
    return poses.shape[1] == 1


_HELD_BYTES = 2**30


def _held(dataset: Dataset) -> Dataset:
    """With its images in memory, if it has some and they fit: not rendered for every run."""
    if not isinstance(dataset, ImageDataset):
        return dataset
    if np.prod(dataset.images.shape) * dataset.images.dtype.itemsize > _HELD_BYTES:
        return dataset
    return dataclasses.replace(dataset, images=dataset.images[np.arange(dataset.frames)])


def _folder(row: str, seed: int | str) -> str:
    return f"{row.replace('/', '')}_seed{seed}"


def _build_on(config: ConfigDict, stage: str, trained: pathlib.Path) -> None:
    """Takes a stage as another row has trained it, if it has."""
    if not trained.exists():
        return
    with config.unlocked():
        del config.stages[stage]
    for later in config.stages.values():
        if later.context.path == stage:
            later.context.path = str(trained)


def _run(config: ConfigDict, workdir: pathlib.Path, splits, initial) -> None:
    training = {name: splits[name] for name in ("train", "validation")}
    contexts = {
        name: interop.load_context(stage.context.to_dict(), splits["train"])[0]
        for name, stage in stage_configs(config).items()
        if stage.task in tasks.WITH_CONTEXT and stage.context.path not in config.stages
    }
    result = train_stages(config, workdir, training, initial=initial, contexts=contexts)
    if not result.finished:
        raise InputError("stopped; run the same command to continue")
    last, config = list((stage_configs(config) or {"": config}).items())[-1]
    variables = jax.device_put(checkpoints.load(workdir / last, "best").variables)
    test = splits["test"]
    task = tasks.create(config, test)
    if isinstance(test, ImageDataset):
        found = detect_dataset(task, variables, test, config)
        write_detections(evaluate_detections(test, found, config), test, workdir / "test")
        return
    result = evaluate_dataset(task, variables, test, config)
    write_report(result, test, workdir / "test", pictures=False)


def _score_flat(config, dataset, output: pathlib.Path) -> None:
    """What a model scores that passes the keypoints through and puts every joint at depth 0."""
    windows = clips_for_evaluation(dataset, config.clip)
    flat = dataset.model_inputs()
    flat[..., 2] = 0.0
    index = windows.targets
    result = evaluate_predictions(dataset, flat[index], index, windows.scored)
    write_report(result, dataset, output, pictures=False)


def _summarise(study: Study, output: pathlib.Path) -> None:
    found: dict[str, list[Mapping[str, float]]] = {}
    for row in (*[FLAT] * study.flat, *study.rows):
        pattern = row if row == FLAT else _folder(row, "*")
        paths = sorted(output.glob(f"{pattern}/test/scores.json"))
        if paths:
            found[row] = [_scores(path) for path in paths]
    columns = [_label(column) for column in study.columns]
    columns += ["difference"] * study.difference
    lines = [f"| | seeds | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    first = np.mean([run[study.columns[0]] for run in next(iter(found.values()))])
    for row, scores in found.items():
        cells = []
        for column in study.columns:
            values = np.array([run[column] for run in scores], float)  # NaN: it has none
            spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
            cells.append("–" if np.isnan(values).any() else f"{values.mean():.2f}{spread}")
        if study.difference:
            cells.append(f"{np.mean([run[study.columns[0]] for run in scores]) - first:+.2f}")
        lines.append(f"| {row} | {len(scores)} | " + " | ".join(cells) + " |")
    (output / "table.md").write_text("\n".join(lines) + "\n")
    (output / "scores.json").write_text(json.dumps(found, indent=2) + "\n")
    print("\n".join(lines))
    _draw(found, study.drawn, output / "ablation.png")


def _scores(path: pathlib.Path) -> dict[str, float]:
    """All scores of a report, those of a detector's stretches as `STRETCH/SCORE`."""
    report = json.loads(path.read_text())
    stretches = {
        f"{stretch}/{name}": value
        for stretch, scores in report.get("per_stretch", {}).items()
        for name, value in scores.items()
    }
    return report["scores"] | stretches


def _label(column: str) -> str:
    stretch, _, score = column.rpartition("/")
    return f"{stretch} {SCORE_LABELS[score].strip()}".strip()


def _draw(
    found: Mapping[str, list[Mapping[str, float]]], drawn: Sequence[str], path: pathlib.Path
) -> None:
    import matplotlib.pyplot as plt

    size = (2.75 * len(drawn), 3.4)
    figure, panels = plt.subplots(1, len(drawn), figsize=size, layout="constrained")
    for axes, column in zip(panels, drawn, strict=True):
        for position, scores in enumerate(found.values()):
            values = np.array([run[column] for run in scores], float)
            axes.plot([position] * len(values), values, "o", color="tab:blue", alpha=0.6)
            axes.hlines(np.mean(values), position - 0.3, position + 0.3, color="black")
        axes.set_xticks(range(len(found)), found, rotation=45, ha="right")
        axes.set_title(_label(column), fontsize=10)
        axes.margins(x=0.15)
    figure.supxlabel("one dot per seed, line: mean", fontsize=10)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(run(main, sys.argv))
