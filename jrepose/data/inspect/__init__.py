"""What is in a file: `jrepose inspect FILE`.

Recognises every file and folder that jrepose reads by its content, prints its layout, ranges and
missing joints, and draws one frame.  Nothing in a file is executed.
"""

from __future__ import annotations

from jrepose.data.inspect.picture import choose_frame, draw
from jrepose.data.inspect.recognise import SUPPORTED, recognise
from jrepose.data.inspect.report import report

__all__ = ["SUPPORTED", "choose_frame", "draw", "recognise", "report"]
