"""`matscout pause`, `resume`, `cancel`, `rerun`, `unlock`: what a person does to a campaign on a queue."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from typer import confirm, echo

from matscout.cli import printable
from matscout.cli.context import load_campaign, open_for_reading, store_uri, the_campaign
from matscout.cli.output import duration, print_json
from matscout.db import connect
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matscout.db.lease import Holder
    from matscout.db.store import Store
    from matscout.workflows.campaign.failures import Wanted


def pause(file: Path | None, store: str | None) -> None:
    """Submit nothing more of a campaign."""
    from matscout.workflows.campaign import steering

    with _writing(file, store, "pause") as (opened, campaign, path):
        _on_queue(campaign, path, "pause")
        if campaign.get("paused"):
            raise UserError(f"{campaign['name']} is paused already: matscout resume {path} lets it go on")
        held = steering.pause(opened, campaign)
    echo(f"{campaign['name']} is paused: {held} calculations are held back, what is in the queue goes on")
    echo(f"next: matscout advance {path} takes in what ends, matscout resume {path} lets it go on")


def resume(file: Path | None, store: str | None) -> None:
    """Let a paused campaign go on."""
    from matscout.workflows.campaign import steering

    with _writing(file, store, "resume") as (opened, campaign, path):
        _on_queue(campaign, path, "resume")
        if not campaign.get("paused"):
            raise UserError(f"{campaign['name']} is not paused: matscout advance {path} moves it on")
        free = steering.resume(opened, campaign)
    echo(f"{campaign['name']} goes on: {free} calculations may be submitted")
    echo(f"next: matscout advance {path}, or matscout watch {path}")


def cancel(file: Path | None, store: str | None, workers_file: Path | None) -> None:
    """Pause a campaign and cancel its jobs."""
    from matscout.cli.queueing import workers_of
    from matscout.workflows.campaign import steering
    from matscout.workflows.campaign.queued import place_of
    from matscout.workflows.launch.queue import Queue
    from matscout.workflows.launch.schedulers import SchedulerDownError

    path, _ = load_campaign(file)
    known, place = workers_of(workers_file, path)
    with _writing(path, store, "cancel") as (opened, campaign, _):
        _on_queue(campaign, path, "cancel")
        name = campaign["name"]
        try:
            done = steering.cancel(Queue(opened, known, place_of(opened)), campaign)
        except SchedulerDownError as error:
            raise UserError(
                f"{name} is paused, but its jobs go on: {error}. Once it answers: matscout cancel {path}"
            ) from None
    if done == steering.Cancelled():
        echo(f"no job of {name} is in the queue; it is paused")
    else:
        echo(f"{done.jobs} job{'s were' if done.jobs != 1 else ' was'} cancelled, and {name} is paused")
    for worker, number in done.left.items():
        echo(f"{number} job{'s were' if number != 1 else ' was'} left: worker {worker} is not in {place}")
    if done.shared:
        echo(f"{done.shared} jobs were left, as they hold calculations of other campaigns, too")
    if done.unknown:
        echo(f"{done.unknown} jobs were left, as their numbers are not known yet: matscout advance {path} finds them")
    echo(f"next: matscout advance {path} takes in what was finished, matscout resume {path} lets the campaign go on")


def rerun(file: Path | None, store: str | None, wanted: Wanted, *, dry_run: bool, as_json: bool) -> None:
    """Try failed calculations of a campaign again."""
    from matscout.workflows.campaign import steering
    from matscout.workflows.campaign.failures import failures_of

    wanted.check()
    if dry_run:
        with open_for_reading(file, store) as (opened, campaign_id):
            campaign = the_campaign(opened, campaign_id)
            meant = failures_of(opened, steering.calculations_of(opened, campaign), wanted)
        chosen = [one.calculation_id for one in meant]
    else:
        with _writing(file, store, "rerun") as (opened, campaign, path):
            chosen = steering.rerun(opened, campaign, wanted)
    if as_json:
        print_json(chosen)
        return
    with_ = f" with {wanted}" if str(wanted) else ""
    if not chosen:
        echo(f"no calculation of {campaign['name']} failed{with_}: there is nothing to start again")
    elif dry_run:
        for one in meant:
            echo(printable(f"{one.calculation_id}  {one.formula}  {one.subject}  {one.cause}"))
        echo(f"{len(chosen)} would start again; nothing was changed")
    else:
        how = "advance" if campaign.get("worker") else "run"
        starts = "calculations start" if len(chosen) != 1 else "calculation starts"
        echo(f"{len(chosen)} {starts} again, next: matscout {how} {path}")


def unlock(file: Path | None, store: str | None, *, yes: bool) -> None:
    """Show who holds a store; let it go, where that process is gone."""
    uri = _store_of(file, store)
    with connect(uri, read_only=True, must_exist=True) as opened:
        holder = opened.holder(alive=False)
        if holder is None:
            echo(f"nobody holds store {opened.display_uri}")
            return
        echo(f"store {opened.display_uri} is held by")
        for line in _about(holder):
            echo(f"  {line}")
        here = holder.host == socket.gethostname()
        if not here and not yes:
            _ask(holder)
        if not opened.break_lease(holder):
            raise UserError(
                f"that process lives, {'here' if here else f'on {holder.host}'}: end it (kill {holder.pid}), and the "
                "store is free at once; to take the store from it would do harm"
            )
    echo("the store is free")


def _ask(holder: Holder) -> None:
    """Ask whether a process elsewhere has ended, of which nobody here can tell."""
    if not sys.stdin.isatty():
        raise UserError(
            f"look on {holder.host} whether process {holder.pid} has ended; if it has: matscout unlock --yes"
        )
    if not confirm(f"Has process {holder.pid} on {holder.host} ended?", default=False):
        raise UserError(f"nothing was changed: end process {holder.pid} on {holder.host} first")


def _about(holder: Holder) -> list[str]:
    since = datetime.fromtimestamp(holder.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return [
        f"command    {holder.owner}",
        f"host       {holder.host}{' (this machine)' if holder.host == socket.gethostname() else ''}",
        f"process    {holder.pid}",
        f"since      {since}",
        f"last sign  {duration(max(time.time() - holder.heartbeat, 0.0))} ago",
    ]


def _store_of(file: Path | None, store: str | None) -> str:
    """Return the store named, else that of the campaign meant, else that of the settings."""
    from matscout.cli.context import campaign_files

    if store is None and (file is not None or len(campaign_files()) == 1):
        return store_uri(None, load_campaign(file))
    return store_uri(store, None)


def _on_queue(campaign: dict[str, Any], path: Path, what: str) -> None:
    """Check that a campaign is on a queue, and not over.

    Raises
    ------
    UserError
        It is not.
    """
    if campaign.get("worker") is None:
        raise UserError(
            f"{campaign['name']} runs on this machine, where Ctrl-C stops matscout run: {what} is for campaigns on a "
            f"queue (matscout submit {path} --worker NAME)"
        )
    if campaign["state"] == "finished":
        raise UserError(f"{campaign['name']} has ended: there is nothing to {what}. See matscout results {path}")


@contextmanager
def _writing(file: Path | None, store: str | None, what: str) -> Iterator[tuple[Store, dict[str, Any], Path]]:
    """Open a campaign's store as its one writer."""
    path, spec = load_campaign(file)
    uri = store_uri(store, (path, spec))
    with connect(uri, must_exist=True) as opened:
        the_campaign(opened, spec.id)
        with opened.lease(f"matscout {what} {spec.name}"):
            yield opened, the_campaign(opened, spec.id), path
