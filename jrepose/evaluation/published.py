"""Numbers that papers print, to be shown beside ours.

Every row says where it was printed, and for which 2D input and clip length.  Errors are in mm,
velocity errors in mm per frame, PCK and AUC in percent.  "RePOSE, Table 1" after another
system's name means that the number is quoted from there, not from that system's own paper.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_collections import ConfigDict

from jrepose.data.formats.human36m import ACTIONS
from jrepose.errors import InputError


@dataclass(frozen=True)
class PublishedRow:
    """One system's results on one benchmark.

    Args:
        source: paper or repository, and table.
        protocol: 2D input and clip length.
        scores: score -> mean as printed; keys as in `EvaluationResult.scores`.
        columns: score -> column -> value, where the single columns are known.  Columns are
            actions (Human3.6M), `"SUBJECT/ACTION"` (HumanEva) or sequences (MPI-INF-3DHP).
        excludes: columns that the printed mean leaves out.
        system: name, filled in by `published_row`.
    """

    source: str
    protocol: str
    scores: Mapping[str, float]
    columns: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    excludes: tuple[str, ...] = ()
    system: str = ""


def benchmark_of(data: ConfigDict) -> str | None:
    """The benchmark that the config's `data` section describes, None if it is no benchmark.

    `"human36m_sh"` and `"human36m_sh/gt"` (ground-truth keypoints), `"human36m/DETECTIONS"`
    with `cpn`, `gt`, `detectron` or the name of the file, `"humaneva"`, `"mpi_inf_3dhp"`.
    """
    true_keypoints = data.keypoints == "ground_truth"
    if data.source == "human36m_sh":
        return "human36m_sh/gt" if true_keypoints else "human36m_sh"
    if data.source == "human36m":
        known = {"cpn_ft_h36m_dbb": "cpn", "detectron_ft_h36m": "detectron"}
        detections = "gt" if true_keypoints else known.get(data.detections, data.detections)
        return f"human36m/{detections}"
    return data.source if data.source in ("humaneva", "mpi_inf_3dhp") else None


def published_row(benchmark: str | None, system: str) -> PublishedRow:
    """The row of a system.

    Raises:
        InputError: nothing is known for this benchmark, or not of this system.
    """
    rows = PUBLISHED.get(benchmark or "")
    if rows is None:
        raise InputError(
            f"config.published is {system!r}, and no published rows are known for "
            f"{benchmark or 'this data'}; known are those of {', '.join(PUBLISHED)}"
        )
    if system not in rows:
        raise InputError(
            f"config.published is {system!r}; for {benchmark} the rows of "
            f"{', '.join(rows)} are known"
        )
    return dataclasses.replace(rows[system], system=system)


def _errors(mpjpe: float, pa_mpjpe: float | None = None, mpjve: float | None = None):
    values = {"mpjpe": mpjpe, "pa_mpjpe": pa_mpjpe, "mpjve": mpjve}
    return {name: value for name, value in values.items() if value is not None}


def _hits(pck: float, auc: float, mpjpe: float):
    return {"mpjpe": mpjpe, "pck": pck, "auc": auc}


def _columns(names: tuple[str, ...], values: str) -> dict[str, float]:
    return dict(zip(names, map(float, values.split()), strict=True))


_REPOSE = "Sun et al., ECCV 2024"
_MIXSTE = "Zhang et al., CVPR 2022"
_VIDEOPOSE3D = "VideoPose3D's repository"
_PSTMO = "P-STMO's repository"
_STCFORMER = "STCFormer's repository"
_RIE = "Shan et al., ACM MM 2021"
_DIFFPOSE = "DiffPose, the paper's tables"

_HUMANEVA = ("S1/Walking", "S2/Walking", "S3/Walking", "S1/Jog", "S2/Jog", "S3/Jog")
_SEQUENCES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")

PUBLISHED: Mapping[str, Mapping[str, PublishedRow]] = {
    "human36m_sh": {
        "RePOSE": PublishedRow(f"{_REPOSE}, Table 1", "SH, T=243", _errors(36.5, 30.7)),
        "RePOSE-none": PublishedRow(
            f"{_REPOSE}, Table 4: no ranking loss", "SH, T=243", _errors(37.9, 32.5)
        ),
        "RePOSE-S": PublishedRow(
            f"{_REPOSE}, Table 4: spatial only", "SH, T=243", _errors(36.9, 31.4)
        ),
        "RePOSE-T": PublishedRow(
            f"{_REPOSE}, Table 4: temporal only", "SH, T=243", _errors(37.2, 31.8)
        ),
        "MotionBERT": PublishedRow("MotionBERT's paper: fine-tuned", "SH, T=243", _errors(37.5)),
        "MotionBERT-release": PublishedRow(
            "MotionBERT's repository: fine-tuned", "SH, T=243", _errors(37.2)
        ),
        "MotionBERT-scratch": PublishedRow(
            "MotionBERT's repository: from scratch", "SH, T=243", _errors(39.2)
        ),
        "MotionBERT+RePOSE": PublishedRow(
            f"{_REPOSE}: MotionBERT fine-tuned with its losses", "SH, T=243", _errors(36.7)
        ),
        "MotionAGFormer": PublishedRow("RePOSE, Table 1", "SH, T=243", _errors(38.4, 32.5)),
    },
    "human36m_sh/gt": {
        "RePOSE": PublishedRow(f"{_REPOSE}, Table 2", "ground truth, T=243", _errors(15.7)),
        "MotionAGFormer": PublishedRow("RePOSE, Table 2", "ground truth", _errors(17.3)),
    },
    "human36m/cpn": {
        "MixSTE": PublishedRow(_MIXSTE, "CPN, T=243", _errors(40.9, 32.6, 2.3)),
        "MixSTE-81": PublishedRow(_MIXSTE, "CPN, T=81", _errors(42.4, 33.9)),
        "VideoPose3D": PublishedRow(
            _VIDEOPOSE3D, "CPN in Mask R-CNN boxes, T=243", _errors(46.8, 36.5)
        ),
        "VideoPose3D-gt-boxes": PublishedRow(
            _VIDEOPOSE3D, "CPN in ground-truth boxes, T=243", _errors(47.1, 36.8)
        ),
        "VideoPose3D-gt-boxes-81": PublishedRow(
            _VIDEOPOSE3D, "CPN in ground-truth boxes, T=81", _errors(47.7, 37.2)
        ),
        "VideoPose3D-gt-boxes-27": PublishedRow(
            _VIDEOPOSE3D, "CPN in ground-truth boxes, T=27", _errors(48.8, 38.0)
        ),
        "Pose3D-RIE": PublishedRow(
            _RIE,
            "CPN, T=243",
            _errors(44.3, 35.0),
            {
                "mpjpe": _columns(
                    ACTIONS,
                    "40.8 44.5 41.4 42.7 46.3 55.6 41.8 41.9 53.7 60.8 45.0 41.5 44.8 30.8 31.9",
                )
            },
        ),
        "PoseFormer": PublishedRow("PoseFormer's paper", "CPN, T=81", _errors(44.3, 34.6)),
        "PoseFormer-27": PublishedRow("PoseFormer's paper", "CPN, T=27", _errors(47.0)),
        "PoseFormerV2": PublishedRow("PoseFormerV2, f=27, n=27", "CPN, T=243", _errors(45.2)),
        "PoseFormerV2-81": PublishedRow("PoseFormerV2, f=9, n=9", "CPN, T=81", _errors(46.0)),
        "PoseFormerV2-81-f3": PublishedRow("PoseFormerV2, f=3, n=3", "CPN, T=81", _errors(47.1)),
        "PoseFormerV2-81-f1": PublishedRow("PoseFormerV2, f=1, n=3", "CPN, T=81", _errors(47.6)),
        "PoseFormerV2-27": PublishedRow("PoseFormerV2, f=3, n=3", "CPN, T=27", _errors(47.9)),
        "PoseFormerV2-27-f1": PublishedRow("PoseFormerV2, f=1, n=3", "CPN, T=27", _errors(48.7)),
        "MHFormer": PublishedRow("MHFormer's paper", "CPN, T=351", _errors(43.0, 34.4)),
        "P-STMO": PublishedRow(
            "the encoder in DiffPose's ablation", "CPN, T=243", _errors(42.1, 34.4)
        ),
        "P-STMO-release": PublishedRow(f"{_PSTMO}, name of the file", "CPN, T=243", _errors(42.88)),
        "P-STMO-S": PublishedRow(f"{_PSTMO}, name of the file", "CPN, T=243", _errors(43.06)),
        "P-STMO-S-27": PublishedRow("RePOSE, Table 5", "CPN, T=27", _errors(46.1, 36.8)),
        "P-STMO-S-27+RePOSE": PublishedRow(f"{_REPOSE}, Table 5", "CPN, T=27", _errors(44.7, 35.6)),
        "STCFormer": PublishedRow("RePOSE, Table 1", "CPN, T=243", _errors(40.5, 31.8)),
        "STCFormer-81": PublishedRow(_STCFORMER, "CPN, T=81", _errors(41.72, 32.94)),
        "STCFormer-27": PublishedRow(_STCFORMER, "CPN, T=27", _errors(44.08, 34.76)),
        "STCFormer-27+RePOSE": PublishedRow(
            f"{_REPOSE}, Table 5", "CPN, T=27", _errors(43.3, 33.7)
        ),
        "D3DP": PublishedRow("RePOSE, Table 1", "CPN, T=243", _errors(40.0, 31.7)),
        "DiffPose": PublishedRow(_DIFFPOSE, "CPN, T=243", _errors(36.9, 28.7)),
        "DiffPose-frame": PublishedRow(_DIFFPOSE, "CPN, T=1", _errors(49.7, 39.2)),
        "GraFormer": PublishedRow(_DIFFPOSE, "CPN, T=1", _errors(51.8)),
    },
    "human36m/detectron": {
        "VideoPose3D": PublishedRow(_VIDEOPOSE3D, "Mask R-CNN, T=243", _errors(51.6, 40.3)),
    },
    "human36m/hrnet": {
        "MixSTE": PublishedRow(_MIXSTE, "HRNet, T=243", _errors(39.8, 30.6)),
    },
    "human36m/multiview_relational": {
        "PoseFormer": PublishedRow(
            "the multi-view relational detector's paper, Table II",
            "that detector's 2D poses",
            _errors(40.3, 30.5),
            {
                "mpjpe": _columns(
                    ACTIONS,
                    "35.2 41.0 37.9 36.9 39.4 45.7 38.7 38.7 54.4 58.2 40.8 38.8 41.0 27.5 29.5",
                )
            },
        ),
    },
    "human36m/gt": {
        "MixSTE": PublishedRow(_MIXSTE, "ground truth, T=243", _errors(21.6)),
        "MixSTE-81": PublishedRow(_MIXSTE, "ground truth, T=81", _errors(25.9)),
        "VideoPose3D": PublishedRow(_VIDEOPOSE3D, "ground truth, T=243", _errors(37.2, 27.2)),
        "Pose3D-RIE": PublishedRow(
            _RIE,
            "ground truth, T=243",
            _errors(30.1),
            {
                "mpjpe": _columns(
                    ACTIONS,
                    "29.5 30.8 28.8 29.1 30.7 35.2 31.7 27.8 34.5 36.0 30.3 29.4 28.9 24.1 24.7",
                )
            },
        ),
        "PoseFormer": PublishedRow("PoseFormer's paper", "ground truth, T=81", _errors(31.3)),
        "MHFormer": PublishedRow("MHFormer's paper", "ground truth, T=351", _errors(30.5)),
        "P-STMO-S": PublishedRow(
            f"{_PSTMO}, name of the file", "ground truth, T=243", _errors(29.36)
        ),
        "STCFormer": PublishedRow("RePOSE, Table 2", "ground truth, T=243", _errors(21.3)),
        "DiffPose": PublishedRow(_DIFFPOSE, "ground truth", _errors(18.9)),
        "DiffPose-frame": PublishedRow(_DIFFPOSE, "ground truth, T=1", _errors(31.6)),
        "GraFormer": PublishedRow(_DIFFPOSE, "ground truth, T=1", _errors(35.2)),
    },
    "humaneva": {
        "MixSTE": PublishedRow(
            _MIXSTE,
            "T=43",
            _errors(28.5),
            {"mpjpe": _columns(_HUMANEVA, "20.3 22.4 34.8 27.3 32.1 34.3")},
        ),
        "MixSTE-interval-1": PublishedRow(
            f"{_MIXSTE}: overlapping training clips",
            "T=43",
            _errors(20.9),
            {"mpjpe": _columns(_HUMANEVA, "16.2 14.2 21.6 24.6 23.2 25.8")},
        ),
        "MixSTE-finetuned": PublishedRow(
            f"{_MIXSTE}: fine-tuned from Human3.6M",
            "T=43",
            _errors(16.1),
            {"mpjpe": _columns(_HUMANEVA, "12.7 10.9 17.6 22.6 15.8 17.0")},
        ),
        "VideoPose3D": PublishedRow(
            f"{_VIDEOPOSE3D}: one model for three actions", "Mask R-CNN, T=27", _errors(33.0)
        ),
        "Pose3D-RIE": PublishedRow(
            _RIE,
            "Mask R-CNN, T=27",
            {"pa_mpjpe": 13.6},
            {"pa_mpjpe": _columns(_HUMANEVA, "13.5 9.4 47.2 20.3 12.1 12.8")},
            excludes=("S3/Walking",),
        ),
    },
    "mpi_inf_3dhp": {
        "RePOSE": PublishedRow(
            f"{_REPOSE}, Table 3",
            "T=81; which mean is not stated",
            _hits(98.3, 86.7, 15.5),
        ),
        "MotionAGFormer": PublishedRow(
            "RePOSE, Table 3", "ground truth, T=81; mean over all frames", _hits(98.2, 85.3, 16.2)
        ),
        "STCFormer": PublishedRow(
            "RePOSE, Table 3", "ground truth, T=81; mean over all frames", _hits(98.7, 83.9, 23.1)
        ),
        "P-STMO": PublishedRow(
            _PSTMO,
            "ground truth, T=81; mean weighted by the read-me's frame counts",
            _hits(97.9, 75.8, 32.2),
            {
                "mpjpe": _columns(_SEQUENCES, "21.86 35.83 29.37 34.57 36.76 38.97"),
                "pck": _columns(_SEQUENCES, "99.68 96.87 98.97 97.85 96.89 96.45"),
                "auc": _columns(_SEQUENCES, "82.82 73.67 77.43 74.11 72.02 71.22"),
            },
        ),
        "PoseFormerV2": PublishedRow(
            "RePOSE, Table 3", "ground truth, T=81", _hits(97.9, 78.8, 27.8)
        ),
        "DiffPose": PublishedRow(_DIFFPOSE, "ground truth, T=81", _hits(98.0, 75.9, 29.1)),
        "D3DP": PublishedRow(
            "RePOSE, Table 3",
            "ground truth; annot3, mean over sequences",
            _hits(97.7, 77.8, 30.2),
        ),
        "MHFormer": PublishedRow("RePOSE, Table 3", "ground truth", _hits(93.8, 63.3, 58.0)),
        "PoseFormer": PublishedRow("RePOSE, Table 3", "ground truth", _hits(65.4, 63.2, 57.7)),
        "MixSTE-27": PublishedRow(_MIXSTE, "ground truth, T=27", _hits(94.4, 66.5, 54.9)),
        "MixSTE-1": PublishedRow(_MIXSTE, "ground truth, T=1", _hits(94.2, 63.8, 57.9)),
    },
}
"""Benchmark (see `benchmark_of`) -> system -> row.  `NAME-T` is the system with clips of T frames,
`A+B` is A trained with the losses of B."""
