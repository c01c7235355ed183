"""`matscout logs`: every attempt of a calculation, and the end of what its last one printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.context import open_for_reading, the_campaign
from matscout.cli.output import print_json, print_table
from matscout.errors import UserError
from matscout.workflows.campaign.failures import FORMULA, reduced_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.db.store import Store
    from matscout.workflows.launch.allocations import AllocationRecord

_MOST = 1_000_000
"""Bytes of a log that are read, from its end."""


def show_logs(name: str, file: Path | None, store: str | None, *, lines: int, as_json: bool) -> None:
    """Show every attempt of a calculation, and the end of what its last one printed.

    Parameters
    ----------
    name
        First characters of a calculation's id, or a formula.
    lines
        Last lines of the log that are shown.
    """
    from matscout.workflows.launch.allocations import Allocations

    with open_for_reading(file, store) as (opened, campaign_id):
        document = _calculation(opened, campaign_id, name)
        records = Allocations(opened).of_calculation(document["_id"])
    attempts: list[dict[str, Any]] = document["attempts"]
    log = _log(attempts)
    if as_json:
        content = {
            "calculation": document["_id"],
            "subject": document["request"]["subject"],
            "protocol": document["request"]["protocol"],
            "state": document["state"],
            "attempts": attempts,
            "jobs": [record.model_dump(mode="json", exclude={"calculations"}) for record in records],
            "log": None if log is None else str(log),
        }
        print_json(content)
        return
    request = document["request"]
    state = {"gave_up": "gave up: no attempt is left to its cause"}.get(document["state"], document["state"])
    echo(printable(f"{request['subject']}, {request['protocol']}, {document['_id']}: {state}"))
    if not attempts:
        echo("it was not started yet")
        return
    rows = [
        [str(one["number"]), one["outcome"], one["cause"] or "", one["started"], printable(one["message"] or "")]
        for one in attempts
    ]
    print_table(("attempt", "outcome", "cause", "started", "message"), rows, right=(0,))
    if attempts[-1].get("evidence"):
        echo(f"evidence: {printable(attempts[-1]['evidence'])}")
    if records:
        echo(printable(_job_words(records[-1])))
    _print_log(document, log, lines)


def _print_log(document: dict[str, Any], log: Path | None, lines: int) -> None:
    last = document["attempts"][-1]
    if log is not None:
        echo(f"{log}:")
        for line in _tail(log, lines):
            echo(f"  {printable(line)}")
        return
    if last["outcome"] == "running":
        echo(f"nothing was printed yet in {last['folder']}")
        return
    places = _places(last)
    if any(place.is_dir() for place in places):
        echo(f"it printed nothing; what it left is in {next(place for place in places if place.is_dir())}")
    else:
        echo(f"what it printed was removed, as the worker's cleanup says: {last['folder']} is not there any more")
    traceback = (document["result"] or {}).get("traceback")
    if traceback:
        echo("the end of the code's own traceback, from the store:")
        for line in traceback.splitlines()[-lines:]:
            echo(f"  {printable(line)}")


def _log(attempts: Sequence[dict[str, Any]]) -> Path | None:
    """Return the log of the last attempt, which its folder may have taken with it."""
    from matscout.workflows.launch.folders import LOG

    if not attempts:
        return None
    found = (place / LOG for place in _places(attempts[-1]))
    return next((path for path in found if path.is_file() and path.stat().st_size), None)


def _places(attempt: dict[str, Any]) -> list[Path]:
    """Return the folders where an attempt may lie: its own, or the same closed."""
    from matscout.workflows.launch.folders import CLOSED

    return [Path(attempt["folder"] + end) for end in ("", CLOSED)]


def _tail(path: Path, lines: int) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _MOST, 0))
        return file.read().decode("utf-8", "replace").splitlines()[-lines:]


def _job_words(record: AllocationRecord) -> str:
    number = f"job {record.job_id}" if record.job_id else f"a job named {record.name}"
    how = "in the queue" if record.state != "ended" else record.job_state or "never submitted"
    why = f" ({record.reason})" if record.reason and record.state == "ended" else ""
    folder = f", its output in {record.folder}" if Path(record.folder).is_dir() else ""
    return f"last given to {number} of worker {record.worker}: {how}{why}{folder}"


def _calculation(store: Store, campaign_id: str | None, name: str) -> dict[str, Any]:
    """Find a calculation by the beginning of its id, or by the formula of what was calculated.

    Raises
    ------
    UserError
        There is none, or there are several.
    """
    calculations = store.collection("calculations")
    if not FORMULA.fullmatch(name):
        raise UserError(f'"{name}" is no id of a calculation and no formula: matscout failures shows ids')
    found = list(calculations.find({"_id": {"$regex": f"^{re.escape(name)}"}}).limit(6))
    if not found:
        found = _by_formula(store, campaign_id, name)
    if len(found) == 1:
        document: dict[str, Any] = found[0]
        return document
    if not found:
        raise UserError(
            f"no calculation has the formula, or an id with the beginning, {name}: matscout failures shows ids"
        )
    listed = ", ".join(f"{one['_id']} ({one['request']['subject']})" for one in found[:5])
    raise UserError(f"several calculations are meant by {name}: {listed}{', ...' if len(found) > 5 else ''}")


def _by_formula(store: Store, campaign_id: str | None, formula: str) -> list[dict[str, Any]]:
    try:
        reduced = reduced_formula(formula)
    except UserError:
        return []
    campaign = the_campaign(store, campaign_id, "name the file, with --campaign, of one of")
    chosen = store.collection("candidates").find(
        {"campaign": campaign["_id"], "formula": reduced}, {"calculation_id": 1}
    )
    ids = [one["calculation_id"] for one in chosen]
    subject = {"$regex": f"^reference:{re.escape(reduced)}(:|$)"}
    references = {"_id": {"$in": campaign["reference_calculations"]}, "request.subject": subject}
    return list(store.collection("calculations").find({"$or": [{"_id": {"$in": ids}}, references]}).limit(6))
