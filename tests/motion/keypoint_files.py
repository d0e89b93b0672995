"""A walking stick figure, seen by a camera, and the files that detectors would make of it."""

import csv
import json
import pathlib

import numpy as np

from jrepose.skeleton import (
    BLAZEPOSE_33,
    BODY_25,
    BODY_25B,
    COCO_17,
    COCO_18,
    HALPE_26,
    HUMAN36M_17,
    MPII_16,
    Skeleton,
)

SIZE = (1280, 960)
HEIGHT_M = 1.7
FOCAL = 1280.0  # pixels
DISTANCE = 5.0  # metres

# Metres: x to the figure's left, y forward, z up.
_MIDDLE = {
    "pelvis": (0, 0, 0.91), "spine": (0, 0, 1.15), "thorax": (0, 0, 1.40), "neck": (0, 0, 1.40),
    "upper_neck": (0, 0.03, 1.48), "nose": (0, 0.1, 1.56), "head": (0, 0, 1.7),
    "head_top": (0, 0, 1.7),
}  # fmt: skip
_SIDE = {
    "hip": (0.12, 0, 0.91), "knee": (0.12, 0, 0.5), "ankle": (0.12, 0, 0.08),
    "shoulder": (0.18, 0, 1.4), "elbow": (0.22, 0, 1.09), "wrist": (0.24, 0, 0.84),
    "eye": (0.035, 0.08, 1.59), "eye_inner": (0.02, 0.09, 1.59), "eye_outer": (0.05, 0.07, 1.59),
    "ear": (0.07, 0, 1.57), "big_toe": (0.14, 0.18, 0.02), "small_toe": (0.2, 0.14, 0.02),
    "heel": (0.12, -0.05, 0.02), "foot_index": (0.14, 0.18, 0.02), "pinky": (0.26, 0, 0.74),
    "index": (0.24, 0.02, 0.73), "thumb": (0.22, 0.03, 0.77),
}  # fmt: skip
_LEG = ("knee", "ankle", "heel", "toe", "foot")
_ARM = ("elbow", "wrist", "pinky", "index", "thumb")


def walk(skeleton: Skeleton, frames: int, start: float = 0.0, turn: float = 0.6) -> np.ndarray:
    """World positions in metres [frames, joints, 3], z up, of somebody who walks on the spot.

    `turn` is the angle about z of where the figure looks: 0 is away from the camera.
    """
    time = start + np.arange(frames) / 30
    out = np.zeros((frames, skeleton.num_joints, 3))
    for number, name in enumerate(skeleton.joint_names):
        name = "left_mouth" if name == "mouth_left" else name
        name = "right_mouth" if name == "mouth_right" else name
        side, _, part = name.partition("_")
        if side in ("left", "right"):
            x, y, z = _SIDE.get(part, (0.02, 0.09, 1.52))
            sign = 1 if side == "left" else -1
            moving = any(word in part for word in _LEG), any(word in part for word in _ARM)
            pivot = 0.91 if moving[0] else 1.4
            swing = sign * np.sin(2 * np.pi * time) * (0.35 if moving[0] else -0.3)
            swing = swing * (any(moving) and part not in ("eye_inner",))
            # A swing about the hip or the shoulder.
            down, forward = pivot - z, y
            out[:, number] = np.stack(
                [
                    np.full(frames, sign * x),
                    forward * np.cos(swing) + down * np.sin(swing) * any(moving),
                    np.where(
                        any(moving), pivot - down * np.cos(swing) + forward * np.sin(swing), z
                    ),
                ],
                axis=-1,
            )
        else:
            out[:, number] = _MIDDLE["neck" if name == "neck" and skeleton is not HUMAN36M_17
                                     else "nose" if name == "neck" else name]  # fmt: skip
    cos, sin = np.cos(turn), np.sin(turn)
    # The figure's left is -x of a world seen from behind; x right, y forward.
    x, y = -out[..., 0], out[..., 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos, out[..., 2]], axis=-1)


