"""The comparison's plots, each a Matplotlib figure."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from jrepose.drawing import (
    BLUE,
    GREY,
    ORANGE,
    SERIES,
    STYLE,
    VERMILLION,
    load_matplotlib,
    new_figure,
    save_figure,
)
from jrepose.interop.gradients.findings import Findings
from jrepose.interop.gradients.measures import ParameterError, depth_in_network
from jrepose.interop.gradients.ranking_lens import BINS, RankingLens

WIDTH = 9.6
_NOTE = "#606060"
_PRECISION_COLOURS = {"float32": BLUE, "tf32": ORANGE, "bfloat16": VERMILLION}
_SMALLEST = 1e-9  # where exact agreement is drawn on a logarithmic axis


def to_svg(draw: Callable, *arguments) -> str:
    """The figure that `draw(*arguments)` makes, as the text of an SVG file.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    # With a fixed salt and no date, equal results are equal files.
    with load_matplotlib().rc_context({**STYLE, "svg.hashsalt": "jrepose"}):
        text = io.StringIO()
        draw(*arguments).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def write_pictures(findings: Findings, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Writes the plots as PNG files: parameters, layers, one per ranking loss, training.

    Raises:
        InputError: the folder cannot be written to.
        MissingExtra: Matplotlib is missing.
    """
    wanted = {
        "parameters": (parameter_errors, findings),
        "layers": (layers_and_terms, findings),
        **{found.name: (lens, found, findings.joint_names) for found in findings.lenses},
    }
    if findings.trajectory:
        wanted["training"] = (trajectory, findings)
    paths = []
    for name, (draw, *arguments) in wanted.items():
        paths.append(pathlib.Path(folder) / f"{name}.png")
        with load_matplotlib().rc_context(STYLE):
            save_figure(draw(*arguments), paths[-1])
    return paths


def parameter_errors(findings: Findings):
    """Relative error of every parameter, from the network's input to its output."""
    errors = sorted(
        findings.precisions["float32"].parameters,
        key=lambda error: (depth_in_network(error.layer), error.name),
    )
    figure = new_figure(WIDTH, 3.4)
    axes = figure.add_subplot()
    places = _places(axes, errors)
    own = {e.name: e.torch_error for e in errors if e.torch_error is not None and not e.noise}
    if own:
        axes.plot(
            [places[name] for name in own], _drawable(own.values()), "_", color=_NOTE,
            markersize=5, label="PyTorch float32 from float64",
        )  # fmt: skip

    def dots(chosen, colour, face, label):
        axes.plot(
            [places[e.name] for e in chosen], _drawable(e.relative for e in chosen), "o",
            color=colour, markerfacecolor=face, markersize=3.2, markeredgewidth=0.7, label=label,
        )  # fmt: skip

    for precision, result in findings.precisions.items():
        colour = _PRECISION_COLOURS[precision]
        dots([e for e in result.parameters if e.finite and not e.noise], colour, colour, precision)
        axes.axhline(result.tolerance, color=colour, linewidth=0.8, linestyle=":")
    noise = [e for e in errors if e.noise]
    dots(noise, BLUE, "none", "float32, true gradient zero" if noise else None)
    for error in (e for e in errors if not e.finite):
        axes.axvline(places[error.name], color=VERMILLION, linewidth=1.2)
        axes.text(places[error.name], 1.0, " NaN/Inf", color=VERMILLION, fontsize=7, rotation=90,
                  va="top", transform=axes.get_xaxis_transform())  # fmt: skip
    _logarithmic(axes, y=True)
    axes.set_ylabel("relative error, JAX from PyTorch")
    axes.legend(ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0), fontsize=8, handletextpad=0.2)
    return figure


