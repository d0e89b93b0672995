"""Whether a run may have a workdir, and continue what it holds: same experiment, same data."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jrepose import checkpoints, parallel
from jrepose.config import from_plain, to_json
from jrepose.disk import lock_word, sole_writer
from jrepose.errors import InputError
from jrepose.training import metric_log

_LOG = logging.getLogger(__name__)

# What may change between two starts of one run: none of it enters a training step, but for the
# rounding that another machine's attention has anyway.  What weights it began with it has in it.
FREE_FIELDS = (
    "attention",
    "name",
    "published",
    "checkpoint",
    "clip.evaluation_stride",
    "clip.evaluation_windows",
    "context.path",
    "data.cache",
    "data.heatmaps",
    "data.images.processes",
    "data.images.workers",
    "data.path",
    "data.processes",
    "data.resident_bytes",
    "data.split.test",
    "detection.sigmas",
    "evaluation",
    "training.epochs",
    "training.init_only",
    "training.log_every",
    "training.max_steps",
)

# Free too, but scores before and after such a change are not of the same thing.
_SCORING_FIELDS = (
    "clip.evaluation_stride", "clip.evaluation_windows", "detection.sigmas", "evaluation",
)  # fmt: skip

# Each process may have its own copy of the data.
_LOCAL_FIELDS = (
    "data.cache", "data.heatmaps", "data.images.processes", "data.images.workers", "data.path",
    "data.processes", "data.resident_bytes",
)  # fmt: skip

OUTPUTS = (
    checkpoints.FOLDER, checkpoints.DAMAGED_FOLDER, metric_log.FILE, metric_log.BOARD,
    "config.json", "curves.png", "evaluation", "robustness", "attention",
)  # fmt: skip
"""What a run writes into its folder, and evaluations of it."""

# How long a network file system may take to show a new file on another machine.
_SHARED_AFTER_S = 10.0


@contextlib.contextmanager
def sole_run(
    workdir: pathlib.Path,
    config: Mapping[str, Any],
    data: Mapping[str, str],
    initial: Any = None,
    *,
    restart: bool = False,
) -> Iterator[None]:
    """Context in which this run, and no other, has the workdir.

    All processes enter it together: the first one locks the folder (`jrepose.disk.sole_writer`),
    the others check that they see its lock and were started alike.

    Args:
        workdir: made if it is absent.
        config, data, initial: plain values, fingerprints and weights to begin with that must be
            the same on all processes.
        restart: move what a run has left there to a folder inside, `previous_N`.

    Raises:
        InputError: another run has the folder, the disk refuses, or the processes differ.
    """
    with contextlib.ExitStack() as stack:

        def claim() -> str:
            word = stack.enter_context(sole_writer(workdir))
            if restart:
                _set_aside(workdir)
            return word

        word = parallel.from_first(claim)
        with parallel.together():
            deadline = time.monotonic() + _SHARED_AFTER_S
            while lock_word(workdir) != word:
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{workdir} is not the folder that process 0 writes to; all processes of "
                        "a run must be given the same shared folder"
                    )
                time.sleep(0.1)
        alike = {f"the data of {split}": word[:12] for split, word in data.items()}
        alike |= {"the weights to begin with": checkpoints.fingerprint(initial)}
        for name, value in _flatten(config).items():
            if name not in _LOCAL_FIELDS:
                alike[f"config.{name}"] = value
        parallel.require_same(alike)
        yield


def set_aside(workdirs: Sequence[pathlib.Path]) -> None:
    """Moves what runs have left in workdirs to a folder inside each, the last one's first.

    All processes call it together.

    Raises:
        InputError: another run has one of them, or the disk refuses.
    """

    def move() -> None:
        for workdir in reversed(workdirs):
            if workdir.is_dir():
                with sole_writer(workdir):
                    _set_aside(workdir)

    parallel.from_first(move)


def _set_aside(workdir: pathlib.Path) -> None:
    present = [workdir / name for name in OUTPUTS if (workdir / name).exists()]
    if not present:
        return
    number = 1
    while (workdir / f"previous_{number}").exists():
        number += 1
    folder = workdir / f"previous_{number}"
    with checkpoints.readable_disk_errors(folder):
        folder.mkdir()
        for path in present:
            path.rename(folder / path.name)
    _LOG.info("beginning anew; what was there is in %s", folder)


def check_same_config(
    saved: Mapping[str, Any], current: Mapping[str, Any], workdir: object
) -> None:
    """Compares the config of a checkpoint with that of a run that wants to continue.

    Args:
        saved, current: configs as plain values, as they come out of JSON.
        workdir: for the message.

    Raises:
        InputError: naming every field that differs, apart from `FREE_FIELDS`.
    """
    old, new = _flatten(saved), _flatten(current)
    if added := new.keys() - old.keys():
        defaults = _flatten(_with_new_fields(saved))
        old |= {field: defaults[field] for field in added & defaults.keys()}
    missing = "(absent)"
    # Further epochs would change what the run has done already.
    spread = (
        new.get("training.schedule.name") == "cosine"
        or new.get("training.batch_norm_momentum_end") is not None
        or (new.get("task") == "detection" and new.get("model.keep", 1) < 1)
    )
    free = tuple(field for field in FREE_FIELDS if not (spread and field == "training.epochs"))
    different = [
        f"{field}={new.get(field, missing)!r} (was {old.get(field, missing)!r})"
        for field in sorted(old.keys() | new.keys())
        if old.get(field, missing) != new.get(field, missing) and not _is_among(field, free)
    ]
    scoring = [
        field
        for field in sorted(new)
        if _is_among(field, _SCORING_FIELDS) and old.get(field, missing) != new[field]
    ]
    if scoring and not different:
        _LOG.warning(
            "%s changed; earlier validation scores, by which the best checkpoint is known, were "
            "computed without that",
            ", ".join(scoring),
        )
    if different:
        raise InputError(
            f"{workdir} holds a run with another config: {', '.join(different)}; "
            "use another --workdir, the same values, or --restart to begin anew"
        )


def _with_new_fields(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config with the defaults of fields that came to be after it was saved."""
    try:
        return json.loads(to_json(from_plain(saved)))
    except InputError:  # of a version too far: compared as it is
        return saved


def check_same_data(saved: Mapping[str, str], current: Mapping[str, str], workdir: object) -> None:
    """Compares the fingerprints of the splits.

    Raises:
        InputError: naming the splits that differ.
    """
    different = [split for split in sorted(saved) if current.get(split) != saved[split]]
    if different:
        split = different[0]
        raise InputError(
            f"{workdir} holds a run on other data: the fingerprint of {', '.join(different)} "
            f"differs ({split}: {str(current.get(split))[:12]}, was {saved[split][:12]}); "
            "use another --workdir, the same data, or --restart to begin anew"
        )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _is_among(field: str, fields: tuple[str, ...]) -> bool:
    return any(field == one or field.startswith(one + ".") for one in fields)