def seen(world: np.ndarray, shift: float = 0.0, distance: float = DISTANCE) -> np.ndarray:
    """Pixels [frames, joints, 2] in a level camera one metre above the floor."""
    x, away, down = world[..., 0] + shift, world[..., 1] + distance, 1.0 - world[..., 2]
    return np.stack([FOCAL * x / away + SIZE[0] / 2, FOCAL * down / away + SIZE[1] / 2], axis=-1)


def keypoints(skeleton: Skeleton, frames: int = 6, **where) -> tuple[np.ndarray, np.ndarray]:
    """Pixels with four decimals, and confidences of a detector."""
    points = seen(walk(skeleton, frames), **where).round(4)
    rng = np.random.default_rng(3)
    return points, rng.uniform(0.4, 0.95, points.shape[:2]).round(4)


def flat(points, confidence) -> list[float]:
    return np.concatenate([points, confidence[:, None]], -1).ravel().tolist()


# ---- one function per format: writes the figure, returns the skeleton -------------------------


def openpose(folder: pathlib.Path, skeleton: Skeleton) -> pathlib.Path:
    target = folder / "json"
    target.mkdir()
    points, confidence = keypoints(skeleton)
    for k, (p, c) in enumerate(zip(points, confidence, strict=True)):
        person = {"person_id": [-1], "pose_keypoints_2d": flat(p, c), "face_keypoints_2d": []}
        name = f"my2video_{k:012d}_keypoints.json"
        (target / name).write_text(json.dumps({"version": 1.3, "people": [person]}))
    return target


def alphapose(folder, skeleton):
    points, confidence = keypoints(skeleton)
    entries = [
        {"image_id": f"{k}.jpg", "category_id": 1, "keypoints": flat(p, c), "score": 2.9,
         "box": [1, 2, 3, 4], "idx": [[0.0], [0.0]] if k == 3 else [0.0]}
        for k, (p, c) in enumerate(zip(points, confidence, strict=True))
    ]  # fmt: skip
    return _json(folder, sorted(entries, key=lambda entry: entry["image_id"]))


def alphapose_cmu(folder, skeleton):
    points, confidence = keypoints(skeleton)
    return _json(
        folder,
        {
            f"{k}.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(p, c)}]}
            for k, (p, c) in enumerate(zip(points, confidence, strict=True))
        },
    )


def coco_results(folder, skeleton):
    points, confidence = keypoints(skeleton)
    return _json(
        folder,
        [
            {"image_id": k + 7, "category_id": 1, "keypoints": flat(p, c), "score": 0.9}
            for k, (p, c) in enumerate(zip(points, confidence, strict=True))
        ],
    )


def coco_annotations(folder, skeleton):
    points, _ = keypoints(skeleton)
    images = [
        {"id": 900 - k, "file_name": f"a{k:04d}.png", "width": SIZE[0], "height": SIZE[1]}
        for k in range(len(points))
    ]
    annotations = [
        {"image_id": 900 - k, "id": k, "keypoints": flat(p, np.full(len(p), 2.0))}
        for k, p in enumerate(points)
    ]
    names = list(skeleton.joint_names)
    return _json(
        folder,
        {"annotations": annotations, "images": images, "categories": [{"keypoints": names}]},
    )


def mmpose_demo(folder, skeleton):
    points, confidence = keypoints(skeleton)
    names = {"head_top": "head", "pelvis": "hip"}
    meta = {"keypoint_id2name": {
        str(k): names.get(name, name) for k, name in enumerate(skeleton.joint_names)}}  # fmt: skip
    info = [
        {"frame_id": k + 1, "instances": [_instance(p, c)]}
        for k, (p, c) in enumerate(zip(points, confidence, strict=True))
    ]
    return _json(folder, {"meta_info": meta, "instance_info": info})


def mmpose_list(folder, skeleton):
    points, confidence = keypoints(skeleton)
    return _json(
        folder,
        [
            {"frame_id": k, "instances": [_instance(p, c)]}
            for k, (p, c) in enumerate(zip(points, confidence, strict=True))
        ],
    )