def _places(axes, errors: Sequence[ParameterError]) -> dict[str, float]:
    """Where every parameter stands on the x axis; sets its layers' names and shades.

    Layers of few parameters get room for their names.
    """
    layers: dict[str, list[str]] = {}
    for error in errors:
        layers.setdefault(error.layer, []).append(error.name)
    narrowest = len(errors) / 30
    places, centres, begin = {}, [], 0.0
    for number, names in enumerate(layers.values()):
        width = max(len(names), narrowest)
        if number % 2:
            axes.axvspan(begin, begin + width, color="#F4F4F4", zorder=-2)
        for place, name in enumerate(names):
            places[name] = begin + (place + 0.5) * width / len(names)
        centres.append(begin + width / 2)
        begin += width
    axes.set_xticks(centres, layers, rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(0, begin)
    return places


def distance_from_reference(findings: Findings):
    """Every parameter's distance from the reference, ours over PyTorch's."""
    results = {k: r for k, r in findings.precisions.items() if r.jax_error is not None}
    figure = new_figure(WIDTH, 3.1)
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (precision, result) in zip(panels, results.items(), strict=True):
        errors = [e for e in result.parameters if e.finite and not e.noise]
        ours, theirs = (
            _drawable(getattr(e, side) for e in errors) for side in ("jax_error", "torch_error")
        )
        low, high = np.nanmin([*ours, *theirs, 1.0]) / 2, np.nanmax([*ours, *theirs, _SMALLEST]) * 2
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=0)
        axes.plot(theirs, ours, "o", color=_PRECISION_COLOURS[precision], markersize=3, alpha=0.7,
                  markeredgewidth=0)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set(xlabel="PyTorch from reference", ylabel="JAX from reference")
        nearer = int(np.sum(ours < theirs))
        axes.set_title(f"{precision}: JAX nearer in {nearer} of {len(ours)}", fontsize=9)
    return figure


def layers_and_terms(findings: Findings):
    """Which loss term pushes which layer: shares, norms, and whether the terms pull together."""
    layers, terms = findings.layers[::-1], list(findings.weights)
    rows = np.arange(len(layers))
    figure = new_figure(WIDTH, 1.3 + 0.21 * len(layers))
    shares, norms, cosines = figure.subplots(1, 3, sharey=True)
    left = np.zeros(len(layers))
    for term, colour in zip(terms, SERIES[1:], strict=False):
        share = np.nan_to_num([layer.share[term] for layer in layers])
        shares.barh(rows, share, left=left, height=0.72, color=colour, label=words(term))
        left += share
        norms.plot([layer.norm_jax[term] for layer in layers], rows, "o", color=colour,
                   markersize=4.5)  # fmt: skip
        norms.plot([layer.norm_torch[term] for layer in layers], rows, "x", color="white",
                   markersize=2.6, markeredgewidth=0.8)  # fmt: skip
    for pair, marker, colour in zip(layers[0].cosines, "osD", SERIES[3:], strict=False):
        cosines.plot([layer.cosines[pair] for layer in layers], rows, marker, color=colour,
                     markersize=3.8, label=words(pair).replace(", ", " · "))  # fmt: skip
    cosines.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    cosines.set(xlim=(-1.05, 1.05), xlabel="cosine between two terms")
    _logarithmic(norms, x=True)
    norms.set_xlabel("norm, weighted (×: PyTorch)")
    shares.set(xlim=(0, 1), xlabel="share of the norms")
    shares.set_yticks(rows, [layer.layer for layer in layers], fontsize=7.5)
    shares.tick_params(axis="y", length=0)
    for axes in (norms, cosines):
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    style = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "fontsize": 7.5, "handlelength": 1}
    shares.legend(ncols=1, **style)
    cosines.legend(ncols=1, **style)
    return figure


def lens(found: RankingLens, joint_names: Sequence[str]):
    """One ranking loss: its pull by how wrong a depth is, and by joint, beside MPJPE's."""
    figure = new_figure(WIDTH, 3.0)
    by_wrong, by_joint = figure.subplots(1, 2, width_ratios=(1, 1.25))
    figure.get_layout_engine().set(wspace=0.06)
    centres = (np.arange(BINS) + 0.5) / BINS
    pushes = [(words(found.name), VERMILLION, found.ranking)]
    if found.mpjpe is not None:
        pushes.append(("MPJPE", BLUE, found.mpjpe))

    crowd = by_wrong.twinx()
    crowd.bar(centres, 100 * found.depths_per_bin / max(1, found.depths_per_bin.sum()), 0.9 / BINS,
              color="#E6E6E6")  # fmt: skip
    crowd.set_ylabel("depths [%] (bars)", color=_NOTE)
    wrong = by_joint.twinx()
    columns = np.arange(len(joint_names))
    wrong.bar(columns, 100 * found.wrong_per_joint, 0.8, color="#E6E6E6")
    wrong.set_ylabel("wrong pairs [%] (bars)", color=_NOTE)
    for behind, axes in ((crowd, by_wrong), (wrong, by_joint)):
        behind.set_ylim(0, 100)
        behind.spines["right"].set_visible(True)
        behind.tick_params(labelcolor=_NOTE)
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.set_ylabel("mean |gradient| on a depth")
    for label, colour, push in pushes:
        by_wrong.plot(centres, _positive(push.by_wrong_share), "o-", color=colour, markersize=3.5,
                      linewidth=1.2, label=label)  # fmt: skip
        by_joint.plot(columns, _positive(push.per_joint), "o", color=colour, markersize=4)
    for axes in (by_wrong, by_joint):
        _logarithmic(axes, y=True)
    by_wrong.set(xlabel="share of a depth's ordered pairs that is wrong", xlim=(0, 1))
    by_wrong.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=8)
    by_joint.set_xticks(columns, [name.replace("_", " ") for name in joint_names], rotation=45,
                        ha="right", rotation_mode="anchor", fontsize=7)  # fmt: skip
    by_joint.tick_params(axis="x", length=0)
    return figure


