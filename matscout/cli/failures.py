"""`matscout failures`: what failed, grouped by cause, and what can be done about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.context import open_for_reading, the_campaign
from matscout.cli.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matscout.workflows.campaign.failures import Failure, Wanted

SHORT_ID = 8
"""Characters of an id that are shown; more where two begin alike."""

ADVICE = {
    "memory": "more memory for the worker, or fewer calculations at once",
    "walltime": "a longer walltime for the worker",
    "node": "the machine's fault: the same again",
    "scf": "other settings of the protocol, which is a campaign of its own",
    "relaxation": "a look at the crystal: it may be far from its minimum",
    "input": "the input put right: the same input fails again",
    "parse": "a look at the output: it was cut off, or is no energy",
    "unknown": "a look at the output",
}
"""What would help, by cause."""


def show_failures(file: Path | None, store: str | None, wanted: Wanted, *, listing: bool, as_json: bool) -> None:
    """Show failed calculations by cause: of a campaign, its references included, or of all of a store."""
    from matscout.workflows.campaign.failures import by_cause, failures_of, trying_again
    from matscout.workflows.campaign.steering import calculations_of

    with open_for_reading(file, store) as (opened, campaign_id):
        ids = None if campaign_id is None else calculations_of(opened, the_campaign(opened, campaign_id))
        found = failures_of(opened, ids, wanted)
        again = trying_again(opened, ids)
    groups = by_cause(found)
    campaign = f" --campaign {file}" if file is not None else ""
    if as_json:
        print_json([_as_dict(cause, failures, campaign) for cause, failures in groups.items()])
        return
    if not found:
        meant = str(wanted)
        echo(f"no failed calculation with {meant}" if meant else "no calculation failed")
    else:
        gave_up = sum(one.outcome == "gave_up" for one in found)
        tried = f", {gave_up} given up after several attempts" if gave_up else ""
        echo(f"{len(found)} calculation{'s' * (len(found) != 1)} failed{tried}")
    if listing:
        _print_list(found)
    else:
        for cause, failures in groups.items():
            _print_group(cause, failures, campaign)
    if again:
        listed = ", ".join(f"{number} {cause}" for cause, number in sorted(again.items()))
        more = " more" if found else ""
        echo(f"{sum(again.values())}{more} failed or broke off and are tried again: {listed}")


def _as_dict(cause: str, failures: Sequence[Failure], campaign: str) -> dict[str, Any]:
    gave_up = sum(one.outcome == "gave_up" for one in failures)
    return {
        "cause": cause,
        "n": len(failures),
        "n_failed": len(failures) - gave_up,
        "n_gave_up": gave_up,
        "n_attempts": sum(one.attempts for one in failures),
        "example": asdict(failures[0]),
        "calculations": [asdict(one) for one in failures],
        "next": _next(cause, failures, campaign),
    }


def _next(cause: str, failures: Sequence[Failure], campaign: str) -> list[str]:
    return [
        f"matscout logs {failures[0].calculation_id[:SHORT_ID]}{campaign}",
        f"matscout rerun --cause {cause}{campaign}",
    ]


def _print_group(cause: str, failures: Sequence[Failure], campaign: str) -> None:
    first, attempts = failures[0], sum(one.attempts for one in failures)
    gave_up = sum(one.outcome == "gave_up" for one in failures)
    kinds = [f"{len(failures) - gave_up} failed"] if gave_up < len(failures) else []
    kinds += [f"{gave_up} gave up"] if gave_up else []
    tries = f"{attempts} attempt{'s' * (attempts != 1)}"
    lines = [
        (cause, f"{', '.join(kinds)}, {tries} in all"),
        ("  such as", f"{first.formula} ({first.subject}), {first.protocol}, {first.calculation_id[:SHORT_ID]}"),
        ("  message", first.message),
    ]
    lines += [("  evidence", first.evidence)] if first.evidence and first.evidence != first.message else []
    lines += [("  helps", ADVICE[cause])] if cause in ADVICE else []
    lines.append(("  next", ", or ".join(_next(cause, failures, campaign))))
    echo()
    for name, words in lines:
        echo(printable(f"{name:<11} {words}").replace("\n", " "))


def _print_list(failures: Sequence[Failure]) -> None:
    columns = ("calculation", "of", "formula", "cause", "outcome", "attempts", "message")
    rows = [
        [
            one.calculation_id,
            printable(one.subject),
            one.formula,
            one.cause,
            one.outcome.replace("_", " "),
            str(one.attempts),
            printable(one.message),
        ]
        for one in failures
    ]
    if rows:
        print_table(columns, rows, right=(5,))
