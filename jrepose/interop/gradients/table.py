"""The comparison as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jrepose.interop.gradients.findings import Findings, PrecisionResult

WORST = 8
_COMPLAINTS = 12


def summary(findings: Findings) -> str:
    """Tables, the worst first, and the verdict in the last line."""
    return "\n".join(
        [
            *_setup(findings),
            *_precisions(findings),
            *_parameters(findings.precisions["float32"]),
            *_layers(findings),
            *_ranking(findings),
            *_others(findings),
            *_verdict(findings),
        ]
    )


def verdict(findings: Findings) -> str:
    """One line."""
    count = len(findings.complaints)
    if not count:
        return f"AGREE: every gradient within its tolerance ({findings.tolerance:g} in float32)"
    return f"DISAGREE: {count} {'finding' if count == 1 else 'findings'} past tolerance"


def _setup(findings: Findings) -> Iterator[str]:
    for name, value in findings.setup.items():
        yield f"{name:<14}{value}"


def _precisions(findings: Findings) -> Iterator[str]:
    yield ""
    yield (
        f"{'precision':<10}{'poses':>9}{'losses':>9}{'gradient':>10}{'1-cosine':>10}"
        f"{'JAX-ref':>10}{'torch-ref':>11}  parameters that differ"
    )
    for name, result in findings.precisions.items():
        yield (
            f"{name:<10}{result.poses:>9.1e}{result.losses:>9.1e}{result.whole:>10.1e}"
            f"{1 - result.cosine:>10.1e}"
            f"{_optional(result.jax_error):>10}{_optional(result.torch_error):>11}"
            f"  {len(result.differing)} of {len(result.parameters)}"
        )
    for name, reason in findings.not_run.items():
        yield f"{name:<10}n/a: {reason}"


def _parameters(result: PrecisionResult) -> Iterator[str]:
    yield ""
    yield (
        f"{'worst parameters, ' + result.name:<38}{'relative':>9}{'allowed':>9}{'1-cosine':>10}"
        f"{'largest':>9}{'|JAX|':>9}{'|torch|':>9}"
    )
    for error in result.parameters[:WORST]:
        yield (
            f"{error.name:<38}{error.relative:>9.1e}{error.allowed:>9.1e}"
            f"{1 - error.cosine:>10.1e}{error.largest:>9.1e}{error.norm_jax:>9.1e}"
            f"{error.norm_torch:>9.1e}  {error.verdict}"
        )
    if result.noise:
        yield (
            f"{len(result.noise)} parameters have a true gradient of zero, such as "
            f"{result.noise[0].name}: rounding noise of norm {result.largest_noise:.0e} "
            "at most, not compared"
        )


def _layers(findings: Findings) -> Iterator[str]:
    terms = list(findings.weights)
    yield ""
    yield f"{'share of the gradient':<24}" + _row(terms, 19) + f"{'relative error':>16}"
    for layer in findings.layers:
        shares = [f"{100 * layer.share[term]:.0f} %" for term in terms]
        yield f"{layer.layer:<24}" + _row(shares, 19) + f"{max(layer.relative.values()):>16.1e}"


def _ranking(findings: Findings) -> Iterator[str]:
    for lens in findings.lenses:
        pairs = lens.pairs
        yield ""
        yield (
            f"{lens.name}: {pairs.wrong:,} of {pairs.ordered:,} ordered pairs are wrong "
            f"({_percent(pairs.wrong, pairs.ordered)}), {_percent(pairs.wrong, pairs.all)} of the "
            f"divisor; {pairs.tied} tied, {lens.decided_differently} decided differently"
        )
        for name, push in ((lens.name, lens.ranking), ("mpjpe", lens.mpjpe)):
            if push is not None:
                yield (
                    f"  {name:<18}{100 * push.on_worst:3.0f} % of its pull on the tenth of depths "
                    f"with most wrong pairs, correlation {push.correlation:.2f}"
                )


def _others(findings: Findings) -> Iterator[str]:
    yield ""
    agreeing = sum(result.agrees for result in findings.edge_cases)
    yield f"edge cases      {agreeing} of {len(findings.edge_cases)} agree"
    if findings.trajectory:
        last = findings.trajectory[-1]
        worst = max(step.loss_error for step in findings.trajectory)
        yield (
            f"training        {last.step} steps, losses within {worst:.1e}, parameters apart by "
            f"{last.drift:.1e} of their norm, {last.drift_per_way:.1e} of the way they went"
        )


def _verdict(findings: Findings) -> Iterator[str]:
    yield ""
    complaints = findings.complaints
    yield from (f"  {complaint}" for complaint in complaints[:_COMPLAINTS])
    if len(complaints) > _COMPLAINTS:
        yield f"  and {len(complaints) - _COMPLAINTS} more"
    yield verdict(findings)


def _row(cells: Sequence[str], width: int) -> str:
    return "".join(f"{cell:>{width}}" for cell in cells)


def _optional(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
