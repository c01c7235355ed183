"""`matscout submit` and `advance`: a campaign on the queue of a cluster."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.context import load_campaign, store_uri
from matscout.cli.output import print_json
from matscout.db import connect
from matscout.errors import NoStoreError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matscout.db.store import Store
    from matscout.workflows.campaign.queued import Advance
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.launch.workers_file import Worker


@dataclass(frozen=True)
class Meant:
    """The campaign that a command means, and where it is kept.

    Attributes
    ----------
    path, spec
        Its file, and what stands in it.
    uri
        Its store.
    workers, workers_file
        Workers by name, and the file they are from.
    """

    path: Path
    spec: CampaignSpec
    uri: str
    workers: dict[str, Worker]
    workers_file: Path

    def step(self, store: Store, worker: str | None = None) -> Advance:
        """Move it on by one step."""
        from matscout.workflows.campaign.queued import QueuedCampaign

        return QueuedCampaign(self.spec, store, workers=self.workers, worker=worker).advance()

    def worker_for_it(self) -> Worker:
        """Return the worker that it was submitted to, else the one that takes its protocol.

        Raises
        ------
        UserError
            There is none, or several.
        """
        with existing(self.uri) as store:
            before = None if store is None else (self.document(store) or {}).get("worker")
        if before in self.workers:
            return self.workers[before]
        found = [one for one in self.workers.values() if one.takes(self.spec.protocol)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(one.name for one in found) or ", ".join(self.workers)
        what = "several workers take" if found else "no worker takes"
        raise UserError(
            f"{what} protocol {self.spec.protocol}: name one with --worker ({self.workers_file} has {names})"
        )

    def document(self, store: Store) -> dict[str, Any] | None:
        """Return what a store holds of it; None if nothing."""
        found: dict[str, Any] | None = store.collection("campaigns").find_one({"_id": self.spec.id})
        return found

    def submitted(self) -> None:
        """Check that it was submitted, to a worker that there is.

        Raises
        ------
        UserError
            It was not; says how that is done.
        """
        from matscout.workflows.launch.workers_file import get_worker

        how = f"matscout submit {self.path} --worker NAME"
        with existing(self.uri) as store:
            document = None if store is None else self.document(store)
            if document is None:
                where = f"there is no store in {self.uri}" if store is None else _others(store)
                raise UserError(f"campaign {self.spec.name} was not submitted yet ({where}): {how}")
        if document.get("worker") is None:
            raise UserError(
                f"campaign {self.spec.name} was not submitted, it runs on this machine: matscout run {self.path} goes "
                f"on here, {how} on a queue"
            )
        if document["state"] != "finished":
            get_worker(self.workers, document["worker"], self.workers_file)


def _others(store: Store) -> str:
    names = sorted(one["_id"] for one in store.collection("campaigns").find({}, {"_id": 1}))
    held = f"holds {', '.join(names)}: a changed file is another campaign" if names else "holds no campaign yet"
    return f"store {store.display_uri} {held}"


def campaign_meant(file: Path | None, store: str | None, workers_file: Path | None) -> Meant:
    """Read the files that a command means."""
    path, spec = load_campaign(file)
    known, place = workers_of(workers_file, path)
    return Meant(path, spec, store_uri(store, (path, spec)), known, place)


def workers_of(file: Path | None, campaign: Path) -> tuple[dict[str, Worker], Path]:
    """Read the file of workers that is named, or belongs to a campaign; return them and where they stand."""
    from matscout.workflows.launch.workers_file import find_workers_file, read_workers

    place = file or find_workers_file(campaign.parent)
    return read_workers(place), place


@contextmanager
def existing(uri: str) -> Iterator[Store | None]:
    """Open a store for reading; None where there is none yet."""
    try:
        opened = connect(uri, read_only=True, must_exist=True)
    except NoStoreError:
        yield None
        return
    with opened as store:
        yield store


def submit(
    file: Path | None,
    store: str | None,
    worker: str | None,
    workers_file: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put a campaign's calculations on the queue of a worker; or show the scripts that would be submitted."""
    from matscout.cli.steps import print_step, step_as_dict
    from matscout.cli.waiting import status
    from matscout.workflows.launch.workers_file import get_worker

    meant = campaign_meant(file, store, workers_file)
    chosen = meant.worker_for_it() if worker is None else get_worker(meant.workers, worker, meant.workers_file)
    if refused := [name for name in (meant.spec.protocol, *meant.spec.checks) if not chosen.takes(name)]:
        raise UserError(
            f"worker {chosen.name} takes {', '.join(chosen.protocols)}, and campaign {meant.spec.name} needs protocol "
            f"{refused[0]}: add it to the worker's protocols in {meant.workers_file}, or name another worker"
        )
    if dry_run:
        from matscout.cli.dry_run import show_scripts

        show_scripts(meant, chosen, as_json=as_json)
        return
    with connect(meant.uri) as opened:
        words = _prepare(meant, opened, chosen.name)
        with status("asking the scheduler, taking in results, submitting"):
            found = meant.step(opened, chosen.name)
        if as_json:
            print_json(step_as_dict(meant, opened, found))
            return
        if words and found.summary is None:
            echo(words)
        print_step(meant, opened, found)


def _prepare(meant: Meant, store: Store, worker: str) -> str:
    """Settle where a campaign ran until now, and return what is to be said of it."""
    from matscout.workflows.campaign import steering

    document = meant.document(store)
    if document is None or document["state"] == "finished":
        return ""
    name, before = meant.spec.name, document.get("worker")
    if document.get("paused"):
        raise UserError(f"campaign {name} is paused: matscout resume {meant.path} lets it go on")
    if before is None:
        return f"{name} ran on this machine so far: what it calculated is kept, the rest goes to {worker}"
    with store.lease(f"matscout submit {name}"):
        moved = steering.move(store, document, worker)  # to the same, too: what broke off stays on the worker it was on
    if before == worker:
        return f"{name} is on {worker} already: this was a step, as matscout advance takes one"
    stay = "what its jobs have stays there" if before in meant.workers else "its jobs there are left alone"
    return f"{name} moves from {before} to {worker}: {moved} calculations that waited; {stay}"


def advance(file: Path | None, store: str | None, workers_file: Path | None, *, as_json: bool) -> None:
    """Take one step of a campaign that was submitted; a second one at the same time says so and leaves."""
    from matscout.cli.steps import print_step, step_as_dict
    from matscout.cli.waiting import status
    from matscout.db.lease import StoreLeased

    meant = campaign_meant(file, store, workers_file)
    meant.submitted()
    with connect(meant.uri, must_exist=True) as opened:
        try:
            with status("asking the scheduler, taking in results, submitting"):
                found = meant.step(opened)
        except StoreLeased as error:
            who = str(error.holder or "another process")
            if as_json:
                print_json({"busy": who})
            else:
                sys.stderr.write(f"nothing was done: {printable(who)} is at the store now\n")
            return
        if as_json:
            print_json(step_as_dict(meant, opened, found))
        else:
            print_step(meant, opened, found)
