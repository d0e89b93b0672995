import numpy as np
import pytest

from jrepose.config import default_config
from jrepose.data.formats.human36m import ACTIONS
from jrepose.errors import InputError
from jrepose.evaluation.published import PUBLISHED, benchmark_of, published_row
from jrepose.evaluation.tables import SCORE_LABELS

ROWS = [(benchmark, system) for benchmark, rows in PUBLISHED.items() for system in rows]


@pytest.mark.parametrize(
    ("fields", "benchmark"),
    [
        ({"source": "human36m_sh"}, "human36m_sh"),
        ({"source": "human36m_sh", "keypoints": "ground_truth"}, "human36m_sh/gt"),
        ({"source": "human36m", "detections": "cpn_ft_h36m_dbb"}, "human36m/cpn"),
        ({"source": "human36m", "detections": "gt"}, "human36m/gt"),
        ({"source": "human36m", "detections": "sh_ft_h36m"}, "human36m/sh_ft_h36m"),
        ({"source": "humaneva", "detections": "detectron_pt_coco"}, "humaneva"),
        ({"source": "mpi_inf_3dhp"}, "mpi_inf_3dhp"),
        ({"source": "mocap"}, None),
        ({"source": "custom"}, None),
    ],
)
def test_benchmark_of_a_config(fields, benchmark):
    data = default_config().data
    data.update(fields)
    assert benchmark_of(data) == benchmark


@pytest.mark.parametrize(("benchmark", "system"), ROWS)
def test_rows_are_complete(benchmark, system):
    row = published_row(benchmark, system)
    assert row.system == system and row.source and row.protocol and row.scores
    assert set(row.scores) | set(row.columns) <= set(SCORE_LABELS)
    for name, columns in row.columns.items():
        if benchmark.startswith("human36m"):
            assert tuple(columns) == ACTIONS
        assert set(row.excludes) <= set(columns)
        # Sequences of MPI-INF-3DHP are weighted by their length.
        tolerance = 1.0 if benchmark == "mpi_inf_3dhp" else 0.1
        counted = [value for column, value in columns.items() if column not in row.excludes]
        assert np.mean(counted) == pytest.approx(row.scores[name], abs=tolerance)


def test_known_numbers():
    assert published_row("human36m_sh", "RePOSE").scores == {"mpjpe": 36.5, "pa_mpjpe": 30.7}
    assert published_row("human36m_sh/gt", "RePOSE").scores == {"mpjpe": 15.7}
    assert published_row("mpi_inf_3dhp", "RePOSE").scores == {
        "mpjpe": 15.5, "pck": 98.3, "auc": 86.7,
    }  # fmt: skip
    assert published_row("human36m/cpn", "MixSTE").scores["mpjve"] == 2.3


def test_what_is_not_known_is_told():
    with pytest.raises(InputError, match="'MixSTE'; for human36m_sh .*RePOSE, .*MotionAGFormer"):
        published_row("human36m_sh", "MixSTE")
    with pytest.raises(InputError, match="no published rows are known for human36m/sh_ft_h36m"):
        published_row("human36m/sh_ft_h36m", "MixSTE")
    with pytest.raises(InputError, match="known for this data; known are those of human36m_sh"):
        published_row(None, "RePOSE")
