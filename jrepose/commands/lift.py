"""Lifts a 2D detector's keypoints to 3D motion: BVH, TRC, C3D, CSV, JSON, NPZ or a page.

KEYPOINTS is what OpenPose, AlphaPose, COCO, MMPose, MediaPipe, Ultralytics, Detectron, DeepLabCut
or rtmlib wrote: a file, or a folder with a file per frame; docs/formats.md.  What is assumed on the
way is said in a line each.

examples:
  jrepose lift keypoints.json --size 1920x1080 --fps 30 -o walk.bvh walk.html
  jrepose lift json_folder/ --size 1080x1920 --fps 60 --person all --height 1.82 -o match.trc
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence
from typing import Any

from jrepose.command import CommandLine
from jrepose.errors import InputError
from jrepose.files import check_not_input

_DEFAULT_FPS = 30.0


def lift(argv: Sequence[str]) -> int:
    """Lifts keypoints of any detector to 3D motion: BVH, TRC, C3D, CSV, JSON, NPZ, HTML."""
    argv, outputs = _take_outputs(argv)
    line = _command_line(argv)
    try:
        (source,) = line.parse()
    except InputError as error:
        if "KEYPOINTS is missing" not in str(error) or len(outputs) < 2:
            raise
        line = _command_line([*argv, outputs.pop()])  # -o A KEYPOINTS
        (source,) = line.parse()
    outputs += line["output"]

    from jrepose.motion.keypoints import read_keypoints
    from jrepose.motion.motion import save_motions
    from jrepose.motion.smoothing import smoother
    from jrepose.motion.writers import check_output

    outputs = outputs or [f"{pathlib.Path(source).resolve().stem}.bvh"]
    for output in outputs:
        check_output(output)
        for given in (source, line["weights"]):
            check_not_input(output, given)
        _check_folder(pathlib.Path(output), pathlib.Path(source))
    if line["smooth"] is not None:
        smoother(line["smooth"])
    people = read_keypoints(
        source, size=_size(line["size"]), layout=line["layout"], person=line["person"]
    )
    lifter = _lifter(line)
    fps, said = _fps(line, people[0].fps)
    motions = lifter.lift_people(
        people,
        size=people[0].size,
        fps=fps,
        height_m=line["height"],
        focal_px=line["focal"],
        pitch_deg=line["pitch"],
        smooth=line["smooth"],
        constant_bones=line["constant_bones"],
        lock_feet=line["lock_feet"],
    )
    for note in dict.fromkeys([*people[0].notes, *said, *(n for m in motions for n in m.notes)]):
        print(note)
    for output in outputs:
        for written in save_motions(output, motions):
            print(f"wrote {written}")
    return 0


def _command_line(argv: Sequence[str]) -> CommandLine:
    line = CommandLine(argv, __doc__, arguments={"KEYPOINTS": "File or folder of a 2D detector."})
    line.each("output", [], "File to write, also -o A B ...; its suffix says the format "
              "(KEYPOINTS's name .bvh, here).", value="FILE")  # fmt: skip
    line.text("weights", "small", "Weights that come with jrepose, a run, an archive, or a PyTorch "
              "file such as MotionBERT's or RePOSE's.", value="NAME|FILE|RUN")  # fmt: skip
    line.text("size", None, "Size of the picture, where the file does not say it.", value="WxH")
    line.number("fps", None, "Frames per second of the video (30, where the file does not say it).")
    line.text("person", "largest", "Who: the largest, all, or a number or name of the file.",
              value="ID|largest|all")  # fmt: skip
    line.text("layout", None, "Joint order of the keypoints, where it cannot be told.",
              value="NAME")  # fmt: skip
    line.number("height", 1.7, "Height of the person in metres, which sets the size of everything.")
    line.number("focal", None, "Focal length in pixels, which sets the distance (the picture's "
                "longer side).")  # fmt: skip
    line.number("pitch", None, "Degrees by which the camera looks down (told by how the person "
                "stands).")  # fmt: skip
    line.text(
        "smooth",
        None,
        "one_euro[:HERTZ] or savitzky_golay[:SECONDS]; a number alone is seconds.",
        value="NAME",
    )
    line.switch("constant_bones", False, "Bones keep their length in every frame.")
    line.switch("lock_feet", False, "Standing feet do not slide.")
    line.switch("flip", True, "Average with the mirrored prediction.")
    return line


def _take_outputs(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line without `-o FILE FILE ...`, and these files."""
    rest, outputs, taking = [argv[0]], [], False
    for token in argv[1:]:
        if token in ("-o", "--o", "--output", "-output"):
            taking = True
        elif token.startswith("-"):
            rest.append(token)
            taking = False
        else:
            (outputs if taking else rest).append(token)
    return rest, outputs


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,6})\s*[xX*,×]\s*(\d{1,6})\s*", text)
    if not match:
        raise InputError(f"--size is {text!r}; expected width and height, 1920x1080 for instance")
    return int(match[1]), int(match[2])


def _check_folder(output: pathlib.Path, source: pathlib.Path) -> None:
    """Refuses a folder that cannot be written to, before anything is computed."""
    import os

    if output.suffix.lower() == ".json" and output.parent.resolve() == source.resolve():
        raise InputError(f"{output}: {source} is read, where it would be one of the frames; "
                         "expected another folder")  # fmt: skip
    folder = output.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {output}: {folder} is no folder that can be written to")


def _lifter(line: CommandLine) -> Any:
    from jrepose.motion.lifter import Lifter
    from jrepose.precision import multiply_float32_in_full
    from jrepose.training.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    multiply_float32_in_full()
    return Lifter.from_pretrained(line["weights"], flip=line["flip"])


def _fps(line: CommandLine, of_file: float | None) -> tuple[float, list[str]]:
    """The video's frame rate, and what to say of it."""
    if line["fps"] is not None:
        return line["fps"], []
    if of_file is not None:
        return of_file, [f"{of_file:g} frames per second (the file says so)"]
    return _DEFAULT_FPS, [f"{_DEFAULT_FPS:g} frames per second (assumed; --fps says it)"]