def mmpose_images(folder, skeleton):
    target = folder / "predictions"
    target.mkdir()
    for k, (p, c) in enumerate(zip(*keypoints(skeleton), strict=True)):
        (target / f"img{k}.json").write_text(json.dumps([_instance(p, c)]))
    return target


def _instance(points, confidence):
    return {
        "keypoints": points.tolist(),
        "keypoint_scores": confidence.tolist(),
        "bbox": [[1.0, 2.0, 3.0, 4.0]],
        "bbox_score": 0.9,
    }


def mediapipe_json(folder, skeleton):
    points, confidence = keypoints(skeleton)
    return _json(
        folder,
        [
            [
                {"x": x / SIZE[0], "y": y / SIZE[1], "z": -0.1, "visibility": v}
                for (x, y), v in zip(p, c, strict=True)
            ]
            for p, c in zip(points, confidence, strict=True)
        ],
    )


def mediapipe_wide(folder, skeleton):
    points, confidence = keypoints(skeleton)
    header = [f"{c}{k + 1}" for k in range(skeleton.num_joints) for c in "xyzv"]
    rows = np.concatenate(
        [points / SIZE, np.full_like(points[..., :1], -0.2), confidence[..., None]], -1
    )
    return _csv(folder, [["label", *header]] + [["up", *row.ravel()] for row in rows])


def mediapipe_named(folder, skeleton):
    points, confidence = keypoints(skeleton)
    names = list(skeleton.joint_names)
    order = sorted(names, key=lambda name: name[::-1])  # the author's own
    header = [f"{name.upper()}_{c}" for name in order for c in ("x", "y", "visibility")]
    rows = [["frame", *header]]
    for k, (p, c) in enumerate(zip(points / SIZE, confidence, strict=True)):
        cells = [(*p[names.index(n)], c[names.index(n)]) for n in order]
        rows.append([k + 5, *np.ravel(cells)])
    return _csv(folder, rows, ";")


def mediapipe_long(folder, skeleton):
    points, confidence = keypoints(skeleton)
    rows = [["frame", "landmark", "x", "y", "z", "visibility"]]
    for k, (p, c) in enumerate(zip(points / SIZE, confidence, strict=True)):
        for name, (x, y), v in zip(skeleton.joint_names, p, c, strict=True):
            rows.append([k, name.upper(), x, y, 0.5, v])
    return _csv(folder, rows)


def yolo_text(folder, skeleton):
    labels = folder / "run" / "labels"
    labels.mkdir(parents=True)
    for k, (p, c) in enumerate(zip(*keypoints(skeleton), strict=True)):
        numbers = np.concatenate([p / SIZE, c[:, None]], -1).ravel()
        line = " ".join(["0", "0.5", "0.5", "0.2", "0.9", *map(str, numbers), "0.87", "3"])
        (labels / f"clip_{k + 1}.txt").write_text(line + "\n")
    return folder / "run"


def yolo_json(folder, skeleton):
    return _json(folder, [
        [{"name": "person", "class": 0, "confidence": 0.8, "box": {"x1": 0, "y1": 0, "x2": 1,
          "y2": 1}, "track_id": 4, "keypoints": {"x": p[:, 0].tolist(), "y": p[:, 1].tolist(),
          "visible": c.tolist()}}]
        for p, c in zip(*keypoints(skeleton), strict=True)
    ])  # fmt: skip


def detectron(folder, skeleton):
    points, confidence = keypoints(skeleton)
    frames = len(points)
    boxes, kps = np.empty(frames, object), np.empty(frames, object)
    for k, (p, c) in enumerate(zip(points, confidence, strict=True)):
        boxes[k] = [[], np.array([[0, 0, 10, 10, 0.9]], np.float32)]
        kps[k] = [[], np.concatenate([p.T, np.zeros((1, len(p))), c[None]])[None]]
    metadata = {"w": SIZE[0], "h": SIZE[1]}
    target = folder / "video.mp4.npz"
    np.savez(
        target, boxes=boxes, keypoints=kps, segments=boxes, metadata=np.array(metadata, object)
    )
    return target


