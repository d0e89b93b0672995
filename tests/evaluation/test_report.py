import dataclasses
import json
import sys

import numpy as np
import pytest
from evaluation.conftest import make_dataset
from evaluation.test_tables import evaluated

from jrepose.errors import InputError, MissingExtra
from jrepose.evaluation import plots
from jrepose.evaluation.report import write_report

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def dataset():
    made = make_dataset(((20, "Walking"), (12, "Sitting")))
    visible = made.visible.copy()
    visible[::3, 11:] = False
    valid = np.ones(32, bool)
    valid[3:6] = False
    confidence = made.confidence.copy()
    confidence[:, 16] = 0.0
    return dataclasses.replace(made, visible=visible, valid=valid, confidence=confidence)


@pytest.fixture(scope="module")
def result(dataset):
    return evaluated(dataset)


def picture(path):
    """Decoded pixels; a blank or damaged picture fails."""
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    assert pixels.shape[0] > 300 and pixels.shape[1] > 300
    assert pixels.std() > 0.02
    return pixels


def test_report_writes_numbers_and_pictures(result, dataset, tmp_path):
    paths = write_report(result, dataset, tmp_path / "evaluation")
    assert sorted(path.name for path in (tmp_path / "evaluation").iterdir()) == sorted(
        path.name for path in paths
    )
    assert {path.suffix for path in paths} == {".json", ".csv", ".npz", ".png"}
    for path in paths:
        assert path.stat().st_size > 200
        if path.suffix == ".png":
            picture(path)
    assert write_report(result, dataset, tmp_path / "evaluation", pictures=False) == paths[:5]


def test_missing_matplotlib_leaves_the_numbers(result, dataset, tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] in ("matplotlib", "mpl_toolkits"):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"'\.\[plots\]'"):
        write_report(result, dataset, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "scores.json", "per_action.csv", "per_subject.csv", "per_joint.csv", "predictions.npz",
    }  # fmt: skip


def test_pictures_without_occlusion(tmp_path):
    dataset = make_dataset(((12, "Walking"),))
    result = evaluated(dataset)
    plots.plot_joint_errors(result, tmp_path / "joints.png")
    plots.plot_error_distribution(result, dataset, tmp_path / "errors.png")
    picture(tmp_path / "joints.png")
    picture(tmp_path / "errors.png")


def test_chosen_frames_and_vector_format(result, dataset, tmp_path):
    plots.plot_poses(result, dataset, tmp_path / "poses.pdf", frames=[0, 25])
    assert (tmp_path / "poses.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(InputError, match=r"\[0, 4\] are not all evaluated"):
        plots.plot_poses(result, dataset, tmp_path / "poses.png", frames=[0, 4])


def test_typical_frames_are_evaluated_and_from_one_video(result, dataset):
    frames = plots._typical_frames(result, dataset, 6)
    assert len(set(frames)) == 6
    assert result.per_frame.evaluated[frames].all()
    assert len({frame >= 20 for frame in frames}) == 1


def test_loss_curves(tmp_path):
    log = tmp_path / "metrics.jsonl"
    records = [
        {"step": step, "epoch": 0.1, "loss/total": 3.0 / step, "loss/mpjpe": 1.0 / step}
        for step in range(1, 40)
    ]
    records.append({"step": 39, "validation/mpjpe": 50.0, "validation/spatial_order": 80.0})
    text = "".join(json.dumps(record) + "\n" for record in records)
    log.write_text(text + '{"step": 40, "loss/to')  # killed while writing
    plots.plot_loss_curves(log, tmp_path / "curves.png")
    picture(tmp_path / "curves.png")


@pytest.mark.parametrize("text", ["nonsense\n", '{"loss/total": 1}\n', '{"step": 1}\n', "3\n", ""])
def test_unusable_logs_are_named(tmp_path, text):
    log = tmp_path / "metrics.jsonl"
    log.write_text(text)
    with pytest.raises(InputError, match="metrics.jsonl"):
        plots.plot_loss_curves(log, tmp_path / "curves.png")
    with pytest.raises(InputError, match="cannot read"):
        plots.plot_loss_curves(tmp_path / "absent.jsonl", tmp_path / "curves.png")