def trajectory(findings: Findings):
    """Losses of both training runs, and how far losses and parameters drift apart."""
    steps = findings.trajectory
    numbers = [step.step for step in steps]
    figure = new_figure(WIDTH, 2.9)
    curves, apart, layers = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))
    weights = findings.weights
    named = [("objective", SERIES[0], 1.0, lambda s: (s.total_jax, s.total_torch))]
    for (term, weight), colour in zip(weights.items(), SERIES[1:], strict=False):
        label = f"{weight:g} × {words(term)}" if weight != 1 else words(term)
        named.append(
            (label, colour, weight, lambda s, term=term: (s.terms_jax[term], s.terms_torch[term]))
        )
    for label, colour, weight, of in named:
        ours, theirs = zip(*(of(step) for step in steps), strict=True)
        curves.plot(numbers, weight * np.array(ours), "-", color=colour, linewidth=1.6, label=label)
        curves.plot(numbers, weight * np.array(theirs), "o", color=colour, markersize=3.8,
                    markerfacecolor="white", markeredgewidth=0.9)  # fmt: skip
    curves.set(xlabel="step", ylabel="loss (line: JAX, ring: PyTorch)", ylim=(0, None))
    curves.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, handlelength=1.2,
                  columnspacing=1)  # fmt: skip
    for label, colour, values in (
        ("loss", BLUE, [step.loss_error for step in steps]),
        ("parameters, of their norm", SERIES[0], [step.drift for step in steps]),
        ("parameters, of their way", VERMILLION, [step.drift_per_way for step in steps]),
    ):
        apart.plot(numbers, _drawable(values), "o-", color=colour, markersize=3, linewidth=1.2,
                   label=label)  # fmt: skip
    apart.set(xlabel="step", ylabel="relative difference")
    _logarithmic(apart, y=True)
    apart.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=1)
    last = steps[-1].layers
    names, rows = list(last)[::-1], np.arange(len(last))
    layers.plot([last[name] for name in names], rows, "o", color=VERMILLION, markersize=4)
    layers.set_yticks(rows, names, fontsize=7)
    layers.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
    layers.set_xlim(0, None)
    layers.set_xlabel(f"of their way, after step {steps[-1].step}", loc="left")
    layers.grid(axis="y", color="#EEEEEE", linewidth=0.6)
    layers.tick_params(axis="y", length=0)
    for axes in (curves, apart):
        axes.xaxis.set_major_locator(load_matplotlib().ticker.MaxNLocator(integer=True))
    return figure


def _drawable(values: Iterable[float]) -> np.ndarray:
    """For a logarithmic axis: exact agreement at the bottom, nothing for what is not finite."""
    values = np.array(list(values), np.float64)
    return np.where(np.isfinite(values), np.maximum(values, _SMALLEST), np.nan)


def _logarithmic(axes, *, x: bool = False, y: bool = False) -> None:
    """Sets logarithmic axes, which Matplotlib refuses where there is nothing to draw."""
    points = np.concatenate([line.get_xydata() for line in axes.lines])
    if x:
        if not (points[:, 0] > 0).any():
            axes.set_xlim(_SMALLEST, 1)
        axes.set_xscale("log")
    if y:
        if not (points[:, 1] > 0).any():
            axes.set_ylim(_SMALLEST, 1)
        axes.set_yscale("log")


def _positive(values: np.ndarray) -> np.ndarray:
    """Zeros left out of a logarithmic plot."""
    return np.where(values > 0, values, np.nan)


def words(name: str) -> str:
    return name.replace("_", " ").replace("mpjpe", "MPJPE")
