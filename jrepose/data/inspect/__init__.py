"""What is in a file: `python -m jrepose.data.inspect FILE`.

Recognises every file and folder that jrepose reads by its content, prints its layout, ranges and
missing joints, and draws one frame.  Nothing in a file is executed.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jrepose.data.inspect.picture import choose_frame, draw
from jrepose.data.inspect.recognise import SUPPORTED, recognise
from jrepose.data.inspect.report import report
from jrepose.errors import MissingExtra


def main(argv: Sequence[str]) -> int:
    """The command: parses `argv` (program name first), prints the report, draws the picture."""
    arguments = _parser(argv[0]).parse_args(argv[1:])
    path = arguments.file
    content = recognise(path)
    print(f"{path}: {report(content)}")
    if arguments.no_picture or not content.tracks:
        return 0
    track, frame = choose_frame(content, arguments.video, arguments.frame)
    picture = arguments.picture or pathlib.Path(f"{path.absolute().name.partition('.')[0]}.png")
    try:
        draw(content, track, frame, picture)
    except MissingExtra as error:
        if arguments.picture:
            raise
        print(f"\nno picture: {error}")
        return 0
    print(f"\npicture {picture}: {track.name}, frame {frame}")
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Tells what is in a file or folder of keypoints or poses, and draws a frame.",
        epilog=f"Supported: {SUPPORTED}.",
    )
    parser.add_argument("file", type=pathlib.Path, metavar="FILE", help="file or folder")
    parser.add_argument(
        "--picture", type=pathlib.Path, metavar="PNG", help="where to draw (FILE's name .png, here)"
    )
    parser.add_argument("--no-picture", action="store_true", help="draw nothing")
    parser.add_argument("--video", metavar="NAME", help="draw this video, or the one whose name "
                        "has this in it (the first)")  # fmt: skip
    parser.add_argument("--frame", type=int, metavar="N", help="draw this frame of the video "
                        "(a complete one near its middle)")  # fmt: skip
    return parser
