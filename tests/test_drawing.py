import numpy as np
import pytest

from jrepose import drawing
from jrepose.errors import InputError
from jrepose.skeleton import COCO_17, HUMAN36M_17, SKELETONS

matplotlib = pytest.importorskip("matplotlib", reason="needs the extra 'plots'")


def test_left_and_right_have_their_colours():
    colours = [drawing.limb_colour(HUMAN36M_17, joint) for joint in (0, 1, 4, 10, 13, 16)]
    assert colours == [drawing.BLACK, drawing.VERMILLION, drawing.BLUE,
                       drawing.BLACK, drawing.BLUE, drawing.VERMILLION]  # fmt: skip


def test_missing_keypoints_and_their_limbs_are_left_out_and_hidden_ones_are_hollow():
    axes = drawing.new_figure(2.0, 2.0).add_subplot()
    points = np.random.default_rng(0).uniform(0, 100, (17, 2))
    found, visible = np.ones(17, bool), np.ones(17, bool)
    found[15], visible[16] = False, False  # COCO: left ankle missing, right ankle hidden
    drawing.draw_keypoints(axes, points, COCO_17, found, visible)
    limbs = [line for line in axes.lines if len(line.get_xdata()) == 2]
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert (len(limbs), len(marks)) == (15, 16)
    hollow = [mark for mark in marks if mark.get_markerfacecolor() == "white"]
    assert [float(mark.get_xdata()[0]) for mark in hollow] == [points[16, 0]]
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert high - low == pytest.approx(bottom - top)  # a square, y downwards
    assert (points[found, 0] >= low).all() and (points[found, 0] <= high).all()
    assert (points[found, 1] >= top).all() and (points[found, 1] <= bottom).all()


def test_nothing_found_draws_nothing():
    axes = drawing.new_figure(2.0, 2.0).add_subplot()
    drawing.draw_keypoints(axes, np.full((17, 2), np.nan), HUMAN36M_17, np.zeros(17, bool))
    assert not axes.lines


def test_joints_in_one_place_are_drawn():
    axes = drawing.new_figure(2.0, 2.0).add_subplot()
    drawing.draw_keypoints(axes, np.full((17, 2), 7.0), HUMAN36M_17, np.ones(17, bool))
    low, high = axes.get_xlim()
    assert low < 7.0 < high


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
def test_poses_are_drawn_upright_limb_by_limb(skeleton):
    axes = drawing.new_figure(2.0, 2.0).add_subplot(projection="3d", computed_zorder=False)
    pose = np.random.default_rng(1).normal(size=(skeleton.num_joints, 3))
    drawing.draw_pose(axes, pose, skeleton)
    assert len(axes.lines) == len(skeleton.limbs)
    parent, child = skeleton.limbs[0]
    x, depth, height = axes.lines[0].get_data_3d()
    np.testing.assert_array_equal(x, pose[[parent, child], 0])
    np.testing.assert_array_equal(depth, pose[[parent, child], 2])
    np.testing.assert_array_equal(height, -pose[[parent, child], 1])


def test_figures_are_written_whole_with_a_legend(tmp_path):
    figure = drawing.new_figure(4.0, 4.0, layout="none")
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    pose = np.random.default_rng(2).normal(size=(17, 3))
    drawing.draw_floor(axes, pose, 1.0)
    drawing.draw_pose(axes, pose, HUMAN36M_17, truth=True)
    drawing.set_pose_view(axes, 2.0, 0.0, -60.0)
    drawing.draw_legend(figure)
    drawing.save_figure(figure, tmp_path / "folder" / "pose.png")
    assert (tmp_path / "folder" / "pose.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        drawing.save_figure(figure, tmp_path / "file" / "pose.png")
    with pytest.raises(InputError, match=r"pose.bvh: no picture is called so; expected \.png"):
        drawing.save_figure(figure, tmp_path / "pose.bvh")
