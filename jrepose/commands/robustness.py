"""How a checkpoint's predictions bear a shift of the person in the image, and wide movements.

The studies of RIE (Shan et al., ACM Multimedia 2021, Fig. 6 and 7) for any model: all keypoints are
shifted by the same random offsets; frames are sorted by how far their clip's joints move.

examples:
  jrepose robustness --checkpoint runs/repose
  jrepose robustness --checkpoint cpn_pretrained.bin --config rie_h36m --config.data.path=FOLDER
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.commands import from_checkpoint
from jrepose.config_fields import main_fields


def robustness(argv: Sequence[str]) -> int:
    """Global shift and movement range, see `jrepose.evaluation.robustness`."""
    fields = main_fields("data", "evaluation")
    line = CommandLine(argv, __doc__, config="[--config CONFIG]", fields=fields)
    from_checkpoint.define_flags(line)
    line.text("output", None, "Folder for the results (CHECKPOINT/robustness/SPLIT).", value="DIR")
    line.whole("shifts", 6, "How many offsets.", lower_bound=0)
    line.text("limit", "0.2", "Largest offset in x and in y; the image is 2 wide.", value="NUMBER")
    line.whole("subsets", 10, "How many subsets by movement range.", lower_bound=1)
    line.show_help()

    import jax

    from jrepose import tasks
    from jrepose.errors import InputError
    from jrepose.evaluation import robustness

    chosen = from_checkpoint.load(line)
    try:  # after the command line has been read
        limit = float(line["limit"])
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise InputError(f"--limit is {line['limit']!r}, expected a number of at least 0")
    settings = {"shifts": line["shifts"], "limit": limit, "subsets": line["subsets"]}
    result = robustness.measure_robustness(
        tasks.create(chosen.config, chosen.dataset),
        jax.device_put(chosen.variables),
        chosen.dataset,
        chosen.config,
        **settings,
    )
    print(robustness.summary(result))
    output = line["output"] or chosen.folder / "robustness" / line["split"]
    for written in robustness.write(result, {**chosen.origin, **settings}, output):
        print(f"wrote {written}")
    return 0
