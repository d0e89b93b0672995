"""The comparison as one HTML page: text, tables and plots, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import itertools
import math
from collections.abc import Sequence

from jrepose.interop.gradients import pictures
from jrepose.interop.gradients.comparison import Comparison
from jrepose.interop.gradients.measures import OWN_ERRORS, ParameterError
from jrepose.interop.gradients.ranking_lens import RankingLens
from jrepose.interop.gradients.table import verdict

WORST = 15

_COSINE = "1\u00a0−\u00a0cosine"  # in one line

_CSS = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  color: #222; background: #fff; max-width: 60rem; margin: 2.5rem auto 5rem; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; font-weight: 600; margin: 0 0 .8rem; }
h2 { font-size: 1.2rem; font-weight: 600; margin: 3rem 0 .4rem; border-top: 1px solid #ddd;
  padding-top: 1.4rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.8rem 0 .3rem; }
p { margin: .4rem 0 .9rem; max-width: 46rem; }
p.read { color: #555; }
.verdict { font-weight: 600; padding: .6rem .9rem; border-left: 5px solid; max-width: none; }
.agree { border-color: #009E73; background: #eef8f4; }
.differ { border-color: #D55E00; background: #fdf1e9; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums;
  margin: .6rem 0 1rem; }
th { font-weight: 600; text-align: right; border-bottom: 1px solid #888; padding: .2rem .55rem;
  vertical-align: bottom; }
td { text-align: right; padding: .16rem .55rem; border-bottom: 1px solid #eee; }
th.t, td.t { text-align: left; }
td.t code { font-size: .8rem; }
tr.bad td { background: #fdf1e9; } tr.zero td { color: #888; }
img { width: 100%; height: auto; margin: .3rem 0; }
pre { background: #f6f6f6; padding: .6rem .8rem; overflow-x: auto; font-size: .82rem;
  white-space: pre-wrap; }
details { margin: .5rem 0 1rem; } summary { cursor: pointer; color: #0072B2; }
li { margin: .15rem 0; }
.wide { overflow-x: auto; }
"""


