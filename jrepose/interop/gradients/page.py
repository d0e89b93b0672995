"""The comparison as one HTML page, from the template `page.html.jinja`."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

from jrepose.errors import MissingExtra
from jrepose.interop.gradients import pictures
from jrepose.interop.gradients.edge_cases import EdgeResult
from jrepose.interop.gradients.findings import DRIFT, Findings
from jrepose.interop.gradients.measures import OWN_ERRORS
from jrepose.interop.gradients.table import verdict

_WORST = 15


def load_jinja():
    """The package `jinja2`.

    Raises:
        MissingExtra: it is missing.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtra("jinja2", "the page of a comparison", "compare") from None
    return jinja2


def html_page(findings: Findings, command: str) -> str:
    """The page.

    Args:
        findings: what was found.
        command: what the user typed.

    Raises:
        MissingExtra: Jinja2 or Matplotlib is missing.
    """
    jinja = load_jinja()
    environment = jinja.Environment(
        loader=jinja.PackageLoader(__package__, ""),
        undefined=jinja.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "percent": lambda share: f"{100 * share:.0f}\u00a0%",
        "share_of": _share_of,
        "vector": _vector,
        "words": pictures.words,
    }
    return environment.get_template("page.html.jinja").render(
        findings=findings,
        command=command,
        verdict=verdict(findings),
        edge_cases=[result for result in findings.edge_cases if _telling(result)],
        plot=_plot,
        worst=_WORST,
        own_errors=OWN_ERRORS,
        drift=DRIFT,
    )


def _plot(name: str, *arguments) -> str:
    """The picture as an address that holds all of it."""
    encoded = base64.b64encode(pictures.to_svg(getattr(pictures, name), *arguments).encode())
    return f"data:image/svg+xml;base64,{encoded.decode()}"


def _telling(result: EdgeResult) -> bool:
    """Whether the loss disagrees or has something to say about the case."""
    if result.term == "mpjpe":
        return result.case == "perfect"
    if not result.agrees or result.case in ("zero head", "units", "millimetres", "perfect"):
        return True
    over_time = result.case in ("tie over time", "one frame")
    return over_time == (result.term == "temporal_ranking")


def _number(value: float | None) -> str:
    """Two digits; a dash where there is no number."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    return "0" if value == 0 else f"{value:.1e}"


def _vector(values: Sequence[float]) -> str:
    return "  ".join(f"{value:+.3g}" if value else "0" for value in values)


def _share_of(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}\u00a0%" if whole else "none"
