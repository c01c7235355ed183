"""The sentences and tables that end a run, and that `results` prints again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matscout.cli.output import mev, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.db.labels import Check, Checked, Found, Label


def found_sentences(found: Found, threshold: float) -> list[str]:
    """Say how many were found, beside what random choice finds, what was possible, and what was promised."""
    near = f"within {mev(threshold)} meV/atom of the hull"
    head = f"found {found.n_found} {near} with {found.n_calculated} calculations"
    lines = [head]
    if found.random_mean is not None and found.enrichment is not None and found.ceiling is not None:
        band = f"90 % band {found.random_low:.0f} to {found.random_high:.0f}"
        expected = f"{found.random_mean:.1f} expected, {band}; at most {found.ceiling:.1f} times was possible"
        lines = [f"{head}: {found.enrichment:.1f} times random ({expected})"]
    if found.exact:
        lines.append(f"all {found.n_candidates} candidates were calculated: {found.n_stable:.0f} are to be found")
    elif found.n_stable is None:
        lines.append("too few calculations to learn from: nothing can be said of the rest, nor of random choice")
    else:
        lines.append(
            f"of {found.n_candidates} candidates about {found.n_stable:.0f} are to be found, by P(stable) of those not "
            "calculated; --exhaustive counts them"
        )
    if found.promised:
        lines.append(
            f"P(stable) promised {found.promised:.1f} of the candidates chosen after the first batch, {found.kept} came"
        )
    if found.n_hits > found.n_found:
        lines.append(
            f"{found.n_hits} candidates led to these {found.n_found} crystals; random choice is counted in candidates"
        )
    if found.n_known:
        lines.append(f"{found.n_known} known phase{'s' * (found.n_known != 1)} came out again, and do not count")
    return lines


def check_sentences(checked: Checked | None) -> list[str]:
    """Say how many of the crystals found pass the checks, where a campaign asks for any."""
    if checked is None or not checked.n_found:
        return []
    left = checked.n_found - checked.n_passed - checked.n_unstable
    line = f"{checked.n_passed} of {checked.n_found} found pass their checks"
    line += f"; {checked.n_unstable} unstable against displacements" if checked.n_unstable else ""
    return [line + (f"; {left} could not be checked" if left else "")]


def check_words(name: str, check: Check) -> str:
    """Say what a check came to."""
    if check.dynamics is None:
        return f"{name} {check.outcome.replace('_', ' ')} ({check.cause or 'unknown'})"
    said = []
    if check.dynamics.energy_gain is not None:
        gain = check.dynamics.energy_gain
        said.append(f"falls by {gain:.4f} eV/atom" if gain > 0 else "does not fall")
    if check.dynamics.lowest_frequency is not None:
        said.append(
            f"{check.dynamics.imaginary or 'no'} imaginary modes, lowest {check.dynamics.lowest_frequency:.2f} THz"
        )
    if check.prototype_kept is False:
        said.append("prototype lost")
    return f"{name} {', '.join(said)}"


def print_labels(labels: Sequence[Label]) -> None:
    """Print candidates, nearest to the hull first; what their checks came to where there are any."""
    verdicts = {True: "passed", False: "unstable", None: "not finished"}
    checked = any(x.checks for x in labels)
    rows = [
        (
            x.formula,
            x.prototype,
            f"{x.e_above_hull:.3f}",
            f"{x.decomposition_energy:+.3f}",
            "" if x.probability_before is None else f"{x.probability_before:.2f}",
            *([verdicts[x.passed] if x.checks else ""] if checked else []),
            products(x),
            remark(x),
        )
        for x in labels
    ]
    numbers = ("formula", "prototype", "above hull, eV/atom", "decomposition, eV/atom", "P before")
    print_table((*numbers, *(["checks"] if checked else []), "decomposes to", ""), rows, right=(2, 3, 4))


def products(x: Label) -> str:
    """Write the phases a candidate decomposes to, or that it is stable.

    The fractions are of atoms.
    """
    if x.e_above_hull <= 0:
        return "stable"
    return " + ".join(f"{fraction:.2f} {phase}" for phase, fraction in x.decomposition.items())


def remark(x: Label) -> str:
    """Say what else must be known: another prototype, the same crystal as another, a known phase, no minimum."""
    remarks = []
    if x.prototype_kept is False:
        remarks.append("relaxed into another prototype")
    if x.same_crystal_as:
        remarks.append(f"same crystal as {x.same_crystal_as[:8]}")
    if x.known_as:
        remarks.append(f"known: {x.known_as}")
    if unstable := [check_words(name, check) for name, check in x.checks.items() if check.passed is False]:
        remarks.append(f"unstable against displacements: {'; '.join(unstable)}")
    return "; ".join(remarks)


def failure_sentence(failures: Sequence[dict[str, Any]], *, gave_up: int | None = None) -> str:
    """Count failures by cause and name the command that lists them.

    Parameters
    ----------
    failures
        With their causes, and their outcomes where `gave_up` is not given.
    gave_up
        How many of them are no longer tried again, after several attempts.
    """
    causes: dict[str, int] = {}
    for failure in failures:
        cause = failure["cause"] or "unknown"
        causes[cause] = causes.get(cause, 0) + 1
    listed = ", ".join(f"{n} {cause}" for cause, n in sorted(causes.items()))
    given_up = sum(one.get("outcome") == "gave_up" for one in failures) if gave_up is None else gave_up
    tried = f" ({given_up} given up after several attempts)" if given_up else ""
    head = f"{len(failures)} calculation{'s' * (len(failures) != 1)} failed: {listed}{tried}"
    return f"{head}. See them with: matscout failures"


def reference_sentences(report: dict[str, Any]) -> list[str]:
    """Say where the hull comes from and how far its energies are from known ones."""
    lines = [f"hull of {report['phases']} reference phases: {report['source']}"]
    if report.get("failed"):
        lines[0] += f", {report['failed']} failed"
    if report.get("lacking"):
        lines.append(f"the hull lacks {', '.join(report['lacking'])}: what contains their elements may look too stable")
    if report.get("elements"):
        errors = report["elements"]
        worst = max(errors, key=lambda element: abs(errors[element]))
        mean = sum(abs(error) for error in errors.values()) / len(errors)
        molecules = [e for e in ("H", "N", "O", "F", "Cl", "Br", "I") if e in errors]
        each = ", ".join(f"{e} {1000 * errors[e]:+.0f}" for e in molecules)
        lines.append(
            f"{len(errors)} elements against the Materials Project: mean error {mev(mean)} meV/atom, largest "
            f"{1000 * errors[worst]:+.0f} ({worst})" + (f"; molecules: {each}" if molecules else "")
        )
    if report.get("error"):
        error = report["error"]
        lines.append(
            f"{report['correction']}: {error['n']} entries calculated again differ by {mev(error['mae'])} meV/atom "
            f"on average (mean {1000 * error['mean']:+.0f}, largest {1000 * error['max']:.0f})"
        )
    return lines
