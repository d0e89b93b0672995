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
from jrepose.interop.gradients.findings import Findings
from jrepose.interop.gradients.page import html_page

JSON_FILE, HTML_FILE = "gradients.json", "gradients.html"


def write_report(
    findings: Findings, folder: str | os.PathLike[str], command: str
) -> list[pathlib.Path]:
    """Writes `gradients.json` and `gradients.html`; earlier ones are replaced.

    Args:
        findings: what was found.
        folder: made if missing.
        command: what the user typed, shown on the page.

    Raises:
        InputError: the folder cannot be written to.
        MissingExtra: Jinja2 or Matplotlib is missing; the JSON is there.
    """
    paths = [pathlib.Path(folder) / name for name in (JSON_FILE, HTML_FILE)]
    for path, text in (
        (paths[0], lambda: to_json(findings)),
        (paths[1], lambda: html_page(findings, command)),
    ):
        content = text()
        with atomic_path(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return paths


def to_json(findings: Findings) -> str:
    """Every number of the comparison; what is not finite is null."""
    plain = {
        "agree": not findings.complaints,
        "complaints": findings.complaints,
        **_plain(findings),
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
