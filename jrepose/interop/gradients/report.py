"""The comparison as files: numbers as JSON, and one HTML page that needs no other file."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import numpy as np

from jrepose.files import atomic_path
from jrepose.interop.gradients.comparison import Comparison
from jrepose.interop.gradients.page import html_page

JSON_FILE, HTML_FILE = "gradients.json", "gradients.html"


def write_report(
    comparison: Comparison, folder: str | os.PathLike[str], command: str
) -> list[pathlib.Path]:
    """Writes `gradients.json` and `gradients.html`; earlier ones are replaced.

    Args:
        comparison: what was found.
        folder: made if missing.
        command: what the user typed, shown on the page.

    Raises:
        InputError: the folder cannot be written to.
        MissingExtra: Matplotlib is missing; the JSON is there.
    """
    paths = [pathlib.Path(folder) / name for name in (JSON_FILE, HTML_FILE)]
    for path, text in (
        (paths[0], lambda: to_json(comparison)),
        (paths[1], lambda: html_page(comparison, command)),
    ):
        content = text()
        with atomic_path(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return paths


def to_json(comparison: Comparison) -> str:
    """Every number of the comparison; what is not finite is null."""
    plain = {
        "agree": not comparison.complaints,
        "complaints": comparison.complaints,
        **_plain(comparison),
    }
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
