"""A simulated 2D pose detector: what it reports for joints whose true image is known.

Errors are drawn in millimetres on the body and projected with the frame's pixels per
millimetre, because a detector works on a crop of the person: its pixel error grows with the
person's size in the image.  `docs/simulation.md` lists the sources of the default figures.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from jrepose.data.simulation.occlusion import Occlusion
from jrepose.data.simulation.seeds import named_generator
from jrepose.data.simulation.settings import Settings
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, Skeleton

# Standard deviation (mean over x, y and both sides) of the narrow part of MotionBERT's noise
# model of Human3.6M detections, at 0.229 pixels per millimetre (1145 px, 5 m).
_JOINT_NOISE_MM = (7.9, 13.3, 12.6, 16.0, 13.3, 12.6, 16.0, 12.6, 11.8, 11.2, 7.5,
                   16.3, 11.8, 11.5, 16.3, 11.8, 11.5)  # fmt: skip
# Share of the wide part, from the same model: 1 - weight, mean over both sides.
_WIDE_SHARE = (0.001, 0.029, 0.117, 0.143, 0.029, 0.117, 0.143, 0.042, 0.082, 0.032, 0.016,
               0.114, 0.187, 0.284, 0.114, 0.187, 0.284)  # fmt: skip

# How far two people's idea of a joint differs, hips being 1: the standard deviations of COCO's
# annotators, from which its evaluation takes its tolerances (0.107 of a person's size for hips).
_OFFSET_SHARE = {"hip": 1.0, "pelvis": 0.7, "knee": 0.81, "ankle": 0.83, "spine": 0.7,
                 "thorax": 0.5, "shoulder": 0.74, "elbow": 0.67, "wrist": 0.58,
                 "neck": 0.25, "head": 0.3}  # fmt: skip


@dataclass(frozen=True)
class DetectorConfig(Settings):
    """How the simulated detector errs.  Lengths are millimetres on the body.

    Args:
        joint_noise_mm: per joint, standard deviation of the narrow part of the noise.
        wide_share: per joint, probability that a noise key comes from the wide part.
        wide_noise_mm: half width of the wide part, which is uniform.
        noise_period_s: time between noise keys; between them the noise is interpolated.
        jitter_mm: standard deviation of noise that is independent from frame to frame.
        offset_mm: standard deviation, along each axis, of how far the detector's hips lie from
            the labels' for a whole video; other joints' in proportion to how far COCO's
            annotators disagree.  The confidence does not tell.
        confidence_error_mm: error at which the confidence of a visible joint has fallen to
            one half: confidence = e / (e + error).
        confidence_noise: standard deviation of noise added to the confidence.
        occlusion: whether the body hides joints at all.
        radius_scale: factor on the body's limb radii (`occlusion.HUMAN36M_BODY`).
        occluded_confidence: factor on the confidence of hidden joints.
        occluded_noise: factor on the noise of hidden joints.
        occluded_shift: how far a hidden joint is pulled toward a false place, as a share of
            the way, drawn per run of hidden frames between these two.
        occluded_shift_limit_mm: the pull's longest length.
        onset_s: time over which the pull builds up and fades in a run.
        missing_share, occluded_missing_share: share of visible and of hidden joints that are
            reported missing.
        missing_run_s: mean length of a run of missing frames.
        missing_keypoint: what is reported for a missing joint, always with confidence 0.
            `"hold"`: the last detected position (the next one before the first detection),
            as trackers do; `"zero"`: pixel (0, 0), as OpenPose does.
        keep_inside: whether detections are moved into the image, as a detector cannot point
            outside of it.
        swap_share: share of frames in which the legs, and likewise the arms, exchange left
            and right.
        swap_run_s: mean length of such a run.
        layouts: joint orders of detectors, names of `jrepose.skeleton.SKELETONS` with spaces
            between, of which one is drawn for each video; the keypoints go through it and its
            conversion back (`layouts.through_layout`).  Empty: Human3.6M's joints as they are.
        face_missing_share: share of videos in which nose and eyes are missing while the person
            faces away.
        confidence_exponents: what confidences are raised to, drawn per video between these two.
        no_confidence_share: share of videos whose confidences are 1, or 0 where missing.

    Raises:
        InputError: an impossible value.
    """

    joint_noise_mm: tuple[float, ...] = _JOINT_NOISE_MM
    wide_share: tuple[float, ...] = _WIDE_SHARE
    wide_noise_mm: float = 65.5
    noise_period_s: float = 0.18
    jitter_mm: float = 4.4
    offset_mm: float = 0.0
    confidence_error_mm: float = 61.0
    confidence_noise: float = 0.06
    occlusion: bool = True
    radius_scale: float = 1.0
    occluded_confidence: float = 0.55
    occluded_noise: float = 1.5
    occluded_shift: tuple[float, float] = (0.2, 0.8)
    occluded_shift_limit_mm: float = 120.0
    onset_s: float = 0.1
    missing_share: float = 0.005
    occluded_missing_share: float = 0.08
    missing_run_s: float = 0.2
    missing_keypoint: str = "hold"
    keep_inside: bool = True
    swap_share: float = 0.003
    swap_run_s: float = 0.1
    layouts: str = ""
    face_missing_share: float = 0.0
    confidence_exponents: tuple[float, float] = (1.0, 1.0)
    no_confidence_share: float = 0.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (float, tuple)):
                continue
            if not (np.isfinite(value) & (np.asarray(value) >= 0)).all():
                raise InputError(f"detector: {field.name} {value}, expected 0 or more")
        shares = ("missing_share", "occluded_missing_share", "swap_share")
        if max(getattr(self, name) for name in shares) >= 1:
            raise InputError(f"detector: {', '.join(shares)} must be below 1")
        if max(self.wide_share) > 1:
            raise InputError(f"detector: wide_share {max(self.wide_share)}, expected at most 1")
        if self.missing_keypoint not in ("hold", "zero"):
            raise InputError(
                f"detector: missing_keypoint {self.missing_keypoint!r}, expected 'hold' or 'zero'"
            )
        if self.occluded_shift[0] > self.occluded_shift[1]:
            raise InputError(f"detector: occluded_shift {self.occluded_shift} is not low, high")

    @classmethod
    def perfect(cls) -> DetectorConfig:
        """A detector that reports the exact projections with confidence 1."""
        zeros = {f.name: 0.0 for f in dataclasses.fields(cls) if isinstance(f.default, float)}
        exact = {
            "joint_noise_mm": (0.0,) * HUMAN36M_17.num_joints,
            "wide_share": (0.0,) * HUMAN36M_17.num_joints,
            "occluded_confidence": 1.0,
            "occluded_shift": (0.0, 0.0),
            # The body still hides joints, so that `PoseDataset.visible` tells the truth.
            "radius_scale": 1.0,
            "keep_inside": False,
        }
        return cls(**zeros | exact)


@dataclass(frozen=True, eq=False)
class Detections:
    """What the detector reports.

    Args:
        keypoints_px: reported positions, pixels.
        confidence: in [0, 1]; 0 where the joint is missing.
    """

    keypoints_px: Float32[np.ndarray, "frames joints 2"]
    confidence: Float32[np.ndarray, "frames joints"]


def detect(
    projections_px: Float[np.ndarray, "frames joints 2"],
    px_per_mm: Float[np.ndarray, " frames"],
    occlusion: Occlusion,
    *,
    image_size: tuple[int, int],
    frame_rate: float,
    config: DetectorConfig,
    skeleton: Skeleton = HUMAN36M_17,
    seed: int = 0,
    names: tuple[str, ...] = (),
) -> Detections:
    """Simulates the detector on one video.

    Args:
        projections_px: true joint positions in the image.
        px_per_mm: pixels per millimetre at the person.
        occlusion: what the body hides (`occlusion.self_occlusion`).
        image_size: width, height; joints outside count as hidden.
        frame_rate: frames per second.
        config: the detector.
        skeleton: joint order.
        seed, names: the randomness is a pure function of these and of the input.

    Raises:
        InputError: the configuration is for another number of joints.
    """
    frames, joints = projections_px.shape[:2]
    for field in ("joint_noise_mm", "wide_share"):
        if len(getattr(config, field)) != joints:
            raise InputError(
                f"detector: {field} has {len(getattr(config, field))} values, expected one for "
                f"each of the {joints} joints"
            )

    def rng(part: str) -> np.random.Generator:
        # One stream per part: changing one parameter leaves the other parts' draws alone.
        return named_generator(seed, "detector", part, *names)

    truth = np.asarray(projections_px, np.float64)
    scale = np.asarray(px_per_mm, np.float64)[:, None]
    inside = _inside(truth, image_size)
    hidden = (occlusion.hidden & config.occlusion) | ~inside

    error_mm = _noise(rng("noise"), frames, joints, frame_rate, config)
    error_mm *= np.where(hidden, config.occluded_noise, 1.0)[..., None]
    error_px = error_mm * scale[..., None]
    if config.occlusion:
        error_px += _false_places(
            rng("shift"), truth, scale, occlusion, frame_rate, config, skeleton
        )
    reported = truth + error_px
    if config.keep_inside:
        reported = np.clip(reported, 0, np.array(image_size, np.float64) - 1)

    confidence = _confidence(
        rng("confidence"), np.linalg.norm(reported - truth, axis=-1) / scale, frame_rate, config
    )
    confidence *= np.where(hidden, config.occluded_confidence, 1.0)
    if config.offset_mm:
        reported += _offsets(rng("offset"), config, skeleton) * scale[..., None]
        if config.keep_inside:
            reported = np.clip(reported, 0, np.array(image_size, np.float64) - 1)

    _swap_sides(rng("swap"), reported, confidence, frame_rate, config, skeleton)
    share = np.where(hidden, config.occluded_missing_share, config.missing_share)
    missing = _runs(rng("missing"), share, config.missing_run_s * frame_rate)
    reported = _report_missing(reported, missing, config.missing_keypoint)
    confidence[missing] = 0
    return Detections(reported.astype(np.float32), confidence.astype(np.float32))


def _inside(
    points_px: Float[np.ndarray, "frames joints 2"], image_size: tuple[int, int]
) -> Bool[np.ndarray, "frames joints"]:
    return ((points_px >= 0) & (points_px <= np.array(image_size) - 1)).all(-1)


def _noise(
    rng: np.random.Generator, frames: int, joints: int, frame_rate: float, config: DetectorConfig
) -> Float[np.ndarray, "frames joints 2"]:
    """Error in mm: keys from a narrow and a wide distribution, interpolated, plus jitter.

    The shape of MotionBERT's synthetic detection noise (Zhu et al., ICCV 2023): 27 keys over
    243 frames, a Gaussian or a wide uniform draw per key and joint.
    """
    keys = _key_count(frames, frame_rate, config.noise_period_s)
    narrow = rng.standard_normal((keys, joints, 2)) * np.array(config.joint_noise_mm)[:, None]
    wide = rng.uniform(-1, 1, (keys, joints, 2)) * config.wide_noise_mm
    is_wide = rng.uniform(size=(keys, joints, 1)) < np.array(config.wide_share)[:, None]
    noise = _interpolate(np.where(is_wide, wide, narrow), frames)
    return noise + rng.standard_normal((frames, joints, 2)) * config.jitter_mm


def _offsets(
    rng: np.random.Generator, config: DetectorConfig, skeleton: Skeleton
) -> Float[np.ndarray, "joints 2"]:
    """Errors in mm that stay over a video, small in some videos and up to twice as large."""
    plain = [name.removeprefix("left_").removeprefix("right_") for name in skeleton.joint_names]
    shares = np.array([_OFFSET_SHARE.get(name, 0.7) for name in plain])[:, None]
    spread = config.offset_mm * rng.uniform(0, 2) * shares
    return spread * rng.standard_normal((skeleton.num_joints, 2))


def _key_count(frames: int, frame_rate: float, period_s: float) -> int:
    return max(2, 1 + round(frames / max(1.0, period_s * frame_rate)))


def _interpolate(keys: Float[np.ndarray, "keys ..."], frames: int) -> np.ndarray:
    """Linear interpolation of evenly spaced keys, end points aligned."""
    position = np.linspace(0, len(keys) - 1, frames)
    before = np.minimum(position.astype(int), len(keys) - 2)
    share = (position - before).reshape(-1, *[1] * (keys.ndim - 1))
    return keys[before] * (1 - share) + keys[before + 1] * share


def _false_places(
    rng: np.random.Generator,
    truth: Float[np.ndarray, "frames joints 2"],
    scale: Float[np.ndarray, "frames 1"],
    occlusion: Occlusion,
    frame_rate: float,
    config: DetectorConfig,
    skeleton: Skeleton,
) -> Float[np.ndarray, "frames joints 2"]:
    """Displacement in pixels of hidden joints toward where a detector would put them.

    Per run of hidden frames one of three places is drawn: the limb that hides the joint, the
    same joint of the other side (for joints with one), or a place along the joint's own limb.
    """
    hidden = occlusion.hidden
    # Across the view, the offset to the occluder is that of its axis at the same scale.
    toward_occluder = occlusion.toward_mm[..., :2] * scale[..., None]
    toward_mirror = truth[:, skeleton.flip_permutation] - truth
    parents = np.array([max(parent, 0) for parent in skeleton.parents])
    along_limb = truth[:, parents] - truth

    run, from_edge = _run_numbers(hidden)
    count = int(run.max()) + 1
    choice = rng.integers(0, 3, count)[run]
    share = rng.uniform(*config.occluded_shift, count)[run]
    # Along its own limb a joint is placed too near or too far.
    sign = rng.choice([-1.0, 1.0], count)[run]
    paired = skeleton.flip_permutation != np.arange(skeleton.num_joints)
    choice = np.where((choice == 1) & ~paired, 0, choice)

    way = np.where((choice == 0)[..., None], toward_occluder, toward_mirror)
    way = np.where((choice == 2)[..., None], 0.5 * sign[..., None] * along_limb, way)
    shift = share[..., None] * way
    length = np.linalg.norm(shift, axis=-1)
    limit = config.occluded_shift_limit_mm * scale
    shift *= np.minimum(1, limit / np.maximum(length, 1e-9))[..., None]
    onset = np.minimum(1, from_edge / max(1.0, config.onset_s * frame_rate))
    return np.where(hidden, onset, 0.0)[..., None] * shift


def _run_numbers(
    flags: Bool[np.ndarray, "frames joints"],
) -> tuple[Int[np.ndarray, "frames joints"], Int[np.ndarray, "frames joints"]]:
    """Number of the run that each entry belongs to, and its distance to the run's edges.

    Runs are stretches of equal flags along time; the distance counts from 1 at the edge.
    """
    frames, joints = flags.shape
    starts = np.ones((frames, joints), bool)
    starts[1:] = flags[1:] != flags[:-1]
    run = (np.cumsum(starts.T.reshape(-1)) - 1).reshape(joints, frames).T
    first = np.flatnonzero(starts.T.reshape(-1))
    last = np.append(first[1:], frames * joints) - 1
    position = np.arange(frames * joints).reshape(joints, frames).T
    return run, np.minimum(position - first[run], last[run] - position) + 1


def _confidence(
    rng: np.random.Generator,
    error_mm: Float[np.ndarray, "frames joints"],
    frame_rate: float,
    config: DetectorConfig,
) -> Float[np.ndarray, "frames joints"]:
    """Confidence in [0, 1] that falls with the error, with smooth noise."""
    frames, joints = error_mm.shape
    half = config.confidence_error_mm
    confidence = half / (half + error_mm) if half > 0 else np.ones_like(error_mm)
    keys = _key_count(frames, frame_rate, config.noise_period_s)
    noise = _interpolate(rng.standard_normal((keys, joints)) * config.confidence_noise, frames)
    # A detection that exists is never reported with exactly 0, which means missing.
    return np.clip(confidence + noise, 0.01, 1)


def _runs(
    rng: np.random.Generator, share: Float[np.ndarray, "frames joints"], mean_frames: float
) -> Bool[np.ndarray, "frames joints"]:
    """Random runs along time that cover about the given share of each entry.

    Runs start where a coin falls and last a geometric number of frames; a run goes on
    whatever the share becomes.
    """
    frames, joints = share.shape
    mean_frames = max(1.0, mean_frames)
    # Frames not covered by runs starting at rate r are a share (1 - r)^mean.
    rate = 1 - (1 - share) ** (1 / mean_frames)
    frame, joint = np.nonzero(rng.uniform(size=(frames, joints)) < rate)
    length = rng.geometric(1 / mean_frames, len(frame))
    change = np.zeros((frames + 1, joints), np.int32)
    np.add.at(change, (frame, joint), 1)
    np.add.at(change, (np.minimum(frame + length, frames), joint), -1)
    return np.cumsum(change, axis=0)[:-1] > 0


def _report_missing(
    keypoints_px: Float[np.ndarray, "frames joints 2"],
    missing: Bool[np.ndarray, "frames joints"],
    rule: str,
) -> Float[np.ndarray, "frames joints 2"]:
    """Keypoints with the missing ones replaced; see `DetectorConfig.missing_keypoint`."""
    if rule == "zero":
        return np.where(missing[..., None], 0.0, keypoints_px)
    frames, joints = missing.shape
    index = np.where(missing, -1, np.arange(frames)[:, None])
    held = np.maximum.accumulate(index, axis=0)
    first = np.where(missing.all(0), 0, np.argmin(missing, axis=0))
    held = np.where(held < 0, first, held)
    return keypoints_px[held, np.arange(joints)]


def _swap_sides(
    rng: np.random.Generator,
    keypoints_px: Float[np.ndarray, "frames joints 2"],
    confidence: Float[np.ndarray, "frames joints"],
    frame_rate: float,
    config: DetectorConfig,
    skeleton: Skeleton,
) -> None:
    """Exchanges left and right limbs in short runs, in place."""
    share = np.full((len(confidence), 2), config.swap_share)
    runs = _runs(rng, share, config.swap_run_s * frame_rate)
    for k, limb in enumerate(("leg", "arm")):
        left, right = skeleton.group(f"left_{limb}"), skeleton.group(f"right_{limb}")
        swapped = np.arange(skeleton.num_joints)
        swapped[list(left)], swapped[list(right)] = right, left
        keypoints_px[runs[:, k]] = keypoints_px[runs[:, k]][:, swapped]
        confidence[runs[:, k]] = confidence[runs[:, k]][:, swapped]
