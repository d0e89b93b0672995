"""Tells what is in a file or folder of keypoints or poses, and draws a frame.

Nothing in a file is executed.

examples:
  jrepose inspect data_2d_h36m_gt.npz
  jrepose inspect own.npz --picture own.png --frame 120
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.errors import MissingExtra
from jrepose.files import check_not_input


def inspect(argv: Sequence[str]) -> int:
    """Prints the report, draws the picture."""
    line = CommandLine(argv, __doc__, arguments={"FILE": "File or folder."})
    line.text("picture", None, "Where to draw (FILE's name .png, here).", value="PNG")
    line.switch("no-picture", False, "Draw nothing.")
    line.text(
        "video", None, "Draw this video, or the one whose name has this in it (the first).",
        value="NAME",
    )  # fmt: skip
    line.whole("frame", None, "Draw this frame of the video (a complete one near its middle).")
    (file,) = line.parse()

    from jrepose.data.inspect import choose_frame, draw, recognise, report

    path = pathlib.Path(file)
    content = recognise(path)
    print(f"{path}: {report(content)}")
    if line["no-picture"] or not content.tracks:
        return 0
    track, frame = choose_frame(content, line["video"], line["frame"])
    picture = pathlib.Path(line["picture"] or f"{path.absolute().name.partition('.')[0]}.png")
    check_not_input(picture, path)
    try:
        draw(content, track, frame, picture)
    except MissingExtra as error:
        if line["picture"]:
            raise
        print(f"\nno picture: {error}")
        return 0
    print(f"\npicture {picture}: {track.name}, frame {frame}")
    return 0