def videopose3d(folder, skeleton):
    points, _ = keypoints(skeleton)
    target = folder / "data_2d_custom_me.npz"
    positions = {"a.mp4": {"custom": [points.astype(np.float32)]}}
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "video_metadata": {"a.mp4": {"w": SIZE[0], "h": SIZE[1]}},
    }
    np.savez(target, positions_2d=np.array(positions, object), metadata=np.array(metadata, object))
    return target


def deeplabcut_csv(folder, skeleton):
    points, confidence = keypoints(skeleton)
    columns = [(n, c) for n in skeleton.joint_names for c in ("x", "y", "likelihood")]
    rows = [
        ["scorer", *["DLC_resnet50"] * len(columns)],
        ["bodyparts", *[_camel(name) for name, _ in columns]],
        ["coords", *[coordinate for _, coordinate in columns]],
    ]
    values = np.concatenate([points, confidence[..., None]], -1)
    return _csv(folder, rows + [[k, *row.ravel()] for k, row in enumerate(values)])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def array_npy(folder, skeleton):
    points, confidence = keypoints(skeleton)
    np.save(folder / "a.npy", np.concatenate([points, confidence[..., None]], -1))
    return folder / "a.npy"


def rtmlib_npz(folder, skeleton):
    points, confidence = keypoints(skeleton)
    np.savez(folder / "a.npz", keypoints=points[None], scores=confidence[None])
    return folder / "a.npz"


def rtmlib_json(folder, skeleton):
    points, confidence = keypoints(skeleton)
    return _json(
        folder,
        {"keypoints": [[p.tolist()] for p in points], "scores": [[c.tolist()] for c in confidence]},
    )


def _json(folder: pathlib.Path, content) -> pathlib.Path:
    path = folder / "keypoints.json"
    path.write_text(json.dumps(content, indent=1))
    return path


def _csv(folder: pathlib.Path, rows, delimiter: str = ",") -> pathlib.Path:
    path = folder / "keypoints.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


FILES = {
    "openpose, BODY_25": (openpose, BODY_25),
    "openpose, BODY_25B": (openpose, BODY_25B),
    "openpose, COCO-18": (openpose, COCO_18),
    "openpose, Halpe as Pose2Sim writes it": (openpose, HALPE_26),
    "alphapose, Halpe": (alphapose, HALPE_26),
    "alphapose, COCO": (alphapose, COCO_17),
    "alphapose, cmu": (alphapose_cmu, COCO_18),
    "coco results": (coco_results, COCO_17),
    "coco annotations": (coco_annotations, COCO_17),
    "mmpose, demo": (mmpose_demo, HALPE_26),
    "mmpose, inferencer": (mmpose_list, COCO_17),
    "mmpose, images": (mmpose_images, HALPE_26),
    "mediapipe, JSON": (mediapipe_json, BLAZEPOSE_33),
    "mediapipe, numbered columns": (mediapipe_wide, BLAZEPOSE_33),
    "mediapipe, named columns": (mediapipe_named, BLAZEPOSE_33),
    "mediapipe, long": (mediapipe_long, BLAZEPOSE_33),
    "ultralytics, text": (yolo_text, COCO_17),
    "ultralytics, JSON": (yolo_json, COCO_17),
    "detectron": (detectron, COCO_17),
    "videopose3d dataset": (videopose3d, COCO_17),
    "deeplabcut, CSV": (deeplabcut_csv, COCO_17),
    "array, COCO": (array_npy, COCO_17),
    "array, Human3.6M": (array_npy, HUMAN36M_17),
    "array, MPII": (array_npy, MPII_16),
    "rtmlib, NPZ": (rtmlib_npz, HALPE_26),
    "rtmlib, JSON": (rtmlib_json, COCO_17),
}
"""What a format's name in a test is: who writes it, and the joint order in it."""