def html_page(comparison: Comparison, command: str) -> str:
    """The page.

    Args:
        comparison: what was found.
        command: what the user typed.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    sections = [
        _head(comparison, command),
        _precisions(comparison),
        _parameters(comparison),
        _terms(comparison),
        *(_lens(comparison, found) for found in comparison.lenses),
        _edge_cases(comparison),
        _trajectory(comparison),
        _method(comparison),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Gradients of JAX and PyTorch</title><style>{_CSS}</style></head><body>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def _head(comparison: Comparison, command: str) -> str:
    complaints = comparison.complaints
    rows = [[_text(name), value] for name, value in comparison.setup.items()]
    seconds = "; ".join(f"{name}: {took:.0f} s" for name, took in comparison.seconds.items())
    rows.append([_text("time"), f"{sum(comparison.seconds.values()):.0f} s ({seconds})"])
    found = "".join(f"<li>{html.escape(complaint)}</li>" for complaint in complaints)
    return (
        "<h1>Gradients of JAX and PyTorch</h1>"
        f'<p class="verdict {"differ" if complaints else "agree"}">'
        f"{html.escape(verdict(comparison))}</p>"
        + (f"<ul>{found}</ul>" if complaints else "")
        + _table([], rows, text=(0, 1))
        + f"<pre>{html.escape(command)}</pre>"
    )


def _precisions(comparison: Comparison) -> str:
    rows = [
        [
            name,
            _number(result.poses),
            _number(result.losses),
            _number(result.whole),
            _number(1 - result.cosine),
            _number(result.jax_error),
            _number(result.torch_error),
            f"{len(result.differing)} of {len(result.parameters)}",
            _number(result.tolerance),
        ]
        for name, result in comparison.precisions.items()
    ]
    heads = ["precision", "predictions", "losses", "whole gradient", _COSINE, "JAX from reference",
             "PyTorch from reference", "parameters that differ", "tolerance"]  # fmt: skip
    section = _title(
        "Precisions beside each other",
        "How far JAX is from PyTorch, relative to PyTorch, and how far each is from the reference, "
        f"the gradient of {comparison.setup['reference']}. Where the frameworks are as far from "
        "the reference as from each other, rounding is all that separates them.",
    ) + _table(heads, rows, text=(0,))
    for name, why in comparison.not_run.items():
        section += f"<p>{html.escape(name)}: n/a, {html.escape(why)}.</p>"
    return (
        section
        + _read(
            "Each dot is a parameter; below the diagonal JAX is nearer to the reference, above it "
            "PyTorch."
        )
        + _image(
            "every parameter's distance from the reference",
            pictures.distance_from_reference,
            comparison,
        )
        if any(result.jax_error is not None for result in comparison.precisions.values())
        else section
    )


def _parameters(comparison: Comparison) -> str:
    result = comparison.precisions["float32"]
    rest = len(result.parameters) - WORST
    noise = ""
    if result.noise:
        largest = max(max(e.norm_jax, e.norm_torch) for e in result.noise)
        noise = (
            f"<p>{len(result.noise)} parameters, such as <code>{html.escape(result.noise[0].name)}"
            "</code>, have a true gradient of zero: a bias of the keys shifts all scores of a "
            "query alike and the softmax does not see it. What the frameworks return is rounding "
            f"noise of norm {_number(largest)} at most; it is not compared.</p>"
        )
    return (
        _title(
            "Parameter by parameter",
            "Relative error ‖JAX − PyTorch‖ / ‖PyTorch‖ of the objective's gradient, from the "
            "network's input (left) to its output. Dotted: the tolerance of each precision. Grey "
            "dashes: PyTorch's own float32 rounding. Dots should lie near the dashes.",
        )
        + _image(
            "relative error of every parameter's gradient", pictures.parameter_errors, comparison
        )
        + noise
        + "<h3>Worst first, float32</h3>"
        + _parameter_table(result.parameters[:WORST])
        + (
            f"<details><summary>the other {rest} parameters</summary>"
            f"{_parameter_table(result.parameters[WORST:])}</details>"
            if rest > 0
            else ""
        )
    )


def _parameter_table(errors: Sequence[ParameterError]) -> str:
    heads = ["parameter", "size", "relative error", "allowed", _COSINE, "largest error",
             "norm JAX", "norm PyTorch", ""]  # fmt: skip
    rows = []
    for error in errors:
        bad = [
            f"{count} NaN/Inf in {framework}"
            for framework, count in (("JAX", error.nonfinite_jax),
                                     ("PyTorch", error.nonfinite_torch))
            if count
        ]  # fmt: skip
        rows.append(
            [
                error.name,
                f"{error.size:,}",
                _number(error.relative),
                "" if error.noise else _number(error.allowed),
                _number(1 - error.cosine),
                _number(error.largest),
                _number(error.norm_jax),
                _number(error.norm_torch),
                ", ".join(bad) or error.verdict,
            ]
        )
    classes = ["zero" if e.noise else "" if e.agrees else "bad" for e in errors]
    return _table(heads, rows, text=(0, 8), classes=classes, code=(0,))


def _terms(comparison: Comparison) -> str:
    terms = list(comparison.weights)
    heads = ["layer", "numbers", *(f"along: {_text(term)}" for term in terms),
             *(f"error: {_text(term)}" for term in [*terms, "total"])]  # fmt: skip
    rows = [
        [
            layer.layer,
            f"{layer.size:,}",
            *(f"{100 * layer.along[term]:.0f} %" for term in terms),
            *(_number(layer.relative[term]) for term in [*terms, "total"]),
        ]
        for layer in comparison.layers
    ]
    return (
        _title(
            "Which term pushes which layer how hard",
            "Left: every loss term's share of a layer's gradient, by norm and with the term's "
            "weight. Middle: the norms themselves; a cross inside its dot is PyTorch's. Right: "
            "whether two terms pull a layer the same way (1), across (0) or apart (−1).",
        )
        + _image("gradient by layer and loss term", pictures.layers_and_terms, comparison)
        + _read(
            "Along: what a term contributes in the direction of the whole gradient; a row adds up "
            "to 100 %, a negative entry works against the others. Error: relative difference "
            "between the frameworks."
        )
        + _table(heads, rows, text=(0,))
    )


def _lens(comparison: Comparison, found: RankingLens) -> str:
    pairs = found.pairs
    lists = "joints of a frame" if found.name == "spatial_ranking" else "frames of a joint"
    facts = [
        f"{pairs.wrong:,} of {pairs.ordered:,} ordered pairs are predicted the wrong way round "
        f"({_share(pairs.wrong, pairs.ordered)}). They alone are active; the mean's divisor counts "
        f"{pairs.all:,} pairs, of which they are {_share(pairs.wrong, pairs.all)}.",
        f"{100 * found.depths_wrong:.0f} % of the depths are in at least one wrong pair; "
        f"{pairs.tied:,} ordered pairs are predicted at equal depth and pass half a gradient.",
        f"The two losses push {100 * found.same_way:.0f} % of the depths the same way (cosine of "
        f"their depth gradients {found.agreement:.2f}).",
        f"At equal predictions JAX's and PyTorch's depth gradients differ by "
        f"{_number(found.relative)}; rounding in the two forward passes makes the frameworks "
        f"decide {found.decided_differently:,} pairs differently.",
    ]
    rows = [
        [
            _text(name),
            f"{100 * push.on_wrong:.0f} %",
            f"{100 * push.on_worst:.0f} %",
            f"{100 * push.half:.0f} %",
            f"{push.correlation:.2f}",
        ]
        for name, push in ((found.name, found.ranking), ("mpjpe", found.mpjpe))
        if push is not None
    ]
    heads = ["", "on depths in a wrong pair", "on the tenth with most wrong pairs",
             "depths that hold half of it", "correlation with wrong pairs"]  # fmt: skip
    return (
        _title(
            f"Under the lens: {_text(found.name)}",
            f"The loss compares the {lists}. Left: the mean pull on a depth against the share of "
            "its pairs that is wrong; a ranking loss should rise, MPJPE need not. Right: the pull "
            "on every joint, and how much of its order is wrong.",
        )
        + _image(f"depth gradient of {found.name}", pictures.lens, found, comparison.joint_names)
        + "<ul>"
        + "".join(f"<li>{_escaped(fact)}</li>" for fact in facts)
        + "</ul>"
        + _read("How the sum of |gradient| over the depths is concentrated:")
        + _table(heads, rows, text=(0,))
    )


def _edge_cases(comparison: Comparison) -> str:
    heads = ["case", "what it is", "loss", "value JAX", "value PyTorch", "depth gradient JAX",
             "depth gradient PyTorch", ""]  # fmt: skip
    shown = [r for r in comparison.edge_cases if r.term != "mpjpe" or r.case == "perfect"]
    shown = [r for r in shown if not r.agrees or _telling(r.case, r.term)]
    rows = [
        [
            result.case,
            result.meaning,
            _text(result.term),
            f"{result.value_jax:.4g}",
            f"{result.value_torch:.4g}",
            _vector(result.gradient_jax),
            _vector(result.gradient_torch),
            "agrees" if result.agrees else "DIFFERS",
        ]
        for result in shown
    ]
    agreeing = sum(result.agrees for result in comparison.edge_cases)
    return _title(
        "Ties, one frame, millimetres",
        "Hand-made depths on which two implementations could differ. The derivative of max(0, d) "
        "at d = 0 is a convention; both frameworks take one half. "
        f"{agreeing} of {len(comparison.edge_cases)} results agree (value and gradient, to 1e-6); "
        "the telling ones:",
    ) + _table(
        heads,
        rows,
        text=(0, 1, 2, 7),
        classes=["" if result.agrees else "bad" for result in shown],
    )


def _telling(case: str, term: str) -> bool:
    """Whether the loss has something to say about the case."""
    over_time = case in ("tie over time", "one frame")
    if case in ("zero head", "units", "millimetres", "perfect"):
        return True
    return over_time == (term == "temporal_ranking")


def _trajectory(comparison: Comparison) -> str:
    steps = comparison.trajectory
    if not steps:
        return ""
    heads = ["step", "objective JAX", "objective PyTorch", "difference", "parameters, of norm",
             "parameters, of way"]  # fmt: skip
    rows = [
        [
            str(step.step),
            f"{step.total_jax:.6f}",
            f"{step.total_torch:.6f}",
            _number(step.loss_error),
            _number(step.drift),
            _number(step.drift_per_way),
        ]
        for step in steps
    ]
    return (
        _title(
            f"{len(steps)} steps of AdamW",
            "Both frameworks train from the same weights on the same batches. Left: the losses "
            "before every step; rings on lines mean agreement. Middle: how fast losses and "
            "parameters come apart, parameters relative to their norm and to the way they have "
            "gone since the start. A mistake shows at the first or second step; a jump later on "
            "is a pair of depths that rounding has ordered differently.",
        )
        + _image("losses and drift of two training runs", pictures.trajectory, comparison)
        + _table(heads, rows)
    )


def _method(comparison: Comparison) -> str:
    tolerance = _number(comparison.tolerance)
    return (
        "<h2>How the verdict comes about</h2><ul>"
        f"<li>A parameter agrees in float32 if its relative error is at most {tolerance}, or "
        f"{OWN_ERRORS} times PyTorch's own distance from the reference. A bias agrees, too, if the "
        "difference is within the tolerance of its layer's weight: its gradient is a sum over all "
        "tokens, and where that nearly cancels, the rounding of its summands is left.</li>"
        "<li>Where the frameworks order a pair of predicted depths differently, the ranking "
        "losses' gradients jump; ten times that jump, measured at the predictions, is added to "
        "the tolerance.</li>"
        "<li>Predictions, loss terms, depth gradients at equal predictions, every layer and term, "
        "and the edge cases must agree as well; the losses of the training runs to 100 times the "
        "tolerance.</li>"
        "<li>NaN and infinite gradients never agree. Parameters whose true gradient is zero are "
        "left out.</li>"
        "<li>Dropout is off on both sides, since random draws cannot be compared.</li></ul>"
    )


def _title(title: str, how_to_read: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{_read(how_to_read)}"


def _read(sentence: str) -> str:
    return f'<p class="read">{_escaped(sentence)}</p>'


def _image(alt: str, draw, *arguments) -> str:
    encoded = base64.b64encode(pictures.to_svg(draw, *arguments).encode()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{encoded}">'


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Sequence[int] = (),
    code: Sequence[int] = (),
    classes: Sequence[str] = (),
) -> str:
    """A table of plain text; the columns in `text` stand left, those in `code` are fixed-width."""

    def cell(tag: str, column: int, content: str) -> str:
        content = _escaped(content)
        if tag == "td" and column in code:
            content = f"<code>{content}</code>"
        return f"<{tag}{' class=t' if column in text else ''}>{content}</{tag}>"

    def row(tag: str, cells: Sequence[str], kind: str = "") -> str:
        inner = "".join(cell(tag, column, content) for column, content in enumerate(cells))
        return f"<tr{f' class={kind}' if kind else ''}>{inner}</tr>"

    body = "".join(
        row("td", cells, kind)
        for cells, kind in itertools.zip_longest(rows, classes[: len(rows)], fillvalue="")
    )
    head = f"<thead>{row('th', heads)}</thead>" if heads else ""
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _escaped(text: str) -> str:
    """As HTML; percent signs stay with their number."""
    return html.escape(text).replace(" %", "\u00a0%")


def _number(value: float | None) -> str:
    """Two digits; a dash where there is no number."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    return "0" if value == 0 else f"{value:.1e}"


def _vector(values: Sequence[float]) -> str:
    return "  ".join(f"{value:+.3g}" if value else "0" for value in values)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _text(name: str) -> str:
    return name.replace("_", " ").replace("mpjpe", "MPJPE")
